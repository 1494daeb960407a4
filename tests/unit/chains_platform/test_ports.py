"""Sockets that the control plane and the gateway listen on."""

import asyncio
import socket

from chains_platform.daemons import ports


async def test_connections_of_a_bound_socket_answer_without_delay() -> None:
    """asyncio switches Nagle's delay off only for sockets it recognises as TCP."""
    seen: list[int] = []

    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted = writer.get_extra_info("socket")
        seen.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    server = await asyncio.start_server(handle, sock=ports.bind("127.0.0.1", 0))
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await reader.read()
        writer.close()
        await writer.wait_closed()

    assert seen
    assert all(seen)

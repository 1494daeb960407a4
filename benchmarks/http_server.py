"""The HTTP server of a replica beside uvicorn: the same ASGI application, one short request after the other.

Run: `python -m benchmarks.http_server`. Says what our own server is for: time of a request, CPU time and
memory to load it, each as a ratio to uvicorn with the same parser (httptools). The aim is at most 0.7.
"""

import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

AIM = 0.7
ROUNDS = 20
REQUESTS = 200

BODY = b'{"text": "hello"}'
REQUEST = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY
ANSWER = b'"hello"'

_COMMON = f"""
import asyncio, socket, sys, time
import httptools, truss_chains, chains_protocol.replica, chains_protocol.rpc
from pathlib import Path

async def app(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"{len(ANSWER)}")]
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    await send({{"type": "http.response.body", "body": {ANSWER!r}}})

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

before, begin = resident(), time.process_time()
"""
_LOADED = "\nprint(time.process_time() - begin, resident() - before, flush=True)\n"
_OWN = f"""{_COMMON}
from chains_runtime.http_server import HttpServer
{_LOADED}
async def main():
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    server = HttpServer(app, lambda transport, request: None)
    await server.listen(listener, 100)
    await asyncio.Event().wait()

asyncio.run(main())
"""
_PEER = f"""{_COMMON}
import uvicorn
config = uvicorn.Config(app, uds=sys.argv[1], log_config=None, access_log=False, lifespan="off", ws="none",
                        http="httptools", loop="asyncio")
config.load()
{_LOADED}
asyncio.run(uvicorn.Server(config).serve())
"""


@contextmanager
def serving(program: str, path: Path) -> Iterator[tuple[socket.socket, float, float]]:
    """A connection to the server in a process of its own; CPU seconds and bytes that loading it took."""
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            seconds, size = map(float, process.stdout.readline().split())
            with socket.socket(socket.AF_UNIX) as connection:
                _connect(connection, path)
                yield connection, seconds, size
        finally:
            process.kill()


def _connect(connection: socket.socket, path: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            connection.connect(str(path))
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def request_s(connection: socket.socket, count: int) -> float:
    """Seconds a request, over that many."""
    begin = time.perf_counter()
    for _ in range(count):
        connection.sendall(REQUEST)
        answer = b""
        while not answer.endswith(ANSWER):
            answer += connection.recv(65536)
    return (time.perf_counter() - begin) / count


def main(short: bool = False) -> None:
    """Print the ratios; exit with 1 if one is above the aim."""
    rounds, requests = (1, 2) if short else (ROUNDS, REQUESTS)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ch-", dir="/tmp")))
        own, own_cpu_s, own_size = stack.enter_context(serving(_OWN, directory / "own"))
        peer, peer_cpu_s, peer_size = stack.enter_context(serving(_PEER, directory / "peer"))
        times: dict[socket.socket, list[float]] = {own: [], peer: []}
        for connection in times:
            request_s(connection, requests)  # both are warm
        for _ in range(rounds):
            for connection, found in times.items():
                found.append(request_s(connection, requests))
    own_s, peer_s = (statistics.median(found) for found in times.values())
    ratios = own_s / peer_s, own_cpu_s / peer_cpu_s, own_size / peer_size
    print(f"request: own {own_s * 1e6:.0f} µs, uvicorn {peer_s * 1e6:.0f} µs; own/uvicorn = {ratios[0]:.2f}")
    print(
        f"loading: own {own_cpu_s * 1e3:.0f} ms of CPU and {own_size / 1e6:.1f} MB, uvicorn "
        f"{peer_cpu_s * 1e3:.0f} ms and {peer_size / 1e6:.1f} MB; "
        f"own/uvicorn = {ratios[1]:.2f} and {ratios[2]:.2f} (aim {AIM})"
    )
    if max(ratios) > AIM and not short:
        sys.exit(1)


if __name__ == "__main__":
    main()

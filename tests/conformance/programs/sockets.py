"""A websocket as entrypoint; what the client sends first says what happens."""

import truss_chains as chains


class Shout(chains.ChainletBase):
    async def run_remote(self, text: str) -> str:
        if text == "fail":
            raise LookupError("no voice")
        return text.upper()


@chains.mark_entrypoint("conformance-sockets")
class Sockets(chains.ChainletBase):
    def __init__(self, shout: Shout = chains.depends(Shout)) -> None:
        self._shout = shout
        self._ended: list[str] = []

    async def run_remote(self, websocket: chains.WebSocketProtocol) -> None:
        how = await websocket.receive_text()
        await getattr(self, f"_{how.replace(' ', '_')}")(websocket)

    async def _echo(self, websocket: chains.WebSocketProtocol) -> None:
        for _ in range(2):
            message = await websocket.receive()
            if isinstance(message, str):
                await websocket.send_text(message)
            else:
                await websocket.send_bytes(message)

    async def _text(self, websocket: chains.WebSocketProtocol) -> None:
        await websocket.send_text((await websocket.receive_text())[::-1])

    async def _bytes(self, websocket: chains.WebSocketProtocol) -> None:
        await websocket.send_bytes((await websocket.receive_bytes())[::-1])

    async def _json(self, websocket: chains.WebSocketProtocol) -> None:
        await websocket.send_json({"got": await websocket.receive_json(), "text": "世"})

    async def _each_text(self, websocket: chains.WebSocketProtocol) -> None:
        async for text in await websocket.iter_text():
            await websocket.send_text(text.upper())
        self._ended.append("text")

    async def _each_bytes(self, websocket: chains.WebSocketProtocol) -> None:
        async for data in await websocket.iter_bytes():
            await websocket.send_bytes(data + b"!")

    async def _each_json(self, websocket: chains.WebSocketProtocol) -> None:
        async for value in await websocket.iter_json():
            await websocket.send_json([value])

    async def _ended_streams(self, websocket: chains.WebSocketProtocol) -> None:
        await websocket.send_json(self._ended)

    async def _shouted(self, websocket: chains.WebSocketProtocol) -> None:
        await websocket.send_text(await self._shout.run_remote(await websocket.receive_text()))

    async def _close(self, websocket: chains.WebSocketProtocol) -> None:
        await websocket.close(4001, "enough")

    async def _close_twice(self, websocket: chains.WebSocketProtocol) -> None:
        await websocket.close(1000)
        await websocket.close(4002)

    async def _raise(self, websocket: chains.WebSocketProtocol) -> None:
        raise LookupError("not for the client")

    async def _connected(self, websocket: chains.WebSocketProtocol) -> None:
        before = await websocket.is_connected()
        await websocket.send_json(before)
        await websocket.receive()
        await websocket.close()
        self._ended.append(f"connected {await websocket.is_connected()}")

    async def _headers(self, websocket: chains.WebSocketProtocol) -> None:
        await websocket.send_json(websocket.headers.get("x-own", "none"))

    async def _receive_for_ever(self, websocket: chains.WebSocketProtocol) -> None:
        try:
            while True:
                await websocket.receive()
        except Exception as error:
            self._ended.append(f"{type(error).__name__} {getattr(error, 'code', None)}")
            raise

"""The socket that a websocket endpoint gets."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol


class WebSocketProtocol(Protocol):
    """A connected websocket; the one parameter of a websocket endpoint's `run_remote`.

    Receiving after the peer has closed raises the server's disconnect exception; the iterators of
    the `iter_*` methods end instead.

    Example:
        async for text in await websocket.iter_text():
            await websocket.send_text(text.upper())
    """

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the request that opened the socket."""
        ...

    async def is_connected(self) -> bool:
        """Whether both sides are open."""
        ...

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Close the socket."""
        ...

    async def receive(self) -> str | bytes:
        """The next message, text or bytes."""
        ...

    async def receive_text(self) -> str:
        """The next message, which is text."""
        ...

    async def receive_bytes(self) -> bytes:
        """The next message, which is bytes."""
        ...

    async def receive_json(self) -> Any:  # any JSON value
        """The next message, parsed."""
        ...

    async def send_text(self, data: str) -> None:
        """Send text."""
        ...

    async def send_bytes(self, data: bytes) -> None:
        """Send bytes."""
        ...

    async def send_json(self, data: Any) -> None:  # any JSON value
        """Send a JSON document as text."""
        ...

    async def iter_text(self) -> AsyncIterator[str]:
        """All text messages until the peer closes."""
        ...

    async def iter_bytes(self) -> AsyncIterator[bytes]:
        """All messages in bytes until the peer closes."""
        ...

    async def iter_json(self) -> AsyncIterator[Any]:  # any JSON value
        """All messages, parsed, until the peer closes."""
        ...


__all__ = ["WebSocketProtocol"]

"""One buffer for everything that a process receives.

asyncio's plain protocols get new bytes of 256 KiB for every receive, cut to what came. The C
library may map and unmap that memory each time, which costs more than all else in a small call.
A buffered protocol receives into memory that stays; on one event loop nothing else is received
before the bytes were parsed, so all connections can share it.
"""

from typing import Final

_BYTES: Final = 256 * 1024


def receive_buffer() -> memoryview:
    """A buffer for `asyncio.BufferedProtocol`."""
    return memoryview(bytearray(_BYTES))


__all__ = ["receive_buffer"]

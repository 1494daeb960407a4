"""Whether somebody still waits for a patch; while it is prepared, one that nobody wants is given up."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from chains_protocol.errors import Code, Diagnostic, DiagnosticsError


@dataclass
class Wanted:
    """The patches that are under way, by the name that whoever asked gave them."""

    _unwanted: dict[str, asyncio.Event] = field(default_factory=dict)

    @contextmanager
    def asked(self, attempt: str) -> Iterator[asyncio.Event]:
        """An event that is set once nobody wants the attempt any more."""
        unwanted = asyncio.Event()
        if attempt:
            self._unwanted[attempt] = unwanted
        try:
            yield unwanted
        finally:
            if self._unwanted.get(attempt) is unwanted:
                del self._unwanted[attempt]

    def give_up(self, attempt: str) -> bool:
        """Nobody wants that attempt any more; False if none of that name is under way."""
        unwanted = self._unwanted.get(attempt)
        if unwanted is not None:
            unwanted.set()
        return unwanted is not None


async def while_wanted(work: Coroutine[Any, Any, None], unwanted: asyncio.Event) -> None:
    """Do `work`, or end it in the middle once it is unwanted.

    Raises:
        DiagnosticsError: CH403 if it was ended; else what the work raises.
    """
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(unwanted.wait())
    try:
        await asyncio.wait((task, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
        if is_ended := not task.done():
            task.cancel()
            await asyncio.wait((task,))
    if is_ended:
        raise DiagnosticsError([_given_up()])
    await task


def _given_up() -> Diagnostic:
    return Diagnostic(
        code=Code.PATCH_FAILED,
        message="the patch was given up: whoever asked for it does not wait any more",
        help="the former version goes on serving; save again",
    )


__all__ = ["Wanted", "while_wanted"]

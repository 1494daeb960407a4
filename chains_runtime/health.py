"""The Chainlet's own opinion of its health (R-12)."""

import asyncio
import inspect
import logging
from typing import Final

from chains_runtime.replica import Replica
from chains_runtime.request_context import Call, enter_call
from truss_chains.calling import NO_REQUEST

_LOG: Final = logging.getLogger(__name__)


async def is_healthy(replica: Replica) -> bool:
    """What `is_healthy` of the newest generation says; True if it has none.

    A sync one runs in a thread, because it may block.
    """
    generation = replica.newest
    check = getattr(generation.instance, "is_healthy", None)
    if check is None:
        return True
    enter_call(Call(generation, None), NO_REQUEST)
    try:
        verdict = check() if inspect.iscoroutinefunction(check) else await asyncio.to_thread(check)
        if inspect.isawaitable(verdict):
            verdict = await verdict
    except Exception as error:  # whatever the user's check raises means: not healthy
        _LOG.warning("`is_healthy` raised %s: %s", type(error).__name__, error)
        return False
    if not verdict:
        _LOG.warning("`is_healthy` says that the Chainlet is not healthy.")
    return bool(verdict)


__all__ = ["is_healthy"]

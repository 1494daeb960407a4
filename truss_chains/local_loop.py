"""A current event loop for plain scripts that call `asyncio.get_event_loop()` in a `run_local` block.

Python makes no such loop any more (3.14), or warns when it does (3.12, 3.13). So the block brings
one if the main thread has none, and takes it away again.
"""

import asyncio
import sys
import threading
from typing import Any


class LoopForMainThread:
    """Installs a loop with `enter`, closes it with `leave`; does nothing where there is a loop already."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._was_set = False

    def enter(self) -> None:
        """Install a loop if this is the main thread and it has none."""
        if threading.current_thread() is not threading.main_thread() or _current_loop() is not None:
            return
        self._was_set = getattr(_policy_state(), "_set_called", False)
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)

    def leave(self) -> None:
        """Close the loop that `enter` installed, with what still runs on it."""
        loop, self._loop = self._loop, None
        if loop is None or loop.is_running():
            return
        if not loop.is_closed():
            _finish(loop)
            loop.close()
        if threading.current_thread() is threading.main_thread() and _current_loop() is loop:
            asyncio.set_event_loop(None)
            if not self._was_set:
                _forget_that_one_was_set()


def _finish(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel tasks and close generators, as `asyncio.run` does at its end."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())


def _current_loop() -> asyncio.AbstractEventLoop | None:
    """The running loop or the one that was set for this thread; makes none and never warns."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    if sys.version_info < (3, 14):
        # `get_event_loop` would make one here, which this must not do.
        found: asyncio.AbstractEventLoop | None = getattr(_policy_state(), "_loop", None)
        return found
    try:
        return asyncio.get_event_loop()
    except RuntimeError:
        return None


def _forget_that_one_was_set() -> None:
    """Before 3.14, `get_event_loop` makes a loop only if none was ever set: leave that as it was."""
    state = _policy_state()
    if state is not None:
        state._set_called = False


def _policy_state() -> Any:
    """Where the default policies of Python before 3.14 keep a thread's loop; None elsewhere."""
    if sys.version_info >= (3, 14):
        return None
    return getattr(asyncio.get_event_loop_policy(), "_local", None)


__all__ = ["LoopForMainThread"]

"""Runs the store in a thread of its own; writes happen in the order they were asked for."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from chains_platform.store.store import Store
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError

T = TypeVar("T")
Write = Callable[[Connection], None]

_log = logging.getLogger(__name__)


class Writer:
    """Collects writes and carries them out, many in one transaction.

    What can't be written stays and is tried again with the next write, so that the database
    never holds a later change without an earlier one.
    """

    def __init__(self, store: Store, thread: ThreadPoolExecutor) -> None:
        self.store = store
        self._thread = thread
        self._pending: list[Write] = []
        self._task: asyncio.Task[None] | None = None
        self._error: SQLAlchemyError | None = None

    @classmethod
    async def open(cls, url: str) -> "Writer":
        """Open the database in its own thread."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        store = await asyncio.get_running_loop().run_in_executor(thread, Store, url)
        return cls(store, thread)

    def submit(self, write: Write) -> None:
        """Ask for a write; `flush` waits for it."""
        self._pending.append(write)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def flush(self) -> None:
        """Return when everything submitted before is written.

        Raises:
            DiagnosticsError: CH318 if the disk is full, CH901 for any other failure.
        """
        while self._task is not None and not self._task.done():
            await asyncio.shield(self._task)
        if self._error is not None:
            raise DiagnosticsError([_describe(self._error)]) from self._error

    async def read(self, query: Callable[[Store], T]) -> T:
        """Ask the store something, after the writes before."""
        await self.flush()
        return await asyncio.get_running_loop().run_in_executor(self._thread, query, self.store)

    async def close(self) -> None:
        try:
            await self.flush()
        finally:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, self.store.close)
            self._thread.shutdown(wait=False)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._pending:
            batch, self._pending = self._pending, []
            try:
                await loop.run_in_executor(self._thread, self._write, batch)
                self._error = None
            except SQLAlchemyError as error:
                _log.error("the state could not be written: %s", error)
                self._pending = batch + self._pending
                self._error = error
                return

    def _write(self, batch: list[Write]) -> None:
        with self.store.transaction() as connection:
            for write in batch:
                write(connection)


@contextmanager
def opening(url: str) -> Iterator[None]:
    """Says what to do when the state that is opened and read in this block can't be.

    Raises:
        DiagnosticsError: CH318 if the disk is full, CH309 if the database is damaged.
    """
    try:
        yield
    except SQLAlchemyError as error:
        found = _describe(error)
        if found.code is not Code.DISK_FULL:
            file = url.partition("///")[2] or url
            found = Diagnostic(
                code=Code.PLATFORM_START_FAILED,
                message=f"the platform's state can't be read: {getattr(error, 'orig', None) or error}",
                help=f"put a copy of `{file}` back; or move that file and those beside it named "
                "`state.db-*` away to begin with nothing deployed, and push again",
            )
        raise DiagnosticsError([found]) from error


def _describe(error: SQLAlchemyError) -> Diagnostic:
    text = str(getattr(error, "orig", None) or error)
    if "full" in text or "No space" in text:
        return Diagnostic(
            code=Code.DISK_FULL,
            message="the platform's state could not be written: the disk is full",
            help="free some space below `CHAINS_HOME`, then repeat the command",
        )
    return Diagnostic(code=Code.INTERNAL, message="the platform's state could not be written", detail=text)


__all__ = ["Write", "Writer", "opening"]

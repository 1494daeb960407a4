"""Runs the discovery child: its reply and its faults on pipes of their own, one deadline.

The child is a session of its own and is killed with everything it started as soon as its
reply is complete, it ended, or the deadline passed. It may be started before its request is
known, so that it loads what it needs while the tool does the same.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Final

_CHUNK: Final = 65536
_POLL_S: Final = 0.05
_TAIL_KEPT: Final = 200

_Sink = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a child ended: its reply (empty if none), its last lines, and how it died.

    `fault` is the stack that Python's fault handler wrote at a crash or shortly before the
    deadline. `signal` names the signal that killed it, None if it exited; `status` is its exit status.
    """

    reply: bytes
    tail: tuple[str, ...]
    fault: str
    status: int
    signal: str | None = None
    timed_out: bool = False


@dataclass(slots=True)
class _Lines:
    """Cuts bytes into lines and hands each on once."""

    report: Callable[[str], None]
    tail: list[str] = field(default_factory=list)
    _rest: bytes = b""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._emit(line)

    def end(self) -> None:
        if self._rest:
            self._emit(self._rest)
            self._rest = b""

    def _emit(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").removesuffix("\r")
        self.tail.append(text)
        del self.tail[:-_TAIL_KEPT]
        self.report(text)


class Child:
    """A child that was started and waits for its request on standard input.

    The reply, the faults and the output come on pipes of their own. `ask` or `close` ends it.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start `command REPLY_FD FAULT_FD`.

        Raises:
            OSError: the interpreter cannot be started.
        """
        self.command = tuple(command)
        self.environ = dict(environ)
        with contextlib.ExitStack() as open_pipes:
            reply, fault, output = pipes = [_Pipe.open(open_pipes) for _ in range(3)]
            self._process = subprocess.Popen(
                [*command, str(reply.write), str(fault.write)],
                stdin=subprocess.PIPE,
                stdout=output.write,
                stderr=output.write,
                pass_fds=(reply.write, fault.write),
                env={**environ, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
            for pipe in pipes:
                pipe.close_write()
            self._reads = tuple(pipe.read for pipe in pipes)
            self._open_pipes = open_pipes.pop_all()

    def ask(self, request: str, *, report_output: Callable[[str], None], timeout_s: float) -> ChildEnd:
        """Send the request, and collect the reply until the child ended or the time is over."""
        lines = _Lines(report_output)
        reply, fault = bytearray(), bytearray()
        sinks = zip(self._reads, (reply.extend, fault.extend, lines.feed), strict=True)
        deadline = time.monotonic() + timeout_s
        with self._open_pipes:
            try:
                timed_out = _collect(self._process, request.encode() + b"\n", sinks, deadline)
            finally:
                _end(self._process)
        lines.end()
        code = self._process.returncode
        return ChildEnd(
            reply=bytes(reply),
            tail=tuple(lines.tail),
            fault=fault.decode("utf-8", "replace"),
            status=code,
            signal=signal.Signals(-code).name if code < 0 and not timed_out else None,
            timed_out=timed_out,
        )

    @property
    def ended(self) -> bool:
        """Whether it runs no more."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """End it, from another thread than the one that asks: what it was asked fails."""
        if self._process.returncode is None:
            _kill(self._process)

    def close(self) -> None:
        """End it without a request."""
        with self._open_pipes:
            _end(self._process)


class Children:
    """Starts children; one may have been started before it was known what to ask it."""

    def __init__(self, waiting: Child | None = None) -> None:
        self._waiting = waiting
        self._taken: Child | None = None

    @property
    def has_waiting(self) -> bool:
        """Whether one was started and is not taken yet."""
        return self._waiting is not None

    def take(self, command: Sequence[str], environ: Mapping[str, str]) -> Child:
        """The child that waits, if it is what would be started now; else a new one.

        Raises:
            OSError: the interpreter cannot be started.
        """
        waiting, self._waiting = self._waiting, None
        if waiting is not None and (waiting.command, waiting.environ) != (tuple(command), environ):
            waiting.close()
            waiting = None
        self._taken = waiting or Child(command, environ)
        return self._taken

    def give_up(self) -> None:
        """End the child that was taken last, if it still reads: nobody needs its reply any more."""
        if self._taken is not None:
            self._taken.kill()

    def close(self) -> None:
        """End the one that nobody took."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.close()


@dataclass(slots=True)
class _Pipe:
    """Both ends of a pipe; `write` is -1 once it is closed here."""

    read: int
    write: int

    @classmethod
    def open(cls, owner: contextlib.ExitStack) -> "_Pipe":
        """A pipe whose ends `owner` closes, unless that was done before."""
        pipe = cls(*os.pipe())
        owner.callback(os.close, pipe.read)
        owner.callback(pipe.close_write)
        return pipe

    def close_write(self) -> None:
        """Leave the writing end to the child alone."""
        if self.write >= 0:
            os.close(self.write)
            self.write = -1


def _collect(
    process: subprocess.Popen[bytes],
    request: bytes,
    sinks: Iterable[tuple[int, _Sink]],
    deadline: float,
) -> bool:
    """Write the request and read all pipes until the child has ended; True if the deadline came first.

    The end is the child's exit and not the pipes' end of file: a process that user code
    started may keep them open.
    """
    with selectors.DefaultSelector() as selector:
        for fd, sink in sinks:
            os.set_blocking(fd, False)
            selector.register(fd, selectors.EVENT_READ, _Receiving(fd, sink))
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE, _Sending(process.stdin, request))
        while selector.get_map():
            has_ended = process.poll() is not None
            ready = selector.select(0 if has_ended else _POLL_S)
            for key, _ in ready:
                if key.data.proceed():
                    selector.unregister(key.fileobj)
            if has_ended and not ready:
                return False
            if time.monotonic() > deadline:
                return not has_ended
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(max(deadline - time.monotonic(), 0))
    return process.poll() is None


@dataclass(frozen=True, slots=True)
class _Receiving:
    """The reading end of a pipe."""

    fd: int
    sink: _Sink

    def proceed(self) -> bool:
        """Read what there is; whether this is the end."""
        try:
            data = os.read(self.fd, _CHUNK)
        except BlockingIOError:
            return False
        self.sink(data)
        return not data


@dataclass(slots=True)
class _Sending:
    """The request on its way: one line."""

    pipe: IO[bytes]
    rest: bytes

    def proceed(self) -> bool:
        """Write what fits; whether this was all."""
        try:
            self.rest = self.rest[os.write(self.pipe.fileno(), self.rest) :]
        except BlockingIOError:
            return False
        except BrokenPipeError:  # it ended already, and will be told by how it ended
            self.rest = b""
        return not self.rest


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the child's session: threads, hung code and processes it left behind."""
    _kill(process)
    if process.stdin is not None:
        process.stdin.close()
    process.wait()


__all__ = ["Child", "ChildEnd", "Children"]

"""Runs the discovery child: its reply and its faults on pipes of their own, one deadline.

The child is a session of its own and is killed with everything it started as soon as its
reply is complete, it ended, or the deadline passed.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

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


def run_child(
    command: Sequence[str],
    request: str,
    *,
    environ: Mapping[str, str],
    report_output: Callable[[str], None],
    timeout_s: float,
) -> ChildEnd:
    """Run `command REPLY_FD FAULT_FD REQUEST`; the child writes its reply to REPLY_FD and ends.

    Raises:
        OSError: the interpreter cannot be started.
    """
    lines = _Lines(report_output)
    reply, fault = bytearray(), bytearray()
    with contextlib.ExitStack() as open_pipes:
        pipes = [_Pipe.open(open_pipes) for _ in range(3)]
        reply_pipe, fault_pipe, output_pipe = pipes
        process = subprocess.Popen(
            [*command, str(reply_pipe.write), str(fault_pipe.write), request],
            stdin=subprocess.DEVNULL,
            stdout=output_pipe.write,
            stderr=output_pipe.write,
            pass_fds=(reply_pipe.write, fault_pipe.write),
            env={**environ, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        for pipe in pipes:
            pipe.close_write()
        sinks = (
            (reply_pipe.read, reply.extend),
            (fault_pipe.read, fault.extend),
            (output_pipe.read, lines.feed),
        )
        try:
            timed_out = _collect(process, sinks, time.monotonic() + timeout_s)
        finally:
            _end(process)
    lines.end()
    code = process.returncode
    return ChildEnd(
        reply=bytes(reply),
        tail=tuple(lines.tail),
        fault=fault.decode("utf-8", "replace"),
        status=code,
        signal=signal.Signals(-code).name if code < 0 and not timed_out else None,
        timed_out=timed_out,
    )


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


def _collect(process: subprocess.Popen[bytes], sinks: Iterable[tuple[int, _Sink]], deadline: float) -> bool:
    """Read all pipes until the child has ended; True if the deadline came first.

    The end is the child's exit and not the pipes' end of file: a process that user code
    started may keep them open.
    """
    with selectors.DefaultSelector() as selector:
        for fd, sink in sinks:
            os.set_blocking(fd, False)
            selector.register(fd, selectors.EVENT_READ, sink)
        while selector.get_map():
            has_ended = process.poll() is not None
            ready = selector.select(0 if has_ended else _POLL_S)
            for key, _ in ready:
                data = _read(key.fd)
                if data:
                    key.data(data)
                else:
                    selector.unregister(key.fd)
            if has_ended and not ready:
                return False
            if time.monotonic() > deadline:
                return not has_ended
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(max(deadline - time.monotonic(), 0))
    return process.poll() is None


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, _CHUNK)
    except BlockingIOError:
        return b""


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the child's session: threads, hung code and processes it left behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


__all__ = ["ChildEnd", "run_child"]

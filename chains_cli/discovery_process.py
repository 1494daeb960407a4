"""Runs the discovery child: its reply on one pipe, what user code prints on another, one deadline.

The child is a session of its own and is killed with everything it started as soon as its
reply is complete, it ended, or the deadline passed.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

_CHUNK = 65536
_POLL_S = 0.05
_TAIL_KEPT = 200


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a child ended: its reply (empty if none), its last lines, and how it died.

    `signal` names the signal that killed it, None if it exited; `status` is its exit status.
    """

    reply: bytes
    tail: tuple[str, ...]
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
    """Run `command FD REQUEST`; the child writes its reply to file descriptor FD and closes it.

    Raises:
        OSError: the interpreter cannot be started.
    """
    reply_read, reply_write = os.pipe()
    output_read, output_write = os.pipe()
    child_environ = {**environ, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"}
    try:
        process = subprocess.Popen(
            [*command, str(reply_write), request],
            stdin=subprocess.DEVNULL,
            stdout=output_write,
            stderr=output_write,
            pass_fds=(reply_write,),
            env=child_environ,
            start_new_session=True,
        )
    except BaseException:
        for fd in (reply_read, reply_write, output_read, output_write):
            os.close(fd)
        raise
    os.close(reply_write)
    os.close(output_write)
    lines = _Lines(report_output)
    try:
        reply, timed_out = _collect(process, reply_read, output_read, lines, time.monotonic() + timeout_s)
    finally:
        _end(process)
        os.close(reply_read)
        os.close(output_read)
    lines.end()
    code = process.returncode
    name = signal.Signals(-code).name if code < 0 and not timed_out else None
    return ChildEnd(reply, tuple(lines.tail), code, name, timed_out)


def _collect(
    process: subprocess.Popen[bytes], reply_fd: int, output_fd: int, lines: _Lines, deadline: float
) -> tuple[bytes, bool]:
    """Read both pipes until the child has ended; True if the deadline came first.

    The end is the child's exit and not the pipes' end of file: a process that user code
    started may keep them open.
    """
    reply = bytearray()
    with selectors.DefaultSelector() as selector:
        for fd, sink in ((reply_fd, reply.extend), (output_fd, lines.feed)):
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
                return bytes(reply), False
            if time.monotonic() > deadline:
                return bytes(reply), not has_ended
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(deadline - time.monotonic(), 0))
    return bytes(reply), process.poll() is None


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

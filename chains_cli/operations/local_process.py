"""The child of `chains run-local` as a sequence: frames it sends, lines its code prints."""

import json
import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from chains_protocol.errors import Code, Diagnostic, DiagnosticsError

_CHUNK: Final = 65536
_POLL_S: Final = 0.05
_END_S: Final = 5.0
_TAIL: Final = 20


@dataclass(slots=True)
class _Lines:
    """Cuts bytes into lines."""

    rest: bytes = b""

    def feed(self, data: bytes) -> list[bytes]:
        *whole, self.rest = (self.rest + data).split(b"\n")
        return whole


@dataclass(slots=True)
class LocalProcess:
    """Starts `command FD` with `request` on its standard input, and reads what it says.

    The child is a session of its own, so that an interruption ends it with all it started.
    """

    command: Sequence[str]
    request: Mapping[str, Any]  # JSON
    environ: Mapping[str, str]
    print_line: Callable[[str], None]
    tail: list[str] = field(default_factory=list)

    def frames(self) -> Iterator[dict[str, Any]]:
        """The frames as they come.

        Raises:
            DiagnosticsError: CH502 if the child ended without a last frame.
        """
        frame_read, frame_write = os.pipe()
        output_read, output_write = os.pipe()
        try:
            process = subprocess.Popen(
                [*self.command, str(frame_write)],
                stdin=subprocess.PIPE,
                stdout=output_write,
                stderr=output_write,
                pass_fds=(frame_write,),
                env={**self.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
                start_new_session=True,
            )
        except BaseException:
            os.close(frame_read)
            os.close(output_read)
            raise
        finally:
            os.close(frame_write)
            os.close(output_write)
        try:
            self._send_request(process)
            is_complete = False
            for frame in self._read(process, frame_read, output_read):
                is_complete = "item" not in frame
                yield frame
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_S)
            if not is_complete:
                raise DiagnosticsError([self._died(process)])
        finally:
            _kill(process)
            os.close(frame_read)
            os.close(output_read)

    def _send_request(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdin is None:
            raise RuntimeError("the child has no standard input")
        with suppress(BrokenPipeError), process.stdin as pipe:  # a child that is gone already: `_died`
            pipe.write(json.dumps(self.request).encode())

    def _read(
        self, process: subprocess.Popen[bytes], frame_fd: int, output_fd: int
    ) -> Iterator[dict[str, Any]]:
        frames, output = _Lines(), _Lines()
        with selectors.DefaultSelector() as selector:
            for fd, lines in ((frame_fd, frames), (output_fd, output)):
                os.set_blocking(fd, False)
                selector.register(fd, selectors.EVENT_READ, lines)
            while selector.get_map():
                has_ended = process.poll() is not None
                ready = selector.select(0 if has_ended else _POLL_S)
                for key, _ in sorted(ready, key=lambda pair: pair[0].data is frames):
                    data = os.read(key.fd, _CHUNK)
                    if not data:
                        selector.unregister(key.fd)
                    for line in key.data.feed(data):
                        if key.data is frames:
                            yield json.loads(line)
                        else:
                            self._print(line)
                if has_ended and not ready:  # what it started may keep the pipes open
                    break
        if output.rest:
            self._print(output.rest)

    def _print(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").removesuffix("\r")
        self.tail.append(text)
        del self.tail[:-_TAIL]
        self.print_line(text)

    def _died(self, process: subprocess.Popen[bytes]) -> Diagnostic:
        code = process.poll()
        how = f"by signal {signal.Signals(-code).name}" if code and code < 0 else f"with status {code}"
        return Diagnostic(
            code=Code.REPLICA_CRASHED,
            message=f"the Python that ran the chain ended {how} before there was a result",
            help="its last output is above; code of a chain must not end its process",
        )


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End it, and everything it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


__all__ = ["LocalProcess"]

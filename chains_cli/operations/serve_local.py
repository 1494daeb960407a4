"""Serve a chain of this machine over HTTP, and replace its process when a file is saved.

The listening socket belongs to us and is handed to each process, so no request is refused
while one takes over from the other. A save that cannot be loaded leaves the old one serving.
"""

import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from chains_cli import events
from chains_cli.events import Report
from chains_cli.exits import Exit
from chains_cli.operations.local_page import openapi, page
from chains_cli.operations.run_local import RUNNER, LocalOptions, runner_request, websocket_refusal
from chains_cli.operations.source import SourceOptions, absolute_mocks, read_chain
from chains_cli.settings import Settings
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.spec import ChainSpec

_DRAIN_S: Final = 10.0

Changes = Callable[[Path], Iterable[object]]
"""Yields once for each burst of saves below a directory, until the user stops it."""


@dataclass(frozen=True, slots=True)
class ServeResult:
    """What was served until the user stopped it."""

    chain: str
    url: str
    reloads: int
    exit_code: int = Exit.OK


def serve_local(
    source: Path,
    entrypoint: str | None,
    settings: Settings,
    *,
    options: LocalOptions,
    port: int,
    report: Report,
    environ: Mapping[str, str] = os.environ,
    changes: Changes | None = None,
) -> ServeResult:
    """Serve until interrupted. `port` 0 lets the system choose.

    Raises:
        DiagnosticsError: CH1xx if the chain is not valid at the start, CH308 if the port is taken.
    """
    options = replace(options, mocks=absolute_mocks(options.mocks, settings.cwd))
    how = SourceOptions(None, options.mocks, options.python)

    def start(chain: ChainSpec) -> _Served:
        request = runner_request(chain, options, listen_fd=listener.fileno(), pages=_pages(chain))
        served = _Served((chain.python.executable, "-P", str(RUNNER)), request, environ, report)
        served.start(listener.fileno())
        return served

    def read() -> ChainSpec:
        chain = read_chain(source, entrypoint, settings, options=how, report=report, environ=environ)
        spec = chain.chainlet(chain.entrypoint).spec
        if spec.endpoint.is_websocket:
            raise DiagnosticsError([websocket_refusal(spec)])
        return chain

    reloads = 0
    with _listen(port) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/run_remote"
        chain = read()
        serving = start(chain)
        report(events.Step(f"serving {chain.chain_name} at {url}; save a file to reload, Ctrl-C to stop"))
        report(events.Step(f"try it at {url.removesuffix('run_remote')}"))
        try:
            for _ in (changes or _saves)(Path(chain.workspace)):
                try:
                    fresh = start(read())
                except DiagnosticsError as error:
                    for diagnostic in error.diagnostics:
                        report(events.Found(diagnostic))
                    report(events.Step("not reloaded; the code from before goes on serving"))
                    continue
                serving.stop()
                serving = fresh
                reloads += 1
                report(events.Step("reloaded"))
        except KeyboardInterrupt:
            pass  # the way to end it
        finally:
            serving.stop()
    return ServeResult(chain.chain_name, url, reloads)


def _pages(chain: ChainSpec) -> dict[str, tuple[str, str]]:
    spec = chain.chainlet(chain.entrypoint).spec
    document = json.dumps(openapi(chain.chain_name, spec), ensure_ascii=False, indent=2)
    return {
        "/": ("text/html", page(chain.chain_name, spec)),
        "/openapi.json": ("application/json", document),
    }


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        diagnostic = Diagnostic(
            code=Code.PORT_IN_USE,
            message=f"port {port} cannot be used: {error.strerror}",
            help="choose another one with `--port`; 0 takes any that is free",
        )
        raise DiagnosticsError([diagnostic]) from error
    return listener


def _saves(workspace: Path) -> Iterable[object]:
    from watchfiles import PythonFilter, watch

    return watch(workspace, watch_filter=PythonFilter(), debounce=200, step=20, raise_interrupt=True)


@dataclass(slots=True)
class _Served:
    """One process that serves; what it prints is reported from a thread of its own."""

    command: Sequence[str]
    request: Mapping[str, Any]  # JSON
    environ: Mapping[str, str]
    report: Report
    _process: "subprocess.Popen[bytes] | None" = None
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, listen_fd: int) -> None:
        """Return when it serves.

        Raises:
            DiagnosticsError: what prevented it.
        """
        frame_read, frame_write = os.pipe()
        process = subprocess.Popen(
            [*self.command, str(frame_write)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(frame_write, listen_fd),
            env={**self.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
            start_new_session=True,
        )
        os.close(frame_write)
        self._process = process
        pump = threading.Thread(target=self._pump, args=(process,), daemon=True)
        pump.start()
        self._threads.append(pump)
        with suppress(BrokenPipeError):
            self._send(process)
        with os.fdopen(frame_read, "rb") as frames:
            line = frames.readline()
        frame = json.loads(line) if line else {}
        if "ready" not in frame:
            self.stop()
            raise DiagnosticsError(self._why_not(frame))

    def stop(self) -> None:
        """Let it finish what it serves, then end it."""
        process = self._process
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_DRAIN_S)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for thread in self._threads:
            thread.join(_DRAIN_S)
        if process.stdout is not None:
            process.stdout.close()

    def _send(self, process: "subprocess.Popen[bytes]") -> None:
        if process.stdin is not None:
            with process.stdin as pipe:
                pipe.write(json.dumps(self.request).encode())

    def _pump(self, process: "subprocess.Popen[bytes]") -> None:
        if process.stdout is not None:
            for line in process.stdout:
                self.report(events.UserOutput(line.decode("utf-8", "replace").rstrip("\r\n")))

    def _why_not(self, frame: Mapping[str, Any]) -> tuple[Diagnostic, ...]:
        if "error" in frame:
            return tuple(Diagnostic.model_validate(d) for d in frame["error"])
        status = self._process.returncode if self._process is not None else None
        return (
            Diagnostic(
                code=Code.REPLICA_CRASHED,
                message=f"the Python that should serve the chain ended with status {status}",
                help="its last output is above",
            ),
        )


__all__ = ["Changes", "ServeResult", "serve_local"]

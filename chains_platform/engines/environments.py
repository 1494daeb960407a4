"""Virtual environments by content: one for each set of requirements and Python, built once with uv.

Bytecode is not compiled at build time: for the runtime's own requirements that costs 0.43 s
and saves 0.17 s at the first start only (with numpy and fastapi 1.2 s), and a torch stack
costs minutes of which a replica needs a part.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chains_platform.engines.collecting import COMPLETE, Collected, collect, touch
from chains_platform.engines.pythons import Interpreter, Pythons
from chains_protocol.digest import bytes_digest
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.manifest import EnvironmentSpec

RUNTIME_REQUIREMENTS: Final = (
    "httptools>=0.6.1",
    "httpx>=0.25",
    "msgpack>=1.0.5",
    "pydantic>=2.7",
    "uvicorn>=0.35",
    "websockets>=12",
)
"""What `chains_runtime` and `truss_chains` need; loose, so that a user's stack decides."""

_PROVIDED: Final = "truss"
"""Not installed: the runtime tree provides `truss_chains`."""
_POLL_S: Final = 0.05
_MAX_DETAIL_LINES: Final = 200
_NAME: Final = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")

Report = Callable[[str], None]


def install_lines(spec: EnvironmentSpec) -> tuple[str, ...]:
    """What is really installed: the user's lines without `truss`, and the runtime's own."""
    kept = {line.strip() for line in spec.requirements if normalised_name(line) != _PROVIDED}
    return tuple(sorted((kept - {""}) | set(RUNTIME_REQUIREMENTS)))


def normalised_name(requirement: str) -> str:
    """The project a requirement line names, lower case with dashes; empty for options and paths."""
    match = _NAME.match(requirement)
    return re.sub(r"[-_.]+", "-", match.group(1)).lower() if match else ""


@dataclass
class Environments:
    """The environments below `root`.

    Args:
        root: their directory.
        uv: the path of uv.
        pythons: finds interpreters.
        environ: what uv sees (`indexes.installer_environment`).
    """

    root: Path
    uv: str
    pythons: Pythons
    environ: dict[str, str]
    _building: dict[Path, asyncio.Lock] = field(default_factory=dict)

    def directory(self, spec: EnvironmentSpec, interpreter: Interpreter) -> Path:
        """Where the environment is or will be; named by all that decides its content."""
        bound = ["-c", *spec.constraints] if spec.constraints else []
        content = json.dumps([interpreter.version, *install_lines(spec), *bound])
        return self.root / bytes_digest(content.encode())[:24]

    def ready(self, spec: EnvironmentSpec) -> Path | None:
        """The interpreter of a complete environment; None if it has to be built."""
        directory = self.directory(spec, self.pythons.find(spec.python_version))
        if not (directory / COMPLETE).exists():
            return None
        touch(directory)
        return _python(directory)

    async def ensure(self, spec: EnvironmentSpec, report: Report) -> Path:
        """Build the environment unless it is there; one build at a time, also among processes.

        Raises:
            DiagnosticsError: CH312 (CH318 if the disk is full), uv's own words in `detail`.
        """
        interpreter = await asyncio.to_thread(self.pythons.find, spec.python_version)
        directory = self.directory(spec, interpreter)
        complete = directory / COMPLETE
        if complete.exists():
            touch(directory)
            return _python(directory)
        async with self._building.setdefault(directory, asyncio.Lock()), _locked(directory, report) as lock:
            if not complete.exists():
                await self._build(spec, interpreter, directory, report, lock)
        return _python(directory)

    def collect(
        self, kept: Iterable[EnvironmentSpec], older_than: float, *, dry_run: bool = False
    ) -> Collected:
        """Remove what none of `kept` asks for and nobody wanted since `older_than` (Unix seconds)."""
        directories = {self.directory(spec, self.pythons.find(spec.python_version)) for spec in set(kept)}
        return collect(self.root, directories, older_than, dry_run=dry_run)

    async def _build(
        self, spec: EnvironmentSpec, interpreter: Interpreter, directory: Path, report: Report, lock: int
    ) -> None:
        lines = install_lines(spec)
        # a directory without the mark is what an interrupted build left
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
        requirements, constraints = directory.with_suffix(".txt"), directory.with_suffix(".constraints")
        try:
            requirements.write_text("\n".join(lines) + "\n")
            constraints.write_text("".join(f"{line}\n" for line in spec.constraints))
            venv = ["venv", "--no-project", "--python", interpreter.executable, str(directory)]
            install = ["pip", "install", "--python", str(_python(directory)), "-r", str(requirements)]
            install += ["-c", str(constraints)] if spec.constraints else []
            for arguments in (venv, install):
                code, output = await self._run(arguments, report, lock)
                if code != 0:
                    raise DiagnosticsError([_failure(spec, interpreter, code, output)])
            (directory / COMPLETE).write_text("\n".join(lines) + "\n")
        except BaseException:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True))
            raise
        finally:
            requirements.unlink(missing_ok=True)
            constraints.unlink(missing_ok=True)

    async def _run(self, arguments: list[str], report: Report, lock: int) -> tuple[int, list[str]]:
        """Run uv, line by line. It inherits the lock, so that it holds even if we die and uv goes on."""
        process = await asyncio.create_subprocess_exec(
            self.uv,
            *arguments,
            env=self.environ,
            cwd=self.root,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=(lock,),
            limit=1024 * 1024,
        )
        output: list[str] = []
        try:
            if process.stdout is not None:
                async for raw in process.stdout:
                    line = raw.decode(errors="replace").rstrip()
                    output.append(line)
                    report(line)
            return await process.wait(), output
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


@contextlib.asynccontextmanager
async def _locked(directory: Path, report: Report) -> AsyncIterator[int]:
    """Hold the lock file beside a directory; it stays, because removing it would let two hold it."""
    descriptor = os.open(directory.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        is_told = False
        while not _try_lock(descriptor):
            if not is_told:
                report("another process builds this environment; waiting for it")
                is_told = True
            await asyncio.sleep(_POLL_S)
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _python(directory: Path) -> Path:
    return directory / "bin" / "python"


def _failure(spec: EnvironmentSpec, interpreter: Interpreter, code: int, output: list[str]) -> Diagnostic:
    text = "\n".join(output[-_MAX_DETAIL_LINES:])
    if "No space left on device" in text:
        return Diagnostic(
            code=Code.DISK_FULL,
            message="the environment can't be built: no space is left on the disk",
            help="free some space, for example with `uv cache prune`, and try again",
            detail=text,
        )
    named = ", ".join(f"`{line}`" for line in blamed(spec.requirements, text))
    return Diagnostic(
        code=Code.ENVIRONMENT_BUILD_FAILED,
        message=f"an environment of Python {interpreter.version} can't be built (uv ended with {code})",
        help=f"check these requirements: {named}" if named else "look at what uv says",
        detail=text or None,
    )


def blamed(requirements: Iterable[str], output: str) -> tuple[str, ...]:
    """The requirement lines whose project the output names, else all."""
    lines = tuple(requirements)
    said = re.sub(r"[-_.]+", "-", output).lower()
    found = tuple(
        line
        for line in lines
        if (name := normalised_name(line))
        and re.search(rf"(?<![a-z0-9-]){re.escape(name)}(?!-?[a-z0-9])", said)
    )
    return found or lines


__all__ = ["RUNTIME_REQUIREMENTS", "Environments", "blamed", "install_lines", "normalised_name"]

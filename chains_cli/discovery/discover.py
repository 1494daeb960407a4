"""FILE -> ChainSpec, in a child interpreter.

Comes in: the path of a user's file. Goes out: a `ChainSpec`, or `DiagnosticsError`. Runs the
user's code exactly where it can do no harm: in a process of its own, with a deadline, without
standard input, and with a pipe for the reply that its prints cannot reach.
"""

import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from chains_cli.discovery.early import child_command
from chains_cli.discovery.process import ChildEnd, Children
from chains_cli.interpreters import Interpreter, Origin, choose_interpreter, own_interpreter
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Location, Severity
from chains_protocol.spec import ChainSpec, DiscoveryReply

DEFAULT_TIMEOUT_S: Final = 120.0
_MAX_ROUNDS: Final = 40
_TAIL_LINES: Final = 20
_FRAME: Final = re.compile(r'\s*File "(?P<path>[^"]+)", line (?P<line>\d+)')
_UNFIT_FOR_NAME: Final = re.compile(r"[^0-9a-zA-Z_.-]+|_{2,}")


@dataclass(frozen=True, slots=True)
class MockOption:
    """`--mock NAME=auto` or `--mock NAME=FILE:CLASS`. `file` and `class_name` are None for auto."""

    name: str
    file: str | None = None
    class_name: str | None = None

    @classmethod
    def parse(cls, text: str) -> "MockOption":
        """Read the option's value.

        Raises:
            DiagnosticsError: CH127 for any other form.
        """
        name, equals, value = text.partition("=")
        if equals and name and value == "auto":
            return cls(name)
        file, colon, class_name = value.rpartition(":")
        if equals and name and colon and file and class_name.isidentifier():
            return cls(name, file, class_name)
        raise DiagnosticsError(
            [
                Diagnostic(
                    code=Code.BAD_MOCK,
                    message=f"`{text}` is not a mock",
                    help="write `NAME=auto` or `NAME=FILE:CLASS`, for example `PhiLLM=mocks.py:FakePhiLLM`",
                )
            ]
        )


@dataclass(frozen=True, slots=True)
class _Request:
    """What one run of the child is asked for; sent as one line of JSON."""

    source: Path
    entrypoint: str | None
    chain_name: str | None
    mocks: tuple[MockOption, ...]
    placeholders: tuple[str, ...] = ()
    hang_dump_s: float = 0.0

    def to_json(self, now_s: float) -> str:
        """The line; `now_s` is the monotonic time, which all processes of a machine share."""
        return json.dumps(
            {
                "source": str(self.source),
                "entrypoint": self.entrypoint,
                "chain_name": self.chain_name,
                "mocks": [
                    {"name": m.name, "file": m.file and str(Path(m.file).absolute()), "class": m.class_name}
                    for m in self.mocks
                ],
                "placeholders": list(self.placeholders),
                "hang_dump_at_s": now_s + self.hang_dump_s,
            }
        )


def discover(
    source: Path,
    entrypoint: str | None = None,
    *,
    python: str | None = None,
    chain_name: str | None = None,
    mocks: Sequence[MockOption] = (),
    report_output: Callable[[str], None],
    environ: Mapping[str, str] = os.environ,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    children: Children | None = None,
) -> ChainSpec:
    """Read the Chain that `source` declares.

    Args:
        source: a Python file (I-01).
        entrypoint: class name; None finds the only Chainlet or the only marked one (I-09).
        python: interpreter to use; None chooses (see `interpreters.choose_interpreter`).
        chain_name: overrides the decorator's name and the entrypoint's display name.
        mocks: Chainlets to replace.
        report_output: called with each line the user's file prints, without its newline.
        environ: environment of the child and of the choice of interpreter.
        timeout_s: seconds one reading of the file may take.
        children: where the first child comes from; None starts one.

    Raises:
        DiagnosticsError: CH101 to CH161, sorted by place.
        RuntimeError: a bug of ours.
    """
    check_source(source)
    interpreter = choose_interpreter(source, python, environ)
    request = _Request(
        source.absolute(), entrypoint, chain_name, tuple(mocks), hang_dump_s=max(timeout_s - 0.5, 0.1)
    )
    children = children or Children()
    output = _Output(report_output)
    notes: list[Diagnostic] = []
    missing: dict[str, Diagnostic] = {}
    for _ in range(_MAX_ROUNDS):
        output.start_round()
        child = children.take(child_command(interpreter), environ)
        end = child.ask(request.to_json(time.monotonic()), report_output=output.line, timeout_s=timeout_s)
        answer = _answer(end, request, timeout_s)
        if answer.unusable is not None:
            if interpreter.origin in (Origin.OPTION, Origin.OWN):
                raise DiagnosticsError([_unusable(interpreter, answer.unusable, Severity.ERROR)])
            notes.append(_unusable(interpreter, answer.unusable, Severity.WARNING))
            interpreter = own_interpreter()
            continue
        new = {name: d for name, d in answer.missing.items() if name not in missing}
        if not new:
            return _finish(answer.reply, request, notes, missing)
        missing |= new
        request = replace(request, placeholders=tuple(missing))
    raise DiagnosticsError(missing.values())


def check_source(source: Path) -> None:
    """Raise CH150 or CH151 unless `source` is an existing Python file (I-01)."""
    if not source.exists():
        code, message = Code.SOURCE_NOT_FOUND, f"there is no file `{source}`"
        remedy = "give the path of the Python file that defines the entrypoint"
    elif source.is_dir():
        code, message = Code.SOURCE_NOT_A_FILE, f"`{source}` is a directory; a Python file is needed"
        remedy = f"name the file, for example `{source / 'chain.py'}`"
    elif source.suffix != ".py" or not source.is_file():
        code, message = Code.SOURCE_NOT_A_FILE, f"`{source}` is not a Python file"
        remedy = "give the path of a file that ends in `.py`"
    else:
        return
    raise DiagnosticsError([Diagnostic(code=code, message=message, help=remedy)])


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one run of the child said."""

    reply: DiscoveryReply
    unusable: str | None = None
    missing: Mapping[str, Diagnostic] = field(default_factory=dict)


class _Output:
    """Passes lines on once, although the file may be read again with a placeholder installed."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._seen: list[str] = []
        self._at = 0
        self._repeating = False

    def start_round(self) -> None:
        self._at = 0
        self._repeating = bool(self._seen)

    def line(self, text: str) -> None:
        if self._repeating and self._at < len(self._seen) and self._seen[self._at] == text:
            self._at += 1
            return
        self._repeating = False
        self._seen.append(text)
        self._report(text)


def _answer(end: ChildEnd, request: _Request, timeout_s: float) -> _Answer:
    """Read the child's reply; a child that gave none becomes CH158."""
    if end.reply:
        try:
            data = json.loads(end.reply)
        except ValueError:
            data = None  # a truncated reply is that of a child which died while writing it
        if data is not None and "internal" in data:
            raise RuntimeError(f"reading a file failed inside chains:\n{data['internal']}")
        if data is not None:
            return _Answer(
                DiscoveryReply.model_validate(data.get("reply", {})),
                data.get("unusable"),
                {name: Diagnostic.model_validate(d) for name, d in data.get("missing", {}).items()},
            )
    if not end.fault:
        tail = "; ".join(line.strip() for line in end.tail[-_TAIL_LINES:] if line.strip())
        return _Answer(DiscoveryReply(), unusable=f"it does not start ({tail or f'status {end.status}'})")
    raise DiagnosticsError([_crashed(end, request, timeout_s)])


def _crashed(end: ChildEnd, request: _Request, timeout_s: float) -> Diagnostic:
    name = request.source.name
    if end.timed_out:
        message = f"`{name}` was not read within {timeout_s:g} s"
        remedy = "move work that takes long from the file's top level into `__init__`"
    elif end.signal is not None:
        message = f"the Python that read `{name}` was ended by {end.signal}"
        remedy = "the file, or a library it imports, crashed while it was read; the last output is below"
    else:
        message = f"`{name}` ended the Python that read it, with status {end.status}"
        remedy = "a file that is imported must not end its process (`os._exit`)"
    frames = _own_frames(end.fault, request.source.parent)
    detail = [*end.tail[-_TAIL_LINES:], *(["it was here:", *(f"  {f}" for f in frames)] if frames else [])]
    return Diagnostic(
        code=Code.DISCOVERY_CRASHED,
        message=message,
        help=remedy,
        location=frames[0] if frames else Location(path=str(request.source)),
        detail="\n".join(detail) or None,
    )


def _own_frames(fault: str, directory: Path) -> list[Location]:
    """The user's frames in what Python's fault handler wrote, innermost first."""
    found = (_FRAME.match(line) for line in fault.splitlines())
    frames = [Location(path=m["path"], line=int(m["line"])) for m in found if m]
    return [frame for frame in frames if Path(frame.path).is_relative_to(directory)]


def _unusable(interpreter: Interpreter, why: str, severity: Severity) -> Diagnostic:
    is_error = severity is Severity.ERROR
    note = "" if is_error else "; the interpreter of chains was used instead"
    return Diagnostic(
        code=Code.INTERPRETER_UNUSABLE,
        severity=severity,
        message=f"`{interpreter.executable}` (from {interpreter.origin}) cannot read a chain: {why}{note}",
        help="install `pydantic>=2.7` there, or choose another interpreter with `--python`",
    )


def _finish(
    reply: DiscoveryReply,
    request: _Request,
    notes: Sequence[Diagnostic],
    missing: Mapping[str, Diagnostic],
) -> ChainSpec:
    """The spec with all notes; `missing` maps each module that was stood in for to its import error."""
    if reply.spec is None:
        # a file without a Chainlet has nobody whose requirements could provide the missing module
        is_empty = all(d.code is Code.NO_ENTRYPOINT for d in reply.diagnostics)
        raise DiagnosticsError(missing.values() if missing and is_empty else reply.diagnostics)
    spec = reply.spec
    if request.placeholders:
        from chains_cli.packaging.distributions import unprovided_modules

        unprovided = unprovided_modules(spec, request.placeholders)
        if unprovided:
            raise DiagnosticsError(missing[name] for name in unprovided)
    found = [*spec.notes, *notes, *(_stood_in(name, request.source) for name in request.placeholders)]
    name = fit_chain_name(spec.chain_name)
    if name != spec.chain_name:
        found.append(_renamed(spec.chain_name, name))
    return spec.model_copy(update={"chain_name": name, "notes": tuple(found)})


def fit_chain_name(name: str) -> str:
    """The name as remotes take it: letters, digits, `_`, `.` and `-`; anything else is one `_` (G-01).

    It begins with no `-`, which a command line would take for an option, and is no `.` or `..`,
    which a URL would take for a directory.
    """
    fit = _UNFIT_FOR_NAME.sub("_", name.strip())[:128]
    if fit.startswith("-") or fit in (".", ".."):
        fit = "_" + fit[1:]
    return fit or "chain"


def _renamed(wanted: str, name: str) -> Diagnostic:
    return Diagnostic(
        code=Code.INVALID_NAME,
        severity=Severity.NOTE,
        message=f"the chain `{wanted}` is called `{name}` on remotes and in URLs",
        help="name it with letters, digits, `_`, `.` and `-` only",
    )


def _stood_in(name: str, source: Path) -> Diagnostic:
    return Diagnostic(
        code=Code.MODULE_STOOD_IN,
        severity=Severity.NOTE,
        location=Location(path=str(source)),
        message=f"`{name}` is not installed here; a placeholder stood in for it while the file was read",
        help="it is installed where the chain runs, from the requirements of the Chainlets",
    )


__all__ = ["DEFAULT_TIMEOUT_S", "MockOption", "check_source", "discover", "fit_chain_name"]

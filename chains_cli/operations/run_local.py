"""Run a chain in one process of the user's interpreter, without a platform."""

import base64
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from chains_cli import events
from chains_cli.discovery.discover import MockOption
from chains_cli.events import Report
from chains_cli.exits import Exit
from chains_cli.operations.example import example_json, shell_quoted
from chains_cli.operations.local_process import LocalProcess
from chains_cli.operations.source import SourceOptions, absolute_mocks, read_chain
from chains_cli.settings import Settings
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Severity
from chains_protocol.spec import ChainletSpec, ChainSpec

_ROOT: Final = Path(__file__).resolve().parents[2]
RUNNER: Final = Path(__file__).with_name("local_runner.py")
"""What the user's interpreter runs, by path."""


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """`input` is a JSON document; None only describes the input. `secrets` are what `context` gives.

    `record` is the file that calls between Chainlets are written to, `replay` one that they are
    answered from: those of `replay_chainlets`, or of all that were recorded.
    """

    input: str | None = None
    mocks: tuple[str, ...] = ()
    strict: bool = False
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    data_dir: Path | None = None
    python: str | None = None
    record: Path | None = None
    replay: Path | None = None
    replay_chainlets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LocalResult:
    """What came out. `described`: nothing was run, `input_schema` and `example` say what it takes."""

    chain: str
    entrypoint: str
    value: Any = None  # a JSON value
    streamed: bool = False
    described: bool = False
    signature: str = ""
    input_schema: Mapping[str, Any] = field(default_factory=dict)  # JSON Schema
    example: str = ""
    diagnostics: tuple[Diagnostic, ...] = ()
    exit_code: int = Exit.OK


def run_local(
    source: Path,
    entrypoint: str | None,
    settings: Settings,
    *,
    options: LocalOptions,
    report: Report,
    environ: Mapping[str, str] = os.environ,
) -> LocalResult:
    """Run the entrypoint of the chain in `source`; items of a stream are reported as they come.

    Raises:
        DiagnosticsError: CH1xx for a chain that is not valid. What the user's code raises is
            in the result, with `exit_code` 1.
    """
    options = replace(options, mocks=absolute_mocks(options.mocks, settings.cwd))
    how = SourceOptions(None, options.mocks, options.python)
    chain = read_chain(source, entrypoint, settings, options=how, report=report, environ=environ)
    chainlet = chain.chainlet(chain.entrypoint).spec
    if options.input is None:
        return _described(chain, chainlet)
    if chainlet.endpoint.is_websocket:
        raise DiagnosticsError([websocket_refusal(chainlet)])
    if options.data_dir is not None and not options.data_dir.is_dir():
        raise DiagnosticsError([_no_directory(options.data_dir)])
    if options.replay is not None and not options.replay.is_file():
        raise DiagnosticsError([_no_recording(options.replay)])
    process = LocalProcess(
        (
            chain.python.executable,
            "-P",
            str(RUNNER),
        ),  # -P: the runner's directory is no place to import from
        runner_request(chain, options),
        environ,
        lambda line: report(events.UserOutput(line)),
    )
    result = LocalResult(chain.chain_name, chainlet.display_name, streamed=chainlet.endpoint.is_streaming)
    try:
        for frame in process.frames():
            if "item" in frame:
                report(events.Item(_item(frame)))
            else:
                result = _with_end(result, frame)
                _report_recorded(frame, options, report)
    except DiagnosticsError as error:  # its process died
        return replace(result, diagnostics=error.diagnostics, exit_code=Exit.INVALID)
    return result


def _described(chain: ChainSpec, chainlet: ChainletSpec) -> LocalResult:
    from chains_cli.operations.graph import signature

    schema = chainlet.endpoint.input_schema
    return LocalResult(
        chain.chain_name,
        chainlet.display_name,
        described=True,
        signature=signature(chainlet.endpoint),
        input_schema=schema,
        example=example_json(schema),
    )


def runner_request(
    chain: ChainSpec,
    options: LocalOptions,
    *,
    listen_fd: int | None = None,
    pages: Mapping[str, tuple[str, str]] | None = None,
) -> dict[str, Any]:
    """What `local_runner` is asked for; with `listen_fd` it serves instead of calling once.

    `pages` are texts to serve besides, with their content types, by path.
    """
    chainlet = chain.chainlet(chain.entrypoint).spec
    return {
        "root": str(_ROOT),
        "source": chain.source,
        "workspace": chain.workspace,
        "module": chainlet.module,
        "qualname": chainlet.qualname,
        "input": options.input,
        "hint": f"for example: --input {shell_quoted(example_json(chainlet.endpoint.input_schema))}",
        "placeholders": _stood_in(chain),
        "mocks": {m.name: _mock(m) for m in map(MockOption.parse, options.mocks)},
        "strict": options.strict,
        "secrets": dict(options.secrets),
        "data_dir": str(options.data_dir) if options.data_dir else None,
        "record": str(options.record) if options.record else None,
        "replay": str(options.replay) if options.replay else None,
        "replay_chainlets": list(options.replay_chainlets),
        "listen_fd": listen_fd,
        "pages": dict(pages or {}),
    }


def _mock(option: MockOption) -> dict[str, str] | str:
    if option.file is None or option.class_name is None:
        return "auto"
    return {"file": str(Path(option.file).resolve()), "class": option.class_name}


def _stood_in(chain: ChainSpec) -> list[str]:
    """The modules that discovery replaced; each has a note that begins with its name in backticks."""
    notes = (note.message for note in chain.notes if note.code is Code.MODULE_STOOD_IN)
    return [match.group(1) for note in notes if (match := re.match(r"`([^`]+)`", note))]


def _item(frame: Mapping[str, Any]) -> Any:
    return base64.b64decode(frame["item"]) if frame["form"] == "bytes" else frame["item"]


def _with_end(result: LocalResult, frame: Mapping[str, Any]) -> LocalResult:
    if "result" in frame:
        return replace(result, value=frame["result"])
    found = tuple(Diagnostic.model_validate(d) for d in frame["error"])
    is_failed = any(d.severity is Severity.ERROR for d in found)
    return replace(result, diagnostics=found, exit_code=Exit.INVALID if is_failed else Exit.OK)


def _report_recorded(frame: Mapping[str, Any], options: LocalOptions, report: Report) -> None:
    if "recorded" not in frame:
        return
    for callee, reason in sorted(frame["unrecorded"].items()):
        problem = Diagnostic(
            code=Code.BAD_MOCK,
            severity=Severity.WARNING,
            message=f"calls of `{callee}` were not recorded: {reason.split(chr(10), 1)[0]}",
            detail=reason.partition("\n")[2] or None,
            chainlet=callee,
            help="only what fits the endpoint's annotations, and holds no secret in bytes, can be replayed",
        )
        report(events.Found(problem))
    number = frame["recorded"]
    report(events.Step(f"recorded {number} call{'' if number == 1 else 's'} in {options.record}"))


def _no_recording(path: Path) -> Diagnostic:
    return Diagnostic(
        code=Code.PATH_NOT_FOUND,
        message=f"there is no file `{path}` to replay",
        help="record one with `chains run-local SOURCE --input ... --record FILE`",
    )


def websocket_refusal(chainlet: ChainletSpec) -> Diagnostic:
    """Why a Chainlet that speaks over a websocket is not run or served locally."""
    return Diagnostic(
        code=Code.BAD_REQUEST,
        message=f"`{chainlet.display_name}` speaks over a websocket; this takes JSON only",
        help="deploy it with `chains push` and connect a websocket client",
    )


def _no_directory(path: Path) -> Diagnostic:
    return Diagnostic(
        code=Code.PATH_NOT_FOUND,
        message=f"the data directory `{path}` does not exist",
        help="correct `--data-dir`",
    )


__all__ = ["RUNNER", "LocalOptions", "LocalResult", "run_local", "runner_request", "websocket_refusal"]

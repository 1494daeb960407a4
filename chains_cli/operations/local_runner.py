"""Runs a chain in the user's interpreter: the child of `chains run-local`.

Run by path: `PYTHON -P local_runner.py FD`, the request as JSON on standard input. It writes
frames to file descriptor FD, one JSON object a line:

    {"item": VALUE, "form": "text" | "bytes" | "json"}    an item of a stream; bytes are base64
    {"ready": true}                                       it serves on the socket of the request
    {"result": VALUE}                                     the result; null for a stream
    {"error": [Diagnostic, ...]}                          what ended the run

The last frame of a run that records has also `"recorded": COUNT, "unrecorded": {CALLEE: REASON}`.

Until our packages can be imported, the standard library only.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import json
import os
import sys
import textwrap
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

_OWN = ("truss_chains", "chains_protocol", "chains_cli")

Request = dict[str, Any]  # as `local.py` writes it


class _OwnPackages:
    """Finds our packages and nothing else of the tool's environment."""

    def __init__(self, root: str) -> None:
        self._root = root

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> Any:
        if fullname in _OWN:
            return importlib.machinery.PathFinder.find_spec(fullname, [self._root])
        return None


class Frames:
    """Writes frames, whole lines only."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def send(self, frame: dict[str, Any]) -> None:
        data = json.dumps(frame).encode() + b"\n"
        while data:
            data = data[os.write(self._fd, data) :]


def main() -> None:
    """Serve one request."""
    fd = int(sys.argv[1])
    os.set_inheritable(fd, False)
    request: Request = json.loads(sys.stdin.buffer.read())
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.meta_path.insert(0, _OwnPackages(request["root"]))
    sys.dont_write_bytecode = True  # two saves of one size within a second look the same to cached bytecode
    sys.path.insert(0, request["workspace"])
    sys.argv = [request["source"]]
    frames = Frames(fd)
    last = _run(request, frames)
    with contextlib.suppress(BrokenPipeError):  # nobody listens to a server after it was ready
        frames.send(last)
    os.close(fd)


def _run(request: Request, frames: Frames) -> dict[str, Any]:
    """The last frame."""
    from chains_protocol.errors import Code

    try:
        chainlet = _load(request)
        arguments = _arguments(chainlet, request) if request["listen_fd"] is None else {}
    except BaseException as error:
        return _error(error, Code.IMPORT_FAILED, f"`{Path(request['source']).name}` cannot be run", request)
    if request["record"] is None:
        return _run_loaded(chainlet, arguments, request, frames, None)
    from chains_cli.operations.local_record import Recorder
    from truss_chains.replaying import Redaction

    try:
        with Recorder(Path(request["record"]), Redaction(request["secrets"].values())) as recorder:
            frame = _run_loaded(chainlet, arguments, request, frames, recorder.record)
    except OSError as error:
        return _error(error, Code.PATH_NOT_FOUND, f"`{request['record']}` cannot be written", request)
    return {**frame, **recorder.summary()}


def _run_loaded(
    chainlet: Any, arguments: dict[str, Any], request: Request, frames: Frames, record: Any
) -> dict[str, Any]:
    """The last frame of a run whose code is loaded; `record` is told each call if it is not None."""
    from chains_protocol.errors import Code
    from truss_chains.local import run_local

    name = chainlet.__name__
    failed = f"`{name}` could not be made"
    code = Code.INIT_FAILED
    try:
        with run_local(
            secrets=request["secrets"],
            data_dir=request["data_dir"],
            strict=request["strict"],
            mocks=_mocks(request),
            record=record,
        ):
            instance = chainlet()
            failed, code = f"`{name}` failed", Code.CALL_FAILED
            if request["listen_fd"] is not None:
                from chains_cli.operations.local_server import serve

                serve(
                    chainlet,
                    instance,
                    request["listen_fd"],
                    ready=lambda: frames.send({"ready": True}),
                    pages=request["pages"],
                    described=lambda error: user_traceback(error, request["root"]),
                )
                return {"result": None}
            return {"result": _call(chainlet, instance, arguments, frames)}
    except BaseException as error:  # SystemExit too: it is the user's code that ended
        return _error(error, code, failed, request)


def _mocks(request: Request) -> dict[Any, Any]:
    """Stand-ins from recorded calls, and those that were given, which win."""
    given = {name: _mock(mock, request) for name, mock in request["mocks"].items()}
    if request["replay"] is None:
        return given
    from chains_cli.operations.local_record import stand_ins
    from truss_chains.replaying import Redaction

    redaction = Redaction(request["secrets"].values())
    replayed = stand_ins(Path(request["replay"]), request["replay_chainlets"], redaction)
    taken = {cls for cls in replayed if given.keys() & {cls.__name__, cls.display_name}}
    return {**{cls: mock for cls, mock in replayed.items() if cls not in taken}, **given}


def _load(request: Request) -> Any:
    if request["placeholders"]:
        from chains_cli.discovery.placeholders import PlaceholderFinder

        sys.meta_path.append(PlaceholderFinder(request["placeholders"], Path(request["workspace"])))
    found: Any = importlib.import_module(request["module"])
    for part in request["qualname"].split("."):
        found = getattr(found, part)
    return found


def _mock(given: Request | str, request: Request) -> Any:
    """ "auto", or the class `given` names, from the workspace or from a file of its own."""
    if isinstance(given, str):
        return given
    path = Path(given["file"])
    if path.is_relative_to(request["workspace"]):
        relative = path.relative_to(request["workspace"]).with_suffix("")
        module = importlib.import_module(".".join(relative.parts))
    else:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
    return getattr(module, given["class"])


def _arguments(chainlet: Any, request: Request) -> dict[str, Any]:
    from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
    from truss_chains.endpoint_wire import BadInputError, wire_of

    try:
        return wire_of(chainlet).decode_inputs(request["input"].encode(), binary=False)
    except BadInputError as error:
        problem = Diagnostic(
            code=Code.BAD_INPUT, message=_headline(str(error)), detail=_rest(str(error)), help=request["hint"]
        )
        raise DiagnosticsError([problem]) from error


def _headline(text: str) -> str:
    head = text.split("\n", 1)[0].rstrip(":")
    return f"the i{head[1:]}" if head.startswith("Input") else head


def _rest(text: str) -> str | None:
    return textwrap.dedent(text.partition("\n")[2]) or None


def _call(chainlet: Any, instance: Any, arguments: dict[str, Any], frames: Frames) -> Any:
    from truss_chains.endpoint_wire import wire_of

    wire = wire_of(chainlet)
    method = getattr(instance, wire.endpoint.method_name)
    if wire.is_streaming:
        _drain(method(**arguments), wire, frames)
        return None
    result = method(**arguments)
    if inspect.isawaitable(result):
        result = asyncio.run(_awaited(result))
    return json.loads(wire.encode_output(result, binary=False))


async def _awaited(result: Any) -> Any:
    return await result


def _drain(stream: Any, wire: Any, frames: Frames) -> None:
    def send(item: Any) -> None:
        if isinstance(item, bytes):
            frames.send({"item": base64.b64encode(item).decode("ascii"), "form": "bytes"})
        elif isinstance(item, str):
            frames.send({"item": item, "form": "text"})
        else:
            frames.send({"item": json.loads(wire.encode_output(item, binary=False)), "form": "json"})

    async def follow(items: AsyncIterator[Any]) -> None:
        async with contextlib.AsyncExitStack() as stack:
            if hasattr(items, "aclose"):
                stack.push_async_callback(items.aclose)
            async for item in items:
                send(item)

    if isinstance(stream, Iterator):
        for item in stream:
            send(item)
    else:
        asyncio.run(follow(stream))


def _error(error: BaseException, code: Any, what: str, request: Request) -> dict[str, Any]:
    """`error` as a frame: diagnostics it carries, else one with the user's own traceback."""
    from chains_protocol.errors import Code, Diagnostic, Location

    found = tuple(d for d in getattr(error, "diagnostics", ()) if isinstance(d, Diagnostic))
    if not found:
        own_code = getattr(error, "code", None)
        text = str(error).strip()
        name = type(error).__name__
        place = _user_place(error, request["workspace"])
        found = (
            Diagnostic(
                code=own_code if isinstance(own_code, Code) else code,
                message=f"{what}: {name}{': ' + text.split(chr(10), 1)[0] if text else ''}",
                location=Location(path=place[0], line=place[1]) if place else None,
                detail=user_traceback(error, request["root"]),
            ),
        )
    return {"error": [d.model_dump(mode="json") for d in found]}


def _user_place(error: BaseException, workspace: str) -> tuple[str, int | None] | None:
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if Path(f.filename).is_relative_to(workspace)]
    return (own[-1].filename, own[-1].lineno) if own else None


def user_traceback(error: BaseException, root: str) -> str:
    """The traceback without frames of ours and of asyncio, in chained exceptions too."""
    hidden = (
        *(f"{root}{os.sep}{name}{os.sep}" for name in _OWN),
        str(Path(asyncio.__file__).parent),
        "<frozen",
    )

    def strip(described: traceback.TracebackException | None, seen: set[int]) -> None:
        if described is None or id(described) in seen:
            return
        seen.add(id(described))
        kept = [f for f in described.stack if not f.filename.startswith(hidden)]
        described.stack = traceback.StackSummary.from_list(kept)
        for other in (described.__cause__, described.__context__, *(described.exceptions or ())):
            strip(other, seen)

    described = traceback.TracebackException.from_exception(error)
    strip(described, set())
    return "".join(described.format())


if __name__ == "__main__":
    main()

"""Inside the discovery child: run the user's file once and describe the Chain it declares.

Loaded in the user's interpreter: imports the standard library, pydantic, `chains_protocol`
and the SDK, nothing else of the tool.
"""

import ast
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from chains_cli.discovery import mocks as discovery_mocks
from chains_cli.discovery.find import ChainletClass, find_entrypoint
from chains_cli.discovery.placeholders import PlaceholderFinder, PlaceholderUsedError, is_user_file
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Location, Severity, sort_diagnostics
from chains_protocol.spec import ChainSpec, DiscoveryReply, PythonSpec
from truss_chains import validation
from truss_chains.chainlet import declaration_of
from truss_chains.describe import describe_chain
from truss_chains.settings_errors import settings_diagnostics


@dataclass(slots=True)
class _Failure:
    """What prevented a spec; `missing` maps modules that are not installed to their diagnostic."""

    diagnostics: tuple[Diagnostic, ...]
    missing: dict[str, Diagnostic] = field(default_factory=dict)


def read_file(request: Mapping[str, Any]) -> dict[str, object]:
    """The answer to `request` (see `child`)."""
    source = Path(request["source"])
    sys.argv = [str(source)]
    sys.dont_write_bytecode = True  # two saves of one size within a second look the same to cached bytecode
    sys.path.insert(0, str(source.parent))
    if request["placeholders"]:
        sys.meta_path.append(PlaceholderFinder(request["placeholders"], source.parent))
    outcome = _read(source, request)
    if isinstance(outcome, ChainSpec):
        return {"reply": DiscoveryReply(spec=outcome).model_dump(mode="json")}
    reply = DiscoveryReply(diagnostics=sort_diagnostics(outcome.diagnostics))
    return {
        "reply": reply.model_dump(mode="json"),
        "missing": {name: d.model_dump(mode="json") for name, d in outcome.missing.items()},
    }


def _read(source: Path, request: Mapping[str, Any]) -> "ChainSpec | _Failure":
    try:
        module = _load(source)
        collected = _collected_errors()
        if collected:
            return _Failure(collected)
        entrypoint = find_entrypoint(module, request["entrypoint"], source)
        spec = describe_chain(
            entrypoint,
            workspace=_import_root(entrypoint),
            chain_name=request["chain_name"],
            source=source,
            python=PythonSpec(
                executable=sys.executable, version=f"{sys.version_info[0]}.{sys.version_info[1]}"
            ),
        )
        return discovery_mocks.apply(spec, request["mocks"])
    except DiagnosticsError as error:
        return _Failure(error.diagnostics)
    except BaseException as error:
        return _explain(error, source)


def _load(source: Path) -> ModuleType:
    """Import the file as a top-level module under its stem (I-02)."""
    name = source.stem
    if name in sys.modules or name in sys.stdlib_module_names:
        raise DiagnosticsError(
            [
                Diagnostic(
                    code=Code.NAME_TAKEN,
                    location=Location(path=str(source)),
                    message=f"a module called `{name}` exists already, so `{source.name}` cannot be imported",
                    help=f"rename the file, for example to `{name.replace('-', '_')}_chain.py`",
                )
            ]
        )
    spec = importlib.util.spec_from_file_location(name, source)
    assert spec is not None and spec.loader is not None  # noqa: S101 (a .py file always has a loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _import_root(entrypoint: ChainletClass) -> Path:
    """The directory from which the entrypoint's module was imported under its name (I-11).

    For a module at the top that is the directory of its file. One inside a package keeps its
    dotted name, so that its own absolute and relative imports mean the same in a replica.
    """
    path = Path(declaration_of(entrypoint).path)
    parts = entrypoint.__module__.split(".")
    directories = parts if path.name == "__init__.py" else parts[:-1]
    root = path.parent
    for part in reversed(directories):
        if root.name != part:
            return path.parent
        root = root.parent
    return root


def _collected_errors() -> tuple[Diagnostic, ...]:
    return tuple(d for d in validation.collected() if d.severity is Severity.ERROR)


def _explain(error: BaseException, source: Path) -> _Failure:
    """Diagnostics for whatever the user's file raised, and for what it had collected before (E-07)."""
    carried = tuple(d for d in getattr(error, "diagnostics", ()) if isinstance(d, Diagnostic))
    if carried:
        return _Failure(_unique((*_collected_errors(), *carried)))
    code = getattr(error, "code", None)
    if isinstance(code, Code):
        return _Failure((*_collected_errors(), _coded(error, code, source)))
    if isinstance(error, ValidationError):
        root = str(source.parent.resolve())
        refused = settings_diagnostics(error, lambda filename: is_user_file(filename, root))
        if refused:
            return _Failure((*_collected_errors(), *refused))
    if isinstance(error, SyntaxError):
        return _Failure((*_collected_errors(), _syntax_error(error, source)))
    diagnostic = _import_failure(error, source)
    failure = _Failure((*_collected_errors(), diagnostic))
    if isinstance(error, ModuleNotFoundError) and error.name and _is_absent(error.name, source):
        failure.missing = _missing_modules(error.name.partition(".")[0], diagnostic, source)
    return failure


def _coded(error: BaseException, code: Code, source: Path) -> Diagnostic:
    """An error that the SDK raised at once (V-02): its text begins with the code."""
    message, remedy = str(error).removeprefix(f"{code}: "), getattr(error, "remedy", None)
    if remedy is not None:
        message = message.removesuffix(f"; {remedy}")
    return Diagnostic(code=code, message=message, help=remedy, location=_user_place(error, source))


def _unique(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    seen: list[Diagnostic] = []
    for diagnostic in diagnostics:
        if diagnostic not in seen:
            seen.append(diagnostic)
    return tuple(seen)


def _syntax_error(error: SyntaxError, source: Path) -> Diagnostic:
    path = error.filename or str(source)
    line = error.lineno or None
    return Diagnostic(
        code=Code.SYNTAX_ERROR,
        message=f"`{Path(path).name}` is not valid Python: {error.msg}",
        location=Location(
            path=path,
            line=line,
            column=error.offset if line and error.offset and error.offset > 0 else None,
            source_line=error.text.rstrip("\n") if error.text else _source_line(path, line),
        ),
        help="correct the line; if it needs a newer Python, choose one with `--python`",
    )


def _import_failure(error: BaseException, source: Path) -> Diagnostic:
    location = _user_place(error, source)
    detail = "".join(_user_traceback(error))
    if isinstance(error, PlaceholderUsedError):
        return Diagnostic(
            code=Code.PLACEHOLDER_USED,
            message=f"`{error.used}` is used while the file is read, "
            f"but `{error.module}` is not installed here",
            location=location,
            help="use it inside `__init__` or a method of the Chainlet, or install it for the interpreter "
            "that reads the file (`--python`)",
            detail=detail,
        )
    if isinstance(error, SystemExit):
        message = f"`{source.name}` ended its program while it was imported (`sys.exit`)"
        remedy = 'move what only a script does below `if __name__ == "__main__":`'
    else:
        text = str(error).strip()
        name = type(error).__name__
        message = f"`{source.name}` cannot be imported: {name}{': ' + text if text else ''}"
        remedy = _remedy(error)
    return Diagnostic(code=Code.IMPORT_FAILED, message=message, location=location, help=remedy, detail=detail)


def _remedy(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.partition(".")[0]
        return (
            f"install `{top}` for the interpreter that reads the file, or name it in a Chainlet's "
            "requirements (`docker_image=DockerImage(pip_requirements=[...])`)"
        )
    if isinstance(error, ImportError) and "relative import" in str(error):
        return "import it by its name from the chain's directory, without a leading dot"
    if isinstance(error, EOFError):
        return "a file that is imported cannot ask for input"
    return "the traceback ends at the cause"


def _user_place(error: BaseException, source: Path) -> Location:
    """The innermost line of the user's own files; the file itself if there is none."""
    root = str(source.parent.resolve())
    frames = [f for f in traceback.extract_tb(error.__traceback__) if is_user_file(f.filename, root)]
    if not frames:
        return Location(path=str(source))
    last = frames[-1]
    column = last.colno + 1 if last.colno is not None else None
    return Location(
        path=last.filename,
        line=last.lineno,
        column=column,
        source_line=_source_line(last.filename, last.lineno),
    )


def _source_line(path: str, line: int | None) -> str | None:
    try:
        text = Path(path).read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    return text[line - 1] if line and line <= len(text) else None


def _user_traceback(error: BaseException) -> list[str]:
    """The traceback with the frames of our own machinery taken out, in chained exceptions too."""
    described = traceback.TracebackException.from_exception(error)
    _strip(described, {id(described)})
    return list(described.format())


def _strip(described: traceback.TracebackException, seen: set[int]) -> None:
    own = Path(__file__).resolve().parents[2]
    frames = [
        frame
        for frame in described.stack
        if not frame.filename.startswith("<frozen importlib")
        and Path(frame.filename).parent not in _own_directories(own)
    ]
    described.stack = traceback.StackSummary.from_list(frames)
    for chained in (described.__cause__, described.__context__):
        if chained is not None and id(chained) not in seen:
            seen.add(id(chained))
            _strip(chained, seen)


def _own_directories(root: Path) -> tuple[Path, ...]:
    sdk = root / "truss_chains"
    tool = root / "chains_cli"
    return (tool, tool / "discovery", root / "chains_protocol", sdk, sdk / "validation")


def _is_absent(name: str, source: Path) -> bool:
    """Whether the whole top-level module is not here, and is no module of the workspace."""
    top = name.partition(".")[0]
    if (source.parent / top).is_dir() or (source.parent / f"{top}.py").is_file():
        return False
    try:
        return importlib.util.find_spec(top) is None
    except (ImportError, ValueError):
        return False


def _missing_modules(first: str, diagnostic: Diagnostic, source: Path) -> dict[str, Diagnostic]:
    """The module that failed, and what else the user's loaded files import at their top that is absent.

    Named all at once, so that the file is read again once and not once for every module.
    """
    missing = {first: diagnostic}
    for path in _loaded_files(source):
        for node in _plain_imports(path):
            for name in _imported(node):
                top = name.partition(".")[0]
                if top not in missing and top not in sys.modules and _is_absent(top, source):
                    missing[top] = _not_found(top, path, node.lineno, source)
    return missing


def _loaded_files(source: Path) -> list[Path]:
    root = str(source.parent.resolve())
    files = [getattr(module, "__file__", None) for module in tuple(sys.modules.values())]
    own = [Path(f) for f in files if f and f.endswith(".py") and is_user_file(f, root)]
    return list(dict.fromkeys([source, *own]))


def _plain_imports(path: Path) -> list[ast.Import | ast.ImportFrom]:
    """Import statements that stand unconditionally at the top level."""
    try:
        body = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return []
    return [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]


def _imported(node: ast.Import | ast.ImportFrom) -> Sequence[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if node.module and not node.level else []


def _not_found(name: str, path: Path, line: int, source: Path) -> Diagnostic:
    error = ModuleNotFoundError(f"No module named {name!r}", name=name)
    return Diagnostic(
        code=Code.IMPORT_FAILED,
        message=f"`{source.name}` cannot be imported: ModuleNotFoundError: {error}",
        location=Location(path=str(path), line=line, source_line=_source_line(str(path), line)),
        help=_remedy(error),
    )


__all__ = ["read_file"]

"""Inside the discovery child: replace Chainlets of a spec by mocks (`--mock`)."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Location
from chains_protocol.spec import (
    AssetsSpec,
    AutoscalingSpec,
    ChainletKind,
    ChainletSpec,
    ChainSpec,
    ComputeSpec,
    DiscoveredChainlet,
    ImageSpec,
    LocalSources,
    MockSpec,
)


@dataclass(frozen=True, slots=True)
class _MockClass:
    """A user's mock class and where it is."""

    cls: type[Any]
    module: str
    path: Path


def apply(spec: ChainSpec, mocks: Sequence[Mapping[str, Any]]) -> ChainSpec:
    """`spec` with every mock in place; Chainlets that only mocked ones needed are left out.

    Raises:
        DiagnosticsError: CH127, one for each mock that does not fit.
    """
    if not mocks:
        return spec
    problems: list[Diagnostic] = []
    replaced: dict[str, DiscoveredChainlet] = {}
    for mock in mocks:
        try:
            found = _target(spec, mock["name"])
            replaced[found.spec.class_name] = _mocked(found, mock, Path(spec.workspace))
        except DiagnosticsError as error:
            problems += error.diagnostics
    if problems:
        raise DiagnosticsError(problems)
    chainlets = tuple(replaced.get(c.spec.class_name, c) for c in spec.chainlets)
    needed = _reachable(chainlets, spec.entrypoint)
    return spec.model_copy(update={"chainlets": tuple(c for c in chainlets if c.spec.class_name in needed)})


def _target(spec: ChainSpec, name: str) -> DiscoveredChainlet:
    for found in spec.chainlets:
        if name in (found.spec.display_name, found.spec.class_name):
            return found
    names = ", ".join(c.spec.display_name for c in spec.chainlets)
    raise _bad(f"`--mock {name}=...` names no Chainlet of this chain", f"its Chainlets are: {names}")


def _mocked(found: DiscoveredChainlet, mock: Mapping[str, Any], workspace: Path) -> DiscoveredChainlet:
    real = found.spec
    is_served = real.kind in (ChainletKind.CHAINLET, ChainletKind.MODEL)
    bare: dict[str, Any] = {
        "kind": real.kind if is_served else ChainletKind.CHAINLET,
        "dependencies": (),
        "takes_context": False,
        "compute": ComputeSpec(),
        "image": ImageSpec(python_version=real.image.python_version),
        "assets": AssetsSpec(),
        "autoscaling": AutoscalingSpec(),
        "engine": None,
    }
    if mock["file"] is None:
        spec = real.model_copy(update={**bare, "mock": MockSpec(kind="auto")})
        return DiscoveredChainlet(spec=spec)
    stand_in = _load_class(Path(mock["file"]), mock["class"], workspace)
    _check_fits(real, stand_in)
    method = getattr(stand_in.cls, real.endpoint.method_name)
    is_inside = stand_in.path.is_relative_to(workspace)
    file = stand_in.path.relative_to(workspace).as_posix() if is_inside else stand_in.path.name
    endpoint = real.endpoint.model_copy(
        update={
            "is_async": inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method),
            "has_health_check": callable(getattr(stand_in.cls, "is_healthy", None)),
        }
    )
    spec = real.model_copy(
        update={
            **bare,
            "endpoint": endpoint,
            "module": stand_in.module,
            "qualname": stand_in.cls.__qualname__,
            "file": file,
            "line": _line(stand_in.cls),
            "mock": MockSpec(kind="class", source=f"{file}:{stand_in.cls.__qualname__}"),
        }
    )
    return DiscoveredChainlet(spec=spec, sources=LocalSources(mock_file=str(stand_in.path)))


def _load_class(path: Path, class_name: str, workspace: Path) -> _MockClass:
    """The class, from a module named as the package will name it."""
    if not path.is_file():
        raise _bad(f"there is no file `{path}`", "write `NAME=FILE:CLASS` with an existing Python file")
    path = path.resolve()
    is_inside = path.is_relative_to(workspace)
    relative = path.relative_to(workspace) if is_inside else Path(path.name)
    module_name = ".".join(relative.with_suffix("").parts)
    loaded = sys.modules.get(module_name)
    if loaded is None and is_inside:
        loaded = importlib.import_module(module_name)
    elif loaded is None:
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec is not None and spec.loader is not None  # noqa: S101 (a .py file has a loader)
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = loaded
        spec.loader.exec_module(loaded)
    if Path(getattr(loaded, "__file__", None) or "").resolve() != path:
        raise _bad(f"a module called `{module_name}` exists already", f"rename `{path.name}`")
    cls = vars(loaded).get(class_name)
    if not isinstance(cls, type):
        raise _bad(
            f"`{path.name}` has no class `{class_name}`",
            "name the class after the colon",
            Location(path=str(path)),
        )
    return _MockClass(cls, module_name, path)


def _check_fits(real: ChainletSpec, mock: _MockClass) -> None:
    """The mock must be buildable without arguments and callable as its callers call the real one."""
    name, method_name = real.display_name, real.endpoint.method_name
    method = getattr(mock.cls, method_name, None)
    place = Location(path=str(mock.path), line=_line(mock.cls))
    if not callable(method):
        raise _bad(
            f"the mock `{mock.cls.__name__}` for `{name}` has no `{method_name}`",
            f"give it a `{method_name}` like the real one: {_signature_of(real)}",
            place,
        )
    parameters = real.endpoint.parameters
    signature = inspect.signature(method)
    required = {p.name: None for p in parameters if not p.is_optional}
    for names in (required, {p.name: None for p in parameters}):
        try:
            signature.bind(None, **names)
        except TypeError as error:
            raise _bad(
                f"the mock `{mock.cls.__name__}` does not fit `{name}`: {error}",
                f"the real one is `{_signature_of(real)}`, the mock `{method_name}{signature}`",
                place,
            ) from None
    streams = inspect.isasyncgenfunction(method) or inspect.isgeneratorfunction(method)
    if streams != real.endpoint.is_streaming:
        kinds = ("streams", "does not") if real.endpoint.is_streaming else ("does not stream", "does")
        raise _bad(
            f"the mock `{mock.cls.__name__}` does not fit `{name}`: "
            f"the real one {kinds[0]}, the mock {kinds[1]}",
            f"the real one is `{_signature_of(real)}`, the mock `{method_name}{signature}`",
            place,
        )
    try:
        inspect.signature(mock.cls).bind()
    except TypeError as error:
        raise _bad(
            f"the mock `{mock.cls.__name__}` cannot be built without arguments: {error}",
            "a mock has no dependencies; give its `__init__` defaults",
            place,
        ) from None


def _signature_of(real: ChainletSpec) -> str:
    parameters = ", ".join(
        f"{p.name}: {p.annotation}{' = ...' if p.is_optional else ''}" for p in real.endpoint.parameters
    )
    return f"{real.endpoint.method_name}(self, {parameters}) -> {real.endpoint.return_annotation}".replace(
        "(self, )", "(self)"
    )


def _reachable(chainlets: Sequence[DiscoveredChainlet], entrypoint: str) -> set[str]:
    edges = {c.spec.class_name: [d.class_name for d in c.spec.dependencies] for c in chainlets}
    found: set[str] = set()
    waiting = [entrypoint]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += edges[name]
    return found


def _line(cls: type[Any]) -> int:
    try:
        return inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):
        return 1


def _bad(message: str, remedy: str, location: Location | None = None) -> DiagnosticsError:
    return DiagnosticsError([Diagnostic(code=Code.BAD_MOCK, message=message, help=remedy, location=location)])


__all__ = ["apply"]

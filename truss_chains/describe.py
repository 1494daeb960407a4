"""A Chainlet class -> `ChainletSpec`, an entrypoint class -> `ChainSpec`.

From here on a Chain is data; no live class leaves this file.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic.errors import PydanticUserError

from chains_protocol.errors import Code, Diagnostic, ErrorKind
from chains_protocol.kinds import ChainletKind
from chains_protocol.spec import (
    ChainletSpec,
    ChainSpec,
    DependencySpec,
    DiscoveredChainlet,
    EndpointSpec,
    ParameterSpec,
    PythonSpec,
    RPCOptions,
)
from truss_chains.chainlet import AbstractChainlet, chainlet_kind, declaration_of, is_chainlet_class
from truss_chains.describe_config import (
    assets_spec,
    autoscaling_spec,
    compute_spec,
    engine_spec,
    image_spec,
    local_sources,
    options_spec,
)
from truss_chains.errors import ChainsUsageError
from truss_chains.inspection import (
    HEALTH_METHOD,
    MISSING,
    UnresolvedAnnotationError,
    class_attribute,
    dependencies_of,
    endpoint_function,
    endpoint_of,
    method_name,
    takes_context,
)
from truss_chains.schemas import Schemas
from truss_chains.source import Sources
from truss_chains.validation.notes import notes_of
from truss_chains.validation.text import usage_error

Chainlet = type[AbstractChainlet]


def describe_chain(
    entrypoint_cls: type,
    *,
    source: Path | str,
    python: PythonSpec,
    workspace: Path | str | None = None,
    chain_name: str | None = None,
) -> ChainSpec:
    """Describe the Chain that `entrypoint_cls` is the entrypoint of.

    Args:
        entrypoint_cls: a declared Chainlet class.
        workspace: directory that module names and files are relative to; that of the file
            that defines the entrypoint, if not given (I-11).
        source: the file that was asked for.
        python: the interpreter that read it.
        chain_name: overrides the name given to `mark_entrypoint`, and the display name.

    Returns:
        The spec, Chainlets topologically sorted: dependencies first, in parameter order.

    Raises:
        ChainsUsageError: the Chain can't be deployed; `diagnostics` has all reasons (V-03,
            a Chainlet defined inside a function, a missing file).
    """
    if not (is_chainlet_class(entrypoint_cls) and issubclass(entrypoint_cls, AbstractChainlet)):
        raise ChainsUsageError(f"`{entrypoint_cls!r}` is no Chainlet class.", code=Code.BAD_ENTRYPOINT)
    sources, schemas = Sources(), Schemas()
    declared_in = Path(declaration_of(entrypoint_cls).path)
    root = Path(workspace).absolute() if workspace is not None else declared_in.parent
    chainlets = chainlets_of(entrypoint_cls)
    problems = list(check_chain(chainlets, sources))
    described = []
    for cls in chainlets:
        found = local_sources(cls, sources, problems)
        if problems:
            continue
        try:
            spec = describe_chainlet(cls, root, sources, schemas)
            described.append(DiscoveredChainlet(spec=spec, sources=found))
        except (PydanticUserError, UnresolvedAnnotationError) as error:
            problems.append(_schema_problem(cls, sources, error))
    if problems:
        raise usage_error(problems)
    name = chain_name or entrypoint_cls.meta_data.chain_name or entrypoint_cls.display_name
    return ChainSpec(
        chain_name=name,
        entrypoint=entrypoint_cls.__name__,
        workspace=str(root),
        source=str(Path(source).absolute()),
        python=python,
        chainlets=tuple(described),
        notes=tuple(note for cls in chainlets for note in notes_of(cls, sources)),
    )


def describe_chainlet(
    cls: Chainlet, workspace: Path, sources: Sources, schemas: Schemas | None = None
) -> ChainletSpec:
    """Describe one class; what is local to this machine is left out."""
    config = cls.remote_config
    declaration = declaration_of(cls)
    module, file = module_and_file(cls, workspace)
    return ChainletSpec(
        class_name=cls.__name__,
        display_name=cls.display_name,
        kind=chainlet_kind(cls),
        module=module,
        qualname=cls.__qualname__,
        file=file,
        line=sources.of_class(cls).line or declaration.line,
        endpoint=_endpoint_spec(cls, sources, schemas or Schemas()),
        dependencies=tuple(_dependency_specs(cls)),
        takes_context=takes_context(cls),
        compute=compute_spec(config),
        image=image_spec(config),
        assets=assets_spec(config),
        options=options_spec(config),
        autoscaling=autoscaling_spec(config),
        engine=engine_spec(cls),
    )


def chainlets_of(entrypoint_cls: Chainlet) -> list[Chainlet]:
    """The entrypoint and all it reaches, dependencies first; each class once.

    Iterative: a Chain may be deeper than Python's recursion limit.
    """
    ordered: dict[Chainlet, None] = {}
    stack: list[tuple[Chainlet, Iterator[Chainlet]]] = [(entrypoint_cls, _dependency_classes(entrypoint_cls))]
    while stack:
        cls, remaining = stack[-1]
        following = next((c for c in remaining if c not in ordered), None)
        if following is None:
            ordered[cls] = None
            stack.pop()
        else:
            stack.append((following, _dependency_classes(following)))
    return list(ordered)


def _dependency_classes(cls: Chainlet) -> Iterator[Chainlet]:
    for marker in dependencies_of(cls).values():
        if is_chainlet_class(marker.chainlet_class):
            target: Any = marker.chainlet_class  # checked on the line above
            yield target


def check_chain(chainlets: Iterable[Chainlet], sources: Sources) -> Iterator[Diagnostic]:
    """Rules about a Chain as a whole: unique names (V-03), importable classes."""
    by_class_name: dict[str, Chainlet] = {}
    by_display_name: dict[str, Chainlet] = {}
    for cls in chainlets:
        if declaration_of(cls).is_local:
            yield _chain_problem(
                cls,
                sources,
                Code.UNSUPPORTED_CHAINLET,
                f"`{cls.__qualname__}` is defined inside a function, so no replica could import it",
                "move the class to the top level of its file",
            )
        other = by_class_name.setdefault(cls.__name__, cls)
        if other is not cls:
            yield _chain_problem(
                cls,
                sources,
                Code.DUPLICATE_NAME,
                f"two different Chainlets of this Chain have the class name `{cls.__name__}`, "
                f"the other is at {sources.of_class(other)}",
                "rename one of the classes",
            )
            continue
        other = by_display_name.setdefault(cls.display_name, cls)
        if other is not cls:
            yield _chain_problem(
                cls,
                sources,
                Code.DUPLICATE_DISPLAY_NAME,
                f"`{cls.__name__}` and `{other.__name__}` both have the display name `{cls.display_name}`",
                "give one of them another `RemoteConfig(name=...)`",
            )


def _schema_problem(cls: Chainlet, sources: Sources, error: Exception) -> Diagnostic:
    """A model that pydantic has no JSON schema for: incomplete, or with a part that is no data."""
    reason = error.message if isinstance(error, PydanticUserError) else str(error)
    return Diagnostic(
        code=Code.UNSUPPORTED_TYPE,
        kind=ErrorKind.IO_TYPE_ERROR,
        location=sources.of_method(cls, endpoint_function(cls)),
        chainlet=cls.__name__,
        method=method_name(cls),
        message=f"a type of `{cls.__name__}.{method_name(cls)}` has no JSON schema: {reason}",
        help="use fields that can be written as JSON, and define all classes that they name",
    )


def _chain_problem(cls: Chainlet, sources: Sources, code: Code, message: str, remedy: str) -> Diagnostic:
    return Diagnostic(
        code=code,
        kind=ErrorKind.INVALID_CONFIG_ERROR,
        location=sources.of_class(cls),
        chainlet=cls.__name__,
        message=message,
        help=remedy,
    )


def module_and_file(cls: type, workspace: Path) -> tuple[str, str]:
    """How to import the class with the workspace on `sys.path`, and its file below it (I-13).

    A class from elsewhere, such as an installed package, keeps its module's name.
    """
    path = Path(declaration_of(cls).path)
    if not path.is_file() and cls.__module__ == "__main__":
        raise ChainsUsageError(
            f"`{cls.__name__}` was defined in an interactive session; a Chain has to be in a file.",
            code=Code.UNSUPPORTED_CHAINLET,
        )
    try:
        below = path.resolve().relative_to(workspace.resolve())
    except ValueError:
        module = cls.__module__
        is_package = path.name == "__init__.py"
        return module, module.replace(".", "/") + ("/__init__.py" if is_package else ".py")
    parts = below.parent.parts if below.name == "__init__.py" else below.with_suffix("").parts
    return ".".join(parts) or cls.__module__, below.as_posix()


def _endpoint_spec(cls: Chainlet, sources: Sources, schemas: Schemas) -> EndpointSpec:
    if chainlet_kind(cls) is ChainletKind.TRUSS:
        return EndpointSpec()
    endpoint = endpoint_of(cls)
    function = endpoint.function

    def written(name: str, form: object) -> str:
        return sources.annotation_text(function, name) or getattr(form, "__name__", None) or str(form)

    if chainlet_kind(cls) is ChainletKind.ENGINE_BUILDER:
        request = endpoint.parameters[0].annotation.model_json_schema()
    elif endpoint.is_websocket:
        request = {}
    else:
        request = schemas.input(f"{cls.__name__}Input", endpoint.parameters)
    return EndpointSpec(
        method_name=endpoint.method_name,
        is_async=endpoint.is_async,
        is_websocket=endpoint.is_websocket,
        stream_item=endpoint.stream_item,
        parameters=tuple(
            ParameterSpec(name=p.name, annotation=written(p.name, p.annotation), is_optional=p.is_optional)
            for p in endpoint.parameters
        ),
        return_annotation=written("return", endpoint.return_type),
        input_schema=request,
        output_schema=schemas.output(endpoint),
        has_health_check=class_attribute(cls, HEALTH_METHOD) is not MISSING,
    )


def _dependency_specs(cls: Chainlet) -> Iterator[DependencySpec]:
    for parameter, marker in dependencies_of(cls).items():
        target: Any = marker.chainlet_class  # a Chainlet class: V-25 has been checked
        yield DependencySpec(
            parameter=parameter,
            class_name=target.__name__,
            display_name=target.display_name,
            options=RPCOptions(**marker.options.model_dump()),
        )


__all__ = [
    "chainlets_of",
    "check_chain",
    "describe_chain",
    "describe_chainlet",
    "module_and_file",
]

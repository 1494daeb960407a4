"""What an `__init__` does with each of its parameters: keeps it, hands it to a base, or more.

A dependency that is only kept is a handle. Nothing of its Chainlet runs while the instance is
made, so how it is called is no part of what made the instance. Here one `__init__` is read;
`construction` puts those of a class and its bases together.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from chains_analysis.fingerprints import fingerprint_of, hashed
from chains_analysis.flow import Flow, Place
from chains_analysis.imports import dotted
from chains_analysis.references import UseReader
from chains_analysis.scopes import FunctionNode, bound_names, function_locals
from chains_analysis.uses import Ref, Role, Surroundings, Uses

_DEPENDS: Final = "depends"
_CONTEXT: Final = "depends_context"


@dataclass(frozen=True, slots=True)
class Edge:
    """The default `depends(...)` of a parameter, with its annotation.

    `chainlet` is what it names, `maker` the `depends` that is called, None if either is
    computed. `head` and `fingerprint` are of the annotation and of the options; of the
    annotation alone where the `__init__` can read the options in a context.
    """

    chainlet: Ref | None
    maker: Ref | None
    head: Uses
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Handle:
    """One parameter of an `__init__`.

    `position` counts the positional ones, the instance aside; None: by keyword only. `kept_in`
    are the attributes it is assigned to, `passed` its places in calls of `super().__init__`,
    `doubt` the line, from the class statement's first, where it may be more than kept.
    """

    name: str
    position: int | None
    kept_in: frozenset[str]
    passed: frozenset[Place]
    doubt: int | None
    edge: Edge | None


@dataclass(frozen=True, slots=True)
class Constructor:
    """An `__init__` without decorators.

    `head` and `fingerprint` are what remains without the edges; `has_rest` that it takes
    `*args` or `**kwargs`, `names_class` that it says `__class__`.
    """

    handles: tuple[Handle, ...]
    head: Uses
    fingerprint: str
    has_rest: bool
    names_class: bool

    def named(self, name: str) -> Handle | None:
        """The parameter of that name."""
        return next((h for h in self.handles if h.name == name), None)

    def at(self, place: Place) -> Handle | None:
        """The parameter that an argument goes to."""
        if isinstance(place, str):
            return self.named(place)
        return next((h for h in self.handles if h.position == place), None)


@dataclass(frozen=True, slots=True)
class Within:
    """Where an `__init__` stands: the class statement's surroundings, first line and names."""

    where: Surroundings
    first_line: int
    names: set[str]

    def reader(self) -> UseReader:
        """One for a piece of the class."""
        return UseReader(self.where, self.first_line, self.names)


class _Parameter(NamedTuple):
    node: ast.arg
    default: ast.expr | None
    position: int | None

    @property
    def edge(self) -> ast.Call | None:
        """Its default if that is a call of `depends`."""
        return self.default if isinstance(self.default, ast.Call) and _calls(self.default, _DEPENDS) else None

    @property
    def is_context(self) -> bool:
        return self.node.arg == "context" or (self.default is not None and _calls(self.default, _CONTEXT))


def constructor_of(node: FunctionNode, within: Within, head: Uses, fingerprint: str) -> Constructor | None:
    """Read an `__init__`; None if a decorator may do anything with it, or `self` is not what it seems.

    Args:
        node: the function, its docstring taken out.
        within: the class statement.
        head: all of its defaults and annotations.
        fingerprint: of all of it.
    """
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    if node.decorator_list or not positional or positional[0].arg in bound_names(node.body):
        return None
    flow = Flow(positional[0].arg, function_locals(node)[0], within.first_line)
    flow.statements(node.body)
    parameters = tuple(_parameters(arguments))
    has_edges = any(p.edge is not None for p in parameters)
    # a context shows the options of all dependencies
    with_options = not any(p.is_context for p in parameters)
    return Constructor(
        tuple(
            Handle(p.node.arg, p.position, *flow.fate(p.node.arg), _edge(p, within, with_options))
            for p in parameters
        ),
        _bare_head(node, parameters, within, with_options) if has_edges else head,
        _bare_fingerprint(node, parameters, with_options) if has_edges else fingerprint,
        arguments.vararg is not None or arguments.kwarg is not None,
        any(isinstance(n, ast.Name) and n.id == "__class__" for n in ast.walk(node)),
    )


def _parameters(arguments: ast.arguments) -> Iterator[_Parameter]:
    """All but the instance, `*args` and `**kwargs`."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [*[None] * (len(positional) - len(arguments.defaults)), *arguments.defaults]
    for position, (node, default) in enumerate(zip(positional, defaults, strict=True)):
        if position:
            yield _Parameter(node, default, position - 1)
    for node, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _Parameter(node, default, None)


def _edge(parameter: _Parameter, within: Within, with_options: bool) -> Edge | None:
    call = parameter.edge
    if call is None:
        return None
    reader = within.reader()
    if parameter.node.annotation is not None:
        reader.annotation(parameter.node.annotation)
    chainlet = _chainlet_of(call)
    if with_options:
        reader.expression(call)
    elif chainlet is not None:
        reader.expression(chainlet, role=Role.DEPENDENCY)
    options = (o for o in _options_of(call) if with_options)
    return Edge(
        _as_ref(chainlet) if chainlet is not None else None,
        _as_ref(call.func),
        reader.uses(),
        hashed(fingerprint_of(parameter.node.annotation), *map(fingerprint_of, options)),
    )


def _bare_head(
    node: FunctionNode, parameters: Iterable[_Parameter], within: Within, with_options: bool
) -> Uses:
    reader = within.reader()
    for parameter in parameters:
        call = parameter.edge
        if call is None:
            annotation, default = parameter.node.annotation, parameter.default
            for part in (default,) if default is not None else ():
                reader.expression(part)
            for part in (annotation,) if annotation is not None else ():
                reader.annotation(part)
        elif not with_options:
            reader.expression(call.func)
            for option in _options_of(call):
                reader.expression(option.value if isinstance(option, ast.keyword) else option)
    for rest in (node.args.vararg, node.args.kwarg):
        if rest is not None and rest.annotation is not None:
            reader.annotation(rest.annotation)
    if node.returns is not None:
        reader.annotation(node.returns)
    return reader.uses()


def _bare_fingerprint(node: FunctionNode, parameters: Iterable[_Parameter], with_options: bool) -> str:
    arguments = node.args
    layout = f"{type(node).__name__} {len(arguments.posonlyargs)} {len(arguments.args)}"
    parts = [layout, *map(fingerprint_of, (arguments.vararg, arguments.kwarg, node.returns))]
    parts += map(fingerprint_of, getattr(node, "type_params", ()))  # since Python 3.12
    for parameter in parameters:
        call = parameter.edge
        default = parameter.default
        if call is None:
            parts.append(fingerprint_of(parameter.node))
        elif with_options:
            default = _chainlet_of(call)
        parts += (parameter.node.arg, fingerprint_of(default))
    return hashed(*parts, *map(fingerprint_of, node.body))


def _calls(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Call) and dotted(node.func)[-1:] == (name,)


def _chainlet_of(call: ast.Call) -> ast.expr | None:
    """What `depends(...)` names."""
    if call.args:
        return call.args[0]
    return next((k.value for k in call.keywords if k.arg == "chainlet_cls"), None)


def _options_of(call: ast.Call) -> tuple[ast.expr | ast.keyword, ...]:
    return (*call.args[1:], *(k for k in call.keywords if k.arg != "chainlet_cls"))


def _as_ref(node: ast.expr) -> Ref | None:
    path = dotted(node)
    return Ref(path[0], path[1:]) if path else None


__all__ = ["Constructor", "Edge", "Handle", "Within", "constructor_of"]

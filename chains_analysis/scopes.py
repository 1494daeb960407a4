"""Which names a block of code binds: the locals of a function, the globals of a statement."""

import ast
from collections.abc import Iterable, Iterator

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp

_BLOCKS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def bound_names(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that these statements bind in their own scope, in any branch.

    Comprehension variables are not among them, names bound by `:=` inside comprehensions are.
    """
    return {name for node in nodes for name in _bound(node)}


def declared_global(nodes: Iterable[ast.AST]) -> set[str]:
    """Names declared `global` in this scope, nested scopes left out."""
    return _declared(nodes, ast.Global)


def function_locals(node: FunctionNode | ast.Lambda) -> tuple[set[str], set[str]]:
    """Local names of a function and those it declares `global`; `nonlocal` names are neither."""
    body: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else list(node.body)
    outer = declared_global(body)
    free = _declared(body, ast.Nonlocal)
    names = bound_names(body) | set(argument_names(node.args)) | set(_type_parameters(node))
    return names - outer - free, outer


def argument_names(args: ast.arguments) -> Iterator[str]:
    """All parameters, in order of declaration."""
    yield from (a.arg for a in (*args.posonlyargs, *args.args))
    if args.vararg:
        yield args.vararg.arg
    yield from (a.arg for a in args.kwonlyargs)
    if args.kwarg:
        yield args.kwarg.arg


def first_parameter(node: FunctionNode) -> str | None:
    """The name a method gives to its instance or class."""
    positional = (*node.args.posonlyargs, *node.args.args)
    return positional[0].arg if positional else None


def _declared(nodes: Iterable[ast.AST], kind: type[ast.Global] | type[ast.Nonlocal]) -> set[str]:
    return {name for node in nodes for n in same_scope(node) if isinstance(n, kind) for name in n.names}


def _type_parameters(node: ast.AST) -> Iterator[str]:
    for parameter in getattr(node, "type_params", ()):  # since Python 3.12
        yield parameter.name


def _bound(node: ast.AST) -> Iterator[str]:
    for item in same_scope(node):
        if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store | ast.Del):
            yield item.id
        elif isinstance(item, FunctionNode | ast.ClassDef):
            yield item.name
        elif isinstance(item, ast.Import | ast.ImportFrom):
            yield from (a.asname or a.name.split(".")[0] for a in item.names if a.name != "*")
        elif isinstance(item, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and item.name:
            yield item.name
        elif isinstance(item, ast.MatchMapping) and item.rest:
            yield item.rest


def same_scope(node: ast.AST) -> Iterator[ast.AST]:
    """`node` and what is below it, up to the borders of inner scopes."""
    yield node
    if isinstance(node, _BLOCKS):
        yield from _evaluated_outside(node)
        return
    if isinstance(node, _COMPREHENSIONS):
        yield from (n for n in ast.walk(node) if isinstance(n, ast.NamedExpr))
        for walrus in (n for n in ast.walk(node) if isinstance(n, ast.NamedExpr)):
            yield walrus.target
        return
    for child in ast.iter_child_nodes(node):
        yield from same_scope(child)


def _evaluated_outside(node: ast.AST) -> Iterator[ast.AST]:
    """Decorators, defaults and bases are evaluated in the scope around a definition."""
    outside: list[ast.AST | None] = list(getattr(node, "decorator_list", ()))
    if isinstance(node, ast.ClassDef):
        outside += [*node.bases, *node.keywords]
    elif isinstance(node, FunctionNode | ast.Lambda):
        outside += [*node.args.defaults, *node.args.kw_defaults]
    for child in outside:
        if child is not None:
            yield from same_scope(child)


__all__ = [
    "Comprehension",
    "FunctionNode",
    "argument_names",
    "bound_names",
    "declared_global",
    "first_parameter",
    "function_locals",
    "same_scope",
]

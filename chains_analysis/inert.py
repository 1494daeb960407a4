"""What executing a top-level statement can do: nothing, bind a value, or something else.

Used to decide how much a statement matters to code that does not refer to it.
"""

import ast
from collections.abc import Iterable
from enum import StrEnum

from chains_analysis.imports import dotted
from chains_analysis.vocabulary import (
    CHANGING_METHODS,
    CONTAINER_CALLS,
    IMMUTABLE_CALLS,
    INERT_CALLS,
    INERT_DECORATORS,
    PLAIN_BASES,
)

_NUMBERS = (int, float, complex)
_DATACLASS_WRITES = frozenset(
    {"__setattr__", "__delattr__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__", "__slots__"}
)
_ENUM_BASES = frozenset({("Enum",), ("IntEnum",), ("StrEnum",), ("Flag",), ("IntFlag",)})
_CLASS_METHODS = frozenset({"model_rebuild", "update_forward_refs"})
_GENERICS = frozenset({"list", "dict", "set", "tuple", "frozenset", "type", "deque", "defaultdict"})


class Kind(StrEnum):
    """What a top-level statement is for."""

    NOTHING = "nothing"
    """A docstring, `pass`, the `__main__` block, a bare annotation."""
    IMPORT = "import"
    FUNCTION = "function"
    CLASS = "class"
    VALUE = "value"
    """Binds names to values."""
    BRANCH = "branch"
    """`if` or `try` whose branches only bind names."""
    MUTATION = "mutation"
    """Changes a container, class or function that the same module binds, and nothing else."""
    EFFECT = "effect"
    """Anything else: it may change the process."""


class Mutability(StrEnum):
    """What can be changed in place: nothing, the container but not its elements, anything."""

    NONE = "none"
    CONTAINER = "container"
    ANY = "any"


def kind_of(node: ast.stmt) -> Kind:
    """The kind, as far as one statement tells; a `MUTATION` is an `EFFECT` here (see `mutation_root`)."""
    match node:
        case ast.ImportFrom(module="__future__"):
            return Kind.NOTHING
        case ast.Import() | ast.ImportFrom():
            return Kind.IMPORT
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return Kind.FUNCTION
        case ast.ClassDef():
            return Kind.CLASS
        case ast.Assign(targets=targets):
            return Kind.VALUE if all(map(_is_plain_target, targets)) else Kind.EFFECT
        case ast.AnnAssign(target=target, value=value):
            return Kind.NOTHING if value is None else Kind.VALUE if _is_plain_target(target) else Kind.EFFECT
        case ast.AugAssign(target=target):
            return Kind.VALUE if isinstance(target, ast.Name) else Kind.EFFECT
        case ast.Expr(value=value):
            return Kind.NOTHING if is_inert_expression(value) else Kind.EFFECT
        case ast.Pass() | ast.Global():
            return Kind.NOTHING
        case _:
            return _kind_of_block(node)


def _kind_of_block(node: ast.stmt) -> Kind:
    if type(node).__name__ == "TypeAlias":
        return Kind.VALUE
    if isinstance(node, ast.If) and not node.orelse:
        if is_main_guard(node.test):
            return Kind.NOTHING
        if is_type_checking(node.test) and all(kind_of(n) is Kind.IMPORT for n in node.body):
            return Kind.IMPORT
    if isinstance(node, ast.If):
        inner = [*node.body, *node.orelse]
    elif isinstance(node, ast.Try):
        handlers = [n for handler in node.handlers for n in handler.body]
        inner = [*node.body, *handlers, *node.orelse, *node.finalbody]
    else:
        return Kind.EFFECT
    binding = all(isinstance(n, ast.Raise) or kind_of(n) is not Kind.EFFECT for n in inner)
    return Kind.BRANCH if binding else Kind.EFFECT


def mutation_root(node: ast.stmt) -> tuple[str, bool] | None:
    """For `X[k] = v`, `X.a = v`, `X.append(v)`: the name, and whether it must be a container for that."""
    targets: list[ast.expr] = []
    match node:
        case ast.Assign():
            targets = node.targets
        case ast.AugAssign() | ast.AnnAssign():
            targets = [node.target]
        case ast.Delete():
            targets = node.targets
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method))):
            if method in _CLASS_METHODS:
                return name, False
            return (name, True) if method in CHANGING_METHODS else None
    roots = {_root(target) for target in targets}
    root = roots.pop() if len(roots) == 1 else None
    return (root, False) if root is not None else None


def is_main_guard(test: ast.expr) -> bool:
    """Whether this is `__name__ == "__main__"`, which is never true where a Chainlet runs."""
    match test:
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
            sides = {ast.dump(left), ast.dump(right)}
            return sides == {ast.dump(ast.Name("__name__", ast.Load())), ast.dump(ast.Constant("__main__"))}
    return False


def is_type_checking(test: ast.expr) -> bool:
    """Whether this is `TYPE_CHECKING`, which is never true at run time."""
    return dotted(test)[-1:] == ("TYPE_CHECKING",)


def is_inert_expression(node: ast.expr) -> bool:
    """Whether evaluating this can neither fail (given its names) nor change anything."""
    match node:
        case ast.Constant() | ast.Name():
            return True
        case ast.Lambda():
            return all(is_inert_expression(d) for d in (*node.args.defaults, *node.args.kw_defaults) if d)
        case ast.Attribute(value=value) | ast.Starred(value=value) | ast.FormattedValue(value=value):
            return is_inert_expression(value)
        case ast.Subscript(value=value, slice=index):
            name = dotted(value)[-1:]
            is_type = bool(name) and (name[0][:1].isupper() or name[0] in _GENERICS)
            return is_type and is_inert_expression(index)
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts) | ast.JoinedStr(values=parts):
            return all(map(is_inert_expression, parts))
        case ast.Dict(keys=keys, values=values):
            return all(is_inert_expression(e) for e in (*keys, *values) if e is not None)
        case ast.Call(func=func, args=arguments, keywords=keywords):
            values = [*arguments, *(k.value for k in keywords)]
            return dotted(func)[-1:] in _INERT and all(map(is_inert_expression, values))
        case _:
            return _is_inert_operation(node)


def _is_inert_operation(node: ast.expr) -> bool:
    match node:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return is_inert_expression(operand)
        case ast.UnaryOp(operand=ast.Constant(value=value)):
            return isinstance(value, _NUMBERS)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return is_inert_expression(left) and is_inert_expression(right)
        case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult()):
            return all(isinstance(n, ast.BinOp | ast.operator) or _is_number(n) for n in ast.walk(node))
        case ast.BoolOp(values=values):
            return all(map(is_inert_expression, values))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return all(map(is_inert_expression, (test, body, orelse)))
    return False


def is_inert_function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether defining this function does nothing but bind its name."""
    defaults = (d for d in (*node.args.defaults, *node.args.kw_defaults) if d is not None)
    return all(map(is_inert_decorator, node.decorator_list)) and all(map(is_inert_expression, defaults))


def is_inert_class(node: ast.ClassDef) -> bool:
    """Whether making this class does nothing but bind its name."""
    return is_inert_inside(node) and all(_is_plain_base(base) for base in node.bases)


def is_inert_inside(node: ast.ClassDef) -> bool:
    """The same, whatever its bases do."""
    if any(k.arg not in ("total", "frozen") for k in node.keywords):
        return False
    if not all(map(is_inert_decorator, node.decorator_list)) or _may_be_refused(node):
        return False
    return all(map(_is_inert_member, node.body))


def _may_be_refused(node: ast.ClassDef) -> bool:
    """Whether what makes the class may find fault with its body: `dataclass`, an enum, a pydantic model."""
    values = [n for n in node.body if isinstance(n, ast.Assign | ast.AnnAssign)]
    named = [n for v in values for n in (v.targets if isinstance(v, ast.Assign) else [v.target])]
    names = [n.id for n in named if isinstance(n, ast.Name)]
    functions = {n.name for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    bases = {dotted(b.value if isinstance(b, ast.Subscript) else b)[-1:] for b in node.bases}
    decorators = {dotted(d.func if isinstance(d, ast.Call) else d)[-1:] for d in node.decorator_list}
    if ("dataclass",) in decorators and (functions | {*names}) & _DATACLASS_WRITES:
        return True
    if ("dataclass",) in decorators and not _has_good_fields(values):
        return True
    if bases & _ENUM_BASES:
        return len(names) != len({*names}) or bool({*names} & functions)
    if ("BaseModel",) in bases:
        plain = [
            t.id for v in values if isinstance(v, ast.Assign) for t in v.targets if isinstance(t, ast.Name)
        ]
        return any(name != "model_config" and not name.startswith("_") for name in plain)
    return False


def _has_good_fields(values: Iterable[ast.Assign | ast.AnnAssign]) -> bool:
    """Whether the fields of a dataclass are in order, and none has a default that all objects would share."""
    with_default = False
    for value in values:
        if not isinstance(value, ast.AnnAssign):
            continue
        if value.value is None and with_default:
            return False
        with_default = with_default or value.value is not None
        if is_container(value.value):
            return False
    return True


def is_inert_decorator(node: ast.expr) -> bool:
    """Whether a decorator is known to wrap or mark only."""
    if isinstance(node, ast.Call):
        values = [*node.args, *(k.value for k in node.keywords)]
        return dotted(node.func)[-1:] in _DECORATORS and all(map(is_inert_expression, values))
    return dotted(node)[-1:] in _DECORATORS


def reads_no_docstring(node: ast.AST) -> bool:
    """Whether nothing known at the definition may read its docstring."""
    if not all(is_inert_decorator(d) for d in getattr(node, "decorator_list", ())):
        return False
    return not isinstance(node, ast.ClassDef) or (
        not node.keywords and all(_is_plain_base(base) for base in node.bases)
    )


def mutability_of(node: ast.expr) -> Mutability:
    """What of this expression's value can be changed in place."""
    match node:
        case ast.Constant() | ast.JoinedStr() | ast.Compare() | ast.Lambda():
            return Mutability.NONE
        case ast.UnaryOp(operand=operand):
            return mutability_of(operand)
        case ast.BinOp(left=left, right=right):
            both = {mutability_of(left), mutability_of(right)}
            return Mutability.NONE if both == {Mutability.NONE} else Mutability.ANY
        case ast.Tuple(elts=parts):
            return Mutability.NONE if _are_fixed(parts) else Mutability.ANY
        case ast.List(elts=parts) | ast.Set(elts=parts):
            return Mutability.CONTAINER if _are_fixed(parts) else Mutability.ANY
        case ast.Dict(keys=keys, values=values):
            return Mutability.CONTAINER if None not in keys and _are_fixed(values) else Mutability.ANY
        case ast.Call(func=func):
            return Mutability.NONE if dotted(func)[-1:] in _IMMUTABLE else Mutability.ANY
        case ast.Subscript() if is_inert_expression(node):
            return Mutability.NONE
    return Mutability.ANY


def is_container(node: ast.expr | None) -> bool:
    """Whether this makes a fresh container."""
    if isinstance(node, ast.Call):
        return dotted(node.func)[-1:] in _CONTAINERS
    return isinstance(node, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.SetComp | ast.DictComp)


def _is_inert_member(node: ast.stmt) -> bool:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return is_inert_function(node)
        case ast.ClassDef():
            return is_inert_class(node)
        case ast.Assign(targets=targets, value=value):
            return all(map(_is_plain_target, targets)) and is_inert_expression(value)
        case ast.AnnAssign(value=value):
            return value is None or is_inert_expression(value)
        case ast.Expr(value=value):
            return is_inert_expression(value)
    return isinstance(node, ast.Pass)


def _is_plain_base(node: ast.expr) -> bool:
    """Bases from elsewhere must be known; `Generic[T]` counts as `Generic`."""
    return is_plain_base(dotted(node.value if isinstance(node, ast.Subscript) else node))


def is_plain_base(name: tuple[str, ...]) -> bool:
    """Whether a dotted name is that of a base whose subclasses can be made without effect."""
    return bool(name) and (name[-1] in PLAIN_BASES or name[-1].endswith(("Error", "Exception")))


def _are_fixed(nodes: list[ast.expr]) -> bool:
    return all(mutability_of(n) is Mutability.NONE for n in nodes)


def _is_plain_target(node: ast.expr) -> bool:
    if isinstance(node, ast.Tuple | ast.List):
        return all(map(_is_plain_target, node.elts))
    return isinstance(node, ast.Name) or (isinstance(node, ast.Starred) and _is_plain_target(node.value))


def _root(node: ast.expr) -> str | None:
    if not isinstance(node, ast.Attribute | ast.Subscript):
        return None
    inner: ast.expr = node
    while isinstance(inner, ast.Attribute | ast.Subscript):
        inner = inner.value
    return inner.id if isinstance(inner, ast.Name) else None


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, _NUMBERS)


def _singles(names: frozenset[str]) -> frozenset[tuple[str, ...]]:
    return frozenset((name,) for name in names)


_INERT = _singles(INERT_CALLS)
_IMMUTABLE = _singles(IMMUTABLE_CALLS)
_CONTAINERS = _singles(CONTAINER_CALLS)
_DECORATORS = _singles(INERT_DECORATORS)

__all__ = [
    "Kind",
    "Mutability",
    "is_container",
    "is_inert_class",
    "is_inert_decorator",
    "is_inert_expression",
    "is_inert_function",
    "is_inert_inside",
    "is_main_guard",
    "is_plain_base",
    "is_type_checking",
    "kind_of",
    "mutability_of",
    "mutation_root",
    "reads_no_docstring",
]

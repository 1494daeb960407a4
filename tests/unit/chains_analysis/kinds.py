"""Which kinds of symbols an edit touched, to tell for which kinds verdicts are heavier than needed."""

import ast
from collections.abc import Iterator

from chains_analysis import SourceTree
from chains_analysis.imports import dotted

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def kinds_of(before: SourceTree, after: SourceTree) -> frozenset[str]:
    """The kinds of all top-level statements and members of classes that differ."""
    found: set[str] = set()
    for path in before.files.keys() | after.files.keys():
        old, new = before.files.get(path), after.files.get(path)
        if old == new:
            continue
        where = " of a package from elsewhere" if path.startswith("vendored/") else ""
        if not path.endswith(".py"):
            found.add("data file")
        elif old is None or new is None:
            found.add("module added or removed")
        else:
            found |= {kind + where for kind in _changed(_parts(old), _parts(new))}
    return frozenset(found or {"nothing"})


def _changed(old: list[tuple[str, str]], new: list[tuple[str, str]]) -> Iterator[str]:
    was, now = set(old), set(new)
    yield from (kind for kind, _ in was ^ now)
    if was == now and old != new:
        yield "order of statements"


def _parts(source: bytes) -> list[tuple[str, str]]:
    return [part for node in ast.parse(source).body for part in _of_statement(node)]


def _of_statement(node: ast.stmt) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.ClassDef):
        kind = _class_kind(node)
        head = ast.ClassDef(node.name, node.bases, node.keywords, [ast.Pass()], [])
        yield f"head of a {kind}", ast.dump(head)
        for decorator in node.decorator_list:
            yield "decorator", ast.dump(decorator)
        for member in node.body:
            yield from _of_member(member, kind, node.name)
    elif isinstance(node, _Function):
        yield from _of_function(
            node, "module `__getattr__`" if node.name == "__getattr__" else "function", ""
        )
    else:
        yield _statement_kind(node), ast.dump(node)


def _class_kind(node: ast.ClassDef) -> str:
    bases = {dotted(base)[-1:] for base in node.bases}
    if any("dataclass" in ast.dump(d) for d in node.decorator_list):
        return "dataclass"
    for kind, names in (("pydantic model", {("BaseModel",)}), ("enum", {("Enum",)})):
        if bases & names:
            return kind
    is_chainlet = bases & {("ChainletBase",), ("Base",), ("Kept",)}
    return "chainlet" if is_chainlet else "class"


def _of_member(node: ast.stmt, kind: str, owner: str) -> Iterator[tuple[str, str]]:
    if not isinstance(node, _Function):
        yield f"class attribute of a {kind}", owner + ast.dump(node)
    elif node.name == "__init__":
        yield from _of_function(node, f"`__init__` of a {kind}", owner)
    elif any(dotted(d)[-1:] == ("property",) for d in node.decorator_list):
        yield from _of_function(node, "property", owner)
    else:
        yield from _of_function(node, f"method of a {kind}", owner)


def _of_function(node: _Function, kind: str, owner: str) -> Iterator[tuple[str, str]]:
    for decorator in node.decorator_list:
        yield "decorator", owner + node.name + ast.dump(decorator)
    for default in (*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)):
        is_edge = isinstance(default, ast.Call) and dotted(default.func)[-1:] == ("depends",)
        yield "options of `depends`" if is_edge else "default argument", owner + node.name + ast.dump(default)
    arguments = ast.arguments(
        node.args.posonlyargs, node.args.args, node.args.vararg, node.args.kwonlyargs, [], node.args.kwarg, []
    )
    yield (
        f"signature of a {kind}",
        owner + node.name + ast.dump(arguments) + ast.dump(node.returns or ast.Pass()),
    )
    for inner in node.body:
        if isinstance(inner, _Function):
            yield "nested function", owner + node.name + ast.dump(inner)
    body = [inner for inner in node.body if not isinstance(inner, _Function)]
    yield kind, owner + node.name + "".join(map(ast.dump, body))


def _statement_kind(node: ast.stmt) -> str:
    text = ast.dump(node)
    if isinstance(node, ast.Import | ast.ImportFrom):
        return "import"
    if isinstance(node, ast.If) and "TYPE_CHECKING" in text:
        return "`if TYPE_CHECKING`"
    if isinstance(node, ast.If | ast.Try):
        return "conditional definition"
    if "'__all__'" in text:
        return "`__all__`"
    if isinstance(node, ast.Assign | ast.AnnAssign):
        value = node.value
        is_type = isinstance(value, ast.Subscript) and dotted(value.value)[-1:] in (
            ("dict",),
            ("list",),
            ("Union",),
        )
        return "type alias" if is_type else "assignment"
    return "statement with an effect"


__all__ = ["kinds_of"]

"""Random edits of programs, as an author makes them: small, mostly valid, sometimes not."""

import ast
import random
from collections.abc import Callable

from chains_analysis import SourceTree

_INSERTED = (
    "ADDED = 1",
    "import json",
    "def added(n):\n    return n",
    "import sidefx\nsidefx.record('added')",
    "import sidefx\nMADE = sidefx.make(4)",
    "def len(x):\n    return 42",
    "def str(x):\n    return 'str'",
    "LIMIT = 9",
    "NAMES = []",
    "from lib import FLAG",
    "from nowhere_at_all import thing",
    "import tools",
    "Alias = list[int]",
    "type_checking = True",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import nothing_there",
    "def __getattr__(name):\n    return 5",
    "__all__ = ['STEP', 'bump', 'Circle', 'Item']",
    "import enum\nclass Added(enum.Enum):\n    ONE = 1",
    "import dataclasses\n@dataclasses.dataclass\nclass Added:\n    n: int = 1",
    "if LIMIT > 2:\n    def added(n):\n        return n + 1",
    "try:\n    import nothing_there\nexcept ImportError:\n    nothing_there = None",
)
_MEMBERS = (
    "def label(self):\n    return 'mine'",
    "def decorate(self, text):\n    return text",
    "prefix = 'other'",
    "scale = 11",
    "title = 'other'",
    "size = 5",
    "extra: int = 7",
    "note: str = 'changed'",
    "value: str = '1'",
    "MEDIUM = 3",
    "def inner(self, n):\n    return n",
    "__slots__ = ()",
    "def text(self):\n    return 'text'",
    "@property\ndef area(self):\n    return 100",
    "@property\ndef model(self):\n    return 100",
    "def __setattr__(self, name, value):\n    object.__setattr__(self, name, value)",
    "def make_title(self):\n    return str(self.model.run_remote(1))",
    "def __init__(self, model):\n    self.model = model\n    self.title = 'mine'",
)
_DECORATORS = ("functools.lru_cache", "staticmethod", "register('new')", "property")


def edited(tree: SourceTree, dice: random.Random) -> tuple[SourceTree, str]:
    """The tree after one to three edits, and their names."""
    names = []
    for _ in range(dice.choice((1, 1, 1, 1, 2, 3))):
        name, edit = dice.choice(_EDITS)
        path = dice.choice(tree.python_paths)
        changed = edit(tree, path, dice)
        if changed is not None:
            tree = changed
            names.append(f"{name} {path}")
    return tree, ", ".join(names)


def _with(tree: SourceTree, path: str, module: ast.Module) -> SourceTree:
    return SourceTree({**tree.files, path: ast.unparse(ast.fix_missing_locations(module)).encode()})


def _pick(nodes: list[ast.AST], dice: random.Random) -> ast.AST | None:
    return dice.choice(nodes) if nodes else None


def _parsed(tree: SourceTree, path: str) -> ast.Module:
    return ast.parse(tree.files[path])


def _constant(tree: SourceTree, path: str, dice: random.Random) -> SourceTree | None:
    module = _parsed(tree, path)
    nodes: list[ast.AST] = [
        n for n in ast.walk(module) if isinstance(n, ast.Constant) and type(n.value) in (int, str)
    ]
    node = _pick(nodes, dice)
    if not isinstance(node, ast.Constant):
        return None
    node.value = node.value + 1 if isinstance(node.value, int) else f"{node.value}~"
    return _with(tree, path, module)


def _operator(tree: SourceTree, path: str, dice: random.Random) -> SourceTree | None:
    module = _parsed(tree, path)
    node = _pick([n for n in ast.walk(module) if isinstance(n, ast.BinOp)], dice)
    if not isinstance(node, ast.BinOp):
        return None
    node.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
    return _with(tree, path, module)


def _swap(tree: SourceTree, path: str, dice: random.Random) -> SourceTree | None:
    module = _parsed(tree, path)
    bodies = [module.body, *(n.body for n in ast.walk(module) if isinstance(n, ast.ClassDef))]
    body = dice.choice([b for b in bodies if len(b) > 1] or [[]])
    if len(body) < 2:
        return None
    at = dice.randrange(len(body) - 1)
    body[at], body[at + 1] = body[at + 1], body[at]
    return _with(tree, path, module)


def _move(tree: SourceTree, path: str, dice: random.Random) -> SourceTree | None:
    module = _parsed(tree, path)
    if len(module.body) < 2:
        return None
    statement = module.body.pop(dice.randrange(len(module.body)))
    module.body.insert(dice.randrange(len(module.body) + 1), statement)
    return _with(tree, path, module)


def _delete(tree: SourceTree, path: str, dice: random.Random) -> SourceTree | None:
    module = _parsed(tree, path)
    bodies = [
        module.body,
        *(n.body for n in ast.walk(module) if isinstance(n, ast.ClassDef | ast.FunctionDef)),
    ]
    body = dice.choice([b for b in bodies if b] or [[]])
    if not body:
        return None
    body.pop(dice.randrange(len(body)))
    if not body and body is not module.body:
        body.append(ast.Pass())
    return _with(tree, path, module)


def _insert(tree: SourceTree, path: str, dice: random.Random) -> SourceTree | None:
    module = _parsed(tree, path)
    at = dice.randrange(len(module.body) + 1)
    module.body[at:at] = ast.parse(dice.choice(_INSERTED)).body
    return _with(tree, path, module)


def _rewire(tree: SourceTree, path: str, dice: random.Random) -> SourceTree | None:
    """Let one use of a name use another."""
    module = _parsed(tree, path)
    uses: list[ast.AST] = [
        n for n in ast.walk(module) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
    ]
    node = _pick(uses, dice)
    names = sorted({n.id for n in uses if isinstance(n, ast.Name)})
    if not isinstance(node, ast.Name):
        return None
    node.id = dice.choice(names)
    return _with(tree, path, module)


def _rename_member(tree: SourceTree, path: str, dice: random.Random) -> SourceTree | None:
    module = _parsed(tree, path)
    functions: list[ast.AST] = [
        n
        for c in ast.walk(module)
        if isinstance(c, ast.ClassDef)
        for n in c.body
        if isinstance(n, ast.FunctionDef)
    ]
    node = _pick(functions, dice)
    if not isinstance(node, ast.FunctionDef):
        return None
    node.name = dice.choice(("label", "decorate", "inner", "other", "__init__"))
    return _with(tree, path, module)


def _override(tree: SourceTree, path: str, dice: random.Random) -> SourceTree | None:
    module = _parsed(tree, path)
    node = _pick([n for n in ast.walk(module) if isinstance(n, ast.ClassDef)], dice)
    if not isinstance(node, ast.ClassDef):
        return None
    added = dice.choice(_MEMBERS)
    node.body += ast.parse(added).body
    return _with(tree, path, module)


def _decorate(tree: SourceTree, path: str, dice: random.Random) -> SourceTree | None:
    module = _parsed(tree, path)
    node = _pick([n for n in ast.walk(module) if isinstance(n, ast.FunctionDef)], dice)
    if not isinstance(node, ast.FunctionDef):
        return None
    if node.decorator_list:
        node.decorator_list.pop()
    else:
        node.decorator_list.append(ast.parse(dice.choice(_DECORATORS), mode="eval").body)
    return _with(tree, path, module)


def _default(tree: SourceTree, path: str, dice: random.Random) -> SourceTree | None:
    module = _parsed(tree, path)
    node = _pick([n for n in ast.walk(module) if isinstance(n, ast.FunctionDef)], dice)
    if not isinstance(node, ast.FunctionDef):
        return None
    node.args.args.append(ast.arg("more", ast.parse("int", mode="eval").body))
    node.args.defaults.append(ast.Constant(dice.randrange(3)))
    return _with(tree, path, module)


def _text(tree: SourceTree, path: str, dice: random.Random) -> SourceTree | None:
    """Comments and blank lines: nothing for Python."""
    lines = tree.files[path].decode().splitlines()
    at = dice.choice(
        [n for n, line in enumerate(lines) if line and not line.startswith((" ", "'", '"'))] or [0]
    )
    lines[at:at] = ["", "# a comment", ""]
    return SourceTree({**tree.files, path: "\n".join(lines).encode() + b"\n"})


def _docstring(tree: SourceTree, path: str, dice: random.Random) -> SourceTree | None:
    module = _parsed(tree, path)
    node = _pick([n for n in ast.walk(module) if isinstance(n, ast.FunctionDef | ast.ClassDef)], dice)
    if not isinstance(node, ast.FunctionDef | ast.ClassDef):
        return None
    node.body.insert(0, ast.Expr(ast.Constant(f"Text {dice.random()}")))
    return _with(tree, path, module)


def _delete_module(tree: SourceTree, path: str, dice: random.Random) -> SourceTree | None:
    if path == "chain.py" or dice.random() < 0.7:
        return None
    return SourceTree({p: data for p, data in tree.files.items() if p != path})


def _move_function(tree: SourceTree, path: str, dice: random.Random) -> SourceTree | None:
    """Take a function from one module to another, leaving an import behind."""
    module = _parsed(tree, path)
    node = _pick([n for n in module.body if isinstance(n, ast.FunctionDef)], dice)
    if not isinstance(node, ast.FunctionDef):
        return None
    at = module.body.index(node)  # type: ignore[arg-type]
    module.body[at] = ast.parse(f"from moved import {node.name}").body[0]
    moved = SourceTree({**tree.files, "moved.py": ast.unparse(node).encode()})
    return _with(moved, path, module)


def _rename_field(tree: SourceTree, path: str, dice: random.Random) -> SourceTree | None:
    """A field gets another name wherever the file uses it: a type changes on both sides of a hop."""
    module = _parsed(tree, path)
    classes = [n for n in module.body if isinstance(n, ast.ClassDef)]
    fields = [n.target.id for c in classes for n in c.body if _is_field(n)]  # type: ignore[attr-defined]
    if not fields:
        return None
    old = dice.choice(sorted(fields))
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and node.attr == old:
            node.attr = f"{old}_too"
        elif isinstance(node, ast.keyword) and node.arg == old:
            node.arg = f"{old}_too"
        elif _is_field(node) and node.target.id == old:  # type: ignore[attr-defined]
            node.target.id = f"{old}_too"  # type: ignore[attr-defined]
    return _with(tree, path, module)


def _is_field(node: ast.AST) -> bool:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)


def _use_in_init(tree: SourceTree, path: str, dice: random.Random) -> SourceTree | None:
    """Something more in an `__init__`, or a dependency that is used there."""
    module = _parsed(tree, path)
    node = _pick(
        [n for n in ast.walk(module) if isinstance(n, ast.FunctionDef) and n.name == "__init__"], dice
    )
    if not isinstance(node, ast.FunctionDef):
        return None
    more = ("self.more = 1", "kept = model", "self.first = model.run_remote(1)", "self.title = 'init'")
    node.body += ast.parse(dice.choice(more)).body
    return _with(tree, path, module)


def _data(tree: SourceTree, path: str, dice: random.Random) -> SourceTree | None:
    found = [p for p in tree.files if not p.endswith(".py")]
    if not found:
        return None
    chosen = dice.choice(found)
    return SourceTree({**tree.files, chosen: tree.files[chosen] + b"!"})


def _import_more(tree: SourceTree, path: str, dice: random.Random) -> SourceTree | None:
    """One name more from a module that is imported from already."""
    module = _parsed(tree, path)
    node = _pick(
        [n for n in ast.walk(module) if isinstance(n, ast.ImportFrom) and n.names[0].name != "*"], dice
    )
    if not isinstance(node, ast.ImportFrom):
        return None
    known = [n for n, p in tree.modules.items() if n.endswith(node.module or "")]
    if not known:
        return None
    bound = [
        n.name
        for n in _parsed(tree, tree.modules[known[0]]).body
        if isinstance(n, ast.FunctionDef | ast.ClassDef)
    ]
    if not bound:
        return None
    node.names.append(ast.alias(dice.choice(bound), dice.choice((None, "more"))))
    return _with(tree, path, module)


Edit = Callable[[SourceTree, str, random.Random], SourceTree | None]
_EDITS: tuple[tuple[str, Edit], ...] = (
    ("constant", _constant),
    ("constant", _constant),
    ("constant", _constant),
    ("operator", _operator),
    ("operator", _operator),
    ("swap", _swap),
    ("move", _move),
    ("delete", _delete),
    ("insert", _insert),
    ("rewire", _rewire),
    ("rewire", _rewire),
    ("rename member", _rename_member),
    ("override", _override),
    ("decorate", _decorate),
    ("default", _default),
    ("text", _text),
    ("docstring", _docstring),
    ("delete module", _delete_module),
    ("move function", _move_function),
    ("rename field", _rename_field),
    ("rename field", _rename_field),
    ("use in init", _use_in_init),
    ("data", _data),
    ("import more", _import_more),
)

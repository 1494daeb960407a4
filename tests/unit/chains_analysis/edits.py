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
    added = dice.choice(
        (
            "def label(self):\n    return 'mine'",
            "def decorate(self, text):\n    return text",
            "prefix = 'other'",
            "scale = 11",
            "def inner(self, n):\n    return n",
            "__slots__ = ()",
            "def text(self):\n    return 'text'",
        )
    )
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
)

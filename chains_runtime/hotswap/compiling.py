"""Source bytes -> code object; for a re-executed module, with statements replaced by kept values."""

import ast
import linecache
from collections.abc import Mapping, Sequence
from types import CodeType
from typing import Any, Final

from chains_runtime.hotswap.plan import StatementLike

CARRIED: Final = "__chains_carried__"
"""Name under which a module finds the values it takes over while its body runs."""


def compile_module(
    source: bytes,
    filename: str,
    statements: Sequence[StatementLike] = (),
    before: Mapping[str, Any] | None = None,
) -> CodeType:
    """Compile a module's body.

    Args:
        source: the file's bytes, in whatever encoding they declare.
        filename: what tracebacks of this code name.
        statements: the plan for its top-level statements, by index.
        before: the namespace of the module it replaces; needed for statements to carry.

    Raises:
        SyntaxError: as Python says it.
    """
    tree = ast.parse(source, filename)
    if before is not None:
        for plan in statements:
            if plan.carry and plan.index < len(tree.body):
                known = [name for name in plan.names if name in before]
                tree.body[plan.index] = _kept(tree.body[plan.index], known)
    # `compile` is what an import does; the source is the user's own package.
    code: CodeType = compile(tree, filename, "exec", dont_inherit=True)
    return code


def _kept(statement: ast.stmt, names: Sequence[str]) -> ast.stmt:
    """`a, b = __chains_carried__["a"], __chains_carried__["b"]` at the statement's place."""
    if not names:
        return ast.copy_location(ast.Pass(), statement)
    targets = ast.Tuple([ast.Name(name, ast.Store()) for name in names], ast.Store())
    values = ast.Tuple(
        [ast.Subscript(ast.Name(CARRIED, ast.Load()), ast.Constant(name), ast.Load()) for name in names],
        ast.Load(),
    )
    assignment = ast.Assign([targets], values)
    return ast.fix_missing_locations(ast.copy_location(assignment, statement))


def remember_source(filename: str, source: bytes) -> None:
    """Let tracebacks show these lines for `filename`, whatever happens to the file later."""
    text = source.decode("utf-8", errors="replace")
    # An entry without a modification time is never checked against the disk.
    linecache.cache[filename] = (len(source), None, text.splitlines(keepends=True), filename)


def forget_source(filename: str) -> None:
    """Drop the lines of a generation that is gone."""
    linecache.cache.pop(filename, None)


__all__ = ["CARRIED", "compile_module", "forget_source", "remember_source"]

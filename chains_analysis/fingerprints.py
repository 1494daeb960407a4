"""Fingerprints of syntax trees, and the docstrings that do not count in them."""

import ast
import hashlib
from collections.abc import Iterable

from chains_analysis.inert import reads_no_docstring
from chains_analysis.scopes import FunctionNode


def strip_docstrings(node: ast.AST) -> list[str]:
    """Take out, in place, the docstrings that nothing is known to read; return them."""
    return [text for item in ast.walk(node) for text in strip_own_docstring(item)]


def strip_own_docstring(node: ast.AST) -> list[str]:
    """The same for this function or class alone, not for what is inside."""
    if not isinstance(node, FunctionNode | ast.ClassDef) or not is_text(node.body[0]):
        return []
    if not reads_no_docstring(node):
        return []
    text = ast.get_docstring(node, clean=False) or ""
    node.body = node.body[1:] or [ast.copy_location(ast.Pass(), node.body[0])]
    return [text]


def is_text(node: ast.AST) -> bool:
    """Whether a statement is a string and nothing else."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def first_line(node: ast.stmt) -> int:
    """The line a statement begins on, decorators included."""
    decorators = getattr(node, "decorator_list", ())
    return min(int(n.lineno) for n in (node, *decorators))


def fingerprint_of(node: ast.AST | None) -> str:
    """The fingerprint of one node and all below it; empty for none."""
    return hashed(ast.dump(node, annotate_fields=False)) if node is not None else ""


def hashed(*parts: str) -> str:
    """One fingerprint of several texts."""
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def hash_of(parts: Iterable[str]) -> str:
    """The same for any number of texts."""
    return hashed(*parts)


__all__ = [
    "fingerprint_of",
    "first_line",
    "hash_of",
    "hashed",
    "is_text",
    "strip_docstrings",
    "strip_own_docstring",
]

"""Bytes -> syntax tree, or a diagnostic with file and line."""

import ast
import warnings

from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Location


def parse(path: str, source: bytes, *, thorough: bool = False) -> ast.Module:
    """Parse one file.

    Args:
        path: shown in the diagnostic.
        source: the file's bytes; an encoding cookie is honoured.
        thorough: also find what only Python's compiler finds, as `return` outside a function.

    Raises:
        DiagnosticsError: CH152 with the place, if this is not valid Python.
    """
    try:
        with warnings.catch_warnings():
            # a doubtful escape sequence is the author's affair, not a reason to stop
            warnings.simplefilter("ignore")
            parsed = ast.parse(source, filename=path)
            if thorough:
                compile(parsed, path, "exec", dont_inherit=True)
            return parsed
    except SyntaxError as error:
        raise DiagnosticsError([_syntax_error(path, error)]) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise DiagnosticsError([_unreadable(path, error)]) from error


def parse_expression(text: str) -> ast.expr | None:
    """The expression in a string annotation; None if it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _syntax_error(path: str, error: SyntaxError) -> Diagnostic:
    line = error.text.rstrip("\n") if error.text else None
    return Diagnostic(
        code=Code.SYNTAX_ERROR,
        message=f"`{path}` is not valid Python: {error.msg}",
        location=Location(path=path, line=error.lineno, column=error.offset or None, source_line=line),
        help="correct the line; what runs stays as it is until then",
    )


def _unreadable(path: str, error: Exception) -> Diagnostic:
    what = "it is nested too deeply" if not isinstance(error, ValueError) else str(error)
    return Diagnostic(
        code=Code.SYNTAX_ERROR,
        message=f"`{path}` can't be read as Python: {what}",
        location=Location(path=path),
        help="correct the file; what runs stays as it is until then",
    )


__all__ = ["parse", "parse_expression"]

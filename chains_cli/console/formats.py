"""Diagnostics for people, for programs, for GitHub and for code scanners (SARIF 2.1.0)."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from chains_cli.app import tool_version
from chains_cli.console.diagnostics import diagnostic_lines, shown_path, summary
from chains_cli.console.encode import SCHEMA, to_plain
from chains_cli.console.layout import plural
from chains_cli.console.palette import Palette
from chains_cli.operations.check import CheckResult
from chains_protocol.errors import Code, Diagnostic, Severity

_SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_GITHUB_LEVEL: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}

Json = dict[str, Any]  # JSON objects, as their formats prescribe


def check_lines(result: CheckResult, format: str, cwd: Path, palette: Palette) -> Iterable[str]:
    """The result of a check in one of the formats `text`, `json`, `github`, `sarif`."""
    if format == "text":
        return _text(result, cwd, palette)
    writers: dict[str, Callable[[CheckResult, Path], Iterable[str]]] = {
        "json": _json,
        "github": _github,
        "sarif": _sarif,
    }
    return writers[format](result, cwd)


def _text(result: CheckResult, cwd: Path, palette: Palette) -> Iterable[str]:
    for diagnostic in result.diagnostics:
        yield from diagnostic_lines(diagnostic, cwd, palette)
        yield ""
    counted = summary(result.diagnostics)
    if result.exit_code or result.chain is None:
        yield palette.bad(counted)
    else:
        extra = f" ({counted})" if counted else ""
        size = plural(len(result.chainlets), "chainlet")
        yield palette.good(f"ok: chain `{result.chain}`, entrypoint `{result.entrypoint}`, {size}{extra}")


def _json(result: CheckResult, cwd: Path) -> Iterable[str]:
    found = [_relative(d, cwd) for d in result.diagnostics]
    document = {"schema": SCHEMA, "ok": result.exit_code == 0, "chain": result.chain, "diagnostics": found}
    yield json.dumps(document, ensure_ascii=False, indent=2)


def _relative(diagnostic: Diagnostic, cwd: Path) -> Json:
    plain: Json = to_plain(diagnostic)
    if diagnostic.location is not None:
        plain["location"]["path"] = shown_path(diagnostic.location.path, cwd)
    return plain


def _github(result: CheckResult, cwd: Path) -> Iterable[str]:
    for diagnostic in result.diagnostics:
        properties = {"title": diagnostic.code.value}
        if (where := diagnostic.location) is not None:
            properties |= {"file": shown_path(where.path, cwd)}
            properties |= {"line": str(where.line)} if where.line is not None else {}
            properties |= {"col": str(where.column)} if where.column is not None else {}
        listed = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in properties.items())
        text = "\n".join(filter(None, (diagnostic.message, diagnostic.detail, diagnostic.help)))
        yield f"::{_GITHUB_LEVEL[diagnostic.severity]} {listed}::{_escaped(text)}"


def _escaped(text: str, more: str = "") -> str:
    """Percent-encode what GitHub's workflow commands reserve."""
    for character in "%\r\n" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _sarif(result: CheckResult, cwd: Path) -> Iterable[str]:
    codes = sorted({d.code for d in result.diagnostics})
    driver = {
        "name": "chains",
        "version": tool_version(),
        "rules": [{"id": code.value, "name": _rule_name(code)} for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "originalUriBaseIds": {"ROOT": {"uri": f"{cwd.as_uri()}/"}},
        "columnKind": "unicodeCodePoints",
        "results": [_sarif_result(d, codes.index(d.code), cwd) for d in result.diagnostics],
    }
    document = {"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}
    yield json.dumps(document, ensure_ascii=False, indent=2)


def _rule_name(code: Code) -> str:
    return "".join(part.capitalize() for part in code.name.split("_"))


def _sarif_result(diagnostic: Diagnostic, rule: int, cwd: Path) -> Json:
    text = "\n".join(filter(None, (diagnostic.message, diagnostic.help)))
    result: Json = {
        "ruleId": diagnostic.code.value,
        "ruleIndex": rule,
        "level": diagnostic.severity.value,
        "message": {"text": text},
    }
    if (where := diagnostic.location) is not None:
        path = Path(shown_path(where.path, cwd))
        artifact = (
            {"uri": path.as_uri()} if path.is_absolute() else {"uri": _quoted(path), "uriBaseId": "ROOT"}
        )
        physical: Json = {"artifactLocation": artifact}
        if where.line is not None:
            physical["region"] = {"startLine": where.line}
            if where.column is not None:
                physical["region"]["startColumn"] = where.column
        result["locations"] = [{"physicalLocation": physical}]
    return result


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(path.as_posix())


__all__ = ["check_lines"]

"""The result of `chains run-local` as text."""

import json
from collections.abc import Iterable

from chains_cli.console.layout import plural
from chains_cli.console.palette import Palette
from chains_cli.console.values import value_text
from chains_cli.operations.example import shell_quoted
from chains_cli.operations.run_local import LocalResult
from chains_cli.operations.serve_local import ServeResult


def local_lines(result: LocalResult, source: str, palette: Palette) -> Iterable[str]:
    """The answer; or what the entrypoint takes, and a command that runs it."""
    if result.described:
        yield f"{palette.bold(result.entrypoint)}{result.signature}"
        yield "input schema:"
        for line in json.dumps(result.input_schema, ensure_ascii=False, indent=2).split("\n"):
            yield f"  {line}"
        yield "next:"
        yield f"  chains run-local {source} --input {shell_quoted(result.example)}"
    elif not result.exit_code and not result.streamed:
        yield value_text(result.value)


def serve_lines(result: ServeResult) -> Iterable[str]:
    """What was served."""
    yield f"{result.chain}: stopped serving after {plural(result.reloads, 'reload')}"


__all__ = ["local_lines", "serve_lines"]

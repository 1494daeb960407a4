"""The result of `chains call` and `chains run-local` as text."""

from collections.abc import Iterable

from chains_cli.console.values import value_text
from chains_cli.operations.call import CallResult


def call_lines(result: CallResult) -> Iterable[str]:
    """The answer; a stream was printed while it came."""
    if not result.streamed:
        yield value_text(result.value)


__all__ = ["call_lines"]

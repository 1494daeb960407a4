"""The results of promote, rollback, delete and secrets as text."""

from collections.abc import Iterable

from chains_cli.console.palette import Palette
from chains_cli.operations.operate import DeleteResult, EnvironmentResult, SecretsResult


def environment_lines(result: EnvironmentResult, palette: Palette) -> Iterable[str]:
    """Where the environment points now."""
    info = result.deployment
    name = f" ({info.name})" if info.name else ""
    state = palette.state(info.state.value)
    yield f"{palette.bold(result.chain)}: {result.environment} is deployment {info.id}{name}, {state}"
    if result.url:
        yield f"url: {result.url}"


def delete_lines(result: DeleteResult) -> Iterable[str]:
    """What is gone."""
    if result.deployment is None:
        yield f"{result.chain}: deleted with all its deployments"
    else:
        yield f"{result.chain}: deployment {result.deployment} is deleted"


def secrets_lines(result: SecretsResult, done: str | None = None) -> Iterable[str]:
    """What happened to one secret, or the names of all."""
    if done is not None:
        yield f"secret {result.changed} {done}"
    elif result.names:
        yield from result.names
    else:
        yield "no secrets; `chains secrets set NAME` stores one"


__all__ = ["delete_lines", "environment_lines", "secrets_lines"]

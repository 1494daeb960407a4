"""Change what a remote runs: promote, rollback, delete, secrets."""

from dataclasses import dataclass

from chains_cli.exits import Exit
from chains_cli.operations.inspect import newest, url_of
from chains_cli.remotes.remote import Remote
from chains_protocol.control import DeploymentInfo
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError


@dataclass(frozen=True, slots=True)
class EnvironmentResult:
    """Where an environment points now."""

    chain: str
    environment: str
    deployment: DeploymentInfo
    url: str
    exit_code: int = Exit.OK


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """What is gone: a chain, or one deployment of it."""

    chain: str
    deployment: str | None
    exit_code: int = Exit.OK


@dataclass(frozen=True, slots=True)
class SecretsResult:
    """The names of all secrets; values are never shown. `changed` is the one that was set or deleted."""

    names: tuple[str, ...]
    changed: str | None = None
    exit_code: int = Exit.OK


def promote(remote: Remote, chain: str, environment: str, deployment: str | None) -> EnvironmentResult:
    """Point `environment` at a deployment: an id, or the newest that runs."""
    chosen = deployment or newest(remote, chain)
    info = remote.promote(chain, environment, chosen)
    return EnvironmentResult(chain, environment, info, url_of(info, environment))


def rollback(remote: Remote, chain: str, environment: str) -> EnvironmentResult:
    """Point `environment` at the deployment it pointed at before."""
    info = remote.rollback(chain, environment)
    return EnvironmentResult(chain, environment, info, url_of(info, environment))


def delete(remote: Remote, chain: str, deployment: str | None) -> DeleteResult:
    """Stop and delete one deployment, or the whole chain."""
    if deployment is None:
        remote.delete_chain(chain)
    else:
        remote.delete_deployment(chain, deployment)
    return DeleteResult(chain, deployment)


def set_secret(remote: Remote, name: str, value: str) -> SecretsResult:
    """Store a secret; chainlets that declare it get it when they start.

    Those that run and miss it are started again; those that have another value keep it.

    Raises:
        DiagnosticsError: CH306 for an empty value.
    """
    if not value:
        diagnostic = Diagnostic(
            code=Code.BAD_REQUEST,
            message=f"the value of secret `{name}` is empty",
            help=f"type it when asked, or send it on standard input: `chains secrets set {name} < FILE`",
        )
        raise DiagnosticsError([diagnostic])
    remote.set_secret(name, value)
    return SecretsResult(tuple(remote.secrets().names), name)


def list_secrets(remote: Remote) -> SecretsResult:
    """The names of all secrets."""
    return SecretsResult(tuple(remote.secrets().names))


def delete_secret(remote: Remote, name: str) -> SecretsResult:
    """Forget a secret; replicas that run keep what they got."""
    remote.delete_secret(name)
    return SecretsResult(tuple(remote.secrets().names), name)


__all__ = [
    "DeleteResult",
    "EnvironmentResult",
    "SecretsResult",
    "delete",
    "delete_secret",
    "list_secrets",
    "promote",
    "rollback",
    "set_secret",
]

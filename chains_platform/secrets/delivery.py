"""A secret that gets its first value reaches the Chainlets that already run and miss it.

They were started without it, and a push of the same code changes nothing. A value that is
replaced is another matter: what runs keeps the one it started with.
"""

from dataclasses import replace
from typing import Final

from chains_platform.ledger import Ledger
from chains_platform.replicas.reconciler import Reconciler
from chains_platform.secrets.store import missing_secrets
from chains_platform.state import DeploymentRecord, State
from chains_protocol.errors import Code, Diagnostic, Severity
from chains_protocol.replica import ReplicaState

_STARTED_WITHOUT: Final = (ReplicaState.STARTING, ReplicaState.READY, ReplicaState.UNHEALTHY)


def deliver(ledger: Ledger, reconciler: Reconciler, name: str) -> None:
    """Start those again that declare the secret `name`, after their requests; drop the warnings."""
    why = Diagnostic(
        code=Code.MISSING_SECRET,
        severity=Severity.NOTE,
        message=f"it starts again to get the secret `{name}`",
    )
    state = ledger.state
    for replica in tuple(state.replicas.values()):
        declared = state.sets[replica.set_id].package.spec.assets.secret_keys
        if name in declared and replica.state in _STARTED_WITHOUT:
            reconciler.restart(replica.id, why)
    ledger.apply(lambda s: _without_warnings(s, name))


def _without_warnings(state: State, name: str) -> State:
    for record in state.deployments.values():
        kept = tuple(d for d in record.diagnostics if not _is_about(d, record, name))
        if kept != record.diagnostics:
            state = state.with_deployment(replace(record, diagnostics=kept))
    return state


def _is_about(diagnostic: Diagnostic, record: DeploymentRecord, name: str) -> bool:
    specs = [package.spec for package in record.packages if name in package.spec.assets.secret_keys]
    others = {key for spec in specs for key in spec.assets.secret_keys} - {name}
    return diagnostic in missing_secrets(specs, others)


__all__ = ["deliver"]

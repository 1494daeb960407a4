"""A start that fails: who asks for the status must find the reason told already."""

from pathlib import Path

from chains_protocol.errors import Code, Diagnostic
from chains_protocol.replica import ReplicaLaunch, ReplicaState
from chains_protocol.routes import ReplicaRoutes
from chains_runtime.package import open_package
from chains_runtime.replica import Replica
from tests.unit.chains_runtime.packages import write_package

SOURCE = """
    import truss_chains as chains

    class Bad(chains.ChainletBase):
        def __init__(self):
            raise ValueError("boom")
        async def run_remote(self) -> int:
            return 1
"""


async def test_the_reason_is_told_before_the_state_shows_the_failure(tmp_path: Path) -> None:
    """R-04: the control plane ends a failed replica as soon as it sees the state."""
    told: list[tuple[ReplicaState, tuple[Diagnostic, ...]]] = []
    launch = ReplicaLaunch(
        replica_id="r1", deployment="d", admin_token="t", package_digest="0" * 64, routes=ReplicaRoutes()
    )
    package = open_package(write_package(tmp_path / "p", {"chain.py": SOURCE}, "Bad"))
    replica = Replica(
        launch,
        package,
        work_dir=tmp_path,
        report=lambda diagnostics: told.append((replica.state, diagnostics)),
    )
    try:
        await replica.load()
    finally:
        replica.close()

    ((state, diagnostics),) = told
    assert state is ReplicaState.LOADING
    assert [d.code for d in diagnostics] == [Code.INIT_FAILED]
    assert (replica.state, replica.diagnostics) == (ReplicaState.FAILED, diagnostics)

"""What a push would do, and why."""

from chains_platform.deploying.planning import plan, reusable_set
from chains_platform.state import State
from chains_protocol.control import DeployAction, DeployReason, PlanReply
from chains_protocol.errors import Code, Diagnostic
from chains_protocol.replica import ReplicaState
from tests.unit.chains_platform.fakes import manifest, package
from tests.unit.chains_platform.states import DEVELOPMENT, PUBLISHED, changed, deployed, set_replica

MODEL = package("Model")
ENTRY = package("Entry", calls=["Model"])
A, B = "a" * 64, "b" * 64
KEPT = (DeployAction.KEEP, DeployReason.SAME_DIGEST)


def steps(reply: PlanReply) -> dict[str, tuple[DeployAction, DeployReason]]:
    return {c.display_name: (c.action, c.reason) for c in reply.chainlets}


def test_a_new_chain_starts_everything() -> None:
    reply = plan(State(), manifest(MODEL, ENTRY), PUBLISHED, missing_blobs=(B, A, B))

    new = (DeployAction.START, DeployReason.NEW)
    assert steps(reply) == {"Model": new, "Entry": new}
    assert reply.missing_blobs == (A, B)
    assert (reply.current_deployment, reply.unchanged) == (None, False)


def test_an_equal_push_is_unchanged() -> None:
    reply = plan(deployed(State(), MODEL, ENTRY), manifest(MODEL, ENTRY), PUBLISHED)

    assert steps(reply) == {"Model": KEPT, "Entry": KEPT}
    assert (reply.current_deployment, reply.unchanged) == ("d1", True)


def test_only_what_changed_starts() -> None:
    state = deployed(State(), MODEL, ENTRY)

    reply = plan(state, manifest(MODEL, package("Entry", "2", calls=["Model"])), PUBLISHED)

    assert steps(reply) == {"Model": KEPT, "Entry": (DeployAction.START, DeployReason.PACKAGE_CHANGED)}
    assert not reply.unchanged


def test_settings_alone_are_told_apart() -> None:
    state = deployed(State(), MODEL, ENTRY)

    reply = plan(state, manifest(package("Model", env={"A": "1"}), ENTRY), PUBLISHED)

    assert steps(reply)["Model"] == (DeployAction.START, DeployReason.SETTINGS_CHANGED)


def test_another_environment_of_equal_files_is_a_change() -> None:
    state = deployed(State(), MODEL)
    other = package("Model", requirements=("numpy",))
    assert other.digest == MODEL.digest

    reply = plan(state, manifest(other), PUBLISHED, environment_ready=lambda _: False)

    assert steps(reply)["Model"][0] is DeployAction.START
    assert [c.environment_ready for c in reply.chainlets] == [False]


def test_a_failed_replica_is_not_kept() -> None:
    state = set_replica(deployed(State(), MODEL), "r-d1-Model-0", state=ReplicaState.FAILED)

    reply = plan(state, manifest(MODEL), PUBLISHED)

    assert steps(reply)["Model"] == (DeployAction.START, DeployReason.NOT_RUNNING)
    assert not reply.unchanged


def test_what_is_no_longer_part_stops() -> None:
    reply = plan(deployed(State(), MODEL, ENTRY), manifest(package("Entry")), PUBLISHED)

    assert steps(reply)["Model"] == (DeployAction.STOP, DeployReason.REMOVED)


def test_a_development_deployment_shares_with_nobody() -> None:
    reply = plan(deployed(State(), MODEL), manifest(MODEL), DEVELOPMENT)

    assert steps(reply)["Model"] == (DeployAction.START, DeployReason.DEVELOPMENT)
    assert reply.current_deployment is None


def test_a_development_deployment_keeps_its_own() -> None:
    state = deployed(State(), MODEL, ENTRY, kind=DEVELOPMENT)

    reply = plan(state, manifest(MODEL, package("Entry", "2", calls=["Model"])), DEVELOPMENT)

    assert steps(reply) == {"Model": KEPT, "Entry": (DeployAction.START, DeployReason.PACKAGE_CHANGED)}


def test_published_deployments_do_not_share_development_replicas() -> None:
    reply = plan(deployed(State(), MODEL, kind=DEVELOPMENT), manifest(MODEL), PUBLISHED)

    assert steps(reply)["Model"] == (DeployAction.START, DeployReason.NEW)


def test_another_entrypoint_is_a_change() -> None:
    state = deployed(State(), MODEL, package("Other"))

    reply = plan(state, manifest(MODEL, package("Other"), entrypoint="Model"), PUBLISHED)

    assert not reply.unchanged
    assert set(steps(reply).values()) == {KEPT}


def test_the_name_of_the_environment_counts_only_where_it_is_seen() -> None:
    blind, seeing = package("Blind"), package("Seeing", takes_context=True)
    state = deployed(State(), blind, seeing, environment="production")

    assert reusable_set(state, blind, "staging") is not None
    assert reusable_set(state, seeing, "staging") is None
    assert reusable_set(state, seeing, "production") is not None


def test_sets_that_nobody_needs_are_not_taken() -> None:
    state = changed(deployed(State(), MODEL), "d1", members=())

    assert reusable_set(state, MODEL, None) is None


def test_diagnostics_are_passed_on() -> None:
    found = (Diagnostic(code=Code.GPU_MISSING, message="no GPU"),)

    assert plan(State(), manifest(MODEL), PUBLISHED, diagnostics=found).diagnostics == found

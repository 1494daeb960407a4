"""State -> next state."""

from chains_platform import changes
from chains_platform.state import Member, State
from chains_protocol.control import DeploymentState
from chains_protocol.errors import Code, Diagnostic
from tests.unit.chains_platform.fakes import package
from tests.unit.chains_platform.states import DEVELOPMENT, changed, deployed

MODEL = package("Model")
ENTRY = package("Entry", calls=["Model"])
STATE = deployed(State(), MODEL, ENTRY, kind=DEVELOPMENT)


def prepared(state: State) -> State:
    new = state.sets["d1-Model"]
    replaced = {"Model": type(new)(**{**vars(new), "id": "m2", "package": package("Model", "2")})}
    return changes.prepare_version(state, "d1", 2, [package("Model", "2"), ENTRY], replaced)


def test_dropping_undoes_preparing() -> None:
    dropped = changes.drop_version(prepared(STATE), "d1", 2)

    assert dropped.deployments == STATE.deployments
    assert "m2" not in dropped.referenced_sets()


def test_a_committed_version_ends_the_members_it_replaced() -> None:
    state = changes.commit_version(prepared(STATE), "d1", 2, "Entry", (package("Model", "2"), ENTRY))

    record = state.deployments["d1"]
    assert record.version == 2
    assert record.members == (
        Member("Model", "d1-Model", 1, 2),
        Member("Entry", "d1-Entry", 1, None),
        Member("Model", "m2", 2, None),
    )
    found = [record.member("Model", v) for v in (1, 2)]
    assert [m.set_id for m in found if m] == ["d1-Model", "m2"]


def test_retiring_forgets_only_what_nobody_can_ask_for() -> None:
    state = changes.commit_version(prepared(STATE), "d1", 2, "Entry", (package("Model", "2"), ENTRY))

    assert changes.retire(state, "d1", 1) is state
    assert [m.set_id for m in changes.retire(state, "d1", 2).deployments["d1"].members] == [
        "d1-Entry",
        "m2",
    ]


def test_retiring_keeps_what_open_versions_use() -> None:
    state = changes.commit_version(prepared(STATE), "d1", 2, "Entry", (package("Model", "2"), ENTRY))

    assert changes.retire(state, "d1", 2, (1,)) is state
    assert [m.set_id for m in changes.retire(state, "d1", 3, (2,)).deployments["d1"].members] == [
        "d1-Entry",
        "m2",
    ]


def test_a_removed_chainlet_ends_with_its_edges() -> None:
    entry = package("Entry", "2")
    state = changes.prepare_version(STATE, "d1", 2, [entry], {})
    state = changes.commit_version(state, "d1", 2, "Entry", (entry,))

    record = state.deployments["d1"]
    assert record.member("Model") is None
    assert [e.until for e in record.edges] == [2]
    retired = changes.retire(state, "d1", 2).deployments["d1"]
    assert (retired.edges, [m.display_name for m in retired.members]) == ((), ["Entry"])


def test_a_failure_keeps_what_served_before() -> None:
    why = (Diagnostic(code=Code.INIT_FAILED, message="boom"),)

    record = changes.fail(prepared(STATE), "d1", 2, why).deployments["d1"]

    assert (record.state, record.is_live, record.version) == (DeploymentState.FAILED, True, 1)
    assert (record.members, record.diagnostics) == (STATE.deployments["d1"].members, why)


def three() -> State:
    state = State()
    for n in (1, 2, 3):
        state = deployed(state, package("Entry", str(n)), id=f"d{n}", at=float(n))
    return state


def test_older_deployments_are_superseded() -> None:
    assert set(changes.superseded(three(), "poems")) == {"d1", "d2"}


def test_what_an_environment_points_at_or_pointed_at_just_before_stays() -> None:
    state = changes.point(three(), "poems", "production", "d1", 0.0)
    assert changes.superseded(state, "poems") == ("d2",)

    state = changes.point(state, "poems", "production", "d2", 0.0)
    assert changes.superseded(state, "poems") == ()

    state = changes.point(state, "poems", "production", "d3", 0.0)
    assert changes.superseded(state, "poems") == ("d1",)


def test_after_a_rollback_the_way_forward_stays_warm() -> None:
    state = changes.point(three(), "poems", "production", "d1", 0.0)
    state = changes.point(state, "poems", "production", "d2", 0.0)

    state = changes.point_back(state, "poems", "production")

    record = state.environments["poems/production"]
    assert (record.deployment, record.former, record.left) == ("d1", None, "d2")
    assert changes.superseded(state, "poems") == ()


def test_a_newer_deployment_that_does_not_serve_supersedes_nothing() -> None:
    state = changed(three(), "d3", state=DeploymentState.FAILED, is_live=False)

    assert changes.superseded(state, "poems") == ("d1",)


def test_development_deployments_are_never_superseded() -> None:
    state = deployed(three(), MODEL, id="dev", kind=DEVELOPMENT, at=0.5)

    assert "dev" not in changes.superseded(state, "poems")


def test_pointing_where_it_points_is_no_move() -> None:
    state = changes.point(three(), "poems", "production", "d1", 1.0)

    assert changes.point(state, "poems", "production", "d1", 2.0) is state


def test_a_deleted_deployment_leaves_every_history() -> None:
    state = changes.point(three(), "poems", "production", "d1", 0.0)
    state = changes.point(state, "poems", "production", "d2", 0.0)

    state = changes.forget_deployment(state, "d1")

    record = state.environments["poems/production"]
    assert (record.deployment, record.former, record.left) == ("d2", None, None)
    assert [d.id for d in state.deployments_of("poems")] == ["d3", "d2"]

"""What a patch comes to."""

from typing import Any

import pytest

from chains_platform.patches.planning import (
    Beside,
    InPlace,
    find_conflicts,
    heavier,
    make_plan,
    next_packages,
)
from chains_platform.state import State
from chains_protocol.manifest import PackageManifest
from chains_protocol.patch import Action, ChainletPatch, JudgedStep, PatchRequest
from chains_protocol.replica import ReplicaState
from tests.unit.chains_platform.fakes import package
from tests.unit.chains_platform.states import DEVELOPMENT, deployed, set_replica

MODEL = package("Model")
ENTRY = package("Entry", calls=["Model"])
STATE = deployed(State(), MODEL, ENTRY, kind=DEVELOPMENT)
RECORD = STATE.deployments["d1"]


def request(*changed: tuple[PackageManifest, Action], **fields: Any) -> PatchRequest:
    return PatchRequest(
        **{
            "deployment": "d1",
            "base_version": 1,
            "base": {"Model": MODEL.digest, "Entry": ENTRY.digest},
            "entrypoint": "Entry",
            "chainlets": tuple(ChainletPatch(manifest=m, action=a) for m, a in changed),
            **fields,
        }
    )


def plan(state: State, *changed: tuple[PackageManifest, Action], **fields: Any) -> Any:
    asked = request(*changed, **fields)
    return make_plan(state, RECORD, asked, next_packages(RECORD, asked))


def test_the_right_base_has_no_conflict() -> None:
    assert find_conflicts(RECORD, request()) == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"base_version": 2},
        {"base": {}},
        {"base": {"Model": MODEL.digest}},
        {"base": {"Model": MODEL.digest, "Entry": "0" * 64}},
        {"base": {"Model": MODEL.digest, "Entry": ENTRY.digest, "More": ENTRY.digest}},
    ],
)
def test_any_other_base_has(fields: dict[str, Any]) -> None:
    assert find_conflicts(RECORD, request(**fields))


def test_packages_after_a_patch_are_in_order() -> None:
    speaker = package("Speaker")
    entry = package("Entry", "2", calls=["Model", "Speaker"])

    found = next_packages(RECORD, request((entry, Action.PATCHED), (speaker, Action.REDEPLOYED)))

    assert {p.spec.display_name for p in found[:2]} == {"Model", "Speaker"}
    assert found[2] == entry


def test_removed_chainlets_are_gone() -> None:
    entry = package("Entry", "2")

    found = plan(STATE, (entry, Action.PATCHED), removed=("Model",))

    assert found.packages == (entry,)
    assert found.removed == (MODEL,)


def test_light_actions_go_into_running_replicas() -> None:
    found = plan(
        STATE,
        (package("Model", "2"), Action.RELOADED),
        (package("Entry", "2", calls=["Model"]), Action.PATCHED),
    )

    assert [(s.display_name, s.set_id, s.base_digest, s.action) for s in found.in_place] == [
        ("Model", "d1-Model", MODEL.digest, Action.RELOADED),
        ("Entry", "d1-Entry", ENTRY.digest, Action.PATCHED),
    ]
    assert (found.version, found.beside) == (2, ())


@pytest.mark.parametrize("action", [Action.RESTARTED, Action.REBUILT, Action.REDEPLOYED])
def test_heavy_actions_start_new_replicas(action: Action) -> None:
    found = plan(STATE, (package("Model", "2"), action))

    assert [(s.display_name, s.action) for s in found.beside] == [("Model", action)]
    assert found.unchanged == ("Entry",)


@pytest.mark.parametrize(
    ("changed", "action", "word"),
    [
        (package("Model", env={"A": "1"}), Action.RESTARTED, "settings"),
        (package("Model", requirements=("numpy",)), Action.REBUILT, "environment"),
        (package("Speaker"), Action.REDEPLOYED, "new"),
    ],
)
def test_what_can_not_go_into_a_running_replica_never_does(
    changed: PackageManifest, action: Action, word: str
) -> None:
    (step,) = plan(STATE, (changed, Action.PATCHED)).beside

    assert step.action is action
    assert word in step.reasons[-1]


def test_without_a_ready_replica_new_ones_start() -> None:
    state = set_replica(STATE, "r-d1-Model-0", state=ReplicaState.UNHEALTHY)

    (step,) = plan(state, (package("Model", "2"), Action.PATCHED)).beside

    assert step.action is Action.RESTARTED


def test_unchanged_with_other_bytes_still_brings_them() -> None:
    (step,) = plan(STATE, (package("Model", "# 2"), Action.UNCHANGED)).in_place

    assert step.action is Action.PATCHED


def test_unchanged_with_equal_bytes_is_nothing() -> None:
    found = plan(STATE, (MODEL, Action.UNCHANGED))

    assert (found.in_place, found.beside, found.unchanged) == ((), (), ("Model", "Entry"))


def test_a_step_only_gets_heavier() -> None:
    step = InPlace("Model", "s", MODEL.digest, MODEL, Action.RELOADED, ("a",))

    assert heavier(step, Action.PATCHED, ("b", "a")) == InPlace(
        "Model", "s", MODEL.digest, MODEL, Action.RELOADED, ("a", "b")
    )
    assert heavier(step, Action.RESTARTED, ("b",)) == Beside("Model", MODEL, Action.RESTARTED, ("a", "b"))


def test_what_was_judged_goes_on_to_the_replicas() -> None:
    changed = package("Model", "2")
    judged = JudgedStep(analysis="a", before=MODEL.digest, after=changed.digest, action=Action.PATCHED)
    asked = request(chainlets=(ChainletPatch(manifest=changed, action=Action.PATCHED, judged=judged),))

    (step,) = make_plan(STATE, RECORD, asked, next_packages(RECORD, asked)).in_place
    grown = heavier(step, Action.RELOADED, ("b",))

    assert isinstance(grown, InPlace)
    assert (step.judged, grown.judged) == (judged, judged)

"""Plans are data with reasons; the executor does what they say, through a remote."""

import json
from collections.abc import Mapping

import pytest

from chains_cli.packaging.package import ChainPackages, Package, make_package
from chains_cli.packaging.reader import Content
from chains_cli.planning.events import Deployed, Patched, PlanEvent, StepStarted, UploadProgress
from chains_cli.planning.executor import Outcome, execute
from chains_cli.planning.plan import (
    Deploy,
    KeepChainlet,
    Patch,
    PatchChainlet,
    Plan,
    Promote,
    StartChainlet,
    StopChainlet,
    UploadBlobs,
    format_bytes,
)
from chains_cli.planning.planner import (
    INLINE_BLOB_BYTES,
    ChainletChange,
    DeployWish,
    make_patch_plan,
    make_plan,
    plan_request,
)
from chains_cli.remotes.memory import MemoryRemote
from chains_protocol.control import (
    DeployAction,
    DeploymentInfo,
    DeploymentKind,
    DeploymentState,
    DeployReason,
    PackageReply,
    PlannedChainlet,
    PlanReply,
)
from chains_protocol.digest import bytes_digest
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Severity
from chains_protocol.manifest import EnvironmentSpec
from chains_protocol.patch import Action
from chains_protocol.spec import ChainletSpec

ENVIRONMENT = EnvironmentSpec(python_version="3.12")


def package(name: str, source: bytes = b"X = 1\n", **files: bytes) -> Package:
    spec = ChainletSpec(class_name=name, display_name=name, module="chain", qualname=name, file="chain.py")
    contents = {"packages/chain.py": Content(source), **{k: Content(v) for k, v in files.items()}}
    return make_package({**contents, "chains.json": Content(name.encode())}, spec, ENVIRONMENT)


def packages(*found: Package) -> ChainPackages:
    return ChainPackages("poems", found[-1].display_name, found)


def deployment(**fields: object) -> DeploymentInfo:
    given = {
        "id": "d1",
        "chain_name": "poems",
        "kind": DeploymentKind.PUBLISHED,
        "state": DeploymentState.ACTIVE,
        "entrypoint": "Poet",
        "created_at": 1.0,
        **fields,
    }
    return DeploymentInfo.model_validate(given)


def planned(name: str, action: DeployAction, reason: DeployReason, ready: bool = True) -> PlannedChainlet:
    return PlannedChainlet(
        display_name=name, action=action, reason=reason, package_digest="a" * 64, environment_ready=ready
    )


TWO = packages(package("Words", b"A"), package("Poet", b"B"))


# --- the planner


def test_a_plan_uploads_what_is_missing_says_what_happens_to_each_chainlet_and_deploys() -> None:
    missing = (bytes_digest(b"A"), bytes_digest(b"Words"))
    reply = PlanReply(
        chainlets=(
            planned("Words", DeployAction.START, DeployReason.PACKAGE_CHANGED, ready=False),
            planned("Poet", DeployAction.KEEP, DeployReason.SAME_DIGEST),
            planned("Old", DeployAction.STOP, DeployReason.REMOVED),
        ),
        missing_blobs=missing,
        current_deployment="d0",
    )
    wish = DeployWish(deployment_name="v2", environment="production", user_root="/home/me/chain")
    plan = make_plan(TWO, reply, wish)
    upload, words, poet, old, deploy, promote = plan.steps
    assert upload == UploadBlobs(missing, 6)
    assert words == StartChainlet("Words", DeployReason.PACKAGE_CHANGED, "a" * 64, builds_environment=True)
    assert poet == KeepChainlet("Poet", DeployReason.SAME_DIGEST, "a" * 64)
    assert old == StopChainlet("Old", DeployReason.REMOVED, "a" * 64)
    assert isinstance(deploy, Deploy)
    assert deploy.request.manifest == TWO.manifest
    assert (deploy.request.deployment_name, deploy.request.user_root) == ("v2", "/home/me/chain")
    assert promote == Promote("poems", "production")
    assert plan.describe() == (
        "upload 2 file(s), 6 B",
        "start Words: its package changed; its environment is built first",
        "keep Poet: same package and settings run already",
        "stop Old: no longer part of the chain",
        "deploy poems (published) as v2",
        "promote it to production when it is active",
    )


def test_an_unchanged_chain_has_nothing_to_do() -> None:
    reply = PlanReply(
        chainlets=(planned("Poet", DeployAction.KEEP, DeployReason.SAME_DIGEST),),
        current_deployment="d1",
        unchanged=True,
    )
    plan = make_plan(TWO, reply)
    assert plan.unchanged
    assert plan.describe() == (
        "keep Poet: same package and settings run already",
        "nothing to do: this is what runs already",
    )


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        (deployment(environments=("production",)), True),
        (deployment(environments=("staging",)), False),
        (None, False),
    ],
)
def test_the_wished_environment_is_part_of_unchanged(current: DeploymentInfo | None, expected: bool) -> None:
    reply = PlanReply(chainlets=(), current_deployment="d1", unchanged=True, current=current)
    plan = make_plan(TWO, reply, DeployWish(environment="production"))
    assert plan.unchanged is expected
    assert any(isinstance(step, Deploy) for step in plan.steps) is not expected


def test_what_the_remote_refuses_has_no_steps() -> None:
    refusal = Diagnostic(code=Code.GPU_MISSING, message="no GPU here")
    warning = Diagnostic(code=Code.TARGET_MISMATCH, message="3.12", severity=Severity.WARNING)
    reply = PlanReply(chainlets=(), missing_blobs=("a" * 64,), diagnostics=(refusal, warning))
    plan = make_plan(TWO, reply)
    assert (plan.steps, plan.diagnostics) == ((), (refusal, warning))
    with pytest.raises(DiagnosticsError) as caught:
        execute(plan, TWO, MemoryRemote(), lambda event: None)
    assert caught.value.diagnostics == (refusal,)


def test_a_plan_is_json() -> None:
    reply = PlanReply(
        chainlets=(planned("Poet", DeployAction.START, DeployReason.NEW),),
        missing_blobs=(bytes_digest(b"B"),),
        diagnostics=(Diagnostic(code=Code.TARGET_MISMATCH, message="m", severity=Severity.WARNING),),
    )
    plan = make_plan(TWO, reply, DeployWish(environment="staging"))
    assert json.loads(json.dumps(plan.to_json())) == {
        "chain_name": "poems",
        "current_deployment": None,
        "unchanged": False,
        "steps": [
            {"type": "upload", "digests": [bytes_digest(b"B")], "size_bytes": 1},
            {
                "type": "start",
                "display_name": "Poet",
                "reason": "not running yet",
                "package_digest": "a" * 64,
                "builds_environment": False,
            },
            {
                "type": "deploy",
                "chain_name": "poems",
                "kind": "published",
                "deployment_name": None,
                "environment": "staging",
            },
            {"type": "promote", "chain_name": "poems", "environment": "staging"},
        ],
        "diagnostics": [{"code": "CH311", "message": "m", "severity": "warning"}],
    }


def test_the_request_before_a_plan_carries_the_wish() -> None:
    wish = DeployWish(kind=DeploymentKind.DEVELOPMENT, allow_missing=("gpu",))
    request = plan_request(TWO, wish)
    assert (request.manifest, request.kind, request.allow_missing) == (TWO.manifest, wish.kind, ("gpu",))


# --- patches


def base_of(found: ChainPackages) -> PackageReply:
    return PackageReply(deployment="dev", version=4, manifest=found.manifest)


def patch_step(plan: Plan) -> Patch:
    return next(step for step in plan.steps if isinstance(step, Patch))


def test_a_patch_names_its_base_and_sends_only_what_changed() -> None:
    after = packages(package("Words", b"A"), package("Poet", b"B2"))
    change = ChainletChange(Action.PATCHED, ("`run_remote` changed",))
    plan = make_patch_plan(after, base_of(TWO), {"Poet": change}, smoke={"x": 1})
    keep, patched, send = plan.steps
    assert keep == KeepChainlet("Words", DeployReason.SAME_DIGEST, after.package("Words").manifest.digest)
    assert patched == PatchChainlet(
        "Poet", Action.PATCHED, ("`run_remote` changed",), after.package("Poet").manifest.digest
    )
    assert isinstance(send, Patch)
    request = send.request
    assert (request.deployment, request.base_version, request.smoke) == ("dev", 4, {"x": 1})
    assert request.base == {p.display_name: p.manifest.digest for p in TWO}
    assert [c.manifest.spec.display_name for c in request.chainlets] == ["Poet"]
    assert request.blobs == {bytes_digest(b"B2"): b"B2"}
    assert plan.describe()[1:] == ("patch Poet: `run_remote` changed", "patch poems from version 4")


def test_large_contents_are_uploaded_before_the_patch() -> None:
    large = b"x" * (INLINE_BLOB_BYTES + 1)
    after = packages(package("Words", b"A"), package("Poet", b"B", **{"data/w.bin": large}))
    plan = make_patch_plan(after, base_of(TWO), {})
    assert plan.steps[0] == UploadBlobs((bytes_digest(large),), len(large))
    assert patch_step(plan).request.blobs == {}


def test_what_nobody_judged_is_restarted_and_what_is_new_is_redeployed() -> None:
    after = packages(package("New", b"N"), package("Words", b"A2"), package("Poet", b"B"))
    request = patch_step(
        make_patch_plan(after, base_of(TWO), {"Poet": ChainletChange(Action.PATCHED)})
    ).request
    assert {c.manifest.spec.display_name: c.action for c in request.chainlets} == {
        "New": Action.REDEPLOYED,
        "Words": Action.RESTARTED,
    }


def test_a_chainlet_that_is_gone_is_removed() -> None:
    after = packages(package("Poet", b"B"))
    plan = make_patch_plan(after, base_of(TWO), {})
    assert patch_step(plan).request.removed == ("Words",)
    assert any(isinstance(s, StopChainlet) and s.display_name == "Words" for s in plan.steps)


def test_settings_that_files_do_not_show_count_as_a_change() -> None:
    before = package("Poet", b"B")
    environment = EnvironmentSpec(python_version="3.13")
    after = Package(before.files, before.manifest.model_copy(update={"environment": environment}))
    plan = make_patch_plan(packages(after), base_of(packages(before)), {})
    assert [c.action for c in patch_step(plan).request.chainlets] == [Action.RESTARTED]


def test_the_same_again_is_no_patch() -> None:
    plan = make_patch_plan(TWO, base_of(TWO), {})
    assert plan.unchanged
    assert {type(step) for step in plan.steps} == {KeepChainlet}


# --- the executor


def test_the_executor_uploads_deploys_and_reports() -> None:
    remote = MemoryRemote()
    wish = DeployWish(environment="production")
    plan = make_plan(TWO, remote.plan("poems", plan_request(TWO, wish)), wish)
    events: list[PlanEvent] = []
    outcome = execute(plan, TWO, remote, events.append)
    assert outcome.deployment is not None and outcome.deployment.chain_name == "poems"
    assert set(remote.blobs) == {e.digest for p in TWO.manifest.packages for e in p.files}
    progress = [e for e in events if isinstance(e, UploadProgress)]
    total = sum(map(len, remote.blobs.values()))
    assert (progress[0].done_bytes, progress[-1].done_bytes) == (0, total)
    assert {(e.total_bytes, e.files) for e in progress} == {(total, len(remote.blobs))}
    assert [type(e.step) for e in events if isinstance(e, StepStarted)] == [type(s) for s in plan.steps]
    assert [e.deployment.id for e in events if isinstance(e, Deployed)] == [outcome.deployment.id]
    assert remote.deployment("poems", "latest").environments == ("production",)


class CountingRemote(MemoryRemote):
    """Counts the requests that would go over a wire."""

    asked: list[str]

    def deployment(self, chain: str, selector: str) -> DeploymentInfo:
        self.asked.append("deployment")
        return MemoryRemote.deployment(self, chain, selector)


def test_an_unchanged_plan_asks_the_remote_nothing_more() -> None:
    remote = CountingRemote()
    remote.asked = []
    first = execute(make_plan(TWO, remote.plan("poems", plan_request(TWO, DeployWish()))), TWO, remote, print)
    again = make_plan(TWO, remote.plan("poems", plan_request(TWO, DeployWish())))
    outcome = execute(again, TWO, remote, lambda event: None)
    assert first.deployment is not None and outcome.deployment is not None
    assert outcome.deployment.id == first.deployment.id
    assert remote.asked == []


def test_an_unchanged_plan_without_the_deployment_looks_it_up() -> None:
    remote = MemoryRemote()
    reply = remote.plan("poems", plan_request(TWO, DeployWish()))
    execute(make_plan(TWO, reply), TWO, remote, lambda event: None)
    unchanged = remote.plan("poems", plan_request(TWO, DeployWish()))
    plan = make_plan(TWO, unchanged.model_copy(update={"current": None}))
    outcome = execute(plan, TWO, remote, lambda event: None)
    assert outcome.deployment is not None and outcome.deployment.id == unchanged.current_deployment


def test_the_executor_sends_a_patch() -> None:
    remote = MemoryRemote()
    wish = DeployWish(kind=DeploymentKind.DEVELOPMENT)
    execute(make_plan(TWO, remote.plan("poems", plan_request(TWO, wish)), wish), TWO, remote, lambda e: None)
    after = packages(package("Words", b"A"), package("Poet", b"B2"))
    plan = make_patch_plan(
        after, remote.manifest("poems", "development"), {"Poet": ChainletChange(Action.PATCHED)}
    )
    events: list[PlanEvent] = []
    outcome = execute(plan, after, remote, events.append)
    assert outcome.patch is not None and (outcome.patch.committed, outcome.patch.version) == (True, 2)
    assert [e.outcome for e in events if isinstance(e, Patched)] == [outcome.patch]
    assert outcome == Outcome(patch=outcome.patch)


def test_a_failing_remote_ends_the_execution_at_its_step() -> None:
    class Broken(MemoryRemote):
        def upload(self, blobs: Mapping[str, bytes], progress: object = None) -> int:
            raise DiagnosticsError([Diagnostic(code=Code.REMOTE_UNREACHABLE, message="gone")])

    remote = Broken()
    plan = make_plan(TWO, remote.plan("poems", plan_request(TWO, DeployWish())))
    with pytest.raises(DiagnosticsError):
        execute(plan, TWO, remote, lambda event: None)
    assert remote.chains().chains == ()


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (5 * 10**12, "5000.0 GB")],
)
def test_sizes_for_people(count: int, text: str) -> None:
    assert format_bytes(count) == text

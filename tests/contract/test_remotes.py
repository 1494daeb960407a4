"""What every remote does. The fake may not lie: the same tests run against the real platform (`-m e2e`)."""

import json
from collections.abc import Callable

import pytest

from chains_cli.packaging.package import ChainPackages
from chains_cli.planning.executor import execute
from chains_cli.planning.plan import Deploy, KeepChainlet, Patch, Plan, UploadBlobs
from chains_cli.planning.planner import ChainletChange, DeployWish, make_patch_plan, make_plan, plan_request
from chains_cli.remotes.remote import Remote
from chains_protocol.control import (
    DeployAction,
    DeploymentInfo,
    DeploymentKind,
    DeploymentState,
    DeployReason,
    DeployRequest,
    EventKind,
    GcRequest,
    PlanRequest,
)
from chains_protocol.digest import bytes_digest
from chains_protocol.errors import Code, DiagnosticsError
from chains_protocol.patch import Action, PatchRequest
from chains_protocol.version import PROTOCOL_VERSION
from tests.contract.conftest import Build, Deployed, settled

Deploying = Callable[..., Deployed]


def refused(action: Callable[..., object], *arguments: object, **options: object) -> set[Code]:
    with pytest.raises(DiagnosticsError) as caught:
        action(*arguments, **options)
    return {d.code for d in caught.value.diagnostics}


def plan_of(remote: Remote, packages: ChainPackages, kind: DeploymentKind = DeploymentKind.PUBLISHED):  # type: ignore[no-untyped-def]
    return remote.plan(packages.chain_name, PlanRequest(manifest=packages.manifest, kind=kind))


def all_digests(packages: ChainPackages) -> set[str]:
    return {entry.digest for p in packages.manifest.packages for entry in p.files}


def call(remote: Remote, chain: str, selector: str, data: object) -> object:
    with remote.call(chain, selector, json.dumps(data).encode()) as reply:
        assert reply.is_success and reply.is_json, reply.read()
        return json.loads(reply.read())


# --- health, blobs, plan


def test_health_tells_protocol_and_gateway(remote: Remote) -> None:
    health = remote.health()
    assert (health.ok, health.protocol) == (True, PROTOCOL_VERSION)
    assert health.instance and health.gateway_url


def test_the_plan_of_a_new_chain_starts_everything_and_names_what_is_missing(
    remote: Remote, build: Build
) -> None:
    packages = build(step=101)
    reply = plan_of(remote, packages)
    assert [(c.display_name, c.action, c.reason) for c in reply.chainlets] == [
        ("Low", DeployAction.START, DeployReason.NEW),
        ("High", DeployAction.START, DeployReason.NEW),
    ]
    source = packages.package("Low").manifest
    changed = next(e.digest for e in source.files if e.path == "packages/chain.py")
    assert changed in reply.missing_blobs
    assert set(reply.missing_blobs) <= all_digests(packages)
    assert (reply.unchanged, reply.current_deployment) == (False, None)


def test_a_plan_changes_nothing(remote: Remote, build: Build) -> None:
    packages = build()
    plan_of(remote, packages)
    assert refused(remote.chain, packages.chain_name) == {Code.UNKNOWN_CHAIN}


def test_uploaded_blobs_are_not_missing_any_more(remote: Remote, build: Build) -> None:
    packages = build(step=102)
    missing = plan_of(remote, packages).missing_blobs
    blobs = packages.blobs(missing)
    seen: list[int] = []
    sent = remote.upload(blobs, seen.append)
    assert sent == sum(map(len, blobs.values())) == seen[-1]
    assert seen == sorted(seen)
    assert plan_of(remote, packages).missing_blobs == ()
    remote.upload(blobs)


def test_a_blob_is_given_back(remote: Remote) -> None:
    data = b"something of its own, test 103"
    remote.upload({bytes_digest(data): data})

    assert remote.blob(bytes_digest(data)) == data
    assert refused(remote.blob, "0" * 64) == {Code.BAD_REQUEST}


def test_what_no_deployment_needs_is_collected(remote: Remote, build: Build, deploy: Deploying) -> None:
    kept = build(step=111)
    deploy(kept)
    stray = b"nobody names this, test 111"
    remote.upload({bytes_digest(stray): stray})
    would = remote.collect(GcRequest(older_than_s=0, dry_run=True))
    assert would.blobs >= 1 and would.freed_bytes >= len(stray)
    assert remote.collect(GcRequest()).blobs == 0, "it is too young by default"
    assert remote.collect(GcRequest(older_than_s=0)).blobs == would.blobs
    assert plan_of(remote, kept).missing_blobs == ()
    assert remote.collect(GcRequest(older_than_s=0)).blobs == 0


def test_a_blob_that_is_not_what_it_claims_is_refused(remote: Remote) -> None:
    assert refused(remote.upload, {"0" * 64: b"something else"}) <= {Code.BLOB_MISMATCH, Code.BAD_REQUEST}


def test_a_large_blob_arrives(remote: Remote, build: Build) -> None:
    """Larger than what one request carries together with others."""
    data = bytes(range(256)) * (9 * 1024 * 1024 // 256)
    assert remote.upload({bytes_digest(data): data}) == len(data)


def test_a_deployment_needs_its_blobs(remote: Remote, build: Build) -> None:
    packages = build(step=103)
    request = DeployRequest(manifest=packages.manifest)
    assert refused(remote.deploy, packages.chain_name, request) == {Code.BAD_REQUEST}


def test_a_forged_manifest_is_refused(remote: Remote, build: Build) -> None:
    packages = build()
    first, *rest = packages.manifest.packages
    forged = packages.manifest.model_copy(
        update={"packages": (first.model_copy(update={"digest": "0" * 64}), *rest)}
    )
    request = PlanRequest(manifest=forged)
    assert refused(remote.plan, packages.chain_name, request) == {Code.BLOB_MISMATCH}
    assert refused(remote.plan, "another-name", PlanRequest(manifest=packages.manifest)) == {Code.BAD_REQUEST}


# --- deployments


def test_a_deployment_becomes_active_and_answers(remote: Remote, build: Build, deploy: Deploying) -> None:
    packages = build()
    info = deploy(packages).info
    assert (info.state, info.kind, info.version) == (
        DeploymentState.ACTIVE,
        DeploymentKind.PUBLISHED,
        1,
    )
    assert (info.chain_name, info.entrypoint) == (packages.chain_name, "High")
    assert {c.display_name: c.is_entrypoint for c in info.chainlets} == {"Low": False, "High": True}
    assert info.run_remote_url.endswith(f"/chains/{packages.chain_name}/deployment/{info.id}/run_remote")
    assert info.input_schema["required"] == ["x"]
    for selector in (f"deployment/{info.id}", "latest"):
        assert call(remote, packages.chain_name, selector, {"x": 1}) == 20


def test_the_same_again_changes_nothing(remote: Remote, build: Build, deploy: Deploying) -> None:
    packages = build()
    first = deploy(packages).info
    reply = plan_of(remote, packages)
    assert reply.unchanged and reply.current_deployment == first.id
    assert {c.action for c in reply.chainlets} == {DeployAction.KEEP}
    again = remote.deploy(packages.chain_name, DeployRequest(manifest=packages.manifest))
    assert (again.id, again.state) == (first.id, DeploymentState.ACTIVE)
    assert len(remote.chain(packages.chain_name).deployments) == 1


def test_a_changed_package_is_a_new_deployment(remote: Remote, build: Build, deploy: Deploying) -> None:
    first = deploy(build()).info
    packages = build(step=2)
    reply = plan_of(remote, packages)
    assert {(c.action, c.reason) for c in reply.chainlets} == {
        (DeployAction.START, DeployReason.PACKAGE_CHANGED)
    }
    second = deploy(packages).info
    assert second.id != first.id
    found = remote.chain(packages.chain_name).deployments
    assert [d.id for d in found] == [second.id, first.id]
    assert {d.id: d.state for d in found} == {
        second.id: DeploymentState.ACTIVE,
        first.id: DeploymentState.INACTIVE,
    }
    assert remote.deployment(packages.chain_name, "latest").id == second.id


def test_a_chainlet_that_is_gone_is_stopped(remote: Remote, build: Build, deploy: Deploying) -> None:
    deploy(build())
    reply = plan_of(remote, build(entrypoint="Low"))
    assert {c.display_name: (c.action, c.reason) for c in reply.chainlets} == {
        "Low": (DeployAction.KEEP, DeployReason.SAME_DIGEST),
        "High": (DeployAction.STOP, DeployReason.REMOVED),
    }


def test_the_manifest_is_what_was_deployed(remote: Remote, build: Build, deploy: Deploying) -> None:
    done = deploy(build())
    reply = remote.manifest(done.packages.chain_name, done.info.id)
    assert (reply.deployment, reply.version) == (done.info.id, 1)
    assert reply.manifest == done.packages.manifest


def test_what_is_unknown_is_said_so(remote: Remote, build: Build, deploy: Deploying) -> None:
    assert refused(remote.chain, "no-such-chain") == {Code.UNKNOWN_CHAIN}
    assert refused(remote.deployment, "no-such-chain", "latest") == {Code.UNKNOWN_CHAIN}
    chain = deploy(build()).packages.chain_name
    assert refused(remote.deployment, chain, "nope") == {Code.UNKNOWN_DEPLOYMENT}
    assert refused(remote.deployment, chain, "development") == {Code.UNKNOWN_DEPLOYMENT}
    assert refused(remote.manifest, chain, "nope") == {Code.UNKNOWN_DEPLOYMENT}
    assert refused(list, remote.events(chain, "nope", follow=False)) == {Code.UNKNOWN_DEPLOYMENT}
    assert refused(list, remote.logs(chain, "latest", chainlet="Nope")) == {Code.UNKNOWN_CHAINLET}
    assert refused(remote.promote, chain, "production", "nope") == {Code.UNKNOWN_DEPLOYMENT}
    assert refused(remote.rollback, chain, "production") == {Code.UNKNOWN_ENVIRONMENT}


def test_all_chains_are_listed(remote: Remote, build: Build, deploy: Deploying) -> None:
    chain = deploy(build()).packages.chain_name
    listed = [c.name for c in remote.chains().chains]
    assert chain in listed
    assert listed == sorted(listed)


# --- events and logs


def test_events_tell_the_states_and_can_be_resumed(remote: Remote, build: Build, deploy: Deploying) -> None:
    done = deploy(build())
    chain, deployment = done.packages.chain_name, done.info.id
    events = list(remote.events(chain, deployment, follow=False))
    ids = [e.id for e in events]
    assert ids == sorted(set(ids))
    states = [e.data["state"] for e in events if e.kind is EventKind.DEPLOYMENT_STATE]
    assert (states[0], states[-1]) == ("queued", "active")
    assert {e.deployment for e in events} == {deployment}
    rest = list(remote.events(chain, deployment, after=ids[0], follow=False))
    assert rest == events[1:]


def test_logs_end_when_nobody_follows(remote: Remote, build: Build, deploy: Deploying) -> None:
    done = deploy(build())
    lines = list(remote.logs(done.packages.chain_name, done.info.id))
    assert all(line.chainlet in ("Low", "High") for line in lines)


# --- environments


def test_environments_are_pointed_promoted_and_rolled_back(
    remote: Remote, build: Build, deploy: Deploying
) -> None:
    first = deploy(build(), environment="production").info
    assert first.environments == ("production",)
    second = deploy(build(step=2), environment="production").info
    chain = second.chain_name
    assert remote.deployment(chain, second.id).environments == ("production",)
    assert remote.deployment(chain, first.id).environments == ()
    back = remote.rollback(chain, "production")
    assert (back.id, back.environments, back.state) == (first.id, ("production",), DeploymentState.ACTIVE)
    assert call(remote, chain, "production", {"x": 1}) == 20
    assert refused(remote.rollback, chain, "production") == {Code.UNKNOWN_ENVIRONMENT}
    staged = remote.promote(chain, "staging", second.id)
    assert staged.environments == ("staging",)
    assert staged.environment_url.endswith(f"/chains/{chain}/environments/staging/run_remote")
    again = remote.promote(chain, "staging", second.id)
    assert again.environments == ("staging",)


def test_a_deployment_that_is_in_use_is_not_deleted(remote: Remote, build: Build, deploy: Deploying) -> None:
    first = deploy(build(), environment="production").info
    second = deploy(build(step=2)).info
    chain = first.chain_name
    assert refused(remote.delete_deployment, chain, first.id) == {Code.BAD_REQUEST}
    remote.delete_deployment(chain, second.id)
    assert refused(remote.deployment, chain, second.id) == {Code.UNKNOWN_DEPLOYMENT}
    remote.delete_chain(chain)
    assert refused(remote.chain, chain) == {Code.UNKNOWN_CHAIN}
    assert refused(remote.delete_chain, chain) == {Code.UNKNOWN_CHAIN}


# --- the development deployment


def test_a_patch_makes_a_new_version_of_the_development_deployment(
    remote: Remote, build: Build, deploy: Deploying
) -> None:
    done = deploy(build(), kind=DeploymentKind.DEVELOPMENT)
    chain = done.packages.chain_name
    assert (done.info.kind, done.info.run_remote_url.rsplit("/", 2)[1]) == (
        DeploymentKind.DEVELOPMENT,
        "development",
    )
    base = remote.manifest(chain, "development")
    packages = build(step=1)
    edited = build(step=1)
    assert packages == edited
    after = build(step=2)
    changes = {name: ChainletChange(Action.RESTARTED, ("test",)) for name in ("Low", "High")}
    plan = make_patch_plan(after, base, changes)
    outcome = execute(plan, after, remote, lambda event: None).patch
    assert outcome is not None and outcome.committed, outcome
    assert outcome.version == base.version + 1
    assert {c.display_name: c.package_digest for c in outcome.chainlets} == {
        p.display_name: p.manifest.digest for p in after
    }
    assert remote.manifest(chain, "development").manifest == after.manifest
    stale = next(s for s in plan.steps if isinstance(s, Patch)).request
    assert refused(remote.patch, chain, stale) == {Code.STALE_BASE}


def test_giving_up_a_patch_that_is_not_under_way_does_nothing(
    remote: Remote, build: Build, deploy: Deploying
) -> None:
    chain = deploy(build(), kind=DeploymentKind.DEVELOPMENT).packages.chain_name
    version = remote.deployment(chain, "development").version
    remote.give_up(chain, "unknown")
    assert remote.deployment(chain, "development").version == version


def test_a_patch_of_a_published_deployment_is_refused(
    remote: Remote, build: Build, deploy: Deploying
) -> None:
    done = deploy(build())
    base = {p.display_name: p.manifest.digest for p in done.packages}
    request = PatchRequest(deployment=done.info.id, base_version=1, base=base, entrypoint="High")
    assert refused(remote.patch, done.packages.chain_name, request) == {Code.NOT_DEVELOPMENT}


def test_development_cannot_be_promoted(remote: Remote, build: Build, deploy: Deploying) -> None:
    done = deploy(build(), kind=DeploymentKind.DEVELOPMENT)
    chain = done.packages.chain_name
    assert refused(remote.promote, chain, "production", done.info.id) == {Code.BAD_REQUEST}


def test_the_first_development_deployment_starts_its_own_replicas(
    remote: Remote, build: Build, deploy: Deploying
) -> None:
    done = deploy(build())
    reply = plan_of(remote, done.packages, DeploymentKind.DEVELOPMENT)
    assert {(c.action, c.reason) for c in reply.chainlets} == {(DeployAction.START, DeployReason.DEVELOPMENT)}


# --- a push, whole


def push(remote: Remote, packages: ChainPackages, wish: DeployWish) -> tuple[Plan, DeploymentInfo]:
    plan = make_plan(packages, remote.plan(packages.chain_name, plan_request(packages, wish)), wish)
    outcome = execute(plan, packages, remote, lambda event: None)
    assert outcome.deployment is not None
    return plan, settled(remote, outcome.deployment)


def test_a_push_of_an_unchanged_chain_sends_nothing(remote: Remote, build: Build) -> None:
    packages = build(step=201)
    plan, first = push(remote, packages, DeployWish())
    assert {type(step) for step in plan.steps} >= {UploadBlobs, Deploy}
    again, second = push(remote, packages, DeployWish())
    assert again.unchanged
    assert {type(step) for step in again.steps} == {KeepChainlet}
    assert again.current is not None and again.current.id == first.id, "nothing more has to be asked"
    assert second.id == first.id
    changed, third = push(remote, build(step=202), DeployWish())
    assert {type(step) for step in changed.steps} >= {UploadBlobs, Deploy}
    assert third.id != first.id


def test_a_push_of_an_unchanged_chain_to_its_environment_is_the_same_deployment(
    remote: Remote, build: Build
) -> None:
    packages = build()
    wish = DeployWish(environment="production")
    _, first = push(remote, packages, wish)
    again, second = push(remote, packages, wish)
    assert not any(isinstance(step, UploadBlobs) for step in again.steps)
    assert (second.id, second.environments) == (first.id, ("production",))


# --- calls


def test_a_stream_arrives_whole(remote: Remote, build: Build, deploy: Deploying) -> None:
    info = deploy(build(entrypoint="Words")).info
    assert info.is_streaming
    with remote.call(info.chain_name, "latest", b'{"count": 3}') as reply:
        assert reply.is_success
        assert b"".join(reply.chunks) == b"word 0 word 1 word 2 "


def test_a_call_of_nothing_is_an_answer_not_a_failure(remote: Remote) -> None:
    with remote.call("no-such-chain", "production", b"{}") as reply:
        assert reply.status == 404
        assert not reply.is_success


# --- secrets


def test_secrets_are_named_and_never_shown(remote: Remote) -> None:
    remote.set_secret("contract_b", "x")
    remote.set_secret("contract_a", "y")
    remote.set_secret("contract_a", "z")
    names = [n for n in remote.secrets().names if n.startswith("contract_")]
    assert names == ["contract_a", "contract_b"]
    remote.delete_secret("contract_a")
    assert "contract_a" not in remote.secrets().names
    assert refused(remote.delete_secret, "contract_a") == {Code.BAD_REQUEST}

"""Random lives of a chain: whatever happens, every request finds exactly the code it should.

After every step a request is followed through the tables, as gateway and replicas would:
from the gateway's target over every hop, with the tokens that are sent and accepted.
"""

import random
from collections.abc import Awaitable, Callable

import pytest

from chains_platform.state import DeploymentRecord, State
from chains_protocol.control import DeploymentState
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from chains_protocol.manifest import ChainManifest, PackageManifest
from chains_protocol.patch import Action
from chains_protocol.replica import PrepareReply, ReplicaState
from chains_protocol.routes import ReplicaSet, choose_set
from tests.unit.chains_platform.conftest import Plane
from tests.unit.chains_platform.fakes import FakeReplica, manifest, package
from tests.unit.chains_platform.test_patches import patch

STEPS = 25
EVERY_ACTION = [Action.PATCHED, Action.RELOADED, Action.RESTARTED, Action.REDEPLOYED]


class Life:
    """Takes random steps and checks what must always hold."""

    def __init__(self, plane: Plane, seed: int) -> None:
        self.plane = plane
        self.random = random.Random(seed)  # noqa: S311 (a repeatable story, no secret)
        self.story: list[str] = []

    # --- steps

    def chain(self) -> ChainManifest:
        code = [str(self.random.randrange(3)) for _ in range(4)]
        packages = [package("Model", code[0], replicas=self.random.choice([1, 1, 2]))]
        calls = ["Model"]
        if self.random.random() < 0.5:
            packages.append(package("Helper", code[1], calls=["Model"]))
            calls.append("Helper")
        return manifest(*packages, package("Entry", code[2], calls=calls))

    async def step(self, *, gentle: bool = False) -> None:
        """One random step; a gentle one takes nothing away from a request that is open."""
        steps: list[Callable[[], Awaitable[None]]] = [
            self.push,
            self.develop,
            self.patch,
            self.patch,
            self.patch,
            self.restart,
            self.promote,
            self.rollback,
        ]
        steps += [] if gentle else [self.kill, self.delete]
        chosen = self.random.choice(steps)
        self.story.append(chosen.__name__)
        try:
            await chosen()
        except DiagnosticsError as refused:
            self.story.append(f"refused: {refused}")

    async def push(self) -> None:
        self._perhaps_fail()
        environment = self.random.choice([None, "production", "staging"])
        await self.plane.push(self.chain(), environment=environment)

    async def develop(self) -> None:
        self._perhaps_fail()
        await self.plane.develop(self.chain())

    async def patch(self) -> None:
        record = self.plane.state.development_of("poems")
        if record is None:
            return
        after = self.chain()
        self._perhaps_fail()
        changed = [p for p in after.packages if p != record.package(p.spec.display_name)]
        steps = [(p, self.random.choice(EVERY_ACTION)) for p in changed]
        names = {p.spec.display_name for p in after.packages}
        removed = tuple(p.spec.display_name for p in record.packages if p.spec.display_name not in names)
        outcome = await patch(self.plane, record.id, *steps, removed=removed)
        self.story.append(f"committed: {outcome.committed}")

    async def kill(self) -> None:
        self.plane.engine.script.fail_start.clear()
        running = self.plane.engine.running()
        if running:
            self.random.choice(running).die()

    async def restart(self) -> None:
        await self.plane.restart()

    async def promote(self) -> None:
        found = [d for d in self.plane.state.deployments_of("poems") if not d.is_development]
        if found:
            await self.plane.services.environments.promote(
                "poems", self.random.choice(["production", "staging"]), self.random.choice(found).id
            )

    async def rollback(self) -> None:
        await self.plane.services.environments.rollback("poems", "production")

    async def delete(self) -> None:
        found = self.plane.state.deployments_of("poems")
        if found:
            await self.plane.services.removal.delete("poems", self.random.choice(found).id)

    def _perhaps_fail(self) -> None:
        script = self.plane.engine.script
        script.fail_start.clear()
        script.prepare.clear()
        name = self.random.choice(["Model", "Helper", "Entry"])
        chance = self.random.random()
        if chance < 0.15:
            script.fail_start[name] = 1
        elif chance < 0.3:
            required = self.random.choice([None, Action.RELOADED, Action.RESTARTED])
            diagnostic = Diagnostic(code=Code.INIT_FAILED, message="boom")
            script.prepare[name] = [
                PrepareReply(ok=False, action=Action.PATCHED, required=required, diagnostics=(diagnostic,))
            ]

    # --- what must hold

    async def settle(self) -> None:
        """Until nothing is under way: every replica is ready, and every set has its own."""
        self.plane.clock.now += 3600
        self.plane.services.reconciler.wake()

        def quiet(state: State) -> bool | None:
            needed = state.referenced_sets()
            ready = all(
                len(state.ready_replicas(s)) == state.sets[s].wanted == len(state.replicas_of(s))
                for s in needed
            )
            members = all(m.until is None for d in state.deployments.values() for m in d.members)
            alive = {r.handle.address for r in self.plane.engine.running()}
            noticed = alive == {r.address for r in state.replicas.values()}
            return True if ready and members and noticed and needed == state.sets.keys() else None

        await self.plane.services.ledger.wait(quiet, 5)
        await self.plane.services.distribution.sync()

    def check(self) -> None:
        plane, state = self.plane, self.plane.state
        alive = {r.handle.address: r for r in plane.engine.running()}
        assert set(alive) == {r.address for r in state.replicas.values()}
        assert all(r.state is ReplicaState.READY for r in state.replicas.values())
        live = {d.id: d for d in state.deployments.values() if d.is_live}
        table = plane.gateway.table
        assert {t.deployment for t in table.targets} == set(live)
        for target in table.targets:
            record = live[target.deployment]
            assert (target.version, target.entrypoint) == (record.version, record.entrypoint)
            chosen = choose_set(target.sets, target.version)
            self._follow(record, package_of(record, record.entrypoint), chosen, alive)
        for environment in state.environments.values():
            if environment.deployment in live:
                assert plane.gateway.selectors()[f"environments/{environment.name}"] == environment.deployment
        active = {d.id for d in state.deployments.values() if d.state is DeploymentState.ACTIVE}
        assert active <= set(live)

    def _follow(
        self,
        record: DeploymentRecord,
        wanted: PackageManifest,
        chosen: ReplicaSet | None,
        alive: dict[str, FakeReplica],
    ) -> None:
        assert chosen is not None
        assert chosen.addresses
        for address in chosen.addresses:
            assert chosen.token in alive[address].routes.accepts
            self._inside(record, wanted, alive[address], alive)

    def _inside(
        self,
        record: DeploymentRecord,
        wanted: PackageManifest,
        replica: FakeReplica,
        alive: dict[str, FakeReplica],
    ) -> None:
        """A request of the record's version is in that replica: it runs the right code, and goes on."""
        assert replica.digest_at(record.version) == wanted.digest
        tables = {d.deployment: d for d in replica.routes.deployments}
        for dependency in wanted.spec.dependencies:
            callees = {c.class_name: c for c in tables[record.id].callees}
            following = choose_set(callees[dependency.class_name].sets, record.version)
            self._follow(record, package_of(record, dependency.display_name), following, alive)

    # --- a request that is open while things change

    async def open_request(self) -> tuple[DeploymentRecord, FakeReplica] | None:
        """A request enters some deployment now; it stays in its entrypoint."""
        live = [t for t in self.plane.gateway.table.targets if t.sets]
        if not live:
            return None
        target = self.random.choice(live)
        chosen = choose_set(target.sets, target.version)
        assert chosen is not None
        alive = {r.handle.address: r for r in self.plane.engine.running()}
        self.plane.gateway.in_flight = {f"{target.deployment}.{target.version}": 1}
        return self.plane.state.deployments[target.deployment], alive[chosen.addresses[0]]

    def check_open(self, record: DeploymentRecord, entry: FakeReplica) -> None:
        alive = {r.handle.address: r for r in self.plane.engine.running()}
        assert entry.alive
        self._inside(record, package_of(record, record.entrypoint), entry, alive)

    def close_request(self) -> None:
        self.plane.gateway.in_flight = {}
        self.plane.gateway.finish()


def package_of(record: DeploymentRecord, name: str) -> PackageManifest:
    found = record.package(name)
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(12))
async def test_every_request_finds_the_code_of_its_version(plane: Plane, seed: int) -> None:
    life = Life(plane, seed)
    for _ in range(STEPS):
        await life.step()
        try:
            await life.settle()
            life.check()
        except BaseException:
            print("\n".join(life.story))  # noqa: T201 (how it came to this)
            raise


@pytest.mark.parametrize("seed", range(12))
async def test_an_open_request_goes_on_with_the_code_it_began_with(plane: Plane, seed: int) -> None:
    life = Life(plane, seed)
    for _ in range(STEPS):
        opened = await life.open_request()
        for _ in range(3):
            await life.step(gentle=True)
            await plane.services.distribution.sync()
            if opened is not None:
                life.check_open(*opened)
        life.close_request()
        await life.settle()
        life.check()

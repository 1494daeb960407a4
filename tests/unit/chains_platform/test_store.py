"""What is written comes back; what can't be written is said."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from chains_platform import changes
from chains_platform.events import EventLog
from chains_platform.ledger import Ledger
from chains_platform.secrets.store import CHAIN_KEY, SecretStore, missing_secrets
from chains_platform.state import ChainRecord, EnvironmentMove, LogSource, State
from chains_platform.store import schema
from chains_platform.store.store import Store, differences
from chains_platform.store.writer import Writer, opening
from chains_protocol.control import EventKind
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError
from tests.unit.chains_platform.fakes import package
from tests.unit.chains_platform.states import DEVELOPMENT, changed, deployed, set_replica

MEMORY = "sqlite://"
KEY = b"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def full_state() -> State:
    """Something of everything."""
    why = (Diagnostic(code=Code.INIT_FAILED, message="boom", detail="Traceback"),)
    state = deployed(State(), package("Model"), package("Entry", calls=["Model"]), environment="production")
    state = deployed(state, package("Entry"), id="dev", kind=DEVELOPMENT, at=2.0)
    state = changes.point(state, "poems", "production", "d1", 5.0)
    state = changes.point(state, "poems", "production", "dev", 6.0)
    state = set_replica(state, "r-d1-Model-0", diagnostics=why, retry_at=9.5, restarts=2)
    state = changed(state, "d1", diagnostics=why, allow_missing=("gpu",), name="first")
    return state.with_log_source(LogSource("r", "s", "poems", "Entry", ("d1", "dev"), 3.0))


def saved(store: Store, before: State, after: State) -> None:
    with store.transaction() as connection:
        store.save(connection, differences(before, after))


def test_everything_comes_back() -> None:
    store = Store(MEMORY)
    state = full_state()

    saved(store, State(), state)

    assert store.load() == state
    assert store.load().environments["poems/production"].history == (
        EnvironmentMove("d1", 5.0),
        EnvironmentMove("dev", 6.0),
    )


def test_only_differences_are_written() -> None:
    state = full_state()
    later = set_replica(state, "r-d1-Model-0", restarts=3).without_sets(["dev-Entry"])

    found = differences(state, later)

    assert {(d.field, d.key, d.record is None) for d in found} == {
        ("replicas", "r-d1-Model-0", False),
        ("sets", "dev-Entry", True),
    }
    assert differences(state, state) == ()


def test_what_is_gone_is_gone() -> None:
    store = Store(MEMORY)
    state = full_state()
    saved(store, State(), state)

    saved(store, state, State())

    assert store.load() == State()


def test_a_manifest_that_was_pruned_is_written_again() -> None:
    store = Store(MEMORY)
    state = full_state()
    saved(store, State(), state)
    saved(store, state, State())
    assert store.prune_packages() > 0

    saved(store, State(), state)

    assert store.load() == state


def test_a_manifest_whose_transaction_failed_is_written_again() -> None:
    store = Store(MEMORY)
    state = full_state()
    with pytest.raises(ZeroDivisionError), store.transaction() as connection:
        store.save(connection, differences(State(), state))
        _ = 1 / 0

    saved(store, State(), state)

    assert store.load() == state


def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    store = Store(url)
    instance = store.instance
    with store.transaction() as connection:
        connection.execute(schema.meta.update().where(schema.meta.c.name == "schema").values(value="99"))
    store.close()

    with pytest.raises(DiagnosticsError, match="CH309"):
        Store(url)
    assert len(instance) == 16


def test_the_instance_is_kept(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    first = Store(url)
    first.close()
    second = Store(url)
    second.close()

    assert first.instance == second.instance


async def test_writes_keep_their_order_and_reads_see_them() -> None:
    writer = await Writer.open(MEMORY)
    ledger = Ledger(State(), writer)
    state = full_state()
    ledger.apply(lambda _: state)
    for n in range(20):
        ledger.apply(lambda s, n=n: set_replica(s, "r-d1-Model-0", restarts=n))  # type: ignore[misc] # bound now

    assert await writer.read(Store.load) == ledger.state
    await writer.close()


async def test_a_write_that_fails_is_told_and_tried_again() -> None:
    writer = await Writer.open(MEMORY)
    ledger = Ledger(State(), writer)
    writer.submit(_full_disk([True]))
    ledger.apply(lambda _: full_state())

    with pytest.raises(DiagnosticsError) as failed:
        await ledger.saved()
    assert [d.code for d in failed.value.diagnostics] == [Code.DISK_FULL]

    ledger.apply(lambda s: set_replica(s, "r-d1-Model-0", restarts=7))
    await ledger.saved()
    assert await writer.read(Store.load) == ledger.state
    await writer.close()


def _poems(state: State) -> ChainRecord | None:
    return state.chains.get("poems")


def _full_disk(left: list[bool]):  # type: ignore[no-untyped-def] # a write that fails once
    def write(_: object) -> None:
        if left:
            left.clear()
            raise OperationalError("insert", {}, Exception("database or disk is full"))

    return write


async def test_waiting_for_a_state() -> None:
    writer = await Writer.open(MEMORY)
    ledger = Ledger(State(), writer)
    waiting = asyncio.create_task(ledger.wait(_poems, 5))
    await asyncio.sleep(0)

    ledger.apply(lambda _: full_state())

    assert (await waiting).name == "poems"
    with pytest.raises(TimeoutError):
        await ledger.wait(lambda s: s.chains.get("other"), 0.01)
    await writer.close()


async def test_a_change_that_changes_nothing_tells_nobody() -> None:
    writer = await Writer.open(MEMORY)
    ledger = Ledger(State(), writer)
    told: list[State] = []
    ledger.listen(told.append)

    ledger.apply(lambda s: s)
    ledger.apply(lambda s: replace(s, chains=s.chains))

    assert len(told) == 1
    await writer.close()


# --- events


async def test_events_are_followed_live() -> None:
    writer = await Writer.open(MEMORY)
    log = EventLog(writer, lambda: 1.0, 0)
    log.add(EventKind.PATCH, "poems", deployment="d1", message="a")
    log.add(EventKind.PATCH, "poems", deployment="d2", message="other")
    seen: list[str] = []

    async def follow() -> None:
        seen.extend([e.message async for e in log.stream("d1", 0, True) if e is not None])

    task = asyncio.create_task(follow())
    await writer.flush()
    log.add(EventKind.PATCH, "poems", deployment="d1", message="b")
    await writer.flush()
    log.close()
    await task

    assert seen == ["a", "b"]
    await writer.close()


async def test_older_events_come_from_the_store() -> None:
    writer = await Writer.open(MEMORY)
    first = EventLog(writer, lambda: 1.0, 0)
    for n in range(700):
        first.add(EventKind.PATCH, "poems", deployment="d1", message=str(n), n=n)
    await writer.flush()
    later = EventLog(writer, lambda: 2.0, await writer.read(Store.last_event_id))
    later.add(EventKind.PATCH, "poems", deployment="d1", message="new")

    found = [e async for e in later.stream("d1", 10, False) if e is not None]

    assert [e.id for e in found] == list(range(11, 702))
    assert (found[0].data, found[-1].message) == ({"n": 10}, "new")
    await writer.close()


async def test_old_events_are_pruned() -> None:
    writer = await Writer.open(MEMORY)
    log = EventLog(writer, lambda: 1.0, 0)
    for _ in range(10):
        log.add(EventKind.PATCH, "poems", deployment="d1")

    await writer.read(lambda store: store.prune_events(3))

    found = await writer.read(lambda store: store.events("d1", 0, 100))
    assert [e.id for e in found] == [8, 9, 10]
    await writer.close()


# --- secrets


async def test_secrets_are_encrypted_and_given_to_those_who_declare_them() -> None:
    writer = await Writer.open(MEMORY)
    secrets = SecretStore(writer, KEY, lambda: 1.0)
    for name, value in (("hf", "one"), ("other", "two"), (CHAIN_KEY, "key"), ("hf", "three")):
        await secrets.put(name, value)

    stored = await writer.read(Store.secrets)
    assert b"three" not in b"".join(stored.values())
    assert await secrets.names() == (CHAIN_KEY, "hf", "other")
    assert await secrets.of(package("Entry", secrets=("hf", "none")).spec) == {
        CHAIN_KEY: "key",
        "hf": "three",
    }
    await writer.close()


async def test_secrets_of_another_key_are_told() -> None:
    writer = await Writer.open(MEMORY)
    await SecretStore(writer, KEY, lambda: 1.0).put("hf", "one")
    other = SecretStore(writer, KEY[:-2] + b"A=", lambda: 1.0)

    with pytest.raises(DiagnosticsError, match="CH508"):
        await other.of(package("Entry", secrets=("hf",)).spec)
    await writer.close()


def test_declared_but_unset_secrets_are_warned_of() -> None:
    spec = package("Entry", secrets=("hf", "b", CHAIN_KEY)).spec

    found = missing_secrets([spec], ["b"])

    assert [(d.code, d.chainlet) for d in found] == [(Code.MISSING_SECRET, "Entry")]
    assert "hf" in found[0].message


@pytest.mark.parametrize(
    "content", [b"garbage, but long enough to have been a database", b"SQLite format 3\0" * 200]
)
async def test_a_damaged_database_is_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "state.db"
    file.write_bytes(content)
    url = f"sqlite:///{file}"

    with pytest.raises(DiagnosticsError) as caught, opening(url):
        await Writer.open(url)

    (said,) = caught.value.diagnostics
    assert said.code is Code.PLATFORM_START_FAILED
    assert str(file) in (said.help or "")

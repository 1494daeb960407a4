"""Rules of replicas that need a look from outside: loop, log, names, inputs and outputs."""

import asyncio
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chains_runtime.logs import RequestIds, UserPathFormatter, set_up_logging
from chains_runtime.truss_model import ChainletModel
from tests.unit.chains_runtime.conftest import Start
from tests.unit.chains_runtime.packages import write_package
from truss_chains.validation import scope

WHERE = """
    import asyncio
    import logging
    import os
    import truss_chains as chains

    class Where(chains.ChainletBase):
        async def run_remote(self, mode: str = "") -> tuple[int, int]:
            if mode == "log":
                logging.getLogger("mine").info("at work")
            if mode == "fail":
                raise ValueError("no luck")
            await asyncio.sleep(0)
            return os.getpid(), id(asyncio.get_running_loop())
"""


async def test_r01_one_process_and_one_loop_serve_all_calls(start: Start, tmp_path: Path) -> None:
    where = await start(write_package(tmp_path, {"chain.py": WHERE}, "Where"))
    answers = await asyncio.gather(*(where.value({}) for _ in range(8)))
    assert {tuple(answer) for answer in answers} == {(os.getpid(), id(asyncio.get_running_loop()))}


class Lines(logging.Handler):
    """Keeps what a replica would write of user code's records."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []
        self.addFilter(RequestIds())
        self.setFormatter(UserPathFormatter(lambda text: text))

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith("http"):  # the test's client
            self.lines.append(self.format(record))


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Lines]:
    kept = Lines()
    logging.getLogger().addHandler(kept)
    with caplog.at_level(logging.INFO):
        yield kept
    logging.getLogger().removeHandler(kept)


async def test_r06_records_of_a_request_carry_its_ids_and_nothing_logs_access(
    start: Start, tmp_path: Path, lines: Lines
) -> None:
    where = await start(write_package(tmp_path, {"chain.py": WHERE}, "Where"))
    lines.lines.clear()
    ids = {"x-baseten-request-id": "r-1", "x-baseten-chain-request-id": "c-1"}
    assert (await where.call({"mode": "log"}, headers=ids)).status_code == 200
    assert (await where.call({"mode": "log"})).status_code == 200
    assert lines.lines == ["INFO mine: at work request_id=r-1 chain_request_id=c-1", "INFO mine: at work"]


@pytest.fixture
def logging_kept() -> Iterator[None]:
    """Puts the root logger back as it was."""
    root = logging.getLogger()
    quiet = [logging.getLogger(name) for name in ("uvicorn.error", "asyncio")]
    before = root.level, list(root.handlers), [logger.level for logger in quiet]
    root.handlers.clear()
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = before[1]
    root.setLevel(before[0])
    for logger, level in zip(quiet, before[2], strict=True):
        logger.setLevel(level)


@pytest.mark.usefixtures("logging_kept")
@pytest.mark.parametrize(("debug", "level"), [(False, logging.INFO), (True, logging.DEBUG)])
def test_r06_debug_records_are_written_on_request(debug: bool, level: int) -> None:
    set_up_logging(debug=debug, shown=lambda text: text)
    assert logging.getLogger("user.code").getEffectiveLevel() == level


async def test_r13_health_checks_count_in_a_development_deployment(start: Start, tmp_path: Path) -> None:
    source = """
        import truss_chains as chains
        class Sick(chains.ChainletBase):
            def is_healthy(self) -> bool:
                return False
            async def run_remote(self) -> int:
                return 7
    """
    package = write_package(tmp_path, {"chain.py": source}, "Sick")
    sick = await start(package, wait=False, deployment="development")
    async with asyncio.timeout(20):
        while (await sick.http.get("/v1/models/model/loaded")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert (await sick.http.get("/v1/models/model")).status_code == 503


async def test_r35_an_exception_is_one_record_with_the_users_lines_only(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    where = await start(write_package(tmp_path, {"chain.py": WHERE}, "Where"))
    caplog.clear()
    assert (await where.call({"mode": "fail"})).status_code == 500
    (record,) = [r for r in caplog.records if r.levelno >= logging.ERROR]
    text = record.getMessage()
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.endswith("ValueError: no luck")
    files = [line.split('"')[1] for line in text.splitlines() if line.startswith("  File ")]
    assert [Path(file).name for file in files] == ["chain.py"]
    assert record.exc_info is None


NESTED = """
    import truss_chains as chains
    from pydantic import BaseModel

    class Words(chains.ChainletBase):
        class Query(BaseModel):
            text: str

            class Part(BaseModel):
                n: int

        async def run_remote(self, query: "Words.Query", part: Query.Part) -> tuple[Query, int]:
            return query, part.n
"""


@pytest.mark.parametrize("module", ["utils", "streaming", "server", "chain.deep.utils"])
async def test_g51_nested_types_and_modules_called_like_ours_work(
    start: Start, tmp_path: Path, module: str
) -> None:
    files = {f"{module.replace('.', '/')}.py": NESTED}
    words = await start(write_package(tmp_path, files, "Words", module=module))
    query = {"text": "a"}
    assert await words.value({"query": query, "part": {"n": 3}}) == [query, 3]


SHAPES = """
    from collections.abc import AsyncIterator
    import truss_chains as chains

    class Many(chains.ChainletBase):
        async def run_remote(self, a: int, b: list[int] = [1], *, c: str | None = "c") -> tuple[
            int, list[int], str | None
        ]:
            return a, b, c

    class Nothing(chains.ChainletBase):
        async def run_remote(self) -> None:
            return None

    class Single(chains.ChainletBase):
        async def run_remote(self, a: int) -> tuple[int]:
            return (a,)
"""


async def test_g52_inputs_are_one_object_with_a_key_an_argument(start: Start, tmp_path: Path) -> None:
    """Optional ones may be absent, without arguments the object is empty; a missing one is told by name."""
    many = await start(write_package(tmp_path / "many", {"chain.py": SHAPES}, "Many"))
    assert await many.value({"a": 1}) == [1, [1], "c"]
    assert await many.value({"a": 1, "b": [2], "c": None}) == [1, [2], None]
    missing = await many.call({"b": [2]})
    assert (missing.status_code, "`a`" in missing.json()["error"]) == (400, True)
    nothing = await start(write_package(tmp_path / "nothing", {"chain.py": SHAPES}, "Nothing"))
    assert await nothing.value({}) is None


async def test_g53_results_are_the_value_and_tuples_are_arrays(start: Start, tmp_path: Path) -> None:
    single = await start(write_package(tmp_path, {"chain.py": SHAPES}, "Single"))
    assert await single.value({"a": 5}) == [5]


class Weights:
    """A downloader of the server's."""

    def __init__(self, log: list[str]) -> None:
        self._log = log

    def block_until_download_complete(self) -> None:
        self._log.append("downloaded")


def test_r08_lazily_downloaded_weights_are_there_before_init(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
        import truss_chains as chains
        LOG = []
        class NeedsWeights(chains.ChainletBase):
            def __init__(self):
                LOG.append("constructed")
            async def run_remote(self) -> int:
                return 1
    """
    name = "module_that_needs_weights"
    write_package(tmp_path, {f"{name}.py": source}, "NeedsWeights", module=name)
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    model: Any = type("Model", (ChainletModel,), {"module": name, "qualname": "NeedsWeights"})
    log: list[str] = []
    with scope():
        made = model(config={}, lazy_data_resolver=Weights(log))
        assert log == ["downloaded"]
        user = SimpleNamespace(**vars(__import__(name)))
        assert user.LOG == []
        made.load()
    assert user.LOG == ["constructed"]

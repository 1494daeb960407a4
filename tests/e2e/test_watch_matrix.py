"""Everything a save can be, one after the other: one watch, one platform, one Chain.

A row tells an edit, what each Chainlet needs for it, and the answer through the gateway after it.
What a Chainlet needs tells what stays of it: `patched` keeps process and state, `reloaded` the
process, anything heavier nothing.
"""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Chains
from tests.e2e.test_the_road import Watch, edit, watching

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

CHAIN = """\
import truss_chains as chains
from lib.shown import framed
from sea import Model


@chains.mark_entrypoint("matrix")
class Entry(chains.ChainletBase):
    def __init__(self, model: Model = chains.depends(Model)) -> None:
        self.model = model

    async def run_remote(self, text: str) -> str:
        return framed("entry", await self.model.run_remote(text))
"""
MODEL = """\
import os

import truss_chains as chains
from lib.words import word


class Model(chains.ChainletBase):
    remote_config = chains.RemoteConfig(
        docker_image=chains.DockerImage(
            data_dir=chains.make_abs_path_here("data"),
            requirements_file=chains.make_abs_path_here("requirements.txt"),
        ),
        options=chains.ChainletOptions(env_variables={"MOOD": "calm"}),
    )

    def __init__(self, context: chains.DeploymentContext = chains.depends_context()) -> None:
        self.sea = (context.data_dir / "sea.txt").read_text().strip()

    async def run_remote(self, text: str) -> str:
        return " ".join([text, word(), self.sea, os.environ["MOOD"]])
"""
EXTRA = """\
import truss_chains as chains


class Extra(chains.ChainletBase):
    async def run_remote(self, text: str) -> str:
        return text + "!"
"""
SHOWN = """\
from pathlib import Path


def framed(name, text):
    page = Path(__file__).with_name("page.txt").read_text()
    return page.format(name=name, text=text).strip()
"""
FILES = {
    "chain.py": CHAIN,
    "sea.py": MODEL,
    "requirements.txt": "",
    "data/sea.txt": "waves\n",
    "lib/__init__.py": "",
    "lib/page.txt": "{name}({text})\n",
    "lib/shown.py": SHOWN,
    "lib/words.py": 'def word():\n    return "salt"\n',
}
KEPT, NEW_STATE, NEW_PROCESS = ("unchanged", "patched"), ("reloaded",), ("restarted", "rebuilt", "redeployed")

Edit = Callable[[Path], object]


@dataclass(frozen=True)
class Row:
    """A save: what is edited, what each Chainlet is said to need, and what is answered then.

    `needs` has all Chainlets of the Chain that are not `unchanged`; None: nothing is to be done.
    """

    name: str
    edit: Edit
    needs: Mapping[str, str] | None
    answer: str
    files: int = field(default=0)


def put(name: str, text: str) -> Edit:
    """Write a file in place, as a shell's redirection does."""

    def write(root: Path) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return write


def sub(name: str, *pairs: tuple[str, str]) -> Edit:
    """Replace text, saved as an editor does it: beside, then renamed over."""

    def write(root: Path) -> None:
        for old, new in pairs:
            edit(root / name, old, new)

    return write


def move(old: str, new: str) -> Edit:
    def rename(root: Path) -> None:
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        (root / old).rename(root / new)

    return rename


def remove(*names: str) -> Edit:
    return lambda root: [(root / name).unlink() for name in names]


def all_of(*edits: Edit) -> Edit:
    return lambda root: [one(root) for one in edits]


def vim(name: str, old: str, new: str) -> Edit:
    """A trial file, the former file moved away, a new one, the former one removed."""

    def write(root: Path) -> None:
        path, backup, trial = root / name, root / f"{name}~", root / "4913"
        trial.touch()
        trial.unlink()
        text = path.read_text()
        path.rename(backup)
        path.write_text(text.replace(old, new))
        backup.unlink()

    return write


def checkout(word: str, files: int) -> Edit:
    """What `git checkout` of another branch does to many files; one of them is used."""

    def write(root: Path) -> None:
        for number in range(files):
            path = root / "lib" / "many" / f"m{number}.py"
            path.parent.mkdir(exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_text(f"NUMBER = {number}\nWORD = {word!r}\n")
        words = root / "lib" / "words.py"
        words.unlink()
        words.write_text(f'def word():\n    return "{word}"\n')

    return write


ROWS = (
    Row("the glue", sub("chain.py", ('"entry"', '"e"')), {"Entry": "patched"}, "e(hi salt waves calm)"),
    Row(
        "an editor that swaps and renames",
        vim("lib/words.py", "salt", "foam"),
        {"Model": "patched"},
        "e(hi foam waves calm)",
    ),
    Row("a comment", sub("lib/words.py", ("def word", "# one\ndef word")), None, "e(hi foam waves calm)"),
    Row("nothing", lambda root: os.utime(root / "sea.py"), None, "e(hi foam waves calm)"),
    Row(
        "what `__init__` does",
        sub("sea.py", (".strip()", ".strip().upper()")),
        {"Model": "reloaded"},
        "e(hi foam WAVES calm)",
    ),
    Row(
        "a new module",
        all_of(
            put("lib/tone.py", "def tone(text):\n    return text.title()\n"),
            sub(
                "chain.py",
                ("from sea", "from lib.tone import tone\nfrom sea"),
                ('"e", await', '"e", tone(await'),
                ("(text))", "(text)))"),
            ),
        ),
        {"Entry": "patched"},
        "e(Hi Foam Waves Calm)",
    ),
    Row(
        "a module renamed",
        all_of(move("lib/tone.py", "lib/sound.py"), sub("chain.py", ("lib.tone", "lib.sound"))),
        {"Entry": "patched"},
        "e(Hi Foam Waves Calm)",
    ),
    Row(
        "a module deleted",
        all_of(
            remove("lib/sound.py"),
            sub(
                "chain.py",
                ("from lib.sound import tone\n", ""),
                ("tone(await", "await"),
                ("(text)))", "(text))"),
            ),
        ),
        {"Entry": "patched"},
        "e(hi foam WAVES calm)",
    ),
    Row(
        "a template of the user",
        put("lib/page.txt", "<{text}>\n"),
        {"Entry": "restarted"},
        "<hi foam WAVES calm>",
    ),
    Row("a checkout", checkout("ice", 500), {"Model": "patched"}, "<hi ice WAVES calm>", files=501),
    Row(
        "a checkout of files that nobody uses",
        lambda root: [p.unlink() for p in (root / "lib" / "many").iterdir()],
        None,
        "<hi ice WAVES calm>",
        files=500,
    ),
    Row("data", put("data/sea.txt", "tide\n"), {"Model": "rebuilt"}, "<hi ice TIDE calm>"),
    Row(
        "requirements", put("requirements.txt", "semver==3.0.4\n"), {"Model": "rebuilt"}, "<hi ice TIDE calm>"
    ),
    Row(
        "an environment variable",
        sub("sea.py", ('"MOOD": "calm"', '"MOOD": "wild"')),
        {"Model": "restarted"},
        "<hi ice TIDE wild>",
    ),
    Row(
        "compute",
        sub("sea.py", ("        options=", "        compute=chains.Compute(cpu_count=2),\n        options=")),
        {"Model": "redeployed"},
        "<hi ice TIDE wild>",
    ),
    Row(
        "a type on both sides of a hop",
        all_of(
            sub(
                "sea.py",
                ("text: str) -> str", "text: str, times: int) -> list[str]"),
                ("return ", "return times * ["),
            ),
            sub("sea.py", ('os.environ["MOOD"]])', 'os.environ["MOOD"]])]')),
            sub(
                "chain.py", ("await self.model.run_remote(text)", "(await self.model.run_remote(text, 2))[1]")
            ),
        ),
        {"Model": "patched", "Entry": "patched"},
        "<hi ice TIDE wild>",
    ),
    Row(
        "a Chainlet added",
        all_of(
            put("extra.py", EXTRA),
            sub(
                "chain.py",
                ("from lib", "from extra import Extra\nfrom lib"),
                ("(Model)) ->", "(Model), extra: Extra = chains.depends(Extra)) ->"),
                ("= model\n", "= model\n        self.extra = extra\n"),
                ("return framed(", "return await self.extra.run_remote(framed("),
                ("2))[1])", "2))[1]))"),
            ),
        ),
        {"Extra": "redeployed", "Entry": "redeployed"},
        "<hi ice TIDE wild>!",
    ),
    Row(
        "a Chainlet renamed",
        all_of(
            sub("extra.py", ("class Extra", "class Mark"), ('"!"', '"?"')),
            sub(
                "chain.py",
                ("import Extra", "import Mark"),
                ("extra: Extra", "extra: Mark"),
                ("(Extra)", "(Mark)"),
            ),
        ),
        {"Mark": "redeployed", "Extra": "redeployed", "Entry": "redeployed"},
        "<hi ice TIDE wild>?",
    ),
    Row(
        "other edges",
        all_of(
            sub(
                "sea.py",
                ("from lib", "from extra import Mark\nfrom lib"),
                ("self, context:", "self, mark: Mark = chains.depends(Mark), context:"),
                ("        self.sea", "        self.mark = mark\n        self.sea"),
                ("return times * [", "return times * [await self.mark.run_remote("),
                ('"]])]', '"]]))]'),
            ),
            sub(
                "chain.py",
                ("from extra import Mark\n", ""),
                (", extra: Mark = chains.depends(Mark)", ""),
                ("        self.extra = extra\n", ""),
                ("await self.extra.run_remote(framed(", "framed("),
                ("[1]))", "[1])"),
            ),
        ),
        {"Model": "redeployed", "Entry": "redeployed"},
        "<hi ice TIDE wild?>",
    ),
    Row(
        "a Chainlet removed",
        all_of(
            remove("extra.py"),
            sub(
                "sea.py",
                ("from extra import Mark\n", ""),
                ("mark: Mark = chains.depends(Mark), ", ""),
                ("        self.mark = mark\n", ""),
                ("await self.mark.run_remote(", ""),
                ('"]]))]', '"]])]'),
            ),
        ),
        {"Model": "redeployed", "Mark": "redeployed"},
        "<hi ice TIDE wild>",
    ),
    Row(
        "the entrypoint renamed",
        sub("chain.py", ("class Entry", "class Front")),
        {"Front": "redeployed", "Entry": "redeployed"},
        "<hi ice TIDE wild>",
    ),
    Row(
        "the entrypoint in another file",
        all_of(
            move("chain.py", "front.py"),
            put("chain.py", "from front import Front\n\n__all__ = ['Front']\n"),
        ),
        {"Front": "restarted"},
        "<hi ice TIDE wild>",
    ),
)


@dataclass
class Bench:
    """The platform as seen from outside, and the watch."""

    chains: Chains
    watch: Watch
    client: httpx.Client
    info_url: str
    call_url: str

    def replicas(self) -> dict[str, tuple[int, int]]:
        """Process and load count by Chainlet; each has one replica."""
        info = self.client.get(self.info_url).raise_for_status().json()
        return {
            c["display_name"]: (r["pid"], r["load_count"])
            for c in info["chainlets"]
            for r in c["replicas"]
            if r["state"] == "ready"
        }

    def answer(self) -> Any:
        return self.client.post(self.call_url, json={"text": "hi"}).json()

    @contextmanager
    def held(self) -> Iterator[None]:
        """The watch sees what happens in the body as one burst."""
        self.watch.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.watch.process.send_signal(signal.SIGCONT)

    def rounds(self) -> int:
        return len(self.watch.of("round_finished"))


@pytest.fixture
def bench(chains: Chains) -> Iterator[Bench]:
    for name, text in FILES.items():
        put(name, text)(chains.cwd)
    with watching(chains) as watch:
        state = json.loads((chains.home / "platform" / "platform.json").read_text())
        token = (chains.home / "platform" / "token").read_text().strip()
        with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
            info_url = f"{state['control_url']}/v1/chains/matrix/deployments/development"
            call_url = f"{state['gateway_url']}/chains/matrix/development/run_remote"
            yield Bench(chains, watch, client, info_url, call_url)


def test_every_kind_of_save(bench: Bench) -> None:
    assert bench.answer() == "entry(hi salt waves calm)"
    problems = [f"{row.name}: {problem}" for row in ROWS for problem in _problems(bench, row)]
    assert problems == [], "\n".join(problems) + "\n" + "".join(bench.watch.raw)
    _the_directory_goes_and_comes_back(bench)


def _the_directory_goes_and_comes_back(bench: Bench) -> None:
    """Another directory of that name, as `git worktree` or `rsync --delete` leave it."""
    root, rounds = bench.chains.cwd, bench.rounds()
    shutil.copytree(root, root.with_name("copy"))
    root.rename(root.with_name("gone"))
    bench.watch.wait("the loss", lambda w: bench.rounds() > rounds)
    assert not bench.watch.of("round_finished")[-1]["committed"]
    root.with_name("copy").rename(root)
    bench.watch.wait("the return", lambda w: bench.rounds() > rounds + 1)
    edit(root / "lib" / "page.txt", "<{text}>", "{text}")
    bench.watch.wait("a save there", lambda w: bench.rounds() > rounds + 2)
    assert bench.answer() == "hi ice TIDE wild"


def _problems(bench: Bench, row: Row) -> Iterator[str]:
    before, rounds, seen = bench.replicas(), bench.rounds(), len(bench.watch.events)
    with bench.held():
        row.edit(bench.chains.cwd)
    with suppress(AssertionError):  # what is wrong is told below
        bench.watch.wait(row.name, lambda w: _is_done(bench, row, rounds, w.events[seen:]), 30)
    said = bench.watch.events[seen:]
    after = bench.replicas()
    if (answer := bench.answer()) != row.answer:
        yield f"answered {answer!r}"
    if (found := _done(said)) != (row.needs or {}):
        yield f"did {found}"
    if row.files and (found_files := _files(said)) != row.files:
        yield f"{found_files} files"
    for name in before.keys() & after.keys():
        problem = _wrong(before[name], after[name], (row.needs or {}).get(name, "unchanged"))
        if problem:
            yield f"{name}: {problem}: {before[name]} -> {after[name]}"


def _is_done(bench: Bench, row: Row, rounds: int, said: Sequence[Mapping[str, Any]]) -> bool:
    """A busy machine may cut a burst into two rounds; the last one counts."""
    kinds = [e["type"] for e in said]
    is_under_way = kinds.count("round_started") > kinds.count("round_finished")
    if is_under_way or _files(said) < row.files:
        return False
    if row.needs is None:
        return bench.rounds() > rounds or row.name == "nothing"
    return bench.rounds() > rounds and _done(said) == row.needs and bench.answer() == row.answer


def _files(said: Iterable[Mapping[str, Any]]) -> int:
    """How many files the rounds were about."""
    return len({name for e in said if e["type"] == "round_started" for name in e["files"]})


def _done(said: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {
        e["chainlet"]: e["action"]
        for e in said
        if e["type"] == "patched" and not e["detail"] and e["action"] != "unchanged"
    }


def _wrong(before: tuple[int, int], after: tuple[int, int], action: str) -> str | None:
    if action in KEPT and before != after:
        return "something was lost"
    if action in NEW_STATE and (before[0] != after[0] or before[1] + 1 != after[1]):
        return "its process is to stay, and to load once"
    if action in NEW_PROCESS and before[0] == after[0]:
        return "its process is to be another"
    return None

"""`chains watch`: the development deployment follows the files; against the remote in memory."""

import shutil
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

from chains_cli import events
from chains_cli.console.palette import Palette
from chains_cli.console.story import story_lines
from chains_cli.operations.watch import WatchOptions, WatchResult, read_watched, watch
from chains_cli.operations.watch_roots import ignore_rule
from chains_cli.remotes.memory import MemoryRemote
from chains_cli.settings import Settings
from chains_cli.watching.snapshot import Snapshot
from chains_protocol.control import DeploymentState
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Location

Tool = Any  # the fixture of conftest.py
Program = Callable[[str], Path]
Save = Callable[[], None]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "glue_and_model"


@pytest.fixture
def remote(tool: Tool) -> MemoryRemote:
    tool.remote = MemoryRemote()
    return tool.remote


@pytest.fixture
def glue(tool: Tool) -> Path:
    shutil.copytree(EXAMPLE, tool.cwd, dirs_exist_ok=True)
    return Path(tool.cwd)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def play(
    tool: Tool,
    remote: MemoryRemote,
    *saves: Save,
    options: WatchOptions | None = None,
    end: type[BaseException] | None = None,
) -> tuple[WatchResult, list[events.Event]]:
    """Watch `chain.py` while each of `saves` is made after the round of the one before."""
    told: list[events.Event] = []

    async def follow(snapshot: Snapshot) -> AsyncGenerator[tuple[Path, ...], None]:
        for save in saves:
            save()
            changed = snapshot.changed(p for root in snapshot.roots for p in root.path.rglob("*.py"))
            if changed:
                yield changed
        if end is not None:
            raise end

    watched = read_watched(
        tool.cwd / "chain.py",
        None,
        Settings(home=tool.home, cwd=tool.cwd),
        options=options or WatchOptions(),
        report=told.append,
    )
    return watch(watched, remote=remote, report=told.append, follow=follow), told


def of(told: list[events.Event], kind: type[events.Event]) -> list[Any]:
    return [event for event in told if isinstance(event, kind)]


def actions(told: list[events.Event]) -> list[tuple[str, str]]:
    return [(e.chainlet, e.action) for e in of(told, events.Patched) if not e.detail]


def test_it_makes_the_development_deployment_first(tool: Tool, remote: MemoryRemote, glue: Path) -> None:
    result, told = play(tool, remote)
    assert remote.deployment("glue-and-model", "development").state is DeploymentState.ACTIVE
    assert (result.version, result.exit_code) == (1, 0)
    (watching,) = of(told, events.Watching)
    assert (watching.chain, watching.version) == ("glue-and-model", 1)
    assert watching.paths == (str(glue),)


def test_an_edit_of_the_glue_patches_the_glue_only(tool: Tool, remote: MemoryRemote, glue: Path) -> None:
    result, told = play(tool, remote, lambda: edit(glue / "chain.py", "round(score, 3)", "round(score, 4)"))
    assert actions(told) == [("Embedder", "unchanged"), ("Search", "patched")]
    assert (result.version, result.refused) == (2, 0)
    finished = of(told, events.RoundFinished)[-1]
    assert (finished.version, finished.committed, finished.changed) == (2, True, True)


def test_a_comment_needs_nothing(tool: Tool, remote: MemoryRemote, glue: Path) -> None:
    result, told = play(tool, remote, lambda: edit(glue / "scoring.py", "def best", "# x\ndef best"))
    assert actions(told) == []
    assert result.version == 1
    assert of(told, events.RoundFinished)[-1].changed is False


def test_a_broken_save_is_told_with_its_place_and_the_next_recovers(
    tool: Tool, remote: MemoryRemote, glue: Path
) -> None:
    result, told = play(
        tool,
        remote,
        lambda: edit(glue / "chain.py", "round(score, 3)", "round(score, )) + 3"),
        lambda: edit(glue / "chain.py", "round(score, )) + 3", "round(score, 4)"),
    )
    (broken,) = [e.diagnostic for e in of(told, events.Found) if e.diagnostic.code is Code.SYNTAX_ERROR]
    assert broken.location is not None
    assert broken.location.path.endswith("chain.py")
    assert [(e.committed, e.version) for e in of(told, events.RoundFinished)][1:] == [(False, 1), (True, 2)]
    assert (result.refused, result.version) == (1, 2)


def test_of_a_chain_that_was_deleted_nothing_is_said_to_serve(
    tool: Tool, remote: MemoryRemote, glue: Path
) -> None:
    def deleted_and_saved() -> None:
        remote.delete_chain("glue-and-model")
        edit(glue / "chain.py", "round(score, 3)", "round(score, 4)")

    _, told = play(tool, remote, deleted_and_saved)
    last = of(told, events.RoundFinished)[-1]
    assert (last.committed, last.serves) == (False, False)
    assert story_lines(last, tool.cwd, Palette())[0].startswith("not applied (")


def test_a_removed_rule_is_read_again(tool: Tool, remote: MemoryRemote, glue: Path) -> None:
    _, told = play(
        tool,
        remote,
        lambda: edit(glue / "chain.py", "async def run_remote(self", "async def run_remote(oops"),
    )
    assert any(e.diagnostic.code is Code.MISSING_SELF for e in of(told, events.Found))
    assert of(told, events.RoundFinished)[-1].committed is False


def test_explain_tells_symbols_and_ways(tool: Tool, remote: MemoryRemote, glue: Path) -> None:
    _, told = play(
        tool,
        remote,
        lambda: edit(glue / "scoring.py", "pair[1])", "pair[1] - 1)"),
        options=WatchOptions(explain=True),
    )
    (why,) = of(told, events.Explained)
    assert (why.chainlet, why.symbol, why.path) == ("Search", "scoring.best_first", "scoring.py")
    assert why.via[0] == "Search.run_remote"
    first, second = story_lines(why, glue, Palette())
    assert first.startswith("    Search: patched: scoring.py:11 `scoring.best_first` changed")
    assert second == "      through Search.run_remote → scoring.best_first"


def test_only_selected_chainlets_are_patched(tool: Tool, remote: MemoryRemote, glue: Path) -> None:
    result, told = play(
        tool,
        remote,
        lambda: edit(glue / "chain.py", "round(score, 3)", "round(score, 4)"),
        options=WatchOptions(chainlets=("Embedder",)),
    )
    assert ("Search", "unchanged") in actions(told)
    (skipped,) = [e for e in of(told, events.Patched) if e.chainlet == "Search" and not e.detail]
    assert "not selected" in skipped.reasons
    assert result.version == 1


def test_an_unknown_chainlet_is_refused(tool: Tool, remote: MemoryRemote, glue: Path) -> None:
    done = tool("watch", "chain.py", "--chainlets", "Embedder,Serch")
    assert done.code == 1
    assert "error[CH317]: chain `glue-and-model` has no chainlet `Serch`" in done.err


def test_an_interruption_is_the_way_to_end_it(tool: Tool, remote: MemoryRemote, glue: Path) -> None:
    """P-15"""
    result, _ = play(tool, remote, end=KeyboardInterrupt)
    assert result.exit_code == 0


def test_an_interruption_before_it_watches_leaves_no_deployment(tool: Tool, glue: Path) -> None:
    """Nothing half-done remains, and the status says that it did not come to watch."""

    class Interrupted(MemoryRemote):
        def deploy(self, chain: str, request: Any) -> Any:
            super().deploy(chain, request)
            raise KeyboardInterrupt

    tool.remote = Interrupted()
    done = tool("watch", "chain.py")
    assert done.code == 130
    assert "stopping the development deployment" in done.err
    assert tool.remote.chains().chains == ()


def test_a_chain_that_is_not_valid_contacts_nobody(tool: Tool) -> None:
    (tool.cwd / "bad.py").write_text("def (:\n")
    assert tool("watch", "bad.py").code == 1


def test_a_note_about_the_chain_is_told_once(tool: Tool, remote: MemoryRemote, glue: Path) -> None:
    """CH206, a warning of the definitions: reading the file again is no reason to repeat it."""
    edit(glue / "chain.py", "    async def run_remote(self, question", "    def run_remote(self, question")
    edit(glue / "chain.py", "await self._embedder.run_remote([question, *texts])", "[[1.0]]")
    signature = ("limit: int = 3", "limit: int = 4")
    _, told = play(tool, remote, lambda: edit(glue / "chain.py", *signature))
    assert of(told, events.RoundFinished)[-1].committed
    texts = [e.diagnostic.message for e in of(told, events.Found)]
    assert texts and len(texts) == len(set(texts))


def test_data_outside_of_the_workspace_is_watched_from_the_save_that_names_it(
    tool: Tool, remote: MemoryRemote, glue: Path
) -> None:
    data = tool.cwd.parent / "data"
    data.mkdir()
    (data / "words.txt").write_text("one")
    declared = (
        "    remote_config = chains.RemoteConfig(\n"
        "        docker_image=chains.DockerImage(data_dir=chains.make_abs_path_here('../data'))\n    )\n\n"
    )
    asked: list[Snapshot] = []
    watched = read_watched(
        tool.cwd / "chain.py",
        None,
        Settings(home=tool.home, cwd=tool.cwd),
        options=WatchOptions(),
        report=events.ignore,
    )

    async def follow(snapshot: Snapshot) -> AsyncGenerator[tuple[Path, ...], None]:
        asked.append(snapshot)
        if len(asked) == 1:
            edit(glue / "chain.py", "    def __init__", declared + "    def __init__")
            yield snapshot.recheck()
        elif len(asked) == 2:
            (data / "words.txt").write_text("two")
            yield snapshot.recheck()

    result = watch(watched, remote=remote, report=events.ignore, follow=follow)

    assert [root.path for root in asked[-1].roots] == [data, glue]
    assert (result.version, len(asked)) == (3, 2)


def test_an_edit_of_the_ignored_names_is_a_save(tool: Tool, remote: MemoryRemote, glue: Path) -> None:
    asked: list[Snapshot] = []
    watched = read_watched(
        tool.cwd / "chain.py",
        None,
        Settings(home=tool.home, cwd=tool.cwd),
        options=WatchOptions(),
        report=events.ignore,
    )

    async def follow(snapshot: Snapshot) -> AsyncGenerator[tuple[Path, ...], None]:
        asked.append(snapshot)
        if len(asked) == 1:
            (glue / ".truss_ignore").write_text("*.tmp\n")
            yield snapshot.recheck()

    watch(watched, remote=remote, report=events.ignore, follow=follow)

    assert [snapshot.wants(glue / "a.tmp") for snapshot in asked] == [True, False]


def test_once_brings_it_up_to_date_and_ends(tool: Tool, remote: MemoryRemote, glue: Path) -> None:
    """An edit made before watching is judged against what runs, and as light as any other."""
    tool.ok("watch", "chain.py", "--once")
    edit(glue / "chain.py", "round(score, 3)", "round(score, 4)")
    done = tool.ok("watch", "chain.py", "--once", "-o", "json")
    assert {(e["chainlet"], e["action"]) for e in done.lines if e["type"] == "patched"} == {
        ("Embedder", "unchanged"),
        ("Search", "patched"),
    }
    assert (done.result["version"], done.result["exit_code"]) == (2, 0)


def test_once_exits_3_if_the_patch_is_refused(tool: Tool, glue: Path) -> None:
    class Refusing(MemoryRemote):
        def patch(self, chain: str, request: Any) -> Any:
            raise DiagnosticsError([Diagnostic(code=Code.PATCH_FAILED, message="no weights")])

    tool.remote = Refusing()
    tool.ok("watch", "chain.py", "--once")
    edit(glue / "chain.py", "round(score, 3)", "round(score, 4)")
    done = tool("watch", "chain.py", "--once")
    assert done.code == 3
    assert "error[CH403]: no weights" in done.err


def test_a_refused_patch_names_its_place_as_a_push_does(tool: Tool, glue: Path) -> None:
    """A remote knows a file by its path below the workspace; an editor wants to open what is named."""
    place = Location(path="chain.py", line=3)

    class Refusing(MemoryRemote):
        def patch(self, chain: str, request: Any) -> Any:
            raise DiagnosticsError([Diagnostic(code=Code.GPU_MISSING, message="no GPU here", location=place)])

    tool.remote = remote = Refusing()
    _, told = play(tool, remote, lambda: edit(glue / "chain.py", "round(score, 3)", "round(score, 4)"))

    (refused,) = [e.diagnostic for e in of(told, events.Found) if e.diagnostic.code is Code.GPU_MISSING]
    assert refused.location == place.model_copy(update={"path": str(glue / "chain.py")})


def test_a_deployment_that_fails_ends_the_command(tool: Tool, remote: MemoryRemote, glue: Path) -> None:
    failed = Diagnostic(code=Code.INIT_FAILED, message="`Embedder` could not be loaded")
    remote.settle = lambda manifest: (DeploymentState.FAILED, (failed,))
    done = tool("watch", "chain.py", "--once")
    assert done.code == 3
    assert "error[CH501]" in done.err


def test_push_watch_is_watch(tool: Tool, remote: MemoryRemote, program: Program) -> None:
    (tool.cwd / "bad.py").write_text("def (:\n")
    assert tool("push", "bad.py", "--watch").code == 1
    assert tool("push", "bad.py", "--watch", "--promote").code == 2


def test_a_smoke_input_is_an_object(tool: Tool, remote: MemoryRemote, glue: Path) -> None:
    done = tool("watch", "chain.py", "--once", "--smoke", "[1]")
    assert done.code == 1
    assert "error[CH129]" in done.err


def test_what_is_not_watched(tmp_path: Path) -> None:
    home = tmp_path / "state"
    for name in ("env/lib", "pkg/build", "state/platform"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "env" / "pyvenv.cfg").touch()
    is_ignored = ignore_rule(tmp_path, home)
    assert is_ignored("env/lib/a.py")
    assert is_ignored("env/")
    assert is_ignored("state/platform/state.db")
    assert is_ignored("pkg/__pycache__/a.pyc")
    assert not is_ignored("pkg/build/a.py")
    assert not is_ignored("chain.py")

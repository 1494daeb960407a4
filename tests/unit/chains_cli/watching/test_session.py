"""Rounds of a watch session: what is applied, what is kept, and how it recovers."""

from pathlib import Path

import pytest

from chains_cli.watching.events import Noted, RoundFinished, RoundGivenUp, RoundStarted
from chains_protocol.control import PackageReply
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Severity
from chains_protocol.patch import Action
from chains_protocol.spec import LocalSources
from tests.unit.chains_cli.watching.fakes import CHAIN, TEXT, Bench, chain, chainlet

MORE = """\
import truss_chains as chains


class More(chains.ChainletBase):
    def run_remote(self) -> None: ...
"""
UNCHANGED, PATCHED, RELOADED, RESTARTED = Action.UNCHANGED, Action.PATCHED, Action.RELOADED, Action.RESTARTED


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_glue_edit_patches_the_glue_and_keeps_the_model(bench: Bench) -> None:
    model = bench.target.base.manifest.package("Model")

    assert bench.save("chain.py", '"> "', '"* "')

    assert bench.actions == {"Model": UNCHANGED, "Glue": PATCHED}
    assert bench.target.applied == [{"Glue": PATCHED}]
    assert bench.target.base.manifest.package("Model") == model
    assert (bench.discoveries, bench.builds) == (0, 0)
    assert bench.events[0] == RoundStarted(("chain.py",))


def test_a_comment_sends_nothing(bench: Bench) -> None:
    assert bench.save("chain.py", "LIMIT = 3", "LIMIT = 3  # why")
    assert bench.actions == {"Model": UNCHANGED, "Glue": UNCHANGED}
    assert bench.target.applied == []
    assert bench.target.base.version == 1


def test_a_comment_and_then_an_edit_is_compared_with_what_runs(bench: Bench) -> None:
    bench.save("chain.py", "LIMIT = 3", "LIMIT = 3  # why")
    bench.save("chain.py", "LIMIT = 3  # why", "LIMIT = 4")
    assert bench.target.applied == [{"Model": RELOADED}]


def test_a_broken_save_changes_nothing_and_the_next_good_one_recovers(bench: Bench) -> None:
    """P-14."""
    assert not bench.save("text.py", "return text.strip()", "return text.strip(")
    (found,) = bench.failure
    assert (found.code, str(found.location)[:9]) == (Code.SYNTAX_ERROR, "text.py:2")
    assert bench.target.applied == []

    assert bench.save("text.py", "return text.strip(", "return text.rstrip()")
    assert bench.target.applied == [{"Model": PATCHED}]


def test_taking_a_broken_save_back_sends_nothing(bench: Bench) -> None:
    bench.save("text.py", "return text.strip()", "return text.strip(")
    assert bench.save("text.py", "return text.strip(", "return text.strip()")
    assert bench.target.applied == []


def test_a_refused_patch_is_reported_and_compared_again(bench: Bench) -> None:
    refusal = Diagnostic(code=Code.INIT_FAILED, message="no")
    bench.target.refusal = (refusal,)
    assert not bench.save("chain.py", "LIMIT = 3", "LIMIT = 0")
    assert bench.failure == (refusal,)

    assert bench.save("text.py", "strip", "rstrip")
    assert bench.target.applied == [{"Model": RELOADED}]


def test_a_changed_shape_is_read_again(bench: Bench) -> None:
    bench.spec = chain(bench.root, chainlet("Model"), chainlet("Glue", "Model", takes_context=True))
    bench.save(
        "chain.py", "chains.depends(Model)) ->", "chains.depends(Model), context=chains.depends_context()) ->"
    )
    assert bench.discoveries == 1
    assert bench.actions == {"Model": UNCHANGED, "Glue": RELOADED}
    assert bench.session.state.spec == bench.spec


def test_a_failing_discovery_keeps_the_last_good_state(bench: Bench) -> None:
    error = Diagnostic(code=Code.MISSING_ANNOTATION, message="no type")
    bench.discovery_error = DiagnosticsError([error])
    assert not bench.save(
        "chain.py",
        "run_remote(self, text: str) -> str:\n        return clean",
        "run_remote(self, text) -> str:\n        return clean",
    )
    assert bench.failure == (error,)
    assert bench.target.applied == []

    bench.discovery_error = None
    bench.save("chain.py", "run_remote(self, text) -> str", "run_remote(self, text: bytes) -> str")
    assert bench.discoveries == 2
    assert bench.actions == {"Model": PATCHED, "Glue": PATCHED}


def test_of_a_directory_that_is_gone_the_file_that_was_named_is_missed_first(bench: Bench) -> None:
    """Not whatever else of it is needed."""
    missing = Diagnostic(code=Code.SOURCE_NOT_FOUND, message="no file")
    bench.discovery_error = DiagnosticsError([missing])
    (bench.root / "chain.py").unlink()
    (bench.root / "text.py").unlink()
    assert not bench.session.run_round([bench.root / "chain.py", bench.root / "text.py"])
    assert (bench.failure, bench.builds) == ((missing,), 0)


def test_an_added_chainlet_is_deployed_with_the_others_kept(bench: Bench) -> None:
    bench.write("more.py", MORE)
    bench.spec = chain(
        bench.root, chainlet("Model"), chainlet("More", module="more"), chainlet("Glue", "Model", "More")
    )
    edited = CHAIN.replace("(Model)) ->", "(Model), more=chains.depends(More)) ->")
    bench.write("chain.py", edited.replace("from text", "from more import More\nfrom text"))
    bench.session.run_round([bench.root / "chain.py", bench.root / "more.py"])
    assert bench.actions == {"Model": UNCHANGED, "More": Action.REDEPLOYED, "Glue": Action.REDEPLOYED}


def test_a_removed_chainlet_goes(bench: Bench) -> None:
    bench.spec = chain(bench.root, chainlet("Glue"))
    bench.save("chain.py", "self, model: Model = chains.depends(Model)", "self")
    assert bench.actions == {"Glue": Action.REDEPLOYED, "Model": Action.REDEPLOYED}
    assert [p.spec.display_name for p in bench.target.base.manifest.packages] == ["Glue"]


def test_another_entrypoint_is_noticed_though_no_chainlet_changed(bench: Bench) -> None:
    bench.save("chain.py", new="\n\n@chains.mark_entrypoint\nclass Other(chains.ChainletBase):\n    pass\n")
    assert bench.discoveries == 1


def test_a_deployment_keeps_its_name_whatever_the_file_calls_the_chain(bench: Bench) -> None:
    """A class that is renamed may give the Chain another name; that is no reason to refuse the save."""
    bench.spec = chain(bench.root, chainlet("Model"), chainlet("Best", "Model"), name="Best")
    assert bench.save("chain.py", "class Glue", "class Best")
    assert bench.actions == {"Model": UNCHANGED, "Best": Action.REDEPLOYED, "Glue": Action.REDEPLOYED}
    assert bench.target.base.manifest.chain_name == "Glue"
    (noted,) = [e.diagnostic for e in bench.events if isinstance(e, Noted)]
    assert (noted.code, noted.severity) == (Code.BROKEN_SAVE, Severity.WARNING)


def test_a_round_that_is_given_up_is_no_failure_and_is_made_again(bench: Bench) -> None:
    """CH403 is what the platform says of it."""

    def saved_again() -> None:
        bench.session.give_up()
        bench.target.refusal = (Diagnostic(code=Code.PATCH_FAILED, message="given up"),)

    bench.target.before_patch = saved_again
    assert not bench.save("chain.py", '"> "', '"* "')
    assert isinstance(bench.events[-1], RoundGivenUp)
    assert bench.target.given_up == 1
    bench.target.before_patch = None
    assert bench.session.run_round([bench.root / "chain.py"])
    assert bench.target.applied == [{"Glue": PATCHED}]


def test_a_file_made_or_removed_builds_anew(bench: Bench) -> None:
    bench.save("chain.py", "from text import clean", "from text2 import clean")
    bench.write("text2.py", TEXT)
    assert bench.session.run_round([bench.root / "text2.py"])
    (bench.root / "text.py").unlink()
    assert bench.session.run_round([bench.root / "text.py"])
    paths = [file.path for file in bench.target.base.manifest.package("Model").files]
    assert [path for path in paths if path.startswith("packages/")] == [
        "packages/chain.py",
        "packages/text2.py",
    ]


def test_requirements_rebuild(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("requests==2.0\n")
    sources = LocalSources(requirements_file=str(requirements))
    spec = chain(tmp_path, chainlet("Model", sources=sources), chainlet("Glue", "Model"))
    bench = Bench(tmp_path, spec)
    bench.save("requirements.txt", "2.0", "2.1")
    assert bench.actions == {"Model": Action.REBUILT, "Glue": UNCHANGED}
    assert bench.discoveries == 0


def test_only_selected_chainlets_are_patched_and_the_others_later(tmp_path: Path) -> None:
    bench = Bench(tmp_path, selected=["Glue"])
    bench.save("text.py", "strip", "rstrip")
    last = bench.events[-1]
    assert isinstance(last, RoundFinished)
    assert [(c.display_name, c.action, c.is_skipped) for c in last.chainlets] == [
        ("Model", UNCHANGED, True),
        ("Glue", UNCHANGED, False),
    ]
    assert bench.target.applied == []


def test_somebody_else_changed_what_runs(bench: Bench) -> None:
    """A conflict: said, not overwritten; the next save starts what it can't compare anew."""
    foreign = [
        p if p.spec.display_name == "Glue" else p.model_copy(update={"digest": "0" * 64})
        for p in bench.target.base.manifest.packages
    ]
    manifest = bench.target.base.manifest.model_copy(update={"packages": tuple(foreign)})
    bench.target.base = PackageReply(deployment="d1", version=5, manifest=manifest)

    assert not bench.save("chain.py", '"> "', '"* "')
    assert bench.failure[0].code is Code.STALE_BASE
    assert bench.target.applied == []

    assert bench.save("chain.py", '"* "', '"+ "')
    assert bench.target.applied[0] == {"Model": RESTARTED, "Glue": PATCHED}
    assert bench.session.state.base.version == 6


def test_a_look_tells_what_somebody_else_brought_there(bench: Bench) -> None:
    """An undo meanwhile: the next save, not the look, replaces it, as lightly as any other edit."""
    first = bench.session.state
    for package in first.packages:
        bench.target.sources[package.manifest.digest] = dict(package.files)
    assert bench.save("chain.py", '"> "', '"* "')
    assert not bench.session.look()
    bench.target.base = first.base.model_copy(update={"version": 3})

    assert bench.session.look()
    assert not bench.session.look()
    assert len(bench.target.applied) == 1

    assert bench.save("chain.py", '"* "', '"+ "')
    assert bench.target.applied[1] == {"Glue": PATCHED}


def test_an_own_patch_whose_answer_was_lost_is_known_by_its_digests(bench: Bench) -> None:
    assert bench.save("chain.py", '"> "', '"* "')
    bench.target.base = bench.target.base.model_copy(update={"version": 3})
    assert not bench.session.look()
    assert bench.session.state.base.version == 3


def test_catching_up_does_nothing_when_all_is_current(bench: Bench) -> None:
    assert bench.session.catch_up()
    assert bench.target.applied == []


def test_an_edit_before_the_session_is_judged_against_what_runs(tmp_path: Path) -> None:
    """The deployment gives its sources back, so an edit made before watching is as light as any other."""
    bench = Bench(tmp_path)
    for package in bench.session.state.packages:
        bench.target.sources[package.manifest.digest] = dict(package.files)
    edited = CHAIN.replace('"> "', '"* "')
    assert edited != CHAIN
    bench.write("chain.py", edited)

    again = type(bench.session)(
        spec=bench.spec,
        packages=bench.session._rebuilder.full(bench.spec),
        rebuilder=bench.session._rebuilder,
        discover=bench._discover,
        target=bench.target,
        report=bench.events.append,
    )

    assert again.catch_up()
    assert bench.target.applied == [{"Glue": PATCHED}]
    assert bench.actions == {"Model": UNCHANGED, "Glue": PATCHED}


def test_catch_up_applies_what_differs(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    manifest = bench.target.base.manifest
    stale = tuple(p.model_copy(update={"digest": "1" * 64}) for p in manifest.packages)
    bench.target.base = PackageReply(
        deployment="d1", version=1, manifest=manifest.model_copy(update={"packages": stale})
    )
    again = type(bench.session)(
        spec=bench.spec,
        packages=bench.session.state.packages,
        rebuilder=bench.session._rebuilder,
        discover=bench._discover,
        target=bench.target,
        report=bench.events.append,
    )
    assert again.catch_up()
    assert bench.target.applied == [{"Model": RESTARTED, "Glue": RESTARTED}]

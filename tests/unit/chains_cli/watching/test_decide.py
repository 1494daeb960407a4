"""What differences of specs and packages need (the action table of the design)."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from chains_analysis import AnalysisCache
from chains_cli.packaging.reader import WorkspaceReader
from chains_cli.watching.decide import Decision, decide, judge_sources
from chains_protocol.patch import Action
from chains_protocol.spec import (
    AssetsSpec,
    AutoscalingSpec,
    ChainSpec,
    ComputeSpec,
    DependencySpec,
    EndpointSpec,
    ImageSpec,
    LocalSources,
    MockSpec,
    OptionsSpec,
    RPCOptions,
)
from tests.unit.chains_cli.watching.fakes import CHAIN, TEXT, build, chain, chainlet

FILES = {"chain.py": CHAIN, "text.py": TEXT}


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def decided(
    root: Path,
    old: ChainSpec,
    new: ChainSpec,
    edit: Mapping[str, str] | None = None,
    foreign: tuple[str, ...] = (),
) -> dict[str, Decision]:
    write(root, FILES)
    before = build(old, WorkspaceReader(root))
    write(root, edit or {})
    after = build(new, WorkspaceReader(root))
    verdicts = judge_sources(before, after, AnalysisCache())
    return {d.display_name: d for d in decide(before, after, verdicts, foreign)}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"options": OptionsSpec(env_variables={"A": "1"})}, Action.RESTARTED),
        ({"options": OptionsSpec(enable_debug_logs=True)}, Action.RESTARTED),
        ({"assets": AssetsSpec(secret_keys=("key",))}, Action.RESTARTED),
        ({"endpoint": EndpointSpec(is_websocket=True)}, Action.RESTARTED),
        ({"image": ImageSpec(pip_requirements=("requests",))}, Action.REBUILT),
        ({"image": ImageSpec(python_version="3.11")}, Action.REBUILT),
        ({"image": ImageSpec(apt_requirements=("ffmpeg",))}, Action.REBUILT),
        ({"assets": AssetsSpec(weights=({"source": "hf://a"},))}, Action.REBUILT),
        ({"compute": ComputeSpec(cpu_count=4)}, Action.REDEPLOYED),
        ({"autoscaling": AutoscalingSpec(max_replicas=3)}, Action.REDEPLOYED),
        ({"takes_context": True}, Action.RELOADED),
        ({"endpoint": EndpointSpec(return_annotation="int")}, Action.PATCHED),
        ({"mock": MockSpec(kind="auto")}, Action.REDEPLOYED),
        ({"line": 7}, Action.UNCHANGED),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_setting_of_one_chainlet(tmp_path: Path, fields: dict[str, object], expected: Action) -> None:
    old = chain(tmp_path)
    new = chain(tmp_path, chainlet("Model", **fields), chainlet("Glue", "Model"))
    found = decided(tmp_path, old, new)
    assert {name: d.action for name, d in found.items()} == {"Model": expected, "Glue": Action.UNCHANGED}
    assert bool(found["Model"].reasons) == (expected is not Action.UNCHANGED)


def test_edges_and_how_they_are_called(tmp_path: Path) -> None:
    old = chain(tmp_path)
    without = chain(tmp_path, chainlet("Model"), chainlet("Glue"))
    assert decided(tmp_path, old, without)["Glue"].action is Action.REDEPLOYED
    edge = DependencySpec(
        parameter="model", class_name="Model", display_name="Model", options=RPCOptions(retries=3)
    )
    glue = chainlet("Glue")
    glue = glue.model_copy(update={"spec": glue.spec.model_copy(update={"dependencies": (edge,)})})
    assert decided(tmp_path, old, chain(tmp_path, chainlet("Model"), glue))["Glue"].action is Action.PATCHED


def test_the_interpreter_of_the_author_changed(tmp_path: Path) -> None:
    found = decided(tmp_path, chain(tmp_path), chain(tmp_path, python="3.13"))
    assert {d.action for d in found.values()} == {Action.REBUILT}
    assert found["Glue"].texts == ("the Python version changed",)


def test_data_files_rebuild(tmp_path: Path) -> None:
    sources = LocalSources(data_dir=str(tmp_path / "data"))
    write(tmp_path, {"data/words.txt": "one"})
    spec = chain(tmp_path, chainlet("Model", sources=sources), chainlet("Glue", "Model"))
    found = decided(tmp_path, spec, spec, {"data/words.txt": "two"})
    assert {n: d.action for n, d in found.items()} == {"Model": Action.REBUILT, "Glue": Action.UNCHANGED}


def test_the_heaviest_reason_decides_and_comes_first(tmp_path: Path) -> None:
    new = chain(
        tmp_path, chainlet("Model", options=OptionsSpec(env_variables={"A": "1"})), chainlet("Glue", "Model")
    )
    found = decided(tmp_path, chain(tmp_path), new, {"text.py": TEXT.replace("strip", "rstrip")})["Model"]
    assert found.action is Action.RESTARTED
    assert found.texts == (
        "`env_variables` changed",
        "`text.clean` changed; `Model.run_remote` uses it",
    )


def test_a_new_chainlet_and_one_that_somebody_else_changed(tmp_path: Path) -> None:
    old = chain(tmp_path, chainlet("Glue"))
    found = decided(tmp_path, old, chain(tmp_path, chainlet("Model"), chainlet("Glue")), foreign=("Glue",))
    assert {n: d.action for n, d in found.items()} == {"Model": Action.REDEPLOYED, "Glue": Action.RESTARTED}

"""The quick way to packages gives what the long way gives."""

from pathlib import Path

import pytest

from chains_cli.packaging.package import ChainPackages
from chains_cli.packaging.reader import WorkspaceReader
from chains_cli.watching.decide import source_tree
from chains_cli.watching.rebuild import Rebuilder
from chains_protocol.kinds import ChainletKind
from chains_protocol.spec import ChainSpec, DiscoveredChainlet, LocalSources
from tests.unit.chains_cli.watching.fakes import CHAIN, TEXT, build, chain

PROMPT = 'from pathlib import Path\n\nPROMPT = (Path(__file__).parent / "prompt.txt").read_text()\n'


class Counted:
    """Counts full builds."""

    def __init__(self) -> None:
        self.builds = 0

    def __call__(self, spec: ChainSpec, reader: WorkspaceReader) -> ChainPackages:
        self.builds += 1
        return build(spec, reader)


@pytest.fixture
def spec(tmp_path: Path) -> ChainSpec:
    for name, text in {"chain.py": CHAIN, "text.py": TEXT, "spare.py": PROMPT, "prompt.txt": "one"}.items():
        (tmp_path / name).write_text(text)
    return chain(tmp_path)


@pytest.mark.parametrize(
    ("file", "old", "new", "is_quick"),
    [
        ("chain.py", '"> "', '"* "', True),
        ("text.py", "strip", "rstrip", True),
        ("chain.py", "from text", "import spare\nfrom text", True),
        (
            "chain.py",
            "import truss_chains as chains\n",
            "import truss_chains as chains\nimport numpy\n",
            False,
        ),
        ("prompt.txt", "one", "two", False),
        ("new.py", "", "X = 1\n", False),
    ],
)
def test_quick_and_full_agree(spec: ChainSpec, file: str, old: str, new: str, is_quick: bool) -> None:
    counted = Counted()
    rebuilder = Rebuilder(counted)
    packages = rebuilder.full(spec)
    path = Path(spec.workspace) / file
    text = path.read_text() if path.exists() else ""
    path.write_text(text.replace(old, new))

    found = rebuilder.quick(spec, packages, [path])

    assert counted.builds == (1 if is_quick else 2)
    expected = build(spec, WorkspaceReader(Path(spec.workspace)))
    assert found.manifest == expected.manifest
    assert [dict(p.files) for p in found] == [dict(p.files) for p in expected]


def test_an_edit_of_a_wrapped_truss_is_seen_inside_the_workspace_too(spec: ChainSpec) -> None:
    """G-61: its package is no closure of the workspace's modules."""
    truss = Path(spec.workspace) / "t"
    (truss / "model").mkdir(parents=True)
    (truss / "config.yaml").write_text("model_name: t\n")
    model = truss / "model" / "model.py"
    model.write_text("class Model: ...\n")
    wrapped = DiscoveredChainlet(
        spec=spec.chainlets[0].spec.model_copy(
            update={"class_name": "T", "display_name": "T", "kind": ChainletKind.TRUSS}
        ),
        sources=LocalSources(truss_dir=str(truss)),
    )
    spec = spec.model_copy(update={"chainlets": (wrapped, *spec.chainlets)})
    rebuilder = Rebuilder(build)
    packages = rebuilder.full(spec)
    model.write_text("class Model: X = 1\n")

    found = rebuilder.quick(spec, packages, [model])

    assert found.package("T").files["model/model.py"] == b"class Model: X = 1\n"


def test_many_rounds_build_on_each_other(spec: ChainSpec) -> None:
    rebuilder = Rebuilder(build)
    packages = rebuilder.full(spec)
    path = Path(spec.workspace) / "text.py"
    for number in range(5):
        path.write_text(f"def clean(text):\n    return text + '{number}'\n")
        packages = rebuilder.quick(spec, packages, [path])
    assert packages.manifest == build(spec, WorkspaceReader(Path(spec.workspace))).manifest
    assert packages.package("Model").files["packages/text.py"] == path.read_bytes()
    with pytest.raises(KeyError):
        packages.package("Model").files["packages/nothing.py"]


def test_files_of_other_packages_stay_the_same_objects(spec: ChainSpec) -> None:
    rebuilder = Rebuilder(build)
    packages = rebuilder.full(spec)
    assert list(rebuilder.quick(spec, packages, [])) == list(packages)


def test_other_files_are_compared_by_digest(spec: ChainSpec) -> None:
    (Path(spec.workspace) / "chain.py").write_text(CHAIN.replace("from text", "import spare\nfrom text"))
    package = build(spec, WorkspaceReader(Path(spec.workspace))).package("Model")
    digests = {entry.path: entry.digest for entry in package.manifest.files}
    tree = source_tree(package)
    assert tree.files["prompt.txt"] == digests["packages/prompt.txt"].encode()
    assert tree.files["text.py"] == TEXT.encode()

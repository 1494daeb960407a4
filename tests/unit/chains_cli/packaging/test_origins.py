"""Why each file is in a package, and what happens to files that look like secrets."""

from dataclasses import replace

import pytest

from chains_cli.packaging.build import build_packages
from chains_protocol.errors import Code, DiagnosticsError
from chains_protocol.spec import LocalSources
from tests.unit.chains_cli.packaging.conftest import Write, chain, chainlet

KEY = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"
READS = "from pathlib import Path\nKEY = Path(__file__).with_name('server.pem')\n"


def test_every_file_has_a_reason(write: Write) -> None:
    root = write(
        {
            "chain.py": "from lib import text\nimport tools\n",
            "lib/__init__.py": "",
            "lib/text.py": "import pathlib, tools\nS = pathlib.Path(__file__).with_name('stop.txt')\n",
            "lib/stop.txt": "a",
            "tools.py": "",
            "unused.py": "",
            "data/x.json": "{}",
        }
    )
    found = chainlet(sources=LocalSources(data_dir=str(root / "data")))
    package = build_packages(chain(root, found)).package("Hello")
    assert dict(package.origins) == {
        "chains.json": "generated",
        "config.yaml": "generated",
        "model/__init__.py": "generated",
        "model/model.py": "generated",
        "pip_requirements.txt": "generated",
        "packages/chain.py": "declares the Chainlet",
        "packages/lib/__init__.py": "imported by `chain.py`",
        "packages/lib/text.py": "imported by `chain.py`",
        "packages/lib/stop.txt": "beside `lib/text.py`, which reads files and names it",
        "packages/tools.py": "imported by `chain.py`, `lib/text.py`",
        "data/x.json": f"below `data_dir`, `{root / 'data'}`",
    }
    assert set(package.origins) == set(package.files)


def test_files_of_a_widened_closure_say_where_the_doubt_is(write: Write) -> None:
    root = write(
        {"chain.py": "import importlib\nname = input()\nimportlib.import_module(name)\n", "other.py": ""}
    )
    origins = build_packages(chain(root)).package("Hello").origins
    assert origins["packages/other.py"] == "what `chain.py` imports cannot be known"


def test_reasons_are_no_part_of_a_package(write: Write) -> None:
    """G-06: equal packages are equal, however their files were found."""
    root = write({"chain.py": "import tools\n", "tools.py": ""})
    package = build_packages(chain(root)).package("Hello")
    assert package == replace(package, origins={})


@pytest.mark.parametrize("place", ["beside", "data", "external"])
@pytest.mark.parametrize("is_named", [False, True])
def test_a_secret_looking_file_is_packaged_only_if_the_author_names_it(
    write: Write, place: str, is_named: bool
) -> None:
    """CH204."""
    path = {"beside": "server.pem", "data": "data/server.pem", "external": "ext/server.pem"}[place]
    root = write({"chain.py": READS if place == "beside" else "", path: KEY})
    (root / ".truss_ignore").write_text(f"!{path}\n" if is_named else "!*.pem\n")
    sources = {
        "beside": LocalSources(),
        "data": LocalSources(data_dir=str(root / "data")),
        "external": LocalSources(external_package_dirs=(str(root / "ext"),)),
    }[place]
    packages = build_packages(chain(root, chainlet(sources=sources)))
    held = any(p.endswith("server.pem") for p in packages.package("Hello").files)
    (note,) = [n for n in packages.notes if n.code is Code.SECRET_LOOKING_FILE]
    assert held is is_named
    assert ("is packaged" if is_named else "is not packaged") in note.message


def test_a_broken_module_is_an_error_only_where_it_is_reached(write: Write) -> None:
    """CH152."""
    root = write({"chain.py": "", "other.py": "def (:\n"})
    assert build_packages(chain(root)).package("Hello").files
    (root / "chain.py").write_text("import other\n")
    with pytest.raises(DiagnosticsError) as caught:
        build_packages(chain(root))
    assert caught.value.diagnostics[0].code is Code.SYNTAX_ERROR

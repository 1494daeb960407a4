"""Packages of Chains described by hand (chapter 6: G-rules; CH201 to CH210)."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from chains_cli.packaging.build import PackageBuilder, Target, build_packages
from chains_cli.packaging.package import ChainPackages
from chains_cli.packaging.reader import ContentCache, WorkspaceReader
from chains_cli.packaging.write import write_packages
from chains_protocol.digest import bytes_digest
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Severity
from chains_protocol.spec import (
    AssetsSpec,
    ChainletKind,
    ChainletSpec,
    ComputeSpec,
    EndpointSpec,
    ImageSpec,
    LocalSources,
    MockSpec,
    OptionsSpec,
)
from tests.unit.chains_cli.packaging.conftest import Write, chain, chainlet

GENERATED = ["chains.json", "config.yaml", "model/__init__.py", "model/model.py", "pip_requirements.txt"]


def sources(packages: ChainPackages, name: str = "Hello") -> list[str]:
    """Paths below `packages/`."""
    files = packages.package(name).files
    return [path.removeprefix("packages/") for path in files if path.startswith("packages/")]


def config(packages: ChainPackages, name: str = "Hello") -> dict[str, object]:
    loaded = yaml.safe_load(packages.package(name).files["config.yaml"])
    assert isinstance(loaded, dict)
    return loaded


def refused(root: Path, *chainlets: object, **options: object) -> tuple[Diagnostic, ...]:
    with pytest.raises(DiagnosticsError) as caught:
        build_packages(chain(root, *chainlets), **options)  # type: ignore[arg-type]
    return caught.value.diagnostics


# --- layout


def test_a_package_has_its_layout_and_says_what_it_is(write: Write) -> None:
    """G-03."""
    root = write({"chain.py": "X = 1\n"})
    package = build_packages(chain(root)).package("Hello")
    assert sorted(package.files) == sorted([*GENERATED, "packages/chain.py"])
    assert package.files["packages/chain.py"] == b"X = 1\n"
    assert ChainletSpec.model_validate_json(package.files["chains.json"]) == package.manifest.spec
    assert package.manifest.computed_digest() == package.manifest.digest
    entry = next(e for e in package.manifest.files if e.path == "packages/chain.py")
    assert (entry.digest, entry.size_bytes) == (bytes_digest(b"X = 1\n"), 6)


def test_the_generated_model_names_the_class_compiles_and_is_clean(write: Write, tmp_path: Path) -> None:
    root = write({"deep/er.py": ""})
    package = build_packages(chain(root, chainlet("Hello", "deep.er"))).package("Hello")
    source = package.files["model/model.py"]
    body = ast.parse(source).body[-1]
    assert isinstance(body, ast.ClassDef) and body.name == "Model"
    assert b'module = "deep.er"' in source and b'qualname = "Hello"' in source
    file = tmp_path / "model.py"
    file.write_bytes(source)
    ruff = [sys.executable, "-m", "ruff"]
    for command in ([*ruff, "check", "--isolated"], [*ruff, "format", "--check", "--isolated"]):
        subprocess.run([*command, str(file)], check=True, capture_output=True)


def test_the_same_source_gives_the_same_bytes_anywhere(write: Write, tmp_path: Path) -> None:
    """G-06: no absolute path, no time, no order of the file system, no interpreter path."""
    files = {f"lib/m{i}.py": f"X = {i}\n" for i in range(20)}
    imports = "".join(f"import lib.m{i}\n" for i in range(20))
    root = write({"chain.py": imports, **files})
    other = tmp_path / "elsewhere" / "copy"
    other.mkdir(parents=True)
    for path in sorted(root.rglob("*.py"), reverse=True):
        target = other / path.relative_to(root)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
        os.utime(target, (1, 1))
    first = build_packages(chain(root))
    second = build_packages(chain(other).model_copy(update={"source": "/x/chain.py"}))
    assert first.packages == second.packages
    assert list(first.package("Hello").files) == sorted(first.package("Hello").files)
    for data in first.package("Hello").files.values():
        assert str(tmp_path).encode() not in data and b"\r" not in data


def test_the_chains_manifest_keeps_the_order_and_the_entrypoint(write: Write) -> None:
    """G-02: dependencies first."""
    root = write({"chain.py": ""})
    packages = build_packages(
        chain(
            root, chainlet("Low", display_name="low-1"), chainlet("High", needs=("Low",), display_name="hi")
        )
    )
    assert [p.spec.display_name for p in packages.manifest.packages] == ["low-1", "hi"]
    assert (packages.manifest.entrypoint, packages.manifest.chain_name) == ("hi", "test")


# --- source closure (G-40)


def test_a_package_holds_what_its_module_can_import_and_nothing_else(write: Write) -> None:
    root = write(
        {
            "chain.py": "import a\nfrom pkg import b\n",
            "a.py": "",
            "pkg/__init__.py": "",
            "pkg/b.py": "from . import c\n",
            "pkg/c.py": "",
            "pkg/unused.py": "",
            "other.py": "",
            "README.md": "",
        }
    )
    packages = build_packages(chain(root))
    assert sources(packages) == ["a.py", "chain.py", "pkg/__init__.py", "pkg/b.py", "pkg/c.py"]
    assert packages.notes == ()


def test_editing_one_chainlets_module_leaves_the_others_digest(write: Write) -> None:
    root = write({"a.py": "X = 1\n", "b.py": "Y = 1\n"})
    spec = chain(root, chainlet("A", "a"), chainlet("B", "b"))
    before = build_packages(spec)
    write({"a.py": "X = 2\n"})
    after = build_packages(spec)
    assert before.package("A").manifest.digest != after.package("A").manifest.digest
    assert before.package("B").manifest == after.package("B").manifest


def test_imports_that_cannot_be_known_widen_the_package_with_a_note(write: Write) -> None:
    """CH206, at the place."""
    root = write(
        {"chain.py": "import importlib\nname = 'x'\nimportlib.import_module(name)\n", "plugin.py": ""}
    )
    packages = build_packages(chain(root, chainlet("A"), chainlet("B")))
    assert sources(packages, "A") == ["chain.py", "plugin.py"]
    (note,) = packages.notes
    assert (note.code, note.severity, str(note.location)) == (
        Code.CLOSURE_WIDENED,
        Severity.NOTE,
        "chain.py:3",
    )


@pytest.mark.parametrize("name", ["lib", "build", "env", "dist", "target", "var", "downloads", "instance"])
def test_user_packages_of_any_name_are_packaged(write: Write, name: str) -> None:
    """WP-23."""
    root = write({"chain.py": f"import {name}.tool\n", f"{name}/tool.py": ""})
    assert sorted(sources(build_packages(chain(root)))) == sorted(["chain.py", f"{name}/tool.py"])


def test_environments_caches_and_version_control_are_never_read(write: Write) -> None:
    """G-41: an environment is told by its `pyvenv.cfg`."""
    hidden = ["venv/lib/x.py", ".git/hook.py", "node_modules/a.py", ".tox/b.py", "__pycache__/c.py"]
    root = write(
        {
            "chain.py": "exec(open('x').read())\n",
            "venv/pyvenv.cfg": "",
            **dict.fromkeys(hidden, ""),
            "env/mine.py": "",
        }
    )
    assert sources(build_packages(chain(root))) == ["chain.py", "env/mine.py"]


def test_truss_ignore_replaces_the_built_in_list(write: Write) -> None:
    """G-42, WP-24; version control and bytecode stay out all the same."""
    files = {
        "chain.py": "exec(open('x').read())\n",
        ".tox/now_in.py": "",
        "heavy/a.py": "",
        "__pycache__/c.py": "",
        ".git/hook.py": "",
    }
    root = write({**files, ".truss_ignore": "heavy/\n"})
    assert sources(build_packages(chain(root))) == [".tox/now_in.py", "chain.py"]


def test_a_broken_link_is_left_out_with_a_warning(write: Write) -> None:
    """G-43: links to directories are not followed."""
    root = write({"chain.py": "exec(open('x').read())\n", "pkg/a.py": ""})
    (root / "broken.py").symlink_to(root / "nowhere.py")
    (root / "again").symlink_to(root / "pkg")
    (root / "linked.py").symlink_to(root / "pkg" / "a.py")
    packages = build_packages(chain(root))
    assert sources(packages) == ["chain.py", "linked.py", "pkg/a.py"]
    warning = next(n for n in packages.notes if n.code is Code.UNREADABLE_FILE)
    assert warning.severity is Severity.WARNING and "broken.py" in warning.message


def test_a_module_that_is_no_python_is_an_error_with_its_place(write: Write) -> None:
    root = write({"chain.py": "def f():\n    import lazy\n", "lazy.py": "def broken(:\n"})
    (diagnostic,) = refused(root)
    assert (diagnostic.code, str(diagnostic.location)) == (Code.SYNTAX_ERROR, "lazy.py:1:12")


# --- files beside the source


def test_files_beside_a_module_are_packaged_if_it_reads_and_names_them(write: Write) -> None:
    root = write(
        {
            "chain.py": "from pathlib import Path\nP = Path(__file__).parent / 'prompts' / 'a.txt'\n",
            "prompts/a.txt": "a",
            "README.md": "",
            "notes.txt": "",
        }
    )
    assert sources(build_packages(chain(root))) == ["chain.py", "prompts/a.txt"]


def test_a_path_in_the_configuration_names_no_file_of_the_package(write: Write) -> None:
    text = 'from truss_chains import make_abs_path_here as m\nH = __file__\nR = m("x")\n'
    root = write(
        {
            "chain.py": text + 'Q = make_abs_path_here("requirements.txt")\n',
            "requirements.txt": "",
        }
    )
    assert sources(build_packages(chain(root))) == ["chain.py"]


def test_what_gitignore_names_stays_out_unless_the_source_names_the_file(write: Write) -> None:
    root = write(
        {
            "chain.py": "HERE = __file__\nimport os\nos.listdir('.')\nW = 'weights.bin'\n",
            ".gitignore": "*.bin\ncache/\n!kept.bin\n",
            "weights.bin": "w",
            "other.bin": "o",
            "kept.bin": "k",
            "cache/x.txt": "",
        }
    )
    assert sources(build_packages(chain(root))) == ["chain.py", "kept.bin", "weights.bin"]


def test_secret_looking_files_are_never_packaged(write: Write, tmp_path: Path) -> None:
    """CH204, by name or by content, also in `data_dir`."""
    key = "-----BEGIN RSA PRIVATE KEY-----\nabc\n"
    root = write(
        {
            "chain.py": "import os\nos.listdir(os.path.dirname(__file__))\n",
            ".env": "A=1",
            ".env.example": "A=",
            "server.pem": key,
            "ca.pem": "-----BEGIN CERTIFICATE-----\n",
            "ok.json": "{}",
            "account.json": '{"private_key": "' + key + '"}',
        }
    )
    data = tmp_path / "data"
    data.mkdir()
    (data / "id_rsa").write_text("x")
    (data / "words.txt").write_text("x")
    found = chainlet(sources=LocalSources(data_dir=str(data)))
    packages = build_packages(chain(root, found))
    assert sources(packages) == [".env.example", "ca.pem", "chain.py", "ok.json"]
    assert "data/words.txt" in packages.package("Hello").files
    warned = [n for n in packages.notes if n.code is Code.SECRET_LOOKING_FILE]
    assert sorted(Path(n.location.path).name for n in warned if n.location) == [
        ".env",
        "account.json",
        "id_rsa",
        "server.pem",
    ]


# --- other directories


def test_the_contents_of_external_directories_become_importable(write: Write, tmp_path: Path) -> None:
    """G-44: the contents, not the directory; what they import of the workspace comes along."""
    external = tmp_path / "shared"
    (external / "tools").mkdir(parents=True)
    (external / "tools" / "__init__.py").write_text("import helper\n")
    (external / "tools" / "words.txt").write_text("w")
    root = write({"chain.py": "import tools\n", "helper.py": "", "other.py": ""})
    found = chainlet(sources=LocalSources(external_package_dirs=(str(external),)))
    packages = build_packages(chain(root, found, chainlet("Plain")))
    assert sources(packages) == ["chain.py", "helper.py", "tools/__init__.py", "tools/words.txt"]
    assert sources(packages, "Plain") == ["chain.py"]


@pytest.mark.parametrize("field", ["data_dir", "external_package_dirs", "requirements_file"])
def test_a_path_that_does_not_exist_is_an_error(write: Write, tmp_path: Path, field: str) -> None:
    """CH202."""
    absent = str(tmp_path / "absent")
    value = (absent,) if field == "external_package_dirs" else absent
    found = chainlet(sources=LocalSources.model_validate({field: value}))
    (diagnostic,) = refused(write({"chain.py": ""}), found)
    assert diagnostic.code is Code.PATH_NOT_FOUND
    assert absent in diagnostic.message


def test_data_is_copied_to_data(write: Write, tmp_path: Path) -> None:
    """G-45; what git ignores is packaged here, for the author named the directory."""
    data = tmp_path / "d"
    (data / "deep").mkdir(parents=True)
    (data / "deep" / "model.bin").write_bytes(b"\0\1")
    root = write({"chain.py": "", ".gitignore": "*.bin\n"})
    files = (
        build_packages(chain(root, chainlet(sources=LocalSources(data_dir=str(data))))).package("Hello").files
    )
    assert files["data/deep/model.bin"] == b"\0\1"


def test_a_large_package_is_warned_about_with_its_largest_files(write: Write) -> None:
    """CH205."""
    root = write({"chain.py": "W = open(__file__ + 'w.bin')\n", "w.bin": b"\0" * 10_000_001})
    (note,) = build_packages(chain(root)).notes
    assert (note.code, note.severity) == (Code.LARGE_PACKAGE, Severity.WARNING)
    assert "w.bin" in note.message and "10.0 MB" in note.message


# --- names (G-05)


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("model.py", "my_model.py"),
        ("truss_chains.py", "my_truss_chains.py"),
        ("chains_runtime/__init__.py", "my_chains_runtime"),
    ],
)
def test_names_that_hide_a_module_are_refused_where_they_are_imported(
    write: Write, name: str, better: str
) -> None:
    """CH201, G-05."""
    module = name.removesuffix(".py").partition("/")[0]
    root = write({"chain.py": f"import {module}\n", name: ""})
    (diagnostic,) = refused(root)
    assert (diagnostic.code, str(diagnostic.location)) == (Code.FORBIDDEN_FILE_NAME, name)
    assert f"`{better}`" in (diagnostic.help or "")
    (root / "chain.py").write_text("")
    build_packages(chain(root))


@pytest.mark.parametrize(
    ("name", "better"),
    [("my-chain", "my_chain"), ("2-step.old", "my_2_step_old"), ("class", "my_class"), ("a-b", "my_a_b")],
)
def test_a_chainlets_own_module_has_a_name_that_can_be_imported(write: Write, name: str, better: str) -> None:
    """CH201: the name that is suggested can be imported, and nothing has it yet."""
    root = write({f"{name}.py": "", "a_b.py": ""})
    found = chainlet(module=name)
    found = found.model_copy(update={"spec": found.spec.model_copy(update={"file": f"{name}.py"})})
    (diagnostic,) = refused(root, found)
    assert diagnostic.code is Code.FORBIDDEN_FILE_NAME
    assert f"`{better}.py`" in (diagnostic.help or "")


def test_a_name_of_ours_is_refused_also_if_it_comes_unasked(write: Write) -> None:
    """It would be found before ours: here all files come, because what is imported cannot be known."""
    root = write(
        {"chain.py": "__import__(input())\n", "chains_protocol.py": "", "a-b.py": "", "model.py": ""}
    )
    (diagnostic,) = refused(root)
    assert str(diagnostic.location) == "chains_protocol.py"


def test_names_of_the_truss_server_are_refused_for_that_target_only(write: Write) -> None:
    """WP-04."""
    root = write({"chain.py": "import main\n", "main.py": "", "shared.py": ""})
    build_packages(chain(root))
    (diagnostic,) = refused(root, target="truss")
    assert (diagnostic.code, str(diagnostic.location)) == (Code.FORBIDDEN_FILE_NAME, "main.py")


def test_a_name_with_a_dash_below_the_root_is_nobodys_business(write: Write) -> None:
    build_packages(chain(write({"chain.py": "", "scripts/do-it.py": "", "model/x.py": ""})))


def test_all_problems_are_reported_together(write: Write, tmp_path: Path) -> None:
    root = write({"chain.py": "import model\n", "model.py": ""})
    found = refused(
        root,
        chainlet("A", sources=LocalSources(data_dir=str(tmp_path / "no"))),
        chainlet("B", image=ImageSpec(pip_requirements=("./local",))),
    )
    assert {d.code for d in found} == {Code.FORBIDDEN_FILE_NAME, Code.PATH_NOT_FOUND, Code.BAD_REQUIREMENTS}


# --- config.yaml (6.2)


def test_the_config_holds_what_the_chainlet_declares(write: Write) -> None:
    """6.2, G-20."""
    found = chainlet(
        needs=("Other",),
        display_name="hello-1",
        compute=ComputeSpec(cpu_count=2, memory="5Gi", gpu="L4", gpu_count=2, predict_concurrency=3),
        image=ImageSpec(
            python_version="3.11",
            custom_image={"image": "x:1", "python_executable_path": "/bin/python"},
            apt_requirements=("ffmpeg",),
            build_commands=("echo 'a: b'",),
            truss_server_version="0.9.1",
        ),
        assets=AssetsSpec(secret_keys=("hf",), weights=({"source": "hf://a/b", "mount_location": "/m"},)),
        options=OptionsSpec(
            env_variables={"A": "yes", "B": 'say "x"\n'},
            metadata={"k": [1, 2.5, None, True, "é😀\u2028"], "n": "null"},
            health_checks={"restart_threshold_seconds": 5},
            enable_tracing=True,
            streaming_read_timeout_s=7,
        ),
    )
    loaded = config(build_packages(chain(write({"chain.py": ""}), chainlet("Other"), found)), "hello-1")
    service = {
        "name": "Other",
        "display_name": "Other",
        "options": {"retries": 1, "timeout_sec": 600.0, "use_binary": False, "concurrency_limit": 300},
    }
    assert loaded == {
        "spec_version": "2.0",
        "model_name": "hello-1",
        "description": None,
        "model_framework": "custom",
        "model_type": "Model",
        "input_type": "Any",
        "examples_filename": "examples.yaml",
        "apply_library_patches": True,
        "live_reload": False,
        "use_local_src": False,
        "requirements": [],
        "model_class_filename": "model.py",
        "model_class_name": "Model",
        "model_module_dir": "model",
        "bundled_packages_dir": "packages",
        "data_dir": "data",
        "python_version": "py311",
        "base_image": {"image": "x:1", "python_executable_path": "/bin/python"},
        "requirements_file": "pip_requirements.txt",
        "system_packages": ["ffmpeg"],
        "build_commands": ["echo 'a: b'"],
        "environment_variables": {"A": "yes", "B": 'say "x"\n'},
        "secrets": {"hf": "***", "baseten_chain_api_key": "***"},
        "external_package_dirs": [],
        "external_data": [],
        "model_cache": [],
        "weights": [{"source": "hf://a/b", "mount_location": "/m"}],
        "resources": {"cpu": "2", "memory": "5Gi", "accelerator": "L4:2", "use_gpu": True},
        "runtime": {
            "predict_concurrency": 3,
            "enable_tracing_data": True,
            "enable_debug_logs": False,
            "streaming_read_timeout": 7,
            "is_websocket_endpoint": False,
            "transport": {"kind": "http"},
            "health_checks": {"restart_threshold_seconds": 5},
            "truss_server_version_override": "0.9.1",
        },
        "model_metadata": {
            "k": [1, 2.5, None, True, "é😀\u2028"],
            "n": "null",
            "chains_metadata": {"chainlet_to_service": {"Other": service}},
        },
    }


@pytest.mark.parametrize(
    ("transport", "is_websocket", "expected"),
    [
        (None, False, {"kind": "http"}),
        ({"kind": "grpc"}, False, {"kind": "grpc"}),
        (
            None,
            True,
            {"kind": "websocket", "ping_interval_seconds": None, "ping_timeout_seconds": None},
        ),
        (
            {"kind": "websocket", "ping_interval_seconds": 2.0, "ping_timeout_seconds": None},
            True,
            {"kind": "websocket", "ping_interval_seconds": 2.0, "ping_timeout_seconds": None},
        ),
    ],
)
def test_the_transport_follows_the_endpoint(
    write: Write, transport: dict[str, object] | None, is_websocket: bool, expected: dict[str, object]
) -> None:
    found = chainlet(
        options=OptionsSpec.model_validate({"transport": transport}),
        endpoint=EndpointSpec(is_websocket=is_websocket),
    )
    runtime = config(build_packages(chain(write({"chain.py": ""}), found)))["runtime"]
    assert isinstance(runtime, dict)
    assert (runtime["transport"], runtime["is_websocket_endpoint"]) == (expected, is_websocket)


def test_the_python_version_is_the_chosen_one_or_that_of_the_reader(write: Write) -> None:
    root = write({"chain.py": ""})
    chosen = chainlet("A", image=ImageSpec(python_version="3.11"))
    packages = build_packages(chain(root, chosen, chainlet("B"), python="3.13"))
    versions = [p.manifest.environment.python_version for p in packages]
    assert versions == ["3.11", "3.13"]
    assert [config(packages, n)["python_version"] for n in "AB"] == ["py311", "py313"]


# --- requirements


def test_requirements_are_in_the_manifest_and_the_file(write: Write) -> None:
    """G-32: one PEP 508 line each, sorted, each once."""
    root = write({"chain.py": "", "req.txt": "b==1\n# note\na>=2  # why\nb == 1\n"})
    found = chainlet(
        image=ImageSpec(pip_requirements=("c[x]",)),
        sources=LocalSources(requirements_file=str(root / "req.txt")),
    )
    package = build_packages(chain(root, found)).package("Hello")
    assert package.manifest.environment.requirements == ("a>=2", "b==1", "c[x]")
    assert package.files["pip_requirements.txt"] == b"a>=2\nb==1\nc[x]\n"


@pytest.mark.parametrize("target", ["process", "truss"])
def test_truss_itself_is_left_out(write: Write, target: Target) -> None:
    """G-32 differently: its `truss_chains` would stand in the way of ours."""
    root = write({"chain.py": ""})
    lines = ("truss==0.9", "git+https://github.com/basetenlabs/truss.git", "numpy")
    spec = chain(root, chainlet(image=ImageSpec(pip_requirements=lines)))
    found = build_packages(spec, target=target).package("Hello").manifest.environment.requirements
    assert "numpy" in found
    assert not [line for line in found if "truss" in line]


def test_modules_of_the_original_server_image_are_added_with_one_note_each(write: Write) -> None:
    """CH208."""
    root = write(
        {
            "chain.py": "import numpy as np\nimport helper\nimport json, torch\n",
            "helper.py": "def f():\n    from starlette.requests import Request\n",
        }
    )
    declared = chainlet("B", image=ImageSpec(pip_requirements=("numpy<2", "fastapi")))
    packages = build_packages(chain(root, chainlet("A"), declared))
    lines = [p.manifest.environment.requirements for p in packages]
    assert lines == [("numpy", "starlette"), ("fastapi", "numpy<2")]
    assert [n.code for n in packages.notes] == [Code.IMPLICIT_REQUIREMENT] * 2
    assert all("`A`" in n.message and "`B`" not in n.message for n in packages.notes)


def test_the_numpy_field_brings_numpy(write: Write) -> None:
    root = write({"chain.py": "from truss_chains.pydantic_numpy import NumpyArrayField\n"})
    assert build_packages(chain(root)).package("Hello").manifest.environment.requirements == ("numpy",)


# --- kinds and mocks


def test_an_engine_is_refused_for_our_replicas_with_the_choices(write: Write) -> None:
    """CH210."""
    (diagnostic,) = refused(write({"chain.py": ""}), chainlet("LLM", kind=ChainletKind.ENGINE_BUILDER))
    assert diagnostic.code is Code.UNSUPPORTED_CHAINLET
    assert "--mock LLM=auto" in (diagnostic.help or "")


def test_an_automatic_mock_carries_no_source(write: Write) -> None:
    root = write({"chain.py": "import numpy\n"})
    package = build_packages(chain(root, chainlet(mock=MockSpec(kind="auto")))).package("Hello")
    assert [p for p in package.files if p.startswith("packages/")] == ["packages/.keep"]
    assert package.manifest.environment.requirements == ()


def test_a_mock_from_outside_the_workspace_joins_the_package(write: Write, tmp_path: Path) -> None:
    file = tmp_path / "fakes.py"
    file.write_text("import helper\nclass Fake: ...\n")
    root = write({"chain.py": "", "helper.py": ""})
    found = chainlet("Hello", "fakes", mock=MockSpec(kind="class"), sources=LocalSources(mock_file=str(file)))
    assert sources(build_packages(chain(root, found))) == ["fakes.py", "helper.py"]


def test_an_engine_is_a_config_without_model(write: Write) -> None:
    """G-04, G-21."""
    engine = {"build": {"base_model": "llama"}}
    found = chainlet("LLM", kind=ChainletKind.ENGINE_BUILDER, engine=engine)
    packages = build_packages(chain(write({"chain.py": ""}), found), target="truss")
    assert list(packages.package("LLM").files) == ["chains.json", "config.yaml"]
    loaded = config(packages, "LLM")
    assert loaded["trt_llm"] == engine
    assert (loaded["secrets"], loaded["model_metadata"], loaded["requirements_file"]) == ({}, {}, None)


def test_a_wrapped_truss_is_copied_and_only_renamed(write: Write) -> None:
    """G-60, G-61: comments and other settings stay as they are."""
    text = "# mine\nmodel_name: old\nresources:\n  cpu: '3'  # three\n"
    root = write({"chain.py": "", "t/config.yaml": text, "t/model/model.py": "X", "t/__pycache__/a.pyc": ""})
    sources_ = LocalSources(truss_dir=str(root / "t"))
    found = chainlet("Whisper", kind=ChainletKind.TRUSS, sources=sources_)
    package = build_packages(chain(root, found), target="truss").package("Whisper")
    assert sorted(package.files) == ["chains.json", "config.yaml", "model/model.py"]
    assert package.files["config.yaml"].decode() == text.replace("old", '"Whisper"')


@pytest.mark.parametrize("files", [{}, {"t/model/model.py": ""}])
def test_a_wrapped_truss_must_be_there(write: Write, files: dict[str, str]) -> None:
    """G-60."""
    root = write({"chain.py": "", **files})
    found = chainlet("W", kind=ChainletKind.TRUSS, sources=LocalSources(truss_dir=str(root / "t")))
    (diagnostic,) = refused(root, found, target="truss")
    assert diagnostic.code is Code.PATH_NOT_FOUND
    assert "`W`" in diagnostic.message and str(root / "t") in diagnostic.message


def test_the_truss_target_carries_our_runtime(write: Write) -> None:
    package = build_packages(chain(write({"chain.py": ""})), target="truss").package("Hello")
    for name in ("truss_chains", "chains_protocol", "chains_analysis", "chains_runtime"):
        assert f"packages/{name}/__init__.py" in package.files
    assert "pydantic>=2.7" in package.manifest.environment.requirements
    assert not any("chains_cli" in path or path.endswith(".pyc") for path in package.files)


# --- reading and writing


def test_a_builder_that_is_used_again_reads_only_what_changed(write: Write) -> None:
    root = write({"chain.py": "import a\n", "a.py": "X = 1\n"})
    builder = PackageBuilder()
    first = builder.build(chain(root))
    write({"a.py": "X = 22\n"})
    second = builder.build(chain(root))
    before, after = (p.package("Hello").files for p in (first, second))
    assert before["packages/chain.py"] is after["packages/chain.py"]
    assert after["packages/a.py"] == b"X = 22\n"
    assert second == build_packages(chain(root))


def test_packages_are_written_one_directory_a_chainlet(write: Write, tmp_path: Path) -> None:
    packages = build_packages(chain(write({"chain.py": "X = 1\n"}), chainlet("A"), chainlet("B")))
    out = tmp_path / "out"
    directories = write_packages(packages, out)
    assert [d.name for d in directories] == ["chainlet_A", "chainlet_B"]
    written = {
        path.relative_to(out / "chainlet_A").as_posix(): path.read_bytes()
        for path in (out / "chainlet_A").rglob("*")
        if path.is_file()
    }
    assert written == dict(packages.package("A").files)
    (out / "chainlet_A" / "stale.txt").write_text("")
    write_packages(packages, out)
    assert not (out / "chainlet_A" / "stale.txt").exists()


def test_a_directory_that_holds_something_else_is_not_touched(write: Write, tmp_path: Path) -> None:
    """CH207."""
    packages = build_packages(chain(write({"chain.py": ""})))
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(DiagnosticsError) as caught:
        write_packages(packages, tmp_path)
    assert caught.value.diagnostics[0].code is Code.OUTPUT_NOT_EMPTY
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_packages_written_into_the_workspace_are_not_packaged_again(write: Write) -> None:
    """Not even where all Python files come along; another directory of that name does."""
    files = {"chain.py": "import importlib\nimportlib.import_module(N)\n", "chainlet_mine/part.py": ""}
    first = build_packages(chain(write(files), chainlet("A")))
    write_packages(first, write({}) / "out")
    again = build_packages(chain(write({}), chainlet("A")))
    assert again.package("A").manifest.digest == first.package("A").manifest.digest
    assert "packages/chainlet_mine/part.py" in again.package("A").files


@pytest.mark.parametrize("name", ["below-a-file", "dangling"])
def test_a_directory_that_cannot_be_made_is_told(write: Write, tmp_path: Path, name: str) -> None:
    """CH207."""
    packages = build_packages(chain(write({"chain.py": ""}), chainlet("A")))
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DiagnosticsError) as caught:
        write_packages(packages, tmp_path / "file" / "out" if name == "below-a-file" else tmp_path / name)
    assert caught.value.diagnostics[0].code is Code.OUTPUT_NOT_EMPTY
    assert "cannot be written: " in caught.value.diagnostics[0].message


def test_what_a_killed_run_left_is_no_obstacle(write: Write, tmp_path: Path) -> None:
    packages = build_packages(chain(write({"chain.py": ""}), chainlet("A")))
    (tmp_path / "out" / ".writing-x" / "chainlet_A").mkdir(parents=True)
    write_packages(packages, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["chainlet_A"]


def test_the_digest_covers_the_settings(write: Write) -> None:
    root = write({"chain.py": ""})
    one = build_packages(chain(root, chainlet(compute=ComputeSpec(cpu_count=1)))).package("Hello")
    two = build_packages(chain(root, chainlet(compute=ComputeSpec(cpu_count=2)))).package("Hello")
    assert one.manifest.digest != two.manifest.digest


def test_the_spec_in_a_package_is_canonical(write: Write) -> None:
    data = build_packages(chain(write({"chain.py": ""}))).package("Hello").files["chains.json"]
    assert data.endswith(b"}\n")
    assert json.dumps(json.loads(data), sort_keys=True, separators=(",", ":")).encode() + b"\n" == data


def test_work_grows_linearly_with_the_number_of_chainlets(write: Write) -> None:
    """A file is read and parsed once, however many packages hold it."""
    reads: list[str] = []

    class CountingCache(ContentCache):
        def read(self, path: str):  # type: ignore[no-untyped-def]  # as the base
            reads.append(path)
            return super().read(path)

    root = write({"chain.py": "import a\n", "a.py": "", "b.py": ""})
    many = [chainlet(f"C{i}") for i in range(100)]
    reader = WorkspaceReader(root, CountingCache())
    packages = build_packages(chain(root, *many), reader=reader)
    assert len(packages) == 100
    assert len(reads) <= 3 * 2
    shutil.rmtree(root)


def test_equal_files_are_written_once(write: Write, tmp_path: Path) -> None:
    """Other packages hold them under further names; what is written again replaces nothing in place."""
    root = write({"chain.py": "X = 1\n"})
    spec = chain(root, chainlet("One"), chainlet("Two"))
    one, two = write_packages(build_packages(spec), tmp_path / "out")
    assert (one / "packages" / "chain.py").samefile(two / "packages" / "chain.py")
    assert not (one / "chains.json").samefile(two / "chains.json")
    kept = (one / "packages" / "chain.py").read_bytes()
    (root / "chain.py").write_text("X = 2\n")
    held = (one / "packages" / "chain.py").open("rb")
    write_packages(build_packages(spec), tmp_path / "out")
    with held:
        assert held.read() == kept
    assert (two / "packages" / "chain.py").read_text() == "X = 2\n"

"""What a stand-in for a missing module tolerates, and what it refuses."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chains_cli.discovery.placeholders import (
    PlaceholderFinder,
    PlaceholderUsedError,
    StandInBase,
    is_user_file,
)

Run = Callable[[str], dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Runs text as a user's file in a workspace where `faketorch` is stood in for."""
    finder = PlaceholderFinder(["faketorch"], tmp_path)
    before = set(sys.modules)

    def execute(text: str) -> dict[str, Any]:
        file = tmp_path / "user_file.py"
        file.write_text(text)
        names: dict[str, Any] = {"__name__": "user_file"}
        exec(compile(text, str(file), "exec"), names)  # noqa: S102 (the test's own text)
        return names

    sys.meta_path.append(finder)
    yield execute
    sys.meta_path.remove(finder)
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    "text",
    [
        "import faketorch",
        "import faketorch.nn.functional as F",
        "from faketorch.utils.data import Loader",
        "import faketorch as t\ndtype = t.float16",
        "import faketorch as t\ndef f(x: t.Tensor | None, y: list[t.Tensor], z: t.A[t.f32]) -> t.B: ...",
        "import faketorch as t\n@t.no_grad()\ndef f(): ...",
        "import faketorch as t\n@t.compile\ndef f(): ...",
        "import faketorch as t\n@t.compile(\n    mode='fast',\n)\nclass A: ...",
        "import faketorch as t\nassert repr(t.x) == '<placeholder for faketorch.x>'",
        "try:\n    import faketorch\nexcept ImportError:\n    raise SystemError",
    ],
)
def test_what_a_file_does_while_it_is_only_read_works(run: Run, text: str) -> None:
    run(text)


def test_a_decorated_function_stays_what_it_is(run: Run) -> None:
    names = run("import faketorch as t\n@t.no_grad()\ndef f(): return 1\n@t.compile\ndef g(): return 2")
    assert (names["f"](), names["g"]()) == (1, 2)


def test_a_base_class_is_stood_in_for_once(run: Run) -> None:
    names = run("import faketorch as t\nclass A(t.nn.Module, t.Other): ...\nclass B(A, t.More): ...")
    assert names["A"].__mro__[1] is StandInBase
    with pytest.raises(PlaceholderUsedError):
        names["A"]()


@pytest.mark.parametrize(
    "use",
    [
        "t.zeros(3)",
        "t.device('cuda')",
        "bool(t.x)",
        "if t.cuda: ...",
        "len(t.x)",
        "[_ for _ in t.x]",
        "f'{t.__name__}{t.version}'",
        "str(t.x)",
        "int(t.x)",
        "t.x + 1",
        "1 + t.x",
        "t.x < 2",
        "-t.x",
        "3 in t.x",
        "t.x['a'] = 1",
        "with t.x: ...",
    ],
)
def test_anything_that_needs_the_real_module_is_refused(run: Run, use: str) -> None:
    with pytest.raises(PlaceholderUsedError) as caught:
        run(f"import faketorch as t\n{use}")
    assert caught.value.module == "faketorch"
    assert caught.value.used.startswith("faketorch")


def test_only_the_named_modules_and_only_for_the_users_files(run: Run, tmp_path: Path) -> None:
    """A library that tries an optional import finds it missing, as it is."""
    with pytest.raises(ModuleNotFoundError):
        run("import otherfake")
    with pytest.raises(ModuleNotFoundError):
        exec(compile("import faketorch", "/elsewhere/lib.py", "exec"), {})  # noqa: S102


def test_files_of_an_environment_in_the_workspace_are_not_the_users(tmp_path: Path) -> None:
    root = str(tmp_path.resolve())
    assert is_user_file(str(tmp_path / "a" / "b.py"), root)
    assert not is_user_file(str(tmp_path / ".venv/lib/python3.12/site-packages/x.py"), root)
    assert not is_user_file("<string>", root)

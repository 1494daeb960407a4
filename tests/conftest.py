"""Fixtures shared by all tests: interpreters, environments, private homes."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def pytest_sessionstart() -> None:
    """A background job of a shell ignores Ctrl-C, and so would the processes that tests interrupt."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def find_interpreter(minor: str) -> str | None:
    """An executable of Python `minor` ("3.12") on this machine; None if there is none."""
    roots = [Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"]
    candidates = [sys.executable, shutil.which(f"python{minor}")]
    for root in roots:
        candidates += [str(p) for p in sorted(root.glob(f"{minor}.*/bin/python{minor}"))]
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    for candidate in filter(None, candidates):
        said = subprocess.run([candidate, "-c", ask], capture_output=True, text=True, check=False)
        if said.returncode == 0 and said.stdout.strip() == minor:
            return candidate
    return None


@pytest.fixture(scope="session")
def python_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """`python_of("3.12")`: a python of that version that can import the SDK; skips where there is none."""
    made: dict[str, str] = {}

    def get(minor: str) -> str:
        if minor not in made:
            base = find_interpreter(minor)
            if base is None:
                pytest.skip(f"no Python {minor} on this machine")
            made[minor] = _environment(base, tmp_path_factory.mktemp(f"py{minor}"))
        return made[minor]

    return get


def _environment(base: str, directory: Path) -> str:
    from uv import find_uv_bin

    env = {**os.environ, "UV_SYSTEM_CERTS": "1", "UV_PYTHON_DOWNLOADS": "never"}
    python = directory / "venv" / "bin" / "python"
    for arguments in (
        ["venv", "--quiet", "--python", base, str(directory / "venv")],
        ["pip", "install", "--quiet", "--python", str(python), "pydantic>=2.7", "httpx", "msgpack"],
    ):
        subprocess.run([find_uv_bin(), *arguments], check=True, env=env)
    (purelib,) = (directory / "venv" / "lib").glob("python*/site-packages")
    (purelib / "chains_under_test.pth").write_text(f"{ROOT}\n")
    return str(python)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what shares costly fixtures on one worker: a file, and the conformance suite as a whole."""
    for item in items:
        is_conformance = "conformance" in item.path.parts
        group = "conformance" if is_conformance else str(item.path.relative_to(ROOT))
        item.add_marker(pytest.mark.xdist_group(group))
        if item.get_closest_marker("e2e") and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(300))  # the first test of a platform builds environments

"""The code of a replica that is ours: copied once by content, so an upgrade changes nothing that runs."""

import compileall
import importlib.util
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from chains_protocol.digest import bytes_digest, tree_digest

RUNTIME_PACKAGES: Final = ("truss_chains", "chains_protocol", "chains_analysis", "chains_runtime")


def find_sources(packages: Sequence[str] = RUNTIME_PACKAGES) -> dict[str, Path]:
    """Where the packages are installed; nothing is imported. `ModuleNotFoundError` if one is not."""
    found: dict[str, Path] = {}
    for name in packages:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError(f"package {name} is not installed", name=name)
        found[name] = Path(next(iter(spec.submodule_search_locations)))
    return found


def ensure_runtime_tree(root: Path, sources: dict[str, Path] | None = None) -> Path:
    """A directory below `root` with a copy of the packages, for `PYTHONPATH`; made at most once.

    Its name is the digest of its files; it is complete or absent.
    """
    files = {
        f"{name}/{path}": source / path
        for name, source in sorted((find_sources() if sources is None else sources).items())
        for path in _files(source)
    }
    contents = {name: path.read_bytes() for name, path in files.items()}
    digest = tree_digest({name: bytes_digest(data) for name, data in contents.items()})
    target = root / digest[:32]
    if target.is_dir():
        return target
    draft = root / f".{digest[:12]}.{os.getpid()}.{secrets.token_hex(4)}"
    try:
        for name, data in contents.items():
            path = draft / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        # names the final place in tracebacks; another minor version compiles for itself
        compileall.compile_dir(draft, ddir=str(target), quiet=2)
        draft.rename(target)
    except OSError:
        if not target.is_dir():  # else another process was first with the same bytes
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _files(source: Path) -> Iterator[str]:
    for path in sorted(source.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
            yield path.relative_to(source).as_posix()


__all__ = ["RUNTIME_PACKAGES", "ensure_runtime_tree", "find_sources"]

"""Our own source for a package that runs where we are not installed: the `truss` target."""

from pathlib import Path
from typing import Final

from chains_cli.packaging.reader import Content, WorkspaceReader

RUNTIME_PACKAGES: Final = ("truss_chains", "chains_protocol", "chains_analysis", "chains_runtime")
RUNTIME_REQUIREMENTS: Final = ("httpx>=0.27", "msgpack>=1.1", "pydantic>=2.7")
"""What that source imports, as requirement lines; added where the author did not declare them."""


def runtime_files(root: Path | None = None) -> dict[str, Content]:
    """The Python files of our runtime packages, by path below the directory that holds them."""
    base = root or Path(__file__).resolve().parent.parent.parent
    reader = WorkspaceReader(base)
    return {
        f"{package}/{path}": content
        for package in RUNTIME_PACKAGES
        for path, content in sorted(reader.directory(base / package).items())
        if path.endswith(".py")
    }


__all__ = ["RUNTIME_PACKAGES", "RUNTIME_REQUIREMENTS", "runtime_files"]

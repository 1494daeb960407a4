"""A package directory, opened: its spec, where its source lies, its data.

Comes in: the path of a materialised package. Goes out: an `OpenPackage`. Reads files, writes none.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Location
from chains_protocol.manifest import SOURCE_DIR, SPEC_FILE, WRAPPED_FILE
from chains_protocol.spec import ChainletKind, ChainletSpec, MockSpec

DATA_DIR: Final = "data"
_SERVED_KINDS: Final = (ChainletKind.CHAINLET, ChainletKind.MODEL, ChainletKind.TRUSS)


@dataclass(frozen=True)
class Wrapped:
    """A Truss in a package: its config with all defaults, and its directory below the author's workspace."""

    config: dict[str, Any]
    directory: str

    def setting(self, name: str) -> str:
        """A setting that names a file, a directory or a class."""
        return str(self.config[name])


@dataclass(frozen=True)
class OpenPackage:
    """One package on disk. `data_dir` is None if the package has no data, `wrapped` if it is no Truss."""

    root: Path
    spec: ChainletSpec
    source_root: Path
    data_dir: Path | None
    wrapped: Wrapped | None = None

    @property
    def is_auto_mock(self) -> bool:
        """Whether no user code runs: answers are made from the output schema."""
        mock: MockSpec | None = self.spec.mock
        return mock is not None and mock.kind == "auto"


def open_package(root: Path) -> OpenPackage:
    """Read the spec of the package at `root`.

    Raises:
        DiagnosticsError: CH507, it is not a package that a replica can run.
    """
    spec_file = root / SPEC_FILE
    try:
        spec = ChainletSpec.model_validate_json(spec_file.read_bytes())
    except OSError as error:
        raise _bad(root, f"`{SPEC_FILE}` can't be read: {error.strerror or error}") from error
    except ValidationError as error:
        raise _bad(root, f"`{SPEC_FILE}` does not describe a Chainlet: {_first(error)}") from error
    if spec.kind not in _SERVED_KINDS:
        raise _bad(root, f"a Chainlet of kind `{spec.kind}` does not run in this kind of replica")
    if spec.kind is ChainletKind.TRUSS:
        return _open_truss(root, spec)
    source_root = root / SOURCE_DIR
    if not source_root.is_dir():
        raise _bad(root, f"it has no `{SOURCE_DIR}` directory")
    data_dir = root / DATA_DIR
    return OpenPackage(root, spec, source_root, data_dir if data_dir.is_dir() else None)


def _open_truss(root: Path, spec: ChainletSpec) -> OpenPackage:
    """A package that wraps a Truss: its own directory is the source root."""
    try:
        document = json.loads((root / WRAPPED_FILE).read_bytes())
        wrapped = Wrapped(document["config"], document["directory"])
        data_dir = root / wrapped.setting("data_dir")
        module = root / wrapped.setting("model_module_dir") / wrapped.setting("model_class_filename")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _bad(root, f"`{WRAPPED_FILE}` can't be read: {error}") from error
    if not module.is_file():
        raise _bad(root, f"it has no file `{module.relative_to(root)}`, which its config names")
    return OpenPackage(root, spec, root, data_dir if data_dir.is_dir() else None, wrapped)


def offer_data(package: OpenPackage, directory: Path) -> None:
    """Make the package's data a relative `data` of a directory, as below a Truss server (G-45)."""
    link = directory / DATA_DIR
    if package.data_dir is not None and not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(package.data_dir, target_is_directory=True)


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in found['loc']) or 'the document'}: {found['msg']}"


def _bad(root: Path, what: str) -> DiagnosticsError:
    return DiagnosticsError(
        [
            Diagnostic(
                code=Code.BAD_PACKAGE,
                message=f"the package can't be run: {what}",
                location=Location(path=str(root)),
                help="build the package again with this version of the tool",
            )
        ]
    )


__all__ = ["DATA_DIR", "OpenPackage", "Wrapped", "offer_data", "open_package"]

"""Files of a Chainlet's package that are no Python, and what a change of one needs."""

import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from chains_analysis import Reason
from chains_cli.packaging.reader import Content, WorkspaceReader
from chains_cli.packaging.sources import SourceCollector
from chains_protocol.patch import Action
from chains_protocol.spec import DiscoveredChainlet


class OtherFiles:
    """Of one Chainlet. Reads the workspace."""

    def __init__(self, found: DiscoveredChainlet, reader: WorkspaceReader) -> None:
        self._found = found
        self._reader = reader

    def has(self, file: Path) -> bool:
        """Whether the package depends on the file."""
        return self._action(file) is not None

    def reasons(self, changed: Iterable[Path]) -> tuple[Reason, ...]:
        """One for each of these files that the package depends on, or once depended on."""
        return tuple(dict.fromkeys(r for file in changed for r in self._reasons(file)))

    def _reasons(self, file: Path) -> Iterable[Reason]:
        action, spec, name = self._action(file), self._found.spec, self._name(file)
        if action is Action.REBUILT:
            is_data = not self._is_requirements(file)
            symbol = f"{spec.class_name}.{'data' if is_data else 'requirements'}"
            text = "the files of `data_dir` changed" if is_data else "the requirements changed"
            yield Reason(symbol, spec.file, spec.line, (), text, action)
        elif action is not None:
            yield Reason(name, name, 1, (), f"`{name}` changed, and code may have read it", action)

    def _action(self, file: Path) -> Action | None:
        data = self._found.sources.data_dir
        if self._is_requirements(file) or (data and file.is_relative_to(os.path.realpath(data))):
            return Action.REBUILT
        if self._name(file) in self._packed or (not file.exists() and self._is_named(file)):
            return Action.RESTARTED
        return None

    def _is_named(self, file: Path) -> bool:
        """Whether code of the package says the name of a file that is gone: it may have had it."""
        return any(file.name.encode() in text for text in self._code)

    def _is_requirements(self, file: Path) -> bool:
        named = self._found.sources.requirements_file
        return named is not None and file == Path(os.path.realpath(named))

    def _name(self, file: Path) -> str:
        for root in (self._reader.root, *map(Path, self._found.sources.external_package_dirs)):
            real = Path(os.path.realpath(root))
            if file.is_relative_to(real):
                return file.relative_to(real).as_posix()
        return file.as_posix()

    @cached_property
    def _files(self) -> Mapping[str, Content]:
        if self._found.spec.engine is not None or self._found.sources.truss_dir is not None:
            return {}
        return SourceCollector(self._reader).collect(self._found).files

    @cached_property
    def _packed(self) -> frozenset[str]:
        return frozenset(path for path in self._files if not path.endswith(".py"))

    @cached_property
    def _code(self) -> tuple[bytes, ...]:
        return tuple(content.data for path, content in self._files.items() if path.endswith(".py"))


__all__ = ["OtherFiles"]

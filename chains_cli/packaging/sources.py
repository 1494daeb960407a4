"""Which files of the workspace a Chainlet's package holds: its source closure and what lies beside it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from chains_analysis.closure import Closure, closure
from chains_analysis.imports import Import, ImportFacts
from chains_analysis.tree import SourceTree
from chains_cli.packaging.beside import naming, reads_beside
from chains_cli.packaging.ignore import Rules, looks_secret
from chains_cli.packaging.reader import Content, WorkspaceReader
from chains_protocol.spec import DiscoveredChainlet

_SHOWN_IMPORTERS: Final = 3


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """Files by path below the source root; dotted names that their code imports from elsewhere.

    `widened` are the places whose imports could not be known, `secret` the files left out,
    `meant` those that look like secrets and that the `.truss_ignore` names. `origins` says of
    each path why it is there.
    """

    files: Mapping[str, Content]
    imports: tuple[str, ...] = ()
    closure: Closure | None = None
    secret: tuple[str, ...] = ()
    meant: tuple[str, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)


class SourceCollector:
    """Answers for the Chainlets of one workspace; each import closure is computed once."""

    def __init__(self, reader: WorkspaceReader) -> None:
        self._reader = reader
        self._known: dict[tuple[str, tuple[str, ...], str | None], SourceFiles] = {}
        self._trees: dict[tuple[tuple[str, ...], str | None], SourceTree] = {}

    def collect(self, found: DiscoveredChainlet) -> SourceFiles:
        """The source files of one Chainlet.

        Raises:
            DiagnosticsError: CH152, CH202 or CH209 if a file cannot be used.
        """
        sources = found.sources
        key = (found.spec.module, sources.external_package_dirs, sources.mock_file)
        if key not in self._known:
            self._known[key] = self._collect(*key, mocked_file=found.spec.file)
        return self._known[key]

    def _collect(
        self, module: str, external_dirs: tuple[str, ...], mock_file: str | None, mocked_file: str
    ) -> SourceFiles:
        sorted_out = _SortedOut()
        origins: dict[str, str] = {}
        external = self._external(external_dirs, sorted_out, origins)
        if mock_file is not None:
            external = {**external, mocked_file: self._reader.read_file(mock_file)}
            origins[mocked_file] = "the stand-in that `--mock` names"

        def content(path: str) -> Content:
            return external.get(path) or self._reader.read(path)

        def facts(path: str, _: bytes) -> ImportFacts:
            return self._reader.cache.facts(path, content(path).data)

        tree = self._tree((external_dirs, mock_file), external)
        reached = closure(tree, [module], facts)
        files = {path: content(path) for path in reached.files}
        beside = self._beside(files, external, sorted_out, origins)
        return SourceFiles(
            files={**files, **beside, **external},
            imports=self._imports(tree, files),
            closure=reached,
            secret=tuple(sorted_out.secret),
            meant=tuple(sorted_out.meant),
            origins={**_import_origins(reached, tree.modules.get(module)), **origins},
        )

    def _tree(self, key: tuple[tuple[str, ...], str | None], external: Mapping[str, Content]) -> SourceTree:
        """What is a module: contents are read as the closure reaches them, not before."""
        if key not in self._trees:
            outline = self._reader.outline
            paths = [path for path in external if path.endswith(".py")]
            self._trees[key] = (
                SourceTree({**outline.files, **dict.fromkeys(paths, b"")}) if paths else outline
            )
        return self._trees[key]

    def _external(
        self, directories: Iterable[str], sorted_out: "_SortedOut", origins: dict[str, str]
    ) -> dict[str, Content]:
        """The contents of `external_package_dirs`, each directory at the source root (G-44)."""
        files: dict[str, Content] = {}
        for directory in directories:
            for path, content in self._reader.directory(Path(directory)).items():
                if sorted_out.keeps(self._reader, f"{directory}/{path}", content):
                    files[path] = content
                    origins[path] = f"below the external package directory `{directory}`"
        return files

    def _imports(self, tree: SourceTree, files: Mapping[str, Content]) -> tuple[str, ...]:
        """Dotted names of foreign modules, with the taken name appended: `from a import b` is `a.b`."""
        names: set[str] = set()
        for path, content in files.items():
            for found in self._reader.cache.facts(path, content.data).imports:
                if found.level == 0 and not tree.has(found.module.partition(".")[0]):
                    names.add(_dotted(found))
        return tuple(sorted(names))

    def _beside(
        self,
        files: Mapping[str, Content],
        external: Mapping[str, Content],
        sorted_out: "_SortedOut",
        origins: dict[str, str],
    ) -> dict[str, Content]:
        """Files that are no Python and that the modules may read (see `beside`), without secret ones.

        What `.gitignore` names is left out, unless a module names the very file.
        """
        readers = {p: c.data for p, c in files.items() if p not in external and reads_beside(c.data)}
        if not readers:
            return {}
        sources = [content.data for content in files.values()]
        is_named = naming(sources)
        roots = {path.rpartition("/")[0]: path for path in sorted(readers, reverse=True)}
        chosen: dict[str, Content] = {}
        for path in self._reader.paths:
            reader = next((roots[r] for r, below in _below(path, roots) if is_named(below)), None)
            if path.endswith(".py") or reader is None:
                continue
            name = path.rpartition("/")[2]
            if self._git_rules.match_file(path) and not any(name.encode() in text for text in sources):
                continue
            content = self._reader.read(path)
            if sorted_out.keeps(self._reader, str(self._reader.root / path), content, shown=path):
                chosen[path] = content
                origins[path] = f"beside `{reader}`, which reads files and names it"
        return chosen

    @cached_property
    def _git_rules(self) -> Rules:
        """The `.gitignore` files of the workspace's root and of the repository's directories above it."""
        lines: list[str] = []
        root = self._reader.root
        for directory in _up_to_repository(root):
            file = directory / ".gitignore"
            if file.is_file():
                text = self._reader.read_file(file).data.decode("utf-8", "replace")
                lines += _relative_rules(text.splitlines(), root.relative_to(directory).as_posix())
        return Rules(tuple(lines))


def _dotted(found: Import) -> str:
    return f"{found.module}.{found.name}" if found.name not in (None, "*") else found.module


def _below(path: str, roots: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each of the directories that it lies in, and the path relative to it."""
    for root in roots:
        if not root or path.startswith(f"{root}/"):
            yield root, path[len(root) + 1 :] if root else path


@dataclass(slots=True)
class _SortedOut:
    """Files that look like secrets: left out, or `meant` by the workspace's `.truss_ignore`."""

    secret: list[str] = field(default_factory=list)
    meant: list[str] = field(default_factory=list)

    def keeps(self, reader: WorkspaceReader, file: str, content: Content, shown: str | None = None) -> bool:
        if not looks_secret(file, content.head):
            return True
        is_meant = file in reader.named
        (self.meant if is_meant else self.secret).append(shown or file)
        return is_meant


def _import_origins(reached: Closure, entry: str | None) -> dict[str, str]:
    """Why each file of a closure is in it."""
    widened = f"what `{reached.widened[0].path}` imports cannot be known" if reached.widened else ""
    origins = {path: _imported_by(reached.importers.get(path, ())) or widened for path in reached.files}
    if entry is not None:
        origins[entry] = "declares the Chainlet"
    return origins


def _imported_by(importers: tuple[str, ...]) -> str:
    named = ", ".join(f"`{path}`" for path in importers[:_SHOWN_IMPORTERS])
    more = len(importers) - _SHOWN_IMPORTERS
    return (f"imported by {named}" if named else "") + (f" and {more} more" if more > 0 else "")


def _up_to_repository(root: Path) -> list[Path]:
    """From the repository's root down to `root`; only `root` outside a repository."""
    above: list[Path] = []
    for directory in (root, *root.parents):
        above.insert(0, directory)
        if (directory / ".git").exists():
            return above
    return [root]


def _relative_rules(lines: Iterable[str], below: str) -> Iterable[str]:
    """Rules written in a directory above, as seen from `below` it; those about other places are dropped."""
    for raw in lines:
        line = raw.rstrip()
        negated, rule = line.startswith("!"), line.removeprefix("!")
        if not rule or rule.startswith("#"):
            continue
        if below != "." and "/" in rule.rstrip("/"):
            rule = rule.lstrip("/")
            if not rule.startswith(f"{below}/"):
                continue
            rule = "/" + rule.removeprefix(f"{below}/")
        yield f"!{rule}" if negated else rule


__all__ = ["SourceCollector", "SourceFiles"]

"""Remembers what was read, by content: judging many Chainlets of one tree reads each file once."""

from collections import OrderedDict, UserDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final, TypeVar

from chains_analysis.closure import Closure, closure
from chains_analysis.graph import Graph
from chains_analysis.imports import ImportFacts
from chains_analysis.symbols import ModuleFacts, StatementFacts, module_facts
from chains_analysis.tree import SourceTree

T = TypeVar("T")

_VERSIONS: Final = 4
"""So many contents of one path are kept: an edit is judged against the one before, and may be undone."""


class AnalysisCache:
    """Files, statements and graphs that were analysed before, the most recent ones.

    Everything is keyed by content, so an entry never goes stale. Not for use by several
    threads at once.
    """

    def __init__(self, files: int = 4096, graphs: int = 128) -> None:
        self._files: OrderedDict[tuple[str, bytes], ModuleFacts] = OrderedDict()
        self._graphs: OrderedDict[SourceTree, Graph] = OrderedDict()
        self._versions: dict[str, list[bytes]] = {}
        self._statements: dict[
            str, Mapping[object, StatementFacts]
        ] = {}  # by path: those of its newest content
        self._results: OrderedDict[Hashable, Any] = OrderedDict()  # of whatever `remember` is given
        self._most_files = files
        self._most_graphs = graphs

    def module(self, path: str, source: bytes) -> ModuleFacts:
        """The facts of one file.

        Raises:
            DiagnosticsError: CH152 if it is not valid Python.
        """
        key = (path, source)
        found = self._files.get(key)
        if found is None:
            statements = _Statements(self._statements.get(path, {}))
            found = self._files[key] = module_facts(path, source, statements)
            self._statements[path] = statements.data
            self._drop_files(path, source)
        else:
            self._files.move_to_end(key)
        return found

    def _drop_files(self, path: str, newest: bytes) -> None:
        """Years of edits must not fill the memory: few contents of a path, and not too many in all."""
        versions = self._versions.setdefault(path, [])
        versions.append(newest)
        if len(versions) > _VERSIONS:
            self._files.pop((path, versions.pop(0)), None)
        while len(self._files) > self._most_files:
            (gone, source), _ = self._files.popitem(last=False)
            self._versions[gone].remove(source)
            if not self._versions[gone]:
                del self._versions[gone], self._statements[gone]

    def imports(self, path: str, source: bytes) -> ImportFacts:
        """What one file imports."""
        return self.module(path, source).imports

    def graph(self, tree: SourceTree) -> Graph:
        """The graph of one tree."""
        found = self._graphs.get(tree)
        if found is None:
            found = self._graphs[tree] = Graph(tree, self.module)
            if len(self._graphs) > self._most_graphs:
                self._graphs.popitem(last=False)
        else:
            self._graphs.move_to_end(tree)
        return found

    def remember(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returned for this key, which says all that the result depends on."""
        if key not in self._results:
            self._results[key] = make()
            if len(self._results) > self._most_graphs:
                self._results.popitem(last=False)
        else:
            self._results.move_to_end(key)
        found: T = self._results[key]
        return found

    def closure(self, tree: SourceTree, modules: tuple[str, ...]) -> Closure:
        """As `chains_analysis.closure`, reading each content once."""
        return closure(tree, modules, self.imports)


class _Statements(UserDict[object, StatementFacts]):
    """The statements of one content; those of the content before are taken over where they are the same."""

    def __init__(self, before: Mapping[object, StatementFacts]) -> None:
        super().__init__()
        self._before = before

    def get(self, key: object, default: Any = None) -> Any:  # Any: as in `dict`
        found = self._before.get(key)
        if found is not None:
            self.data[key] = found
            return found
        return self.data.get(key, default)


__all__ = ["AnalysisCache"]

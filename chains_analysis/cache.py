"""Remembers what was read, by content: judging many Chainlets of one tree reads each file once."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from chains_analysis.closure import Closure, closure
from chains_analysis.graph import Graph
from chains_analysis.imports import ImportFacts
from chains_analysis.symbols import ModuleFacts, StatementFacts, module_facts
from chains_analysis.tree import SourceTree

T = TypeVar("T")


class AnalysisCache:
    """Files, statements and graphs that were analysed before, the most recent ones.

    Everything is keyed by content, so an entry never goes stale. Not for use by several
    threads at once.
    """

    def __init__(self, files: int = 4096, graphs: int = 128) -> None:
        self._files: OrderedDict[tuple[str, bytes], ModuleFacts] = OrderedDict()
        self._graphs: OrderedDict[SourceTree, Graph] = OrderedDict()
        self._statements: dict[object, StatementFacts] = {}
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
            if len(self._statements) > 16 * self._most_files:
                self._statements.clear()
            found = self._files[key] = module_facts(path, source, self._statements)
            if len(self._files) > self._most_files:
                self._files.popitem(last=False)
        else:
            self._files.move_to_end(key)
        return found

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


__all__ = ["AnalysisCache"]

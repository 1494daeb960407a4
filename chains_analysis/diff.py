"""Two trees -> what is different between them, as far as one root module loads them."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from functools import cached_property
from typing import TypeVar

from chains_analysis.graph import Graph
from chains_analysis.inert import Kind
from chains_analysis.nodes import EVERYTHING, SYMBOL, Key
from chains_analysis.symbols import ImportBinding, ModuleFacts, Statement
from chains_analysis.tree import parents
from chains_analysis.vocabulary import TRUSTED_MODULES

T = TypeVar("T", Key, str)


def loaded_at_once(graph: Graph, root: str) -> tuple[str, ...]:
    """Modules of the tree that importing `root` loads, in order; not those that functions import later."""
    found: dict[str, None] = {}
    _load(graph, root, found, [])
    return tuple(found)


def loaded_modules(graph: Graph, root: str) -> tuple[str, ...]:
    """Modules of the tree that a process with `root` may load, in the order they are first asked for.

    Modules imported below `if TYPE_CHECKING` only are not among them.
    """
    found: dict[str, None] = {}
    later: list[str] = []
    _load(graph, root, found, later)
    while later:
        _load(graph, later.pop(0), found, later)
    if any(graph.resolver.is_opaque(module) for module in found):
        found.update(dict.fromkeys(m for m in graph.tree.modules if graph.resolver.readable(m) is not None))
    return tuple(found)


def _load(graph: Graph, module: str, found: dict[str, None], later: list[str]) -> None:
    """Depth first, without recursion: a module's imports are loaded where they stand."""
    waiting = [iter((*parents(module), module))]
    while waiting:
        name = next(waiting[-1], None)
        if name is None:
            waiting.pop()
        elif name in graph.tree.modules and name not in found:
            found[name] = None
            facts = graph.resolver.facts(name)
            if facts is not None:
                later += facts.lazy
                waiting.append(iter([t for s in facts.importing for t in imported_modules(graph, s)]))


def imported_modules(graph: Graph, statement: Statement) -> Iterator[str]:
    """Modules of the tree that executing a statement imports itself, packages around them included."""
    for binding in statement.facts.imports if not statement.facts.is_for_typing else ():
        yield from (*parents(binding.loads), binding.loads)
        names: tuple[str, ...] = ()
        if binding.attribute is not None and binding.attribute != "*":
            names = (binding.attribute,)
        if binding.attribute == "*":
            facts = graph.resolver.readable(binding.module)
            names = (facts.imports.exports or ()) if facts is not None else ()
        yield from (
            f"{binding.module}.{name}" for name in names if graph.tree.has(f"{binding.module}.{name}")
        )
    for ref in statement.facts.uses.load:
        if ref.is_module:
            yield from (*parents(ref.root), ref.root)


def _statements(graph: Graph, module: str) -> tuple[Statement, ...]:
    facts = graph.resolver.readable(module)
    return facts.statements if facts is not None else ()


def _importing(graph: Graph, module: str) -> tuple[Statement, ...]:
    facts = graph.resolver.readable(module)
    return facts.importing if facts is not None else ()


class Comparison:
    """The same root module in two trees."""

    def __init__(self, before: Graph, after: Graph, root: str) -> None:
        self.before = before
        self.after = after
        self.root = root

    @cached_property
    def loaded_before(self) -> tuple[str, ...]:
        return loaded_modules(self.before, self.root)

    @cached_property
    def loaded_after(self) -> tuple[str, ...]:
        return loaded_modules(self.after, self.root)

    @cached_property
    def at_once(self) -> frozenset[str]:
        """Modules of the new tree that are loaded before the Chainlet is made."""
        return frozenset(loaded_at_once(self.after, self.root))

    def is_changed(self, key: Key) -> bool:
        """Whether a node is different in itself, or was moved past another statement with effects."""
        if key in self.moved:
            return True
        if key.module in self.same_files and key.kind != EVERYTHING:
            # its own text is the same; only what other modules do to it can differ
            return Key(SYMBOL, key.module, key.name) in self._changed_from_outside
        return self.before.fingerprint(key) != self.after.fingerprint(key)

    @cached_property
    def _changed_from_outside(self) -> frozenset[Key]:
        """Symbols that other statements than before may change."""
        effects = (self.before.effects, self.after.effects)
        keys = {key for e in effects for found in (e.mutators, e.rebinders) for key in found}
        return frozenset(key for key in keys if self.before.changers(key) != self.after.changers(key))

    @cached_property
    def same_files(self) -> frozenset[str]:
        """Modules whose file is the same byte for byte, if docstrings count in both trees or in none."""
        if self.before.docs_matter != self.after.docs_matter:
            return frozenset()
        old, new = self.before.tree, self.after.tree
        return frozenset(
            m
            for m, path in new.modules.items()
            if old.modules.get(m) == path and old.files[path] == new.files[path]
        )

    @cached_property
    def moved(self) -> frozenset[Key]:
        """Nodes of statements that are not inert and whose order among each other changed."""
        found: set[Key] = set()
        for module in (set(self.loaded_before) & set(self.loaded_after)) - self.same_files:
            old, new = (self._ordered(graph, module) for graph in (self.before, self.after))
            found |= _out_of_order(old, new)
        return frozenset(found)

    @cached_property
    def reordered_modules(self) -> frozenset[str]:
        """Modules with effects that are loaded in another order than before."""
        old = [m for m in self.loaded_before if self._has_effects(self.before, m)]
        new = [m for m in self.loaded_after if self._has_effects(self.after, m)]
        return frozenset(_out_of_order(old, new))

    @cached_property
    def tangled_modules(self) -> frozenset[str]:
        """Modules that import each other and whose top-level statements were added, removed or moved."""
        found = set()
        for module in _in_cycles(self.after, self.loaded_after) & set(self.loaded_before):
            old, new = ([s.facts.names for s in _statements(g, module)] for g in (self.before, self.after))
            if old != new:
                found.add(module)
        return frozenset(found)

    def broken_imports(self) -> Iterator[tuple[ModuleFacts, Statement, ImportBinding]]:
        """Imports from the tree that will fail now and would not have failed before."""
        for module in self.loaded_after:
            facts = self.after.resolver.facts(module)
            for statement in facts.importing if facts is not None else ():
                for binding in statement.facts.imports:
                    if self._is_broken(binding) and facts is not None:
                        yield facts, statement, binding

    def _is_broken(self, binding: ImportBinding) -> bool:
        top = binding.loads.split(".")[0]
        if not self.before.tree.has(top) and not self.after.tree.has(top):
            return False
        if _is_importable(self.after, binding):
            return self._is_computed_now(binding)
        return self.before.tree.has(top) != self.after.tree.has(top) or self._was_importable(binding)

    def _is_computed_now(self, binding: ImportBinding) -> bool:
        """Whether code of the module decides now, or in another way, if it has the name."""
        name, module = binding.attribute, binding.module
        if name == "*":
            facts = self.after.resolver.readable(module)
            if facts is None or facts.imports.exports is not None:
                return False
            # without an `__all__`, Python asks the module's `__getattr__` for it
            asked = "__all__" if facts.imports.has_exports else "__getattr__"
            return self.is_changed(Key(SYMBOL, module, asked))
        if name is None or not self.after.resolver.binders(module, "__getattr__"):
            return False
        has = (g.resolver.has_attribute(module, name, by_code=False) for g in (self.before, self.after))
        return list(has) == [True, False]

    def _was_importable(self, binding: ImportBinding) -> bool:
        had_it = any(
            binding in s.facts.imports for m in self.loaded_before for s in _statements(self.before, m)
        )
        return not had_it or _is_importable(self.before, binding)

    def new_libraries(self) -> Iterator[tuple[ModuleFacts, Statement, str]]:
        """Imports, at load, of modules from elsewhere that nothing imported before."""
        known = {b.loads.split(".")[0] for m in self.loaded_before for b in self._external(self.before, m)}
        for module in self.loaded_after:
            facts = self.after.resolver.facts(module)
            for statement in facts.importing if facts is not None else ():
                for binding in statement.facts.imports:
                    top = binding.loads.split(".")[0]
                    is_new = top not in known and top not in TRUSTED_MODULES and not self.after.tree.has(top)
                    if is_new and facts is not None:
                        yield facts, statement, top

    @staticmethod
    def _external(graph: Graph, module: str) -> Iterator[ImportBinding]:
        facts = graph.resolver.readable(module)
        for statement in facts.importing if facts is not None else ():
            yield from (b for b in statement.facts.imports if not graph.tree.has(b.loads.split(".")[0]))

    @staticmethod
    def _ordered(graph: Graph, module: str) -> list[Key]:
        """The statements of a module whose order may matter to each other."""
        facts = graph.resolver.readable(module)
        if facts is None:
            return []
        matters = (s for s in facts.statements if not s.facts.is_inert and s.kind is not Kind.IMPORT)
        return [key for statement in matters for key in statement.keys]

    @staticmethod
    def _has_effects(graph: Graph, module: str) -> bool:
        return any(s.kind is Kind.EFFECT for s in _statements(graph, module))


def _out_of_order(old: Sequence[T], new: Sequence[T]) -> set[T]:
    """Members of both sequences that do not keep their place among the others."""
    both = set(old) & set(new)
    first, second = [x for x in old if x in both], [x for x in new if x in both]
    if first == second:
        return set()
    kept: set[T] = set()
    for block in SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks():
        kept.update(first[block.a : block.a + block.size])
    return both - kept


def _is_importable(graph: Graph, binding: ImportBinding) -> bool:
    """Whether the tree has the module, and in it the name, that an import asks for."""
    if not graph.tree.has(binding.loads):
        return False
    facts = graph.resolver.readable(binding.module)
    if binding.attribute == "*":
        exports = (facts.imports.exports or ()) if facts is not None else ()
        return all(graph.resolver.has_attribute(binding.module, name) for name in exports)
    if binding.attribute is None:
        return True
    if facts is not None and binding.attribute in facts.declared_global:
        return True
    return any(_ends(graph, hit.key) for hit in graph.resolver.import_target(binding))


def _ends(graph: Graph, key: Key) -> bool:
    """Whether a symbol is bound by more than imports from the tree, which may lead in a circle."""
    if key.kind != SYMBOL:
        return True
    for binder in graph.resolver.binders(key.module, key.name):
        imported = [b for b in binder.facts.imports if b.name == key.name]
        if not imported or any(not graph.tree.has(b.loads.split(".")[0]) for b in imported):
            return True
    return False


def _in_cycles(graph: Graph, modules: Sequence[str]) -> set[str]:
    """Modules that can import themselves through others while they are loaded."""
    edges = {m: {t for s in _importing(graph, m) for t in imported_modules(graph, s)} - {m} for m in modules}
    edges = {
        m: {t for t in targets if t in edges and not m.startswith(t + ".")} for m, targets in edges.items()
    }
    found = set()
    for module in modules:
        seen: set[str] = set()
        waiting = list(edges[module])
        while waiting:
            current = waiting.pop()
            if current not in seen:
                seen.add(current)
                waiting += edges[current]
        if module in seen:
            found.add(module)
    return found


__all__ = ["Comparison", "imported_modules", "loaded_at_once", "loaded_modules"]

"""Names -> the symbols they stand for, across the modules of a tree."""

import builtins
from collections.abc import Callable, Iterator
from typing import Final

from chains_analysis.inert import Kind
from chains_analysis.nodes import EXPORT, MODULE, SYMBOL, Hit, Key
from chains_analysis.symbols import ImportBinding, ModuleFacts, Statement
from chains_analysis.tree import SourceTree
from chains_analysis.uses import Ref
from chains_protocol.errors import DiagnosticsError

_SDK: Final = "truss_chains"
_CHAINLET_BASES: Final = frozenset({"ChainletBase", "ModelBase", "TrussChainlet", "EngineBuilderLLMChainlet"})


ModuleReader = Callable[[str, bytes], ModuleFacts]
"""Path and bytes -> facts."""


class Resolver:
    """Resolves references in one tree; modules are read when they are needed."""

    def __init__(self, tree: SourceTree, read: ModuleReader) -> None:
        self.tree = tree
        self._read = read
        self._modules: dict[str, ModuleFacts | None] = {}
        self._hits: dict[tuple[str, Ref], tuple[Hit, ...]] = {}
        self._opaque: dict[str, bool] = {}

    def facts(self, module: str) -> ModuleFacts | None:
        """The module's facts; None if the tree has no file for it.

        Raises:
            DiagnosticsError: CH152 if the file is not valid Python.
        """
        if module not in self._modules:
            path = self.tree.modules.get(module)
            self._modules[module] = self._read(path, self.tree.files[path]) if path is not None else None
        return self._modules[module]

    def readable(self, module: str) -> ModuleFacts | None:
        """The same, None also if the file can't be read: for modules that may never be imported."""
        try:
            return self.facts(module)
        except DiagnosticsError:
            return None

    def is_opaque(self, module: str) -> bool:
        """Whether code of the module can reach any code at all."""
        if module not in self._opaque:
            facts = self.readable(module)
            statements = facts.statements if facts is not None else ()
            self._opaque[module] = any(not o.own_module for s in statements for o in s.facts.uses.opaque)
        return self._opaque[module]

    def resolve(self, module: str, ref: Ref) -> tuple[Hit, ...]:
        """Everything `ref`, written in `module`, may lead to: imports on the way included."""
        key = (module, ref)
        found = self._hits.get(key)
        if found is None:
            hits = (
                self._module(ref.root, ref.chain, set())
                if ref.is_module
                else self._name(module, ref.root, ref.chain, set())
            )
            found = self._hits[key] = tuple(dict.fromkeys(hits))
        return found

    def import_target(self, binding: ImportBinding, chain: tuple[str, ...] = ()) -> tuple[Hit, ...]:
        """What an imported name stands for."""
        return tuple(dict.fromkeys(self._imported(binding, chain, set())))

    def binders(self, module: str, name: str) -> tuple[Statement, ...]:
        """The statements that bind a symbol."""
        facts = self.readable(module)
        return facts.binders(name) if facts is not None else ()

    def is_chainlet(self, module: str, name: str, seen: frozenset[tuple[str, str]] = frozenset()) -> bool:
        """Whether a symbol is a class below one of the SDK's Chainlet bases."""
        if (module, name) in seen:
            return False
        for statement in self.binders(module, name):
            facts = statement.facts.class_facts
            for base in facts.bases if facts is not None else ():
                if base and self._is_chainlet_base(module, base, seen | {(module, name)}):
                    return True
        return False

    def is_of_sdk(self, module: str, ref: Ref, name: str) -> bool:
        """Whether `ref` is the SDK's `name`, imported from it or as an attribute of it."""
        wanted = (None, (name,)) if ref.chain else (name, ())
        binders = self.binders(module, ref.root)
        imported = [i for s in binders for i in s.facts.imports if i.name == ref.root]
        if not imported or any(s.kind is not Kind.IMPORT for s in binders):
            return False
        return all(i.module == _SDK and (i.attribute, ref.chain) == wanted for i in imported)

    def class_of(self, module: str, name: str) -> Statement | None:
        """The one class statement that binds a symbol; None if it is bound otherwise or repeatedly."""
        binders = self.binders(module, name)
        return binders[0] if len(binders) == 1 and binders[0].kind is Kind.CLASS else None

    def bases(self, module: str, name: str) -> tuple[tuple[str, str], ...]:
        """The workspace classes that a class derives from directly."""
        statement = self.class_of(module, name)
        facts = statement.facts.class_facts if statement is not None else None
        found: dict[tuple[str, str], None] = {}
        for base in facts.bases if facts is not None else ():
            for hit in self._name(module, base[0], base[1:], set()) if base else ():
                if hit.key.kind == SYMBOL and not hit.rest and self.class_of(hit.key.module, hit.key.name):
                    found[hit.key.module, hit.key.name] = None
        return tuple(found)

    def family(self, module: str, name: str) -> tuple[tuple[str, str], ...]:
        """A class and its workspace ancestors, nearest first."""
        found: dict[tuple[str, str], None] = {}
        waiting = [(module, name)]
        while waiting:
            current = waiting.pop(0)
            if current not in found:
                found[current] = None
                waiting += self.bases(*current)
        return tuple(found)

    def _is_chainlet_base(self, module: str, base: tuple[str, ...], seen: frozenset[tuple[str, str]]) -> bool:
        hits = [
            h for h in self._name(module, base[0], base[1:], set()) if h.key.kind == SYMBOL and not h.rest
        ]
        if any(self.is_chainlet(h.key.module, h.key.name, seen) for h in hits):
            return True
        if base[-1] in _CHAINLET_BASES:
            return True
        imported = [i for s in self.binders(module, base[0]) for i in s.facts.imports if i.name == base[0]]
        return any(i.module.split(".")[0] == _SDK for i in imported)

    def _name(
        self, module: str, name: str, chain: tuple[str, ...], seen: set[tuple[str, str]]
    ) -> Iterator[Hit]:
        facts = self.facts(module)
        if facts is None or (module, name) in seen:
            return
        seen.add((module, name))
        statements = facts.binders(name)
        if not statements and name in facts.declared_global:
            yield Hit(Key(SYMBOL, module, name), chain)
            return
        for statement in statements:
            imported = [i for i in statement.facts.imports if i.name == name]
            yield Hit(Key(SYMBOL, module, name), () if imported else chain)
            for binding in imported:
                yield from self._imported(binding, chain, seen)
        if not statements:
            yield from self._by_star(facts, name, chain, seen)

    def _by_star(
        self, facts: ModuleFacts, name: str, chain: tuple[str, ...], seen: set[tuple[str, str]]
    ) -> Iterator[Hit]:
        """A name that no statement binds may come from a star import; that statement is part of the way."""
        for statement in facts.statements if facts.stars else ():
            for binding in statement.facts.imports:
                if binding.attribute != "*":
                    continue
                star = binding.module
                hits = list(self._name(star, name, chain, seen)) if self.is_exported(star, name) else []
                is_foreign = not self.tree.has(star) and not hasattr(builtins, name)
                if hits or is_foreign:
                    yield Hit(statement.keys[0])
                if hits:
                    yield Hit(Key(EXPORT, star, name))
                yield from hits

    def is_exported(self, module: str, name: str) -> bool:
        """Whether a star import of the module gives this name, if the module has it."""
        facts = self.facts(module)
        if facts is None:
            return False
        if not facts.imports.has_exports:
            return not name.startswith("_")
        return facts.imports.exports is None or name in facts.imports.exports

    def has_attribute(self, module: str, name: str, *, by_code: bool = True) -> bool:
        """Whether a module of the tree has a name; `by_code`: or its `__getattr__` may give it."""
        own = list(self._name(module, name, (), set()))
        if own or self.tree.has(f"{module}.{name}"):
            return True
        return by_code and bool(self.binders(module, "__getattr__"))

    def _imported(
        self, binding: ImportBinding, chain: tuple[str, ...], seen: set[tuple[str, str]]
    ) -> Iterator[Hit]:
        if binding.attribute is None:
            yield from self._module(binding.module, chain, seen)
        elif binding.attribute != "*":
            yield from self._attribute(binding.module, binding.attribute, chain, seen)

    def _module(self, module: str, chain: tuple[str, ...], seen: set[tuple[str, str]]) -> Iterator[Hit]:
        if not self.tree.has(module):
            return
        if not chain or chain[0] in ("__dict__", "[]"):
            yield Hit(Key(MODULE, module), chain)
        else:
            yield from self._attribute(module, chain[0], chain[1:], seen)

    def _attribute(
        self, module: str, name: str, rest: tuple[str, ...], seen: set[tuple[str, str]]
    ) -> Iterator[Hit]:
        found = False
        for hit in self._name(module, name, rest, seen):
            found = True
            yield hit
        inner = f"{module}.{name}"
        if self.tree.has(inner):
            found = True
            yield from self._module(inner, rest, seen)
        if not found and self.binders(module, "__getattr__"):
            yield Hit(Key(MODULE, module), (name, *rest))


__all__ = ["ModuleReader", "Resolver"]

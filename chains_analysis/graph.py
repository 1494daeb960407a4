"""The graph of references in one tree: nodes, what each depends on, and a fingerprint of each."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import NamedTuple

from chains_analysis.classes import ClassFacts, Member
from chains_analysis.effects import LoadEffects
from chains_analysis.fingerprints import hash_of
from chains_analysis.handles import Constructor, Handle
from chains_analysis.inert import Kind
from chains_analysis.nodes import (
    DOCS,
    EDGE,
    EVERYTHING,
    HEAD,
    MODULE,
    SIGNATURE,
    STATEMENT,
    SYMBOL,
    VIEW,
    WIRE,
    Hit,
    Key,
)
from chains_analysis.resolution import ModuleReader, Resolver
from chains_analysis.symbols import Statement
from chains_analysis.tree import SourceTree
from chains_analysis.uses import Opaque, Ref, Role, Uses
from chains_protocol.digest import bytes_digest

ENDPOINTS = ("run_remote", "predict")


class Dep(NamedTuple):
    """An edge of the graph. `opaque` says why text can't tell whether it is really there."""

    key: Key
    opaque: Opaque | None = None


class Graph:
    """All that is known of one tree. Nodes are computed when they are asked for."""

    def __init__(self, tree: SourceTree, read: ModuleReader) -> None:
        self.tree = tree
        self.resolver = Resolver(tree, read)
        self.effects = LoadEffects(self.resolver)
        self._deps: dict[Key, tuple[Dep, ...]] = {}
        self._fingerprints: dict[Key, str | None] = {}

    def deps(self, key: Key) -> tuple[Dep, ...]:
        """What a node depends on, when its code is loaded or called."""
        found = self._deps.get(key)
        if found is None:
            found = self._deps[key] = tuple(dict.fromkeys(self._find_deps(key)))
        return found

    def fingerprint(self, key: Key) -> str | None:
        """What a node is in itself, its dependencies aside; None if this tree does not have it."""
        if key not in self._fingerprints:
            self._fingerprints[key] = self._find_fingerprint(key)
        return self._fingerprints[key]

    def place(self, key: Key) -> tuple[str, int]:
        """File and line where a node stands."""
        facts = self.resolver.readable(key.module) if key.module else None
        if facts is None:
            return self.tree.modules.get(key.module, key.module), 1
        if key.kind == STATEMENT:
            statement = self.nameless_statement(key)
            return facts.path, statement.line if statement else 1
        binders = facts.binders(key.name)
        if not binders:
            return facts.path, 1
        member = self._named_members(key)
        return facts.path, binders[-1].line + (member[0].line if member else 0)

    def nameless_statement(self, key: Key) -> Statement | None:
        """The statement behind a STATEMENT node."""
        facts = self.resolver.readable(key.module)
        return facts.nameless.get(key.name) if facts is not None else None

    def class_facts(self, module: str, name: str) -> ClassFacts | None:
        """The parts of a class that one top-level statement defines."""
        statement = self.resolver.class_of(module, name)
        return statement.facts.class_facts if statement is not None else None

    # -- dependencies

    def _find_deps(self, key: Key) -> Iterator[Dep]:
        match key.kind:
            case "symbol":
                yield from self._symbol_deps(key)
            case "statement":
                statement = self.nameless_statement(key)
                if statement is not None:
                    yield from self.uses_deps(key.module, statement.facts.uses)
            case "module":
                yield from self._module_deps(key.module)
            case "everything":
                yield from (Dep(Key(MODULE, module)) for module in self.tree.modules)
            case "edge":
                yield from self._edge_deps(key)
                yield from self._mutator_deps(key)
            case "view" | "signature" | "head":
                yield from self._type_deps(key)
                yield from self._mutator_deps(key)
            case "member":
                yield from self._member_deps(key)
            case "wire":
                yield from self._wire_deps(key)

    def _member_deps(self, key: Key) -> Iterator[Dep]:
        constructor = self.constructor(key)
        for member in self._named_members(key):
            yield from self.uses_deps(key.module, member.body)
            if constructor is None:
                yield from self.uses_deps(key.module, member.head)
        if constructor is not None:
            apart = set(self._annotated_chainlets(key.module, constructor))
            yield from (d for d in self.uses_deps(key.module, constructor.head) if d.key not in apart)
            for handle in constructor.handles:
                if handle.edge is not None and handle.edge.chainlet is not None:
                    yield from self._way_to(key.module, handle.edge.chainlet)

    def _way_to(self, module: str, ref: Ref) -> Iterator[Dep]:
        """The imports that decide which class a name stands for."""
        for hit in self.resolver.resolve(module, ref):
            binders = self.resolver.binders(hit.key.module, hit.key.name)
            if hit.key.kind == SYMBOL and any(b.kind is Kind.IMPORT for b in binders):
                yield Dep(hit.key)

    def _wire_deps(self, key: Key) -> Iterator[Dep]:
        constructor, handle = self.constructor(key), self.handle(key)
        if handle is not None and handle.edge is not None:
            yield from self.uses_deps(key.module, handle.edge.head)
        elif handle is None and constructor is not None:
            yield from map(Dep, self._annotated_chainlets(key.module, constructor))

    def _annotated_chainlets(self, module: str, constructor: Constructor) -> Iterator[Key]:
        """Chainlets that annotations of an `__init__` name and nothing else of it."""
        keys: dict[Key, bool] = {}
        for ref in constructor.head.all:
            for key in (self._full(ref, hit) for hit in self.resolver.resolve(module, ref)):
                if key.kind == EDGE:
                    keys[key] = keys.get(key, True) and ref.role is Role.ANNOTATION
        yield from (key for key, is_annotation in keys.items() if is_annotation)

    def constructor(self, key: Key) -> Constructor | None:
        """What the one `__init__` does that a MEMBER or WIRE node belongs to; None if that can't be told."""
        members = self._named_members(key)
        return members[0].constructor if len(members) == 1 else None

    def handle(self, key: Key) -> Handle | None:
        """The parameter that a WIRE node stands for."""
        constructor = self.constructor(key)
        return constructor.named(key.member.partition(".")[2]) if constructor is not None else None

    def wires(self, key: Key) -> tuple[Key, ...]:
        """The WIRE nodes of a MEMBER node."""
        constructor = self.constructor(key)
        if constructor is None:
            return ()
        names = ("", *(h.name for h in constructor.handles if h.edge is not None))
        return tuple(Key(WIRE, key.module, key.name, f"{key.member}.{name}") for name in names)

    def _symbol_deps(self, key: Key) -> Iterator[Dep]:
        for statement in self.resolver.binders(key.module, key.name):
            yield from self.uses_deps(key.module, statement.facts.uses)
        yield from self._mutator_deps(key)
        yield from (Dep(k) for k in self.effects.users_of_rebound.get(key, ()) if k != key)

    def _mutator_deps(self, key: Key) -> Iterator[Dep]:
        yield from map(Dep, self.mutators(key))

    def mutators(self, key: Key) -> tuple[Key, ...]:
        """Statements that may change, at load, the symbol that a node belongs to."""
        return self.effects.mutators.get(Key(SYMBOL, key.module, key.name), ())

    def changers(self, key: Key) -> tuple[Key, ...]:
        """Mutators, and the statements whose code rebinds the symbol when it is called."""
        symbol = Key(SYMBOL, key.module, key.name)
        return (*self.mutators(key), *self.effects.rebinders.get(symbol, ()))

    def uses_deps(self, module: str, uses: Uses) -> Iterator[Dep]:
        """The edges of a piece of code, those to its own class's members aside."""
        for ref in uses.all:
            yield from (Dep(self._full(ref, hit)) for hit in self.resolver.resolve(module, ref))
        if uses.reads_docs:
            yield Dep(Key(DOCS))
        for found in uses.opaque:
            yield Dep(Key(MODULE, module) if found.own_module else Key(EVERYTHING), found)

    def _full(self, ref: Ref, hit: Hit) -> Key:
        """A Chainlet named in an annotation or in `depends` matters only for what its callers see."""
        key = hit.key
        is_named = ref.role is not Role.PLAIN and key.kind == SYMBOL and not hit.rest
        if is_named and self.resolver.is_chainlet(key.module, key.name):
            return Key(EDGE, key.module, key.name)
        return key

    def _module_deps(self, module: str) -> Iterator[Dep]:
        facts = self.resolver.readable(module)
        if facts is not None:
            for statement in facts.statements:
                if statement.kind is not Kind.NOTHING:
                    yield from map(Dep, statement.keys)
                for binding in statement.facts.imports:
                    yield from (Dep(hit.key) for hit in self.resolver.import_target(binding))
        inner = (name for name in self.tree.modules if name.startswith(module + "."))
        yield from (Dep(Key(MODULE, name)) for name in inner)

    def _edge_deps(self, key: Key) -> Iterator[Dep]:
        for module, name in self.resolver.family(key.module, key.name):
            for member in self._endpoints(module, name):
                for ref in member.head.all:
                    if ref.role is Role.ANNOTATION:
                        yield from (Dep(self._full(ref, hit)) for hit in self.resolver.resolve(module, ref))
            if (module, name) != (key.module, key.name):
                yield Dep(Key(EDGE, module, name))

    def _endpoints(self, module: str, name: str) -> tuple[Member, ...]:
        facts = self.class_facts(module, name)
        return tuple(m for m in facts.members if m.name in ENDPOINTS) if facts is not None else ()

    def _type_deps(self, key: Key) -> Iterator[Dep]:
        """Dependencies of a class as a type, or of a signature: types are followed as types."""
        facts = self.class_facts(key.module, key.name)
        if facts is None:
            if key.kind == VIEW:
                yield Dep(Key(SYMBOL, key.module, key.name))
            return
        if key.kind == HEAD:
            own = {Key(SYMBOL, *o) for o in self.resolver.family(key.module, key.name)}
            yield from (d for d in self.uses_deps(key.module, facts.head) if d.key not in own)
            return
        if key.kind == SIGNATURE:
            parts: Iterable[Uses] = (m.head for m in facts.named(key.member))
        else:
            bodies = (m.body for m in facts.members if not m.is_plain)
            parts = (facts.head, *(m.head for m in facts.members), *bodies)
            yield from (Dep(Key(VIEW, *base)) for base in self.resolver.bases(key.module, key.name))
        for uses in parts:
            yield from self._typed(key.module, uses)

    def _typed(self, module: str, uses: Uses) -> Iterator[Dep]:
        for ref in uses.all:
            for hit in self.resolver.resolve(module, ref):
                key = self._full(ref, hit)
                is_type = key.kind == SYMBOL and not hit.rest and ref.role is Role.ANNOTATION
                if is_type and self.resolver.class_of(key.module, key.name):
                    yield Dep(Key(VIEW, key.module, key.name))
                else:
                    yield Dep(key)

    # -- fingerprints

    @cached_property
    def docs_matter(self) -> bool:
        """Whether some code reads docstrings, so that they count."""
        return any(s.facts.uses.reads_docs for facts in self.effects.modules for s in facts.statements)

    def _find_fingerprint(self, key: Key) -> str | None:
        match key.kind:
            case "symbol":
                return self._symbol_fingerprint(key)
            case "statement":
                statement = self.nameless_statement(key)
                return self._whole(key.module, statement) if statement is not None else None
            case "module":
                facts = self.resolver.readable(key.module)
                if facts is None:
                    return self._unreadable(key.module)
                return hash_of(sorted(facts.bindings))
            case "everything":
                return hash_of(self.tree.modules)
            case "docs":
                return hash_of(f"{facts.module}:{facts.docs}" for facts in self.effects.modules)
            case "export":
                return self._export_fingerprint(key)
        parts = self.class_facts(key.module, key.name)
        return self._class_fingerprint(key, parts) if parts is not None else self._other(key)

    def _other(self, key: Key) -> str | None:
        return self.fingerprint(Key(SYMBOL, key.module, key.name)) if key.kind in (VIEW, EDGE, HEAD) else None

    def _unreadable(self, module: str) -> str | None:
        source = self.tree.files.get(self.tree.modules.get(module, ""))
        return bytes_digest(source) if source is not None else None

    def _symbol_fingerprint(self, key: Key) -> str | None:
        statements = self.resolver.binders(key.module, key.name)
        facts = self.resolver.readable(key.module)
        if not statements and not (facts is not None and key.name in facts.declared_global):
            return None
        mutators = (f"{k.module}:{k.name}" for k in self.changers(key))
        own = (self._imported(s, key.name) or self._whole(key.module, s) for s in statements)
        return hash_of((*own, "changed by", *mutators))

    @staticmethod
    def _imported(statement: Statement, name: str) -> str | None:
        """What an import statement binds a name to, whatever else it imports; None if it is no import."""
        bindings = [b for b in statement.facts.imports if b.name == name]
        if statement.kind is not Kind.IMPORT or not bindings:
            return None
        return f"{statement.facts.is_for_typing} {bindings}"

    def _whole(self, module: str, statement: Statement) -> str:
        facts = statement.facts
        docs = facts.docs if self.docs_matter else ""
        return hash_of((facts.fingerprint, docs, *self._order(module, statement)))

    def _order(self, module: str, statement: Statement) -> Iterator[str]:
        """For each name of its module that executing a statement needs: how often it was bound before."""
        if not statement.facts.uses.load:
            return
        facts = self.resolver.readable(module)
        hits = self.effects.load_reach(module, statement)
        names = sorted({h.key.name for h in hits if h.key.kind == SYMBOL and h.key.module == module})
        for name in names:
            before = [i for i in facts.bindings.get(name, ()) if i < statement.index] if facts else []
            yield f"{name}:{len(before)}"

    def _class_fingerprint(self, key: Key, facts: ClassFacts) -> str | None:
        (statement,) = self.resolver.binders(key.module, key.name)
        match key.kind:
            case "edge":
                return hash_of(m.head_fingerprint for m in self._endpoints(key.module, key.name))
            case "view":
                return hash_of((statement.facts.load_fingerprint, *self._order(key.module, statement)))
            case "head":
                names = (m.name for m in facts.members if not m.is_plain)
                return hash_of((facts.head_fingerprint, *names, "order", *self._order(key.module, statement)))
            case "signature":
                named = facts.named(key.member)
                return hash_of(m.head_fingerprint for m in named) if named else None
            case "wire":
                return self._wire_fingerprint(key)
        constructor = self.constructor(key)
        named = facts.named(key.member)
        docs = (m.docs for m in named) if self.docs_matter else ()
        if constructor is not None:
            return hash_of((constructor.fingerprint, *docs))
        return hash_of((*(m.fingerprint for m in named), *docs)) if named else None

    def _export_fingerprint(self, key: Key) -> str | None:
        facts = self.resolver.readable(key.module)
        if facts is None or not self.resolver.is_exported(key.module, key.name):
            return None
        is_computed = facts.imports.has_exports and facts.imports.exports is None
        return self.fingerprint(Key(SYMBOL, key.module, "__all__")) if is_computed else "given"

    def _wire_fingerprint(self, key: Key) -> str | None:
        handle = self.handle(key)
        if handle is None:
            return "" if key.member.endswith(".") else None
        return handle.edge.fingerprint if handle.edge is not None else None

    def _named_members(self, key: Key) -> tuple[Member, ...]:
        facts = self.class_facts(key.module, key.name) if key.member else None
        return facts.named(key.member.partition(".")[0]) if facts is not None else ()


__all__ = ["ENDPOINTS", "Dep", "Graph"]

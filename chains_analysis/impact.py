"""A Chainlet's slices: the code that its construction, its calls and its shape depend on."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from chains_analysis.classes import Member
from chains_analysis.construction import Construction
from chains_analysis.graph import Dep, Graph
from chains_analysis.inert import Kind
from chains_analysis.nodes import HEAD, MEMBER, SIGNATURE, SYMBOL, WIRE, Key
from chains_analysis.outcome import ChainletRef
from chains_analysis.uses import Opaque, Ref, Uses

_CLASS_HOOKS = frozenset({"__init_subclass__", "__set_name__", "__class_getitem__"})


@dataclass(frozen=True, slots=True)
class Reach:
    """What can be reached from some roots.

    `certain` and `doubtful` map each node to the one before it on a shortest way (None for a
    root). A doubtful node is reached only through something text can't follow; `why` says what.
    """

    certain: dict[Key, Key | None]
    doubtful: dict[Key, Key | None] = field(default_factory=dict)
    why: dict[Key, tuple[Key, Opaque]] = field(default_factory=dict)

    def __contains__(self, key: object) -> bool:
        return key in self.certain or key in self.doubtful

    @property
    def keys(self) -> set[Key]:
        return self.certain.keys() | self.doubtful.keys()

    def way(self, key: Key) -> tuple[Key, ...]:
        """The nodes from a root to `key`, both included."""
        found = [key]
        previous = self._before(key)
        while previous is not None:
            found.append(previous)
            previous = self._before(previous)
        return tuple(reversed(found))

    def _before(self, key: Key) -> Key | None:
        return self.certain[key] if key in self.certain else self.doubtful[key]


def reach(roots: Iterable[Key], neighbours: Callable[[Key], Iterable[Dep]]) -> Reach:
    """Everything reachable: first what is certain, then what opaque code adds."""
    certain: dict[Key, Key | None] = {}
    opaque: list[tuple[Key, Dep]] = []
    _spread(dict.fromkeys(roots, None), neighbours, certain, opaque)
    doubtful: dict[Key, Key | None] = {}
    why: dict[Key, tuple[Key, Opaque]] = {}
    known = dict(certain)
    while opaque:
        source, dep = opaque.pop(0)
        if dep.key in known or dep.opaque is None:
            continue
        fresh: dict[Key, Key | None] = {}
        _spread({dep.key: source}, neighbours, fresh, opaque, known)
        doubtful.update(fresh)
        known.update(fresh)
        why.update(dict.fromkeys(fresh, (source, dep.opaque)))
    return Reach(certain, doubtful, why)


def _spread(
    roots: dict[Key, Key | None],
    neighbours: Callable[[Key], Iterable[Dep]],
    found: dict[Key, Key | None],
    opaque: list[tuple[Key, Dep]],
    known: Iterable[Key] = (),
) -> None:
    found.update(roots)
    seen = {*known, *found}
    level = list(roots)
    while level:
        following = []
        for key in level:
            for dep in neighbours(key):
                if dep.opaque is not None:
                    opaque.append((key, dep))
                elif dep.key not in seen:
                    seen.add(dep.key)
                    found[dep.key] = key
                    following.append(dep.key)
        level = following


class Unit:
    """One Chainlet in one tree."""

    def __init__(self, graph: Graph, ref: ChainletRef) -> None:
        self.graph = graph
        self.ref = ref
        self.symbol = Key(SYMBOL, ref.module, ref.qualname.split(".")[0])

    @cached_property
    def exists(self) -> bool:
        """Whether its module binds its name at all."""
        return bool(self.graph.resolver.binders(self.symbol.module, self.symbol.name))

    @cached_property
    def family(self) -> tuple[tuple[str, str], ...]:
        """Its class and the class's workspace ancestors; empty if it is not one plain class statement."""
        plain = self.ref.qualname == self.symbol.name
        if not plain or self.graph.class_facts(self.symbol.module, self.symbol.name) is None:
            return ()
        return self.graph.resolver.family(self.symbol.module, self.symbol.name)

    @cached_property
    def members(self) -> tuple[tuple[Key, Member], ...]:
        """All members of the family, each with its node."""
        return tuple(
            (Key(MEMBER, *owner, member.name), member)
            for owner in self.family
            if (facts := self.graph.class_facts(*owner)) is not None
            for member in facts.members
        )

    @cached_property
    def heads(self) -> tuple[Key, ...]:
        return tuple(Key(HEAD, *owner) for owner in self.family)

    @cached_property
    def construction(self) -> Construction:
        """What making an instance does with its dependencies."""
        return Construction(self.graph, self.family, self.members)

    @cached_property
    def init(self) -> Reach:
        """What an instance's construction, and what it caches, depends on; not what it only keeps."""
        roots = [
            key
            for key, member in self.members
            if member.kind is Kind.FUNCTION and (_is_special(member.name) or member.is_cached)
        ]
        return reach(roots if self.family else [self.symbol], self._neighbours)

    @cached_property
    def run(self) -> Reach:
        """What any use of an instance depends on; `init` is a part of it."""
        roots = [*self.heads, *(key for key, _ in self.members), *self.construction.wires]
        return reach(roots if self.family else [self.symbol], self._neighbours)

    @cached_property
    def shape(self) -> Reach:
        """What discovery would read: bases, decorators, class-level values, signatures and their types."""
        roots = [
            *self.heads,
            *(root for key, member in self.members for root in self._shape_roots(key, member)),
        ]
        return reach(roots if self.family else [self.symbol], self._neighbours)

    def run_by_init(self) -> Iterator[tuple[Key, frozenset[Ref]]]:
        """Code that may run while an instance is made, with what each piece uses when it is called.

        Narrower than `init`: what ran when modules were loaded is left out.
        """
        found: dict[Key, frozenset[Ref]] = {}
        waiting = [(key, m.body.call | m.head.call) for key, m in self.members if key in self.init]
        while waiting:
            key, refs = waiting.pop()
            if key in found:
                refs -= found[key]
                if not refs:
                    continue
            found[key] = found.get(key, frozenset()) | refs
            for ref in refs:
                hits = self.graph.resolver.resolve(key.module, ref)
                waiting += [(h.key, self._called_refs(h.key)) for h in hits if h.key.kind == SYMBOL]
        yield from found.items()

    def _called_refs(self, key: Key) -> frozenset[Ref]:
        """What calling a symbol, or what it holds, may use."""
        found: frozenset[Ref] = frozenset()
        for binder in self.graph.resolver.binders(key.module, key.name):
            facts = binder.facts
            if facts.class_facts is not None:
                members = (m for m in facts.class_facts.members if m.name not in _CLASS_HOOKS)
                found = found.union(*(m.body.call | m.head.all for m in members))
            elif binder.kind is Kind.FUNCTION:
                found |= facts.uses.call
            elif binder.kind is not Kind.IMPORT:
                found |= facts.uses.all
        return found

    def _shape_roots(self, key: Key, member: Member) -> Iterator[Key]:
        if member.kind is not Kind.FUNCTION or member.name in _CLASS_HOOKS:
            yield key
        elif member.name in ("__init__", "is_healthy", self.ref.method_name) or not member.is_plain:
            yield Key(SIGNATURE, key.module, key.name, member.name)

    def _neighbours(self, key: Key) -> Iterator[Dep]:
        yield from self.graph.deps(key)
        if key.kind == WIRE:
            handle = self.graph.handle(key)
            if handle is not None and handle.edge is not None:
                yield from self._own(handle.edge.head)
        if key.kind != MEMBER:
            return
        for other, member in self.members:
            if other == key:
                head = member.constructor.head if member.constructor is not None else member.head
                yield from self._own(head)
                yield from self._own(member.body)
                yield from self._set_through(member.body)
                if member.constructor is not None:
                    yield from (Dep(w) for w in self.graph.wires(key) if w in self.construction.doubts)

    def _set_through(self, uses: Uses) -> Iterator[Dep]:
        """The members that decide what an assignment to an attribute does: properties, descriptors."""
        for key, member in self.members:
            if key.member in uses.own_stored and not (
                member.is_plain or member.is_fixed or member.is_declaration
            ):
                yield Dep(key)

    def _own(self, uses: Uses) -> Iterator[Dep]:
        """The members that a piece of code may use through its instance or class."""
        yield from (Dep(k) for k, _ in self.members if uses.leaks_own or k.member in uses.own)


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


__all__ = ["Reach", "Unit", "reach"]

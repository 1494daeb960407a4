"""Which dependencies the making of an instance only keeps, and why the others may be more than kept.

A dependency is *kept* if every use of its parameter in `__init__` is to assign it to an attribute
that nothing else reads while the instance is made, or to hand it to an `__init__` of a base that
does the same. Then no code of its Chainlet, nor its types or options, had a part in the instance.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Final

from chains_analysis.classes import Member
from chains_analysis.graph import Graph
from chains_analysis.handles import Constructor, Handle
from chains_analysis.inert import Kind, is_plain_base
from chains_analysis.nodes import SYMBOL, Key
from chains_analysis.uses import Ref

_INIT: Final = "__init__"
_INTERFERING: Final = frozenset({"__new__", "__setattr__", "__getattribute__", "__init_subclass__"})


class Construction:
    """How instances of one class are made.

    Args:
        graph: the tree.
        family: the class and its workspace ancestors.
        members: all of theirs.
    """

    def __init__(
        self, graph: Graph, family: tuple[tuple[str, str], ...], members: tuple[tuple[Key, Member], ...]
    ) -> None:
        self._graph = graph
        self._family = family
        self._members = members

    @cached_property
    def wires(self) -> tuple[Key, ...]:
        """The WIRE nodes of the family."""
        return tuple(w for key, m in self._members if m.name == _INIT for w in self._graph.wires(key))

    @cached_property
    def doubts(self) -> dict[Key, str]:
        """The wires of dependencies that are not known to be kept, each with the reason for people."""
        found = ((wire, self._general or self._doubt(wire)) for wire in self.wires)
        return {wire: why for wire, why in found if why is not None}

    # -- what concerns all of them

    @cached_property
    def _general(self) -> str | None:
        for module, name in self._family:
            why = self._class_doubt(module, name)
            if why is not None:
                return why
        for key, member in self._making:
            if member.body.leaks_own:
                return f"`{key.name}.{member.name}` hands the instance on"
            if member.body.opaque:
                return f"`{key.name}.{member.name}` {member.body.opaque[0].why}"
            if member.constructor is not None and member.constructor.names_class:
                return f"`{key.name}.{member.name}` uses `__class__`"
        return None

    def _class_doubt(self, module: str, name: str) -> str | None:
        facts = self._graph.class_facts(module, name)
        if facts is None:
            return f"`{name}` is not one plain class"
        if facts.has_unknown_decorator or facts.has_keywords:
            return f"the class statement of `{name}` may change it"
        known = len(self._graph.resolver.bases(module, name))
        if known + sum(is_plain_base(b) for b in facts.bases) < len(facts.bases):
            return f"`{name}` has a base whose code is not here"
        if any(m.name in _INTERFERING for m in facts.members):
            return f"`{name}` controls how its instances are made"
        if len(facts.named(_INIT)) > 1 or self._graph.mutators(Key(SYMBOL, module, name)):
            return f"`{name}` is changed after it is made"
        return None

    @cached_property
    def _making(self) -> tuple[tuple[Key, Member], ...]:
        """The members whose code may run while an instance is made, as far as the instance is used."""
        found: dict[int, tuple[Key, Member]] = {}
        names = {m.name for _, m in self._members if m.kind is Kind.FUNCTION and _is_special(m.name)}
        while True:
            fresh = {n: e for n, e in enumerate(self._members) if e[1].name in names and n not in found}
            if not fresh:
                return tuple(found.values())
            found.update(fresh)
            for _, member in fresh.values():
                names |= member.body.own | member.head.own

    @cached_property
    def _read(self) -> frozenset[str]:
        """Attributes that are read while an instance is made."""
        return frozenset(name for _, member in self._making for name in member.body.own)

    @cached_property
    def _defined(self) -> frozenset[str]:
        """Attributes for which the class has a value, which may decide what an assignment does."""
        return frozenset(m.name for _, m in self._members if not m.is_declaration)

    # -- one of them

    def _doubt(self, wire: Key) -> str | None:
        handle, constructor = self._graph.handle(wire), self._graph.constructor(wire)
        if handle is None or handle.edge is None or constructor is None:
            return None  # annotations, which nobody reads
        if handle.edge.maker is None or not self._graph.resolver.is_of_sdk(
            wire.module, handle.edge.maker, "depends"
        ):
            return f"`{handle.name}` is not known to come from `depends`"
        if handle.edge.chainlet is None or not self._is_class(wire.module, handle.edge.chainlet):
            return f"which class `{handle.name}` stands for is computed"
        return self._use_doubt(wire, handle, set())

    def _is_class(self, module: str, ref: Ref) -> bool:
        """Whether it names one class, which is what it seems."""
        ends = []
        for hit in self._graph.resolver.resolve(module, ref):
            binders = self._graph.resolver.binders(hit.key.module, hit.key.name)
            if not (len(binders) == 1 and binders[0].kind is Kind.IMPORT):
                ends.append(hit)
        facts = self._graph.class_facts(*ends[0].key[1:3]) if len(ends) == 1 and not ends[0].rest else None
        return facts is not None and not facts.has_unknown_decorator and not facts.has_keywords

    def _use_doubt(self, key: Key, handle: Handle, seen: set[tuple[Key, str]]) -> str | None:
        """Why one parameter may be more than kept; `key` is a node of its `__init__`."""
        if (key, handle.name) in seen:
            return None
        seen.add((key, handle.name))
        if handle.doubt is not None:
            path, line = self._graph.place(Key(SYMBOL, key.module, key.name))
            return f"`{path}:{line + handle.doubt}` does more with `{handle.name}` than keep it"
        for attribute in sorted(handle.kept_in):
            if not {attribute, f"_{key.name.lstrip('_')}{attribute}"}.isdisjoint(self._read):
                return f"`self.{attribute}` is used while the instance is made"
            if attribute in self._defined:
                return f"the class defines `{attribute}`, which `{handle.name}` is assigned to"
        for place in sorted(handle.passed, key=str):
            for other, constructor in self._bases_of(key):
                why = self._passed_doubt(other, constructor, place, seen)
                if why is not None:
                    return why
        return None

    def _bases_of(self, key: Key) -> Iterator[tuple[Key, Constructor | None]]:
        """Every other `__init__` of the family: the order of bases tells which one is called."""
        for other, member in self._members:
            if member.name == _INIT and other[1:3] != key[1:3]:
                yield other, member.constructor

    def _passed_doubt(
        self, key: Key, constructor: Constructor | None, place: int | str, seen: set[tuple[Key, str]]
    ) -> str | None:
        handle = constructor.at(place) if constructor is not None else None
        if constructor is None or (handle is None and constructor.has_rest):
            return f"what `{key.name}.{_INIT}` does with it can't be told"
        return self._use_doubt(key, handle, seen) if handle is not None else None


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


__all__ = ["Construction"]

"""Whether a top-level statement has what it needs when it is executed: names, and attributes of them."""

import builtins

from chains_analysis.graph import Graph
from chains_analysis.nodes import SYMBOL, Hit, Key
from chains_analysis.symbols import ModuleFacts, Statement
from chains_analysis.uses import ELEMENT, Ref

_ALWAYS_BOUND = frozenset({*dir(builtins), "__file__", "__path__", "__annotations__"})


def unbound(graph: Graph, module: str, statement: Statement) -> tuple[str, ...]:
    """Names that a statement needs when it is executed and that nothing has bound by then."""
    facts = graph.resolver.readable(module)
    if facts is None:
        return ()
    return tuple(
        sorted(ref.root for ref in statement.facts.uses.load if _is_unbound(graph, facts, statement, ref))
    )


def _is_unbound(graph: Graph, facts: ModuleFacts, statement: Statement, ref: Ref) -> bool:
    if ref.is_module:
        return False
    bound = any(index < statement.index for index in facts.bindings.get(ref.root, ()))
    hits = graph.resolver.resolve(facts.module, ref)
    if bound:
        return bool(ref.chain) and _leads_nowhere(graph, facts, ref, hits)
    if not facts.bindings.get(ref.root) and any(hit.key.module != facts.module for hit in hits):
        return False  # by a star import
    has_unknown_star = any(not graph.tree.has(star) for star in facts.stars)
    return ref.root not in _ALWAYS_BOUND and not has_unknown_star


def _leads_nowhere(graph: Graph, facts: ModuleFacts, ref: Ref, hits: tuple[Hit, ...]) -> bool:
    """Whether an attribute of a module of the tree is asked for that the module does not have."""
    imported = [b for s in facts.binders(ref.root) for b in s.facts.imports if b.name == ref.root]
    modules = [b.module for b in imported if b.attribute is None]
    is_whole = len(modules) == len(facts.binders(ref.root))
    own = Key(SYMBOL, facts.module, ref.root)
    return is_whole and all(map(graph.tree.has, modules)) and all(hit.key == own for hit in hits)


def may_fail(graph: Graph, module: str, statement: Statement) -> bool:
    """Whether a statement asks objects for attributes that text can't promise."""
    return any(_is_daring(graph, module, ref) for ref in statement.facts.uses.load if ref.chain)


def _is_daring(graph: Graph, module: str, ref: Ref) -> bool:
    hits = graph.resolver.resolve(module, ref)
    if not hits and not ref.is_module and hasattr(builtins, ref.root):
        return ref.chain[0] != ELEMENT and not hasattr(getattr(builtins, ref.root), ref.chain[0])
    return any(hit.rest and not _has_attribute(graph, hit) for hit in hits if hit.key.kind == SYMBOL)


def _has_attribute(graph: Graph, hit: Hit) -> bool:
    """Whether a class is known to define what is asked of it."""
    if hit.rest[0] == ELEMENT:
        return True  # a type's parameter; of a value it is not inert in the first place
    owners = graph.resolver.family(hit.key.module, hit.key.name)
    facts = [f for owner in owners if (f := graph.class_facts(*owner)) is not None]
    return any(f.named(hit.rest[0]) for f in facts)


__all__ = ["may_fail", "unbound"]

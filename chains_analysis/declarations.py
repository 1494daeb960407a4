"""Which Chainlets a module declares: what discovery would find there."""

from chains_analysis.cache import AnalysisCache
from chains_analysis.tree import SourceTree


def declared_chainlets(
    tree: SourceTree, module: str, cache: AnalysisCache | None = None
) -> frozenset[tuple[str, str]]:
    """Name and fingerprint of the class statement (bases, decorators) of each Chainlet class of a module.

    A difference means that the Chain may have another entrypoint or other members, even if
    none of its known Chainlets changed.

    Raises:
        DiagnosticsError: CH152 if the module is not valid Python.
    """
    graph = (cache if cache is not None else AnalysisCache()).graph(tree)
    facts = graph.resolver.facts(module)
    found = set()
    for statement in facts.statements if facts is not None else ():
        parts = statement.facts.class_facts
        for name in statement.facts.names if parts is not None else ():
            if parts is not None and graph.resolver.is_chainlet(module, name):
                found.add((name, parts.head_fingerprint))
    return frozenset(found)


__all__ = ["declared_chainlets"]

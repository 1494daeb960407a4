"""The graph of a chain: who calls whom."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chains_cli.events import Report
from chains_cli.exits import Exit
from chains_cli.operations.source import SourceOptions, read_chain
from chains_cli.settings import Settings
from chains_protocol.spec import ChainletSpec, ChainSpec, EndpointSpec


@dataclass(frozen=True, slots=True)
class Node:
    """One chainlet; `calls` are display names, in the order of its parameters."""

    display_name: str
    kind: str
    signature: str
    calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GraphResult:
    """All chainlets, the entrypoint first, then in the order they are reached."""

    chain: str
    entrypoint: str
    nodes: tuple[Node, ...]
    exit_code: int = Exit.OK

    def node(self, display_name: str) -> Node:
        """The node of that name."""
        return next(n for n in self.nodes if n.display_name == display_name)


def graph(
    source: Path,
    entrypoint: str | None,
    settings: Settings,
    *,
    options: SourceOptions,
    report: Report,
    environ: Mapping[str, str] = os.environ,
) -> GraphResult:
    """Read the chain that `source` declares, as a graph.

    Raises:
        DiagnosticsError: CH1xx.
    """
    return chain_graph(
        read_chain(source, entrypoint, settings, options=options, report=report, environ=environ)
    )


def chain_graph(spec: ChainSpec) -> GraphResult:
    """`spec` as a graph, walked from the entrypoint."""
    by_class = {found.spec.class_name: found.spec for found in spec.chainlets}
    ordered: dict[str, ChainletSpec] = {}
    waiting = [by_class[spec.entrypoint]]
    while waiting:
        current = waiting.pop(0)
        if current.class_name not in ordered:
            ordered[current.class_name] = current
            waiting += [by_class[edge.class_name] for edge in current.dependencies]
    nodes = tuple(
        Node(
            s.display_name,
            s.kind.value,
            signature(s.endpoint),
            tuple(edge.display_name for edge in s.dependencies),
        )
        for s in ordered.values()
    )
    return GraphResult(spec.chain_name, by_class[spec.entrypoint].display_name, nodes)


def signature(endpoint: EndpointSpec) -> str:
    """`(name: str, limit: int = ...) -> str`; how a caller sees the endpoint."""
    if endpoint.is_websocket:
        return "(websocket)"
    parts = [f"{p.name}: {p.annotation}{' = ...' if p.is_optional else ''}" for p in endpoint.parameters]
    return f"({', '.join(parts)}) -> {endpoint.return_annotation}"


__all__ = ["GraphResult", "Node", "chain_graph", "graph", "signature"]

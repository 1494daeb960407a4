"""A chain's graph as a tree, as Mermaid, or as JSON."""

import json
from collections.abc import Iterable

from chains_cli.console.encode import to_plain
from chains_cli.console.palette import Palette
from chains_cli.operations.graph import GraphResult


def graph_lines(result: GraphResult, format: str, palette: Palette) -> Iterable[str]:
    """The graph in one of the formats `tree`, `mermaid`, `json`."""
    if format == "json":
        plain = {k: v for k, v in to_plain(result).items() if k != "exit_code"}
        return [json.dumps(plain, ensure_ascii=False, indent=2)]
    return _mermaid(result) if format == "mermaid" else _tree(result, palette)


def _tree(result: GraphResult, palette: Palette) -> Iterable[str]:
    """A chainlet that several call is spelled out once."""
    told: set[str] = set()
    lines: list[str] = []

    def walk(name: str, head: str, rest: str) -> None:
        node = result.node(name)
        if name in told and node.calls:
            lines.append(f"{head}{palette.bold(name)} (above)")
            return
        told.add(name)
        lines.append(f"{head}{palette.bold(name)}{palette.dim(node.signature)}")
        for number, callee in enumerate(node.calls, 1):
            is_last = number == len(node.calls)
            walk(callee, rest + ("└─ " if is_last else "├─ "), rest + ("   " if is_last else "│  "))

    walk(result.entrypoint, "", "")
    return lines


def _mermaid(result: GraphResult) -> Iterable[str]:
    ids = {node.display_name: f"c{number}" for number, node in enumerate(result.nodes)}
    yield "graph TD"
    for name, key in ids.items():
        label = name.replace('"', "#quot;")
        yield f'  {key}(["{label}"])' if name == result.entrypoint else f'  {key}["{label}"]'
    for node in result.nodes:
        for callee in node.calls:
            yield f"  {ids[node.display_name]} --> {ids[callee]}"


__all__ = ["graph_lines"]

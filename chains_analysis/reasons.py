"""Verdicts in words: each reason names the symbol, its place, the way to it and what follows."""

from chains_analysis.diff import Comparison
from chains_analysis.graph import Graph
from chains_analysis.impact import Reach
from chains_analysis.needs import unbound
from chains_analysis.nodes import (
    DOCS,
    EDGE,
    EVERYTHING,
    EXPORT,
    HEAD,
    MODULE,
    SIGNATURE,
    STATEMENT,
    WIRE,
    Key,
)
from chains_analysis.outcome import ChainletRef, Reason
from chains_analysis.symbols import ImportBinding, ModuleFacts, Statement
from chains_protocol.patch import Action


class Narrator:
    """Makes the reasons of one judgement."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison

    def gone(self, ref: ChainletRef, exists_now: bool) -> Reason:
        """The class itself appeared or disappeared."""
        what = "is new" if exists_now else "is gone"
        path = self._graph_for(None).tree.modules.get(ref.module) or self._comparison.before.tree.modules.get(
            ref.module, ref.module
        )
        text = f"the class `{ref.qualname}` {what} in `{path}`"
        return Reason(f"{ref.module}.{ref.qualname}", path, 1, (), text, Action.RESTARTED)

    def changed(self, key: Key, reach: Reach, action: Action, unkept: str | None = None) -> Reason:
        """A node the Chainlet depends on is different.

        `unkept` says why it may have a part in making the instance, if that is for a dependency
        that is not known to be kept only.
        """
        label, (path, line), labels = self.label(key), self._place(key), self._labels(reach.way(key))
        text = f"{self._subject(key)} {self._how(key)}"
        if len(labels) > 1:
            text += f"; `{labels[0]}` uses it"
        if action is Action.RELOADED and key not in reach.why:
            text += (
                ", and the running instance was made with it"
                if len(labels) > 1
                else ", which makes the instance"
            )
            text += f" ({unkept})" if unkept is not None else ""
        doubt = reach.why.get(key)
        if doubt is not None:
            source, opaque = doubt
            where, at = self._place(source)
            text += f" (it may: `{where}:{at + opaque.line}` {opaque.why}, which can't be followed)"
        return Reason(label, path, line, labels, text, action)

    def remade(self, key: Key, reach: Reach) -> Reason:
        """Not different itself, but made again because of something it is tied to."""
        way = reach.way(key)
        path, line = self._place(key)
        text = f"{self._subject(key)} has to be made again, and the running instance uses the old one"
        return Reason(self.label(key), path, line, self._labels(way), text, Action.RELOADED)

    def data_file(self, path: str) -> Reason:
        return Reason(path, path, 1, (), f"`{path}` changed, and code may have read it", Action.RESTARTED)

    def effect(self, facts: ModuleFacts, statement: Statement, culprit: Key) -> Reason:
        """A statement with effects is new, or depends on something that changed."""
        text = f"the statement at `{facts.path}:{statement.line}` may change the process when it is loaded"
        if culprit.kind == STATEMENT:
            text += ", and it is new"
            symbol = f"{facts.module}:{statement.line}"
        else:
            symbol = self.label(culprit)
            text += f", and {self._subject(culprit)} {self._how(culprit)}"
        return Reason(symbol, facts.path, statement.line, (), text, Action.RESTARTED)

    def effect_gone(self, facts: ModuleFacts, statement: Statement, key: Key) -> Reason:
        where = f"{facts.path}:{statement.line}"
        text = f"the statement that stood at `{where}` is gone; what it did to the process stays"
        return Reason(
            f"{facts.module}:-{statement.line}", facts.path, statement.line, (), text, Action.RESTARTED
        )

    def starts(self, facts: ModuleFacts, statement: Statement) -> Reason:
        name = statement.facts.names[0] if statement.facts.names else str(statement.line)
        text = f"`{name}` has to be made again, and making it may start something that already runs"
        return Reason(f"{facts.module}.{name}", facts.path, statement.line, (), text, Action.RESTARTED)

    def reordered(self, module: str) -> Reason:
        path = self._comparison.after.tree.modules[module]
        text = f"`{path}` is imported in another order, and it has statements that may change the process"
        return Reason(module, path, 1, (), text, Action.RESTARTED)

    def tangled(self, module: str) -> Reason:
        path = self._comparison.after.tree.modules[module]
        text = f"`{path}` is part of a cycle of imports, and the order of its statements changed"
        return Reason(module, path, 1, (), text, Action.RESTARTED)

    def broken_import(
        self, facts: ModuleFacts, statement: Statement, binding: ImportBinding, action: Action
    ) -> Reason:
        what = f"`{binding.loads}`"
        if binding.attribute is not None:
            what = f"`{binding.attribute}` from `{binding.loads}`"
        text = f"`{facts.path}:{statement.line}` imports {what}, which is not there: loading it will fail"
        return Reason(f"{facts.module}.{binding.name}", facts.path, statement.line, (), text, action)

    def new_library(self, facts: ModuleFacts, statement: Statement, library: str, action: Action) -> Reason:
        text = f"`{facts.path}` imports `{library}` now, whether it is installed shows when it is loaded"
        return Reason(f"{facts.module}.{library}", facts.path, statement.line, (), text, action)

    def loads_differently(self, facts: ModuleFacts, statement: Statement, action: Action) -> Reason:
        name = statement.facts.names[0] if statement.facts.names else str(statement.line)
        text = f"`{name}` is made differently when `{facts.path}` is loaded"
        missing = unbound(self._comparison.after, facts.module, statement)
        if missing:
            text = f"`{name}` needs `{missing[0]}`, which is not there when `{facts.path}` is loaded"
        return Reason(f"{facts.module}.{name}", facts.path, statement.line, (), text, action)

    def special_member(self, key: Key) -> Reason:
        path, line = self._place(key)
        text = f"`{key.name}` defines `{key.member}`, so a running instance can't be handed over"
        return Reason(self.label(key), path, line, (), text, Action.RELOADED)

    def class_state(self, key: Key) -> Reason:
        path, line = self._place(key)
        text = f"`__init__` keeps state in the class through `{self.label(key)}`, and the class is made again"
        return Reason(self.label(key), path, line, (), text, Action.RELOADED)

    def shared_state(self, key: Key, by: Key) -> Reason:
        path, line = self._place(key)
        what = f"`{self.label(key)}`"
        text = f"{self._subject(by)} changes {what} while an instance is made, and running code uses it"
        return Reason(self.label(key), path, line, (self.label(by), self.label(key)), text, Action.RESTARTED)

    # -- names and places

    def label(self, key: Key) -> str:
        """A node's name as people write it."""
        match key.kind:
            case "member":
                return f"{key.name}.{key.member}" if not key.member.startswith("#") else key.name
            case "signature":
                return f"{key.name}.{key.member}"
            case "wire":
                return key.name + "." + key.member.partition(".")[0]
            case "head":
                return key.name
            case "module":
                return key.module
            case "everything":
                return "all code"
            case "docs":
                return "all docstrings"
            case "statement":
                path, line = self._place(key)
                return f"{path}:{line}"
        return f"{key.module}.{key.name}"

    def _labels(self, way: tuple[Key, ...]) -> tuple[str, ...]:
        labels = [self.label(key) for key in way]
        return tuple(label for n, label in enumerate(labels) if n == 0 or label != labels[n - 1])

    def _title(self, key: Key) -> str:
        return f"`{self.label(key)}`"

    def _subject(self, key: Key) -> str:
        name = self._title(key)
        if key.kind == HEAD:
            return f"the class statement of {name}"
        if key.kind == SIGNATURE:
            return f"the signature of {name}"
        if key.kind == WIRE:
            return f"the dependency `{key.member.partition('.')[2]}` of {name}"
        if key.kind == EXPORT:
            return f"the export of {name}"
        if key.kind == EDGE:
            return f"what callers of {name} see"
        if key.kind == STATEMENT:
            return f"the statement at {name}"
        if key.kind == MODULE:
            return f"the set of names in {name}"
        if key.kind == DOCS:
            return "the docstring of a module"
        return "the set of modules" if key.kind == EVERYTHING else name

    def _how(self, key: Key) -> str:
        if self._comparison.before.fingerprint(key) is None:
            return "is new"
        if self._comparison.after.fingerprint(key) is None:
            return "is gone"
        return "was moved" if key in self._comparison.moved else "changed"

    def _graph_for(self, key: Key | None) -> Graph:
        after = self._comparison.after
        return after if key is None or after.fingerprint(key) is not None else self._comparison.before

    def _place(self, key: Key) -> tuple[str, int]:
        return self._graph_for(key).place(key)


__all__ = ["Narrator"]

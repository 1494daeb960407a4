"""Which files an import of some modules can reach, from text alone.

The answer depends on the sources only, so one workspace gives one package everywhere. An
import that text can't tell widens the answer to all Python files, and says where.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from chains_analysis.imports import Import, ImportFacts, absolute, import_facts
from chains_analysis.tree import SourceTree, parents

FactsReader = Callable[[str, bytes], ImportFacts]
"""Path and bytes -> what the file imports. Pass one that remembers to parse each content once."""


@dataclass(frozen=True, slots=True, order=True)
class Widening:
    """A place whose imports can't be known from text, so that every Python file may be needed."""

    path: str
    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Closure:
    """Paths of the files reached, sorted; `widened` is empty if every import was known.

    `importers` maps a file to those that import it, in the order in which they were met; a
    file that was asked for or only widened to has none.
    """

    files: tuple[str, ...]
    widened: tuple[Widening, ...] = ()
    importers: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False)


def closure(tree: SourceTree, modules: Iterable[str], read: FactsReader = import_facts) -> Closure:
    """The files that importing `modules` can load, with the packages around them.

    Args:
        tree: every Python file that could be imported.
        modules: dotted names below the tree's root; names it does not have are ignored.
        read: how a file's imports are found.

    Raises:
        DiagnosticsError: CH152 if a file that is reached is not valid Python.
    """
    reached: set[str] = set()
    widened: set[Widening] = set()
    importers: dict[str, dict[str, None]] = {}
    waiting = [name for module in modules for name in (*parents(module), module)]
    while waiting:
        module = waiting.pop()
        path = tree.modules.get(module)
        if path is None or path in reached:
            continue
        reached.add(path)
        facts = read(path, tree.files[path])
        widened.update(Widening(path, found.line, found.why) for found in facts.dynamic)
        for imported in facts.imports:
            for target in import_targets(tree, module, imported, read):
                waiting.append(target)
                if (imported_path := tree.modules.get(target, path)) != path:
                    importers.setdefault(imported_path, {})[path] = None
            if imported.name == "*" and _is_unknown_star(tree, module, imported, read):
                widened.add(Widening(path, imported.line, "star import of a computed `__all__`"))
    files = tree.python_paths if widened else tuple(sorted(reached))
    return Closure(files, tuple(sorted(widened)), {path: tuple(by) for path, by in importers.items()})


def import_targets(tree: SourceTree, module: str, imported: Import, read: FactsReader) -> Iterator[str]:
    """Modules of the tree that `imported`, inside `module`, loads: packages around them included."""
    target = absolute(imported, module, tree.is_package(module))
    if target is None or not tree.has(target.split(".")[0]):
        return
    yield from (*parents(target), target)
    if imported.name == "*":
        exports = _facts(tree, target, read)
        names = exports.exports or () if exports else ()
    else:
        names = (imported.name,) if imported.name else ()
    for name in names:
        if tree.has(f"{target}.{name}"):
            yield f"{target}.{name}"


def _is_unknown_star(tree: SourceTree, module: str, imported: Import, read: FactsReader) -> bool:
    """Whether a star import may load submodules that nobody can name: a package with a computed `__all__`."""
    target = absolute(imported, module, tree.is_package(module))
    facts = _facts(tree, target, read) if target and tree.is_package(target) else None
    return facts is not None and facts.has_exports and facts.exports is None


def _facts(tree: SourceTree, module: str, read: FactsReader) -> ImportFacts | None:
    path = tree.modules.get(module)
    return read(path, tree.files[path]) if path is not None else None


__all__ = ["Closure", "FactsReader", "Widening", "closure", "import_targets"]

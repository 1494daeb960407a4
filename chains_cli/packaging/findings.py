"""What packaging has to say: errors about names and kinds, and notes gathered over all Chainlets."""

import re
from collections.abc import Collection, Iterable, Iterator
from keyword import iskeyword
from pathlib import Path
from typing import Final

from chains_analysis.closure import Closure, Widening
from chains_cli.packaging.package import Package
from chains_cli.packaging.sources import SourceFiles
from chains_protocol.errors import Code, Diagnostic, Location, Severity
from chains_protocol.spec import DiscoveredChainlet

_RESERVED: Final = frozenset(
    {"truss_chains", "chains_protocol", "chains_analysis", "chains_runtime", "chains_platform", "chains_cli"}
)
"""Import names of ours, which generated code and replicas rely on (WP-03)."""
_TRUSS_SERVER: Final = frozenset({"main", "model_wrapper", "truss_server", "_truss_common", "shared"})
"""Top-level modules of the Truss server, which come first there (WP-04)."""


class Findings:
    """Notes of one build; the same finding in several Chainlets is one note."""

    def __init__(self) -> None:
        self._widened: dict[Widening, None] = {}
        self._secret: dict[str, None] = {}
        self._meant: dict[str, None] = {}
        self._alike: dict[tuple[str, ...], None] = {}
        self._implicit: dict[tuple[str, str], list[str]] = {}
        self._unbound: dict[str, list[str]] = {}
        self._large: list[Package] = []

    def widened(self, closure: Closure | None) -> None:
        self._widened.update(dict.fromkeys(closure.widened if closure else ()))

    def secret(self, paths: Iterable[str]) -> None:
        self._secret.update(dict.fromkeys(paths))

    def meant(self, paths: Iterable[str]) -> None:
        """Files that look like secrets and are packaged because the author says so."""
        self._meant.update(dict.fromkeys(paths))

    def alike(self, groups: Iterable[tuple[str, ...]]) -> None:
        """Names that differ only in case."""
        self._alike.update(dict.fromkeys(groups))

    def implicit(self, distribution: str, module: str, display_name: str) -> None:
        self._implicit.setdefault((distribution, module), []).append(display_name)

    def unbound(self, constraints: Iterable[str], display_name: str) -> None:
        """Constraints that a Truss server does not heed, because its build sees requirements alone."""
        for line in constraints:
            self._unbound.setdefault(line, []).append(display_name)

    def large(self, package: Package) -> None:
        self._large.append(package)

    def notes(self) -> tuple[Diagnostic, ...]:
        """All notes, by code and place."""
        return (
            *(_secret_note(path) for path in sorted(self._secret)),
            *(_meant_note(path) for path in sorted(self._meant)),
            *(_unbound_note(line, names) for line, names in sorted(self._unbound.items())),
            *(alike(paths, Severity.WARNING) for paths in sorted(self._alike)),
            *(_large_note(package) for package in self._large),
            *(_widened_note(place) for place in sorted(self._widened)),
            *(_implicit_note(*key, names) for key, names in sorted(self._implicit.items())),
        )


def forbidden_names(
    found: DiscoveredChainlet, source: SourceFiles, target: str, taken: Collection[str]
) -> Iterator[Diagnostic]:
    """G-05: files of a package that cannot be imported there, or hide a module that has to be.

    A file that nothing imports hides nothing, unless its name is one of ours.

    Args:
        found: the Chainlet.
        source: the files of its package.
        target: what the package is made for.
        taken: paths that a better name may not have.
    """
    imported = set(source.closure.importers) if source.closure is not None else set()
    imported.add(found.spec.file)
    for path in sorted({*source.files, found.spec.file}):
        name = path.partition("/")[0].removesuffix(".py")
        is_root_file = "/" not in path and path.endswith(".py")
        if path in (f"{name}.py", f"{name}/__init__.py") and name in _RESERVED:
            yield _forbidden(path, name, "it is the name of a module of Chains itself", taken)
        elif not is_root_file or path not in imported:
            continue
        elif not name.isidentifier() or iskeyword(name):
            yield _forbidden(path, name, "no import statement can name it", taken)
        elif name == "model":
            yield _forbidden(path, name, "a package has a module `model` of its own", taken)
        elif name in _TRUSS_SERVER and target == "truss":
            yield _forbidden(path, name, "the Truss server has a module of that name", taken)


def unsupported(found: DiscoveredChainlet) -> Diagnostic:
    """CH210: an engine-builder Chainlet, which our own replicas do not run."""
    name = found.spec.display_name
    return Diagnostic(
        code=Code.UNSUPPORTED_CHAINLET,
        message=f"`{name}` is an engine-builder Chainlet, which this remote does not run",
        location=_place(found),
        chainlet=name,
        help=f"replace it with `--mock {name}=auto` or `--mock {name}=FILE:CLASS`, or push to another remote",
    )


def unsupported_truss(found: DiscoveredChainlet, why: str) -> Diagnostic:
    """CH210: a wrapped Truss that no process of ours can serve."""
    name = found.spec.display_name
    return Diagnostic(
        code=Code.UNSUPPORTED_CHAINLET,
        message=f"the Truss of `{name}` {why}, which this remote does not run",
        location=_place(found),
        chainlet=name,
        help=f"replace it with `--mock {name}=auto` or `--mock {name}=FILE:CLASS`, or push to another remote",
    )


def no_truss(found: DiscoveredChainlet, directory: Path) -> Diagnostic:
    """CH202: the wrapped Truss is not there (G-60)."""
    what = f"`{directory}` has no `config.yaml`" if directory.is_dir() else f"`{directory}` is no directory"
    return Diagnostic(
        code=Code.PATH_NOT_FOUND,
        message=f"the Truss of `{found.spec.class_name}` is not there: {what}",
        location=_place(found),
        chainlet=found.spec.display_name,
        help="correct `truss_dir`; a relative path starts at the file that declares the class",
    )


def _place(found: DiscoveredChainlet) -> Location:
    return Location(path=found.spec.file, line=found.spec.line)


def _forbidden(path: str, name: str, why: str, taken: Collection[str]) -> Diagnostic:
    is_package = path.endswith("/__init__.py")
    better = importable(name)
    while {f"{better}.py", f"{better}/__init__.py"} & set(taken):
        better = f"my_{better}"
    shown = better if is_package else f"{better}.py"
    return Diagnostic(
        code=Code.FORBIDDEN_FILE_NAME,
        message=f"`{path}` cannot be part of a package: {why}",
        location=Location(path=path),
        help=f"rename it, for example to `{shown}`, and where it is imported",
    )


def importable(name: str) -> str:
    """A name like it that an import statement can have and that hides nothing.

    >>> importable("2-step.old"), importable("class"), importable("model")
    ('my_2_step_old', 'my_class', 'my_model')
    """
    plain = re.sub(r"\W", "_", name).strip("_") or "module"
    is_taken = iskeyword(plain) or plain == "model" or plain in _RESERVED | _TRUSS_SERVER
    return plain if plain.isidentifier() and not is_taken else f"my_{plain}"


def _secret_note(path: str) -> Diagnostic:
    return Diagnostic(
        code=Code.SECRET_LOOKING_FILE,
        severity=Severity.WARNING,
        message=f"`{path}` looks like a secret and is not packaged",
        location=Location(path=path),
        help="store the value with `chains secrets set` and name it in `assets.secret_keys`; "
        "if it is meant to be packaged, write its path after a `!` into `.truss_ignore`",
    )


def _meant_note(path: str) -> Diagnostic:
    return Diagnostic(
        code=Code.SECRET_LOOKING_FILE,
        severity=Severity.WARNING,
        message=f"`{path}` looks like a secret and is packaged, because `.truss_ignore` names it",
        location=Location(path=path),
        help="take the line out of `.truss_ignore` if it is one",
    )


def _unbound_note(line: str, names: list[str]) -> Diagnostic:
    who = ", ".join(f"`{name}`" for name in names)
    return Diagnostic(
        code=Code.BAD_REQUIREMENTS,
        severity=Severity.WARNING,
        message=f"the constraint `{line}` of {who} is not kept by a Truss server: no requirement names it",
        help="name it as a requirement too, if it has to hold there",
    )


def names_alike(paths: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Names that differ only in case: some systems hold only one of each group."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(path.casefold(), []).append(path)
    yield from (tuple(sorted(group)) for group in groups.values() if len(group) > 1)


def alike(paths: tuple[str, ...], severity: Severity) -> Diagnostic:
    """CH201: a group of `names_alike`; an error where a platform may keep them on any file system."""
    named = " and ".join(f"`{path}`" for path in paths)
    return Diagnostic(
        code=Code.FORBIDDEN_FILE_NAME,
        severity=severity,
        message=f"{named} differ only in case: a file system that ignores case holds one of them",
        location=Location(path=paths[0]),
        help="rename one of them, or name one in `.truss_ignore`",
    )


def _large_note(package: Package) -> Diagnostic:
    largest = sorted(package.manifest.files, key=lambda entry: (-entry.size_bytes, entry.path))[:3]
    named = ", ".join(f"`{entry.path}` ({entry.size_bytes / 1e6:.1f} MB)" for entry in largest)
    return Diagnostic(
        code=Code.LARGE_PACKAGE,
        severity=Severity.WARNING,
        message=f"the package of `{package.display_name}` has {package.size_bytes / 1e6:.1f} MB: {named}",
        chainlet=package.display_name,
        help="keep large files out with `.truss_ignore`, or load them when the Chainlet starts",
    )


def _widened_note(place: Widening) -> Diagnostic:
    return Diagnostic(
        code=Code.CLOSURE_WIDENED,
        severity=Severity.NOTE,
        message=f"what `{place.path}` imports cannot be known ({place.why}); "
        "its Chainlets get all Python files of the workspace",
        location=Location(path=place.path, line=place.line),
        help="import by name, so that an edit of other files leaves these Chainlets alone",
    )


def _implicit_note(distribution: str, module: str, names: list[str]) -> Diagnostic:
    who = ", ".join(f"`{name}`" for name in names)
    return Diagnostic(
        code=Code.IMPLICIT_REQUIREMENT,
        severity=Severity.NOTE,
        message=f"`{module}` is imported but not declared; `{distribution}` was added for {who}",
        help="name it in `docker_image=DockerImage(pip_requirements=[...])` to choose its version",
    )


__all__ = [
    "Findings",
    "alike",
    "forbidden_names",
    "importable",
    "names_alike",
    "no_truss",
    "unsupported",
    "unsupported_truss",
]

"""What a Chainlet's environment is made of: requirement lines from the three kinds of file (G-30 to G-33).

Comes in: the declared image and the requirements file. Goes out: PEP 508 lines, sorted, with
a few options of pip that name package indexes. Nothing is installed here.
"""

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Location, Severity
from chains_protocol.spec import DiscoveredChainlet

LockExport = Callable[[Path], str]
"""Directory of a `uv.lock` -> its packages as a requirements file."""

_COMMENT: Final = re.compile(r"(^|\s)#.*$")
_HASH: Final = re.compile(r"\s--hash[= ](\S+)")
_EGG: Final = re.compile(r"#egg=([A-Za-z0-9._-]+)")
_INDEX_OPTIONS: Final = ("--index-url", "--extra-index-url", "--find-links", "--pre")
_SHORT: Final = {"-i": "--index-url", "-f": "--find-links", "-r": "--requirement", "-c": "--constraint"}
_TRUSS: Final = frozenset({"truss", "truss-chains"})


@dataclass(slots=True)
class Requirements:
    """Requirement lines, sorted and each once; `options` name package indexes.

    `constraints` are those on projects that no line names: they bind what the named ones bring along.
    """

    lines: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()

    @property
    def all_lines(self) -> tuple[str, ...]:
        return (*self.options, *self.lines)


@dataclass(slots=True)
class _Parsed:
    """Lines in the making."""

    lines: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    problems: list[Diagnostic] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a line stands. `including` are the files around it; None: it may include no other."""

    place: Location
    directory: Path
    including: tuple[Path, ...] | None = None


def read_requirements(found: DiscoveredChainlet, export_lock: LockExport | None = None) -> Requirements:
    """All requirement lines of a Chainlet.

    Args:
        found: the Chainlet; its requirements file is read.
        export_lock: how a `uv.lock` becomes lines; None runs `uv export`.

    Raises:
        DiagnosticsError: CH202 if the file is missing, CH203 for each line that cannot be used.
    """
    parsed = _Parsed()
    file = found.sources.requirements_file
    if file is not None:
        _read_file(Path(file), found, parsed, export_lock or export_uv_lock)
    place = Location(path=found.spec.file, line=found.spec.line)
    for text in found.spec.image.pip_requirements:
        _add(text, _Origin(place, Path(found.spec.file).parent), parsed)
    if parsed.problems:
        owner = found.spec.display_name
        raise DiagnosticsError([p.model_copy(update={"chainlet": owner}) for p in parsed.problems])
    return _finished(parsed)


def requirement_name(line: str) -> str | None:
    """The canonical distribution name of a requirement line; None for a bare URL or an option."""
    try:
        return canonicalize_name(Requirement(_HASH.sub("", line)).name)
    except InvalidRequirement:
        return None


def is_truss(line: str) -> bool:
    """Whether a line installs `truss`, by name or from its repository."""
    return requirement_name(line) in _TRUSS or "basetenlabs/truss" in line


def export_uv_lock(directory: Path) -> str:
    """Run `uv export` on the lock in `directory`, without changing it.

    Raises:
        OSError: `uv` cannot be run.
        subprocess.CalledProcessError: `uv` refused; its reason is in `stderr`.
    """
    import uv

    command = [
        uv.find_uv_bin(),
        *("export", "--frozen", "--no-dev", "--no-emit-project", "--no-hashes", "--no-header"),
        *("--no-annotate", "--no-python-downloads", "--format", "requirements-txt"),
        *("--directory", str(directory)),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


class RememberedExport:
    """Exports a lock again only after the lock or its project changed."""

    def __init__(self, export: LockExport) -> None:
        self._export = export
        self._known: dict[Path, tuple[tuple[bytes, ...], str]] = {}

    def __call__(self, directory: Path) -> str:
        now = tuple((directory / name).read_bytes() for name in ("uv.lock", "pyproject.toml"))
        known = self._known.get(directory)
        if known is None or known[0] != now:
            known = self._known[directory] = (now, self._export(directory))
        return known[1]


def _read_file(path: Path, found: DiscoveredChainlet, parsed: _Parsed, export_lock: LockExport) -> None:
    if not path.is_file():
        parsed.problems.append(
            Diagnostic(
                code=Code.PATH_NOT_FOUND,
                message=f"the requirements file `{path}` does not exist",
                location=Location(path=found.spec.file, line=found.spec.line),
                help="correct `requirements_file` in `docker_image`",
            )
        )
        return
    if path.name not in ("pyproject.toml", "uv.lock"):
        _parse_pip_file(path, parsed, is_constraint=False, including=())
        return
    if found.spec.image.pip_requirements:
        parsed.problems.append(
            _bad(
                f"`pip_requirements` cannot be combined with `{path.name}`",
                f"move the lines into the dependencies of `{path.name}`, or use a `requirements.txt`",
                Location(path=str(path)),
            )
        )
    if path.name == "pyproject.toml":
        _parse_pyproject(path, parsed)
    else:
        _parse_lock(path, parsed, export_lock)


def _parse_pyproject(path: Path, parsed: _Parsed) -> None:
    import tomllib  # few Chainlets have a project file, and it takes as long as all the rest here

    place = Location(path=str(path))
    try:
        project: Any = tomllib.loads(path.read_text("utf-8")).get("project", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        parsed.problems.append(_bad(f"`{path.name}` is not valid TOML: {error}", "correct the file", place))
        return
    lines = project.get("dependencies", []) if isinstance(project, dict) else None
    if not isinstance(lines, list) or "dependencies" in (project.get("dynamic") or ()):
        parsed.problems.append(
            _bad(
                f"`{path.name}` does not list its dependencies",
                "write them as a list in `project.dependencies`",
                place,
            )
        )
        return
    for line in lines:
        _add(str(line), _Origin(place, path.parent), parsed)


def _parse_lock(path: Path, parsed: _Parsed, export_lock: LockExport) -> None:
    place = Location(path=str(path))
    if not (path.parent / "pyproject.toml").is_file():
        parsed.problems.append(
            _bad("a `uv.lock` needs its `pyproject.toml` beside it", "put both into one directory", place)
        )
        return
    try:
        text = export_lock(path.parent)
    except (OSError, subprocess.SubprocessError) as error:
        parsed.problems.append(
            _bad(
                f"`{path.name}` cannot be exported by `uv`",
                "run `uv lock` in its directory, or use a `requirements.txt`",
                place,
                detail=str(getattr(error, "stderr", None) or error).strip(),
            )
        )
        return
    for number, line in _logical_lines(text):
        _add(line, _Origin(Location(path=str(path), line=number), path.parent), parsed)


def _parse_pip_file(path: Path, parsed: _Parsed, *, is_constraint: bool, including: tuple[Path, ...]) -> None:
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        parsed.problems.append(_bad(f"`{path}` cannot be read: {error}", "correct the path or the file"))
        return
    for number, line in _logical_lines(text):
        place = Location(path=str(path), line=number, source_line=line)
        origin = _Origin(place, path.parent, (*including, path.resolve()))
        if is_constraint and not line.startswith("-"):
            _add_constraint(line, place, parsed)
        else:
            _add(line, origin, parsed)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments and blanks, continued ones joined, with the number of their first line."""
    joined, start = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        start = start if joined else number
        if raw.endswith("\\") and not raw.lstrip().startswith("#"):
            joined += raw[:-1] + " "
            continue
        line = _COMMENT.sub("", joined + raw).strip()
        joined = ""
        if line:
            yield start, line


def _add(text: str, origin: _Origin, parsed: _Parsed) -> None:
    """Sort one line into `parsed`."""
    whole = _COMMENT.sub("", text) if "#egg=" not in text else text
    line = _HASH.sub("", whole).strip()
    if not line:
        return
    if line.startswith("-"):
        _add_option(line, origin, parsed)
        return
    try:
        parsed.lines.append(_normal(line) + _hashes(whole))
    except (InvalidRequirement, ValueError) as error:
        parsed.problems.append(
            _bad(
                f"`{line}` is not a requirement that can be installed elsewhere: {error}",
                "write a name with an optional version, or a URL; for a directory of your own use "
                "`external_package_dirs`",
                origin.place,
            )
        )


def _hashes(line: str) -> str:
    """The hashes of a line, sorted, to be appended to it: the installer checks what it gets against them."""
    return "".join(f" --hash={found}" for found in sorted(set(_HASH.findall(line))))


def _normal(line: str) -> str:
    """The line in one spelling; raises for what is no requirement, or a path of this machine."""
    egg = _EGG.search(line)
    if "://" in line.partition("@")[0]:
        if line.startswith("file:"):
            raise ValueError("it is a path of this machine")
        return f"{egg.group(1)} @ {_EGG.sub('', line)}" if egg else line
    if line.startswith((".", "/", "~")) or (line.endswith((".whl", ".tar.gz", ".zip")) and " @ " not in line):
        raise ValueError("it is a path of this machine")
    requirement = Requirement(line)
    if requirement.url is not None and requirement.url.startswith("file:"):
        raise ValueError("it is a path of this machine")
    return str(requirement)


def _add_option(line: str, origin: _Origin, parsed: _Parsed) -> None:
    name, _, value = line.replace("=", " ", 1).partition(" ") if line.startswith("--") else _short(line)
    name = _SHORT.get(name, name)
    value = value.strip()
    if name in _INDEX_OPTIONS:
        parsed.options.append(f"{name} {value}".strip())
        return
    if name in ("--requirement", "--constraint") and origin.including is not None and value:
        target = (origin.directory / value).resolve()
        if target not in origin.including:
            _parse_pip_file(target, parsed, is_constraint=name == "--constraint", including=origin.including)
        return
    parsed.problems.append(
        _bad(
            f"the option `{name}` has no meaning for a deployed Chainlet",
            "remove the line; for a directory of your own use `external_package_dirs`",
            origin.place,
        )
    )


def _short(line: str) -> tuple[str, str, str]:
    """`-r file`, `-rfile` -> its parts."""
    return line[:2], " ", line[2:].lstrip(" =")


def _add_constraint(line: str, place: Location, parsed: _Parsed) -> None:
    try:
        requirement = Requirement(_HASH.sub("", line))
    except InvalidRequirement as error:
        parsed.problems.append(_bad(f"`{line}` is not a constraint: {error}", "correct the line", place))
        return
    parsed.constraints.append(str(requirement))


def _finished(parsed: _Parsed) -> Requirements:
    """The lines, each with the constraints on its own name beside it, and the other constraints."""
    names = {requirement_name(line) for line in parsed.lines}
    beside = [line for line in parsed.constraints if requirement_name(line) in names]
    others = {line for line in parsed.constraints if requirement_name(line) not in names}
    return Requirements(
        lines=tuple(sorted(set(_unique_names([*parsed.lines, *beside])))),
        options=tuple(sorted(set(parsed.options))),
        constraints=tuple(sorted(others)),
    )


def _unique_names(lines: Iterable[str]) -> Iterator[str]:
    """One spelling for a line that stands there twice."""
    seen: set[str] = set()
    for line in lines:
        key = line.replace(" ", "").lower()
        if key not in seen:
            seen.add(key)
            yield line


def _bad(
    message: str, remedy: str, location: Location | None = None, detail: str | None = None
) -> Diagnostic:
    return Diagnostic(
        code=Code.BAD_REQUIREMENTS,
        severity=Severity.ERROR,
        message=message,
        help=remedy,
        location=location,
        detail=detail,
    )


__all__ = [
    "LockExport",
    "RememberedExport",
    "Requirements",
    "export_uv_lock",
    "is_truss",
    "read_requirements",
    "requirement_name",
]

"""Which files of a workspace are never looked at, and which hold secrets.

The built-in list hides caches, environments and version control, nothing else: a user's
package may be called `lib`, `build`, `env` or `target` (WP-23). An environment is told by
its `pyvenv.cfg`, not by its name.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chains_protocol.manifest import SPEC_FILE

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

TRUSS_IGNORE: Final = ".truss_ignore"
PACKAGE_DIRECTORY: Final = "chainlet_"
"""What the name of a directory begins with that `write_packages` makes."""

_ALWAYS: Final = (".git/", ".hg/", ".svn/", "__pycache__/", "*.py[cod]")
"""What no package ever holds, whatever a `.truss_ignore` says."""
_BUILT_IN: Final = (
    ".tox/",
    ".nox/",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
    ".pytype/",
    ".pyre/",
    ".hypothesis/",
    ".import_linter_cache/",
    ".ipynb_checkpoints/",
    ".eggs/",
    "*.egg-info/",
    ".coverage",
    ".coverage.*",
    "htmlcov/",
    "node_modules/",
    ".idea/",
    ".vscode/",
    ".DS_Store",
    "Thumbs.db",
    "*.swp",
    "*.swo",
    "*~",
    ".#*",
    ".gitignore",
    ".gitattributes",
    ".truss_ignore",
)
_SECRET_NAME: Final = re.compile(
    r"""
    \.env(\.(?!example$|sample$|template$|dist$).*)?
    | id_(rsa|dsa|ecdsa|ed25519)(_sk)?
    | \.(netrc|pypirc|npmrc|trussrc|pgpass|htpasswd|git-credentials)
    | (credentials|service[-_]account.*)\.json
    | .*\.(p12|pfx|jks|keystore|kdbx)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_KEY_SUFFIXES: Final = (".pem", ".key", ".p8", ".json", ".txt", ".ppk")
_PRIVATE_KEY: Final = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_KEY_SEARCHED_BYTES: Final = 64 * 1024


@dataclass(frozen=True)
class Rules:
    """Lines as in a `.gitignore`, about the paths below one directory."""

    lines: tuple[str, ...]

    @cached_property
    def _spec(self) -> "GitIgnoreSpec":
        from pathspec import GitIgnoreSpec  # most workspaces have no rules of their own

        return GitIgnoreSpec.from_lines(self.lines)

    def match_file(self, path: str) -> bool:
        """Whether a path, or a directory it lies in, is hidden; that of a directory ends in `/`."""
        return self._spec.match_file(path)

    def hides(self, path: str, *, is_directory: bool) -> bool:
        """The same for one who walks down and does not enter what is hidden."""
        return self.match_file(f"{path}/" if is_directory else path)


@dataclass(frozen=True)
class _NameRules(Rules):
    """Rules that are about names alone, wherever they stand: no negation, no `/` but at the end."""

    @cached_property
    def _files(self) -> "_Names":
        return _Names.of(line for line in self.lines if not line.endswith("/"))

    @cached_property
    def _directories(self) -> "_Names":
        return _Names.of(line.removesuffix("/") for line in self.lines)

    def hides(self, path: str, *, is_directory: bool) -> bool:
        name = path.rpartition("/")[2]
        return (self._directories if is_directory else self._files).has(name)


@dataclass(frozen=True)
class _Names:
    """A set of names, some of them given by patterns."""

    plain: frozenset[str]
    patterns: re.Pattern[str]

    @classmethod
    def of(cls, lines: Iterable[str]) -> "_Names":
        plain, patterns = set(), []
        for line in lines:
            if any(c in line for c in "*?["):
                patterns.append(translate(line))
            else:
                plain.add(line)
        return cls(frozenset(plain), re.compile("|".join(patterns)))

    def has(self, name: str) -> bool:
        return name in self.plain or self.patterns.match(name) is not None


def built_in_rules() -> Rules:
    """The rules where there is no `.truss_ignore`."""
    return _NameRules((*_ALWAYS, *_BUILT_IN))


def workspace_rules(root: Path) -> Rules:
    """The rules of the `.truss_ignore` in `root`, which replaces the built-in list (G-42)."""
    own = root / TRUSS_IGNORE
    if not own.is_file():
        return built_in_rules()
    return rules_of(own.read_text("utf-8", "replace").splitlines())


def rules_of(lines: Iterable[str]) -> Rules:
    """User rules, behind the few that always hold."""
    return Rules((*lines, *_ALWAYS, TRUSS_IGNORE))


def is_environment(directory: Path) -> bool:
    """Whether a directory is a virtual or a conda environment."""
    return (directory / "pyvenv.cfg").is_file() or (directory / "conda-meta").is_dir()


def is_written_package(directory: str) -> bool:
    """Whether `write_packages` wrote it: packed again, each package would hold all earlier ones."""
    is_named = directory.rpartition("/")[2].startswith(PACKAGE_DIRECTORY)
    return is_named and all(Path(directory, name).is_file() for name in (SPEC_FILE, "config.yaml"))


def looks_secret(path: str, head: Callable[[int], bytes]) -> bool:
    """Whether a file, by its name or a private key inside, must not leave the author's machine.

    Args:
        path: its path; only the last part counts.
        head: returns its first bytes; only called for files that may hold a key.
    """
    name = path.rpartition("/")[2]
    if _SECRET_NAME.fullmatch(name):
        return True
    is_candidate = name.lower().endswith(_KEY_SUFFIXES)
    return is_candidate and _PRIVATE_KEY.search(head(_KEY_SEARCHED_BYTES)) is not None


def named_files(root: Path) -> frozenset[str]:
    """Files that the `.truss_ignore` in `root` names with `!` and without a pattern: they are meant."""
    own = root / TRUSS_IGNORE
    if not own.is_file():
        return frozenset()
    lines = (line.strip() for line in own.read_text("utf-8", "replace").splitlines())
    named = (line.removeprefix("!").lstrip("/") for line in lines if line.startswith("!"))
    return frozenset(path for path in named if not any(c in path for c in "*?[") and not path.endswith("/"))


__all__ = [
    "TRUSS_IGNORE",
    "Rules",
    "built_in_rules",
    "is_environment",
    "is_written_package",
    "looks_secret",
    "named_files",
    "rules_of",
    "workspace_rules",
]

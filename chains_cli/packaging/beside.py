"""Which files that are no Python a Chainlet's modules may read: those that lie beside and are named. Pure.

A module that uses `__file__`, `importlib.resources` or `pkgutil` may read files below its own
directory. Packaging them all would restart every Chainlet at every edit of a note; so a file
is taken if the source text names it, one of its directories or its suffix, and all of them
if the text lists directories.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

_MARKERS: Final = (b"__file__", b"importlib.resources", b"importlib_resources", b"pkgutil")
_LISTS: Final = re.compile(
    rb"""\b(iterdir|listdir|scandir|walk|copytree|contents)\b | ["']\*\*?(/\*)?["']""", re.VERBOSE
)
_CONFIG_PATH: Final = re.compile(rb"""make_abs_path_here\(\s*(["'])[^"']*\1\s*\)""")
"""Paths in `remote_config` are read when the package is built, not in the replica."""
_SUFFIX: Final = re.compile(rb"""(?<![\w/])(\.[A-Za-z0-9]+)["']""")


def reads_beside(source: bytes) -> bool:
    """Whether the module may read files that lie beside it."""
    return any(marker in source for marker in _MARKERS)


def naming(sources: Iterable[bytes]) -> Callable[[str], bool]:
    """A predicate: may these modules read the file at this path, relative to one of them?

    >>> names = naming([b'(HERE / "prompts" / name).read_text()', b'f"{lang}.json"'])
    >>> names("prompts/system.txt"), names("words/en.json"), names("README.md")
    (True, True, False)
    """
    text = _CONFIG_PATH.sub(b"", b"\n".join(sources))
    if _LISTS.search(text):
        return lambda path: True
    suffixes = {found.decode() for found in _SUFFIX.findall(text)}

    def is_named(path: str) -> bool:
        *directories, name = path.split("/")
        if _has_word(text, name) or any(_has_word(text, directory) for directory in directories):
            return True
        return any(name.endswith(suffix) for suffix in suffixes)

    return is_named


def _has_word(text: bytes, name: str) -> bool:
    """Whether the name stands in the text, not as a part of a longer name."""
    return re.search(rb"(?<![\w.-])" + re.escape(name.encode()) + rb"(?![\w-])", text) is not None


__all__ = ["naming", "reads_beside"]

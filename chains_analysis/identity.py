"""Which analysis this is."""

import sys
from functools import cache
from importlib.resources import files

from chains_protocol.digest import bytes_digest, tree_digest


@cache
def analysis_identity() -> str:
    """A text that two processes share only if they judge alike: the same rules, read by the same Python."""
    sources = [file for file in files(__package__).iterdir() if file.name.endswith(".py")]
    rules = tree_digest({file.name: bytes_digest(file.read_bytes()) for file in sources})
    return f"{sys.version_info[0]}.{sys.version_info[1]}-{rules}"


__all__ = ["analysis_identity"]

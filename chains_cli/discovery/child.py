"""The child of discovery: reads one user file in the user's interpreter and replies with data.

Run by path: `PYTHON child.py REPLY_FD FAULT_FD`, with the request as one line of JSON on
standard input; it loads what it needs before it reads that line, and ends silently if there is
none. It replies with one JSON object on file descriptor REPLY_FD and then ends the process at
once, whatever threads the file left running. FAULT_FD first gets a line that says that this is a
Python at all; the fault handler writes there at a crash, and shortly before the deadline.

    {"unusable": TEXT}                        this interpreter cannot read a chain
    {"missing": {MODULE: Diagnostic}, ...}    read again with placeholders for these, if they are provided
    {"reply": DiscoveryReply}
    {"internal": TRACEBACK}                   we failed, not the user's file

The first part must run on any Python 3, so that an old one can say so.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib.machinery
import json
import os
import sys
import time
from types import ModuleType
from typing import Any

_OWN = ("truss_chains", "chains_protocol", "chains_cli")


class _OwnPackages:
    """Finds our packages and nothing else of the directory they lie in.

    First in line, so that the file is read by the SDK of this tool; and narrow, so that no
    other library of the tool's environment is visible to the user's file.
    """

    def __init__(self, root: str) -> None:
        self._root = root

    def find_spec(
        self, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname in _OWN:
            return importlib.machinery.PathFinder.find_spec(fullname, [self._root], target)
        return None


def _why_unusable() -> str | None:
    if sys.version_info < (3, 11):  # noqa: UP036 (the user's interpreter, not ours)
        return "it is Python {}.{}, and 3.11 or newer is needed".format(*sys.version_info[:2])
    try:
        import pydantic
    except ImportError as error:
        return f"`pydantic` cannot be imported ({error})"
    version = tuple(int(part) for part in pydantic.VERSION.split(".")[:2])
    if version < (2, 7):
        return f"its `pydantic` is {pydantic.VERSION}, and 2.7 or newer is needed"
    return None


def main() -> None:
    """Read the file that the request names and reply."""
    reply_fd, fault_fd = int(sys.argv[1]), int(sys.argv[2])
    for fd in (reply_fd, fault_fd):
        os.set_inheritable(fd, False)
    os.write(fault_fd, b"started\n")
    faulthandler.enable(fault_fd)
    gc.set_threshold(50_000, 20, 20)  # what is loaded and described is no garbage: look for it less often
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 (before anything is imported)
    sys.path[:] = [entry for entry in sys.path if entry != here]
    why = _why_unusable()
    failure = _load(os.path.dirname(os.path.dirname(here))) if why is None else None  # noqa: PTH120
    request = _request()
    left_s = max(request["hang_dump_at_s"] - time.monotonic(), 0.05)  # loading may have taken long
    faulthandler.dump_traceback_later(left_s, file=fault_fd)
    if why is not None:
        answer: dict[str, object] = {"unusable": why}
    elif failure is not None:
        answer = {"internal": failure}
    else:
        answer = _read(request)
    _reply(reply_fd, answer)


def _load(root: str) -> str | None:
    """Import what reads a file, from `root`; the traceback if that fails."""
    sys.meta_path.insert(0, _OwnPackages(root))
    try:
        import chains_cli.discovery.read  # noqa: F401 (used by `_read`)
    except Exception:
        import traceback

        return traceback.format_exc()
    return None


def _request() -> dict[str, Any]:
    """The line on standard input, which is empty from then on."""
    line = bytearray()
    while not line.endswith(b"\n"):
        data = os.read(0, 1 << 16)
        if not data:
            os._exit(0)  # nobody wants to know any more
        line += data
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    request: dict[str, Any] = json.loads(line)
    return request


def _read(request: dict[str, Any]) -> dict[str, object]:
    from chains_cli.discovery.read import read_file

    try:
        return read_file(request)
    except Exception:  # what the user's file raises is a diagnostic already: this is our own failure
        import traceback

        return {"internal": traceback.format_exc()}


def _reply(fd: int, answer: dict[str, object]) -> None:
    faulthandler.cancel_dump_traceback_later()
    data = json.dumps(answer).encode()
    while data:
        data = data[os.write(fd, data) :]
    os.close(fd)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()

"""The child of discovery: reads one user file in the user's interpreter and replies with data.

Run by path: `PYTHON child.py REPLY_FD FAULT_FD REQUEST`. It replies with one JSON object
on file descriptor REPLY_FD and then ends the process at once, whatever threads the file left
running. FAULT_FD first gets a line that says that this is a Python at all; the fault handler
writes there at a crash, and shortly before the deadline.

    {"unusable": TEXT}                        this interpreter cannot read a chain
    {"missing": {MODULE: Diagnostic}, ...}    read again with placeholders for these, if they are provided
    {"reply": DiscoveryReply}
    {"internal": TRACEBACK}                   we failed, not the user's file

The first part must run on any Python 3, so that an old one can say so.
"""

from __future__ import annotations

import faulthandler
import importlib.machinery
import json
import os
import sys
from types import ModuleType

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
    request = json.loads(sys.argv[3])
    faulthandler.enable(fault_fd)
    faulthandler.dump_traceback_later(request["hang_dump_s"], file=fault_fd)
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 (before anything is imported)
    sys.path[:] = [entry for entry in sys.path if entry != here]
    why = _why_unusable()
    if why is None:
        sys.meta_path.insert(0, _OwnPackages(request["root"]))
        answer = _read(request)
    else:
        answer = {"unusable": why}
    _reply(reply_fd, answer)


def _read(request: dict[str, object]) -> dict[str, object]:
    try:
        from chains_cli.discovery.read import read_file

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

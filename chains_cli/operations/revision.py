"""What git knows of a commit: its files and what differs from it. Checks nothing out, writes nothing."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from chains_analysis import SourceTree
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError


def short_revision(workspace: Path, revision: str, environ: Mapping[str, str]) -> str | None:
    """The commit's short name; None if git does not know it, or is not there."""
    arguments = ("--verify", "--quiet", "--short", "--end-of-options", f"{revision}^{{commit}}")
    shown = git(workspace, environ, "rev-parse", *arguments)
    return shown.decode().strip() if shown is not None else None


def unknown_revision(workspace: Path, since: str, environ: Mapping[str, str]) -> DiagnosticsError:
    """CH306, with what may be the matter: no git, no repository, a shallow clone, a wrong name."""
    message = f"git knows no commit `{since}` here"
    remedy = "name a commit, a branch or a tag of the repository that holds the chain"
    if git(workspace, environ, "--version") is None:
        message, remedy = (
            f"git is needed to find the commit `{since}`",
            "install git, or put it on the `PATH`",
        )
    elif git(workspace, environ, "rev-parse", "--git-dir") is None:
        message = f"`{workspace}` is in no git repository, so there is no commit `{since}`"
        remedy = "run it where the chain is under version control"
    elif (git(workspace, environ, "rev-parse", "--is-shallow-repository") or b"").strip() == b"true":
        remedy = "the clone is shallow: `git fetch --unshallow` brings the older commits"
    return DiagnosticsError([Diagnostic(code=Code.BAD_REQUEST, message=message, help=remedy)])


def git(workspace: Path, environ: Mapping[str, str], *arguments: str) -> bytes | None:
    """What git answers; None if it fails or is not there."""
    try:
        done = subprocess.run(
            ["git", "-C", str(workspace), *arguments],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


class Revision:
    """One commit.

    Args:
        name: as git knows it.
        environ: git's environment.
    """

    def __init__(self, name: str, environ: Mapping[str, str]) -> None:
        self._name = name
        self._environ = environ

    def changed_paths(self, workspace: Path) -> tuple[Path, ...]:
        """Files of the repository that differ from the commit, or are new and not ignored."""
        top = (git(workspace, self._environ, "rev-parse", "--show-toplevel") or b"").decode().strip()
        if not top:
            return ()
        root = Path(os.path.realpath(top))
        changed = self._paths(root, "diff", "--name-only", "--no-renames", "-z", self._name, "--")
        new = self._paths(root, "ls-files", "--others", "--exclude-standard", "-z")
        return tuple(root / path for path in sorted({*changed, *new}))

    def tree(self, root: Path, now: SourceTree) -> dict[str, bytes]:
        """The Python files below `root` at the commit.

        Files that git ignores are taken as they are now, and so is all of a directory that it
        does not know; files that are there and that `now` leaves out were left out then, too.
        """
        listed = git(root, self._environ, "ls-tree", "-r", "-z", self._name, "--", ".")
        if listed is None:
            return {path: data for path, data in now.files.items() if (root / path).is_file()}
        files = dict(self._blobs(root, listed))
        found = {
            path: data for path, data in files.items() if path in now.files or not (root / path).is_file()
        }
        ignored = self._paths(root, "ls-files", "--others", "--ignored", "--exclude-standard", "-z")
        found.update({path: now.files[path] for path in ignored if path in now.files})
        return found

    def _blobs(self, root: Path, listed: bytes) -> Iterator[tuple[str, bytes]]:
        entries = [e.split("\t", 1) for e in os.fsdecode(listed).split("\0") if e]
        blobs = {path: head.split()[2] for head, path in entries if path.endswith(".py") and " blob " in head}
        yield from zip(blobs, self._contents(root, list(blobs.values())), strict=True)

    def _contents(self, root: Path, blobs: list[str]) -> Iterator[bytes]:
        """The bytes of git's blobs, in order; one process for all."""
        done = subprocess.run(
            ["git", "-C", str(root), "cat-file", "--batch"],
            env=dict(self._environ),
            input="".join(f"{blob}\n" for blob in blobs).encode(),
            capture_output=True,
            check=True,
        )
        rest = memoryview(done.stdout)
        position = 0
        for _ in blobs:
            end = done.stdout.index(b"\n", position)
            size = int(done.stdout[position:end].split()[2])
            yield bytes(rest[end + 1 : end + 1 + size])
            position = end + size + 2

    def _paths(self, root: Path, *arguments: str) -> tuple[str, ...]:
        found = git(root, self._environ, *arguments) or b""
        return tuple(path for path in os.fsdecode(found).split("\0") if path)


__all__ = ["Revision", "git", "short_revision", "unknown_revision"]

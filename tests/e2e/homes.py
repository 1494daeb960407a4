"""Which processes belong to a home."""

from pathlib import Path

import psutil


def processes_of(home: Path) -> list[psutil.Process]:
    """Living processes with this home in their command line or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if str(home) in command_line(process) or process.environ().get("CHAINS_HOME") == str(home):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def command_line(process: psutil.Process) -> str:
    """Empty if the process ended meanwhile."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def described(process: psutil.Process) -> str:
    """For a message."""
    return f"{process.pid}: {command_line(process) or 'gone meanwhile'}"

"""The remote that the settings name, ready to use."""

from collections.abc import Mapping

from chains_cli import events
from chains_cli.events import Report
from chains_cli.remotes.remote import Remote
from chains_cli.settings import LOCAL_REMOTE, Settings
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError


def connect(settings: Settings, environ: Mapping[str, str], report: Report, *, start: bool) -> Remote:
    """Connect to `settings.remote`; `start` starts the platform of this machine if none runs.

    Raises:
        DiagnosticsError: CH301, CH308, CH309 or CH314. A remote elsewhere is not asked before the first
            real request.
    """
    if settings.remote == LOCAL_REMOTE:
        from chains_cli.remotes import embedded

        if not start:
            return embedded.connect(settings.home)
        return embedded.ensure_running(settings.home, lambda text: report(events.Step(text)), environ=environ)
    if not settings.remote.startswith(("http://", "https://")):
        raise DiagnosticsError([_unknown_remote(settings.remote)])
    from chains_cli.remotes.platform import PlatformRemote

    return PlatformRemote(settings.remote, settings.token or "")


def _unknown_remote(name: str) -> Diagnostic:
    return Diagnostic(
        code=Code.REMOTE_UNREACHABLE,
        message=f"`{name}` is not a remote",
        help="write `--remote local`, or the URL of a platform: `--remote https://chains.example.com`",
    )


__all__ = ["connect"]

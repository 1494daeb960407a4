"""The remote that the settings name, ready to use."""

from collections.abc import Mapping

from chains_cli import events
from chains_cli.events import Report
from chains_cli.remotes.book import read_book
from chains_cli.remotes.remote import Remote
from chains_cli.settings import LOCAL_REMOTE, Settings


def connect(settings: Settings, environ: Mapping[str, str], report: Report, *, start: bool) -> Remote:
    """Connect to `settings.remote`; `start` starts the platform of this machine if none runs.

    Raises:
        DiagnosticsError: CH301, CH302, CH306, CH308, CH309 or CH314. A remote elsewhere is not
            asked before the first real request.
    """
    name = settings.remote or read_book(settings.home).chosen
    if name == LOCAL_REMOTE:
        from chains_cli.remotes import embedded

        if not start:
            return embedded.connect(settings.home)
        return embedded.ensure_running(settings.home, lambda text: report(events.Step(text)), environ=environ)
    from chains_cli.remotes.platform import PlatformRemote

    if name.startswith(("http://", "https://")):
        return PlatformRemote(name, settings.token or "")
    found = read_book(settings.home).find(name)
    return PlatformRemote(found.url, settings.token or found.token, name=name)


__all__ = ["connect"]

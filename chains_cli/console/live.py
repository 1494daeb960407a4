"""A terminal's view: lines scroll above a table of Chainlets and a bar for the upload."""

from collections.abc import Iterable
from typing import TextIO

from rich.console import Console as RichConsole
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from chains_cli import events
from chains_cli.console.console import TextConsole
from chains_cli.console.layout import bytes_text
from chains_cli.settings import Settings

_STYLES = {
    "ready": "green",
    "active": "green",
    "failed": "bold red",
    "unhealthy": "bold red",
    "stopped": "dim",
}


class LiveConsole(TextConsole):
    """`TextConsole` with a live part that is drawn below its lines and left behind at the end."""

    def __init__(self, settings: Settings, stdout: TextIO, stderr: TextIO) -> None:
        super().__init__(settings, stdout, stderr)
        no_color = settings.color is False
        self._rich = RichConsole(file=stderr, no_color=no_color, highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._rows: dict[str, events.ChainletChanged] = {}
        self._upload: events.Upload | None = None

    def show(self, event: events.Event) -> None:
        if isinstance(event, events.ChainletChanged):
            self._rows[event.chainlet] = event
            self._draw()
        elif isinstance(event, events.Upload):
            self._upload = event if event.sent_bytes < event.total_bytes else None
            self._draw()
        else:
            super().show(event)
        if isinstance(event, events.DeploymentChanged) and event.state in ("active", "failed"):
            self.close()

    def close(self) -> None:
        if self._live is not None:
            self._live.update(self._view())
            self._live.stop()
            self._live = None
            self._rows.clear()
        super().close()

    def _draw(self) -> None:
        if self._live is None:
            self._live = Live(
                console=self._rich, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start()
        self._live.update(self._view(), refresh=True)

    def _view(self) -> Group:
        parts: list[Table | Text] = []
        if self._upload is not None:
            bar = Table.grid(padding=(0, 1))
            total = bytes_text(self._upload.total_bytes)
            sent = bytes_text(self._upload.sent_bytes)
            share = ProgressBar(self._upload.total_bytes, self._upload.sent_bytes, width=30)
            bar.add_row("  sending", share, f"{sent} of {total}")
            parts.append(bar)
        if self._rows:
            table = Table.grid(padding=(0, 2))
            for row in sorted(self._rows.values(), key=lambda r: (not r.is_entrypoint, r.chainlet)):
                state = Text(row.state, style=_STYLES.get(row.state, "yellow"))
                table.add_row(f"  {row.chainlet}", state, Text(row.reason, style="dim"))
            parts.append(table)
        return Group(*parts)

    def _print(self, stream: TextIO, lines: Iterable[str]) -> None:
        if self._live is None:
            super()._print(stream, lines)
            return
        for line in lines:
            self._rich.print(Text.from_ansi(line))


__all__ = ["LiveConsole"]

"""Draws events and results: live on a terminal, as plain lines without one, or as JSON lines.

Comes in: events, results, diagnostics. Goes out: text. stdout carries the result, stderr the story.
"""

from chains_cli.console.console import Console, open_console

__all__ = ["Console", "open_console"]

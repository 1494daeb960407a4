"""`docs/cli.md` holds the help of every command; `UPDATE_GOLDEN=1` rewrites that part."""

import os
from pathlib import Path

from chains_cli import events
from chains_cli.app import COMMANDS
from chains_cli.exits import Exit

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "cli.md"
HELP = ROOT / "tests" / "golden" / "cli" / "help"
MARK = "## Commands\n\n"


def reference() -> str:
    """One section a command, from the golden help texts."""
    parts = []
    for entry in COMMANDS:
        pages = sorted(HELP.glob(f"{entry.name}.txt")) + sorted(HELP.glob(f"{entry.name}-*.txt"))
        own = [p for p in pages if p.stem == entry.name or p.stem.split("-", 1)[0] == entry.name]
        parts.append(f"### {entry.name}\n\n{entry.help}\n")
        parts += [f"```\n{_without_shared(page.read_text('utf-8'))}```\n" for page in own]
    return "\n".join(parts)


def _without_shared(text: str) -> str:
    """The help without the options that all commands share."""
    return text.split("\nShared options:\n", 1)[0].rstrip() + "\n"


def test_the_page_has_the_help_of_every_command() -> None:
    head, mark, rest = PAGE.read_text("utf-8").partition(MARK)
    wanted = _shared_section() + reference()
    if os.environ.get("UPDATE_GOLDEN") == "1":
        PAGE.write_text(f"{head}{mark}{wanted}", "utf-8")
        rest = wanted
    assert rest == wanted


def test_the_page_names_every_type_of_json_line() -> None:
    own = [value for value in vars(events).values() if isinstance(value, type) and hasattr(value, "type")]
    text = PAGE.read_text("utf-8").partition("## Exit status")[0]
    assert [cls.type for cls in own if cls.type != "event" and f"`{cls.type}`" not in text] == []


def _shared_section() -> str:
    shared = (HELP / "push.txt").read_text("utf-8").split("\nShared options:\n", 1)[1]
    return f"All commands have these options:\n\n```\n{shared.rstrip()}\n```\n\n"


def test_the_page_lists_every_exit_status() -> None:
    text = PAGE.read_text("utf-8")
    assert all(f"\n| {status.value} | " in text for status in Exit)

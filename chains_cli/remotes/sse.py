"""Server-sent events, as a client reads them (WHATWG HTML, section 9.2). Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: its name, its data with lines joined by newline, and its id if it had one."""

    event: str
    data: str
    id: str | None = None


def read_events(lines: Iterable[str]) -> Iterator[ServerEvent]:
    """Events from lines without their line ends; comments and unfinished events are left out."""
    name, data, event_id = "message", list[str](), None
    for line in lines:
        if not line:
            if data:
                yield ServerEvent(name, "\n".join(data), event_id)
            name, data, event_id = "message", [], None
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value
        elif field == "id":
            event_id = value


__all__ = ["ServerEvent", "read_events"]

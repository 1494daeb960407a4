"""Requests at a steady rate from a process of its own, so that a test's own work is not in the figures.

Run as a program it takes `{"url", "token", "rate", "body"}` on standard input, and prints every
answer as `[start, seconds, status, text]` when standard input ends.
"""

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Answer:
    """One request: when it was due (monotonic), how long its answer took from then, and what it was."""

    at: float
    took_s: float
    status: int
    text: str

    @property
    def value(self) -> Any:
        return json.loads(self.text)


@dataclass
class Load:
    """A steady load on one URL while the context is entered."""

    url: str
    token: str
    body: dict[str, Any]
    rate: float = 200.0
    answers: list[Answer] = field(default_factory=list)
    _process: "subprocess.Popen[str] | None" = None

    def __enter__(self) -> "Load":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.load"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        asked = {"url": self.url, "token": self.token, "rate": self.rate, "body": self.body}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "begun\n"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        out, _err = self._process.communicate(timeout=120)
        self.answers = [Answer(*json.loads(line)) for line in out.splitlines()]
        assert self._process.returncode == 0

    def between(self, begin: float, end: float) -> list[Answer]:
        return [a for a in self.answers if begin <= a.at < end]


def failed(answers: list[Answer]) -> list[Answer]:
    return [a for a in answers if a.status != 200]


def quantile(answers: list[Answer], share: float) -> float:
    """The time within which that share of the answers came, in milliseconds."""
    ordered = sorted(a.took_s for a in answers)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


class _Requests:
    """An open loop: a request that takes long delays no other one."""

    def __init__(self, asked: dict[str, Any]) -> None:
        url = urlsplit(asked["url"])
        self._host, self._port = url.hostname or "", url.port or 80
        content = json.dumps(asked["body"]).encode()
        self._request = (
            f"POST {url.path} HTTP/1.1\r\nhost: {url.netloc}\r\nauthorization: Bearer {asked['token']}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
        ).encode() + content
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.answers: list[tuple[float, float, int, str]] = []

    async def one(self, due: float) -> None:
        try:
            status, text = await self._exchange()
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            status, text = 0, json.dumps(repr(error))
        self.answers.append((due, time.monotonic() - due, status, text))

    async def _exchange(self) -> tuple[int, str]:
        if self._idle:
            reader, writer = self._idle.pop()
        else:
            reader, writer = await asyncio.open_connection(self._host, self._port)
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(head.split(" ", 2)[1])
        if "content-length:" not in head:
            raise ValueError(f"an answer without a length: {head}")
        length = int(head.partition("content-length:")[2].partition("\r\n")[0])
        text = (await reader.readexactly(length)).decode()
        if "connection: close" not in head:
            self._idle.append((reader, writer))
        else:
            writer.close()
        return status, text


async def _run(asked: dict[str, Any]) -> None:
    requests = _Requests(asked)
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    tasks: set[asyncio.Task[None]] = set()
    due = time.monotonic()
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    while not ended.done():
        task = asyncio.create_task(requests.one(due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        due += 1 / asked["rate"]
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    if tasks:
        await asyncio.wait(tasks, timeout=60)
    for answer in requests.answers:
        sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    asyncio.run(_run(json.loads(sys.stdin.readline())))

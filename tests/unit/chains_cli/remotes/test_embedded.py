"""Finding and starting the platform of this machine. The platform is a small program that plays it."""

import json
import os
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from chains_cli.remotes import embedded
from chains_cli.remotes.embedded import Patience
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError

ENVIRON = {"PATH": os.environ["PATH"]}

PLATFORM = """
import json, os, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil

class Handler(BaseHTTPRequestHandler):
    def _say(self, body):
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self._say({"ok": True, "protocol": PROTOCOL, "instance": "i", "gateway_url": ""})

    def do_POST(self):
        self._say({"ok": True})
        threading.Thread(target=server.shutdown).start()

    def log_message(self, *args):
        pass

PROTOCOL = 1
home = Path(os.environ["CHAINS_HOME"]) / "platform"
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
(home / "token").write_text("t0ken")
url = f"http://127.0.0.1:{server.server_port}"
me = psutil.Process()
(home / "platform.json").write_text(json.dumps({
    "pid": me.pid, "started": me.create_time(), "control_url": url, "gateway_url": url,
    "gateway_pid": me.pid, "instance": "i", "protocol": PROTOCOL,
}))
server.serve_forever()
"""


def command(tmp_path: Path, program: str) -> tuple[str, ...]:
    file = tmp_path / "platform_program.py"
    file.write_text(textwrap.dedent(program))
    return (sys.executable, str(file))


def refused(home: Path, program: tuple[str, ...], timeout_s: float = 20.0) -> Diagnostic:
    with pytest.raises(DiagnosticsError) as caught:
        embedded.ensure_running(
            home, lambda text: None, command=program, environ=ENVIRON, patience=Patience(timeout_s)
        )
    return caught.value.diagnostics[0]


def test_a_platform_is_started_once_found_again_and_stopped(tmp_path: Path) -> None:
    home = tmp_path / "home"
    said: list[str] = []
    program = command(tmp_path, PLATFORM)
    with closing(embedded.ensure_running(home, said.append, command=program, environ=ENVIRON)) as first:
        running = embedded.find_running(home)
        assert running is not None and running.file.control_url == first.url
        assert len(said) == 1
        with closing(embedded.ensure_running(home, said.append, command=program, environ=ENVIRON)) as again:
            assert again.url == first.url
        with closing(embedded.connect(home)) as connected:
            assert connected.name == "local"
        assert len(said) == 1
    assert os.getsid(running.file.pid) == running.file.pid
    assert embedded.shutdown(home)
    assert not psutil.pid_exists(running.file.pid) or (
        psutil.Process(running.file.pid).status() == psutil.STATUS_ZOMBIE
    )
    assert not embedded.shutdown(home)


def test_tools_that_start_at_once_share_one_platform(tmp_path: Path) -> None:
    home = tmp_path / "home"
    said: list[str] = []
    starts = tmp_path / "starts"
    counted = f"open({str(starts)!r}, 'a').write('x')\n" + PLATFORM
    program = command(tmp_path, counted)

    def start(_: int) -> str:
        with closing(embedded.ensure_running(home, said.append, command=program, environ=ENVIRON)) as remote:
            return remote.url

    with ThreadPoolExecutor(4) as pool:
        urls = set(pool.map(start, range(4)))
    assert len(urls) == 1
    assert starts.read_text() == "x"
    assert embedded.shutdown(home)


def test_a_platform_that_says_why_it_fails_is_quoted(tmp_path: Path) -> None:
    """CH308 and others, from its `CHAINS-FAILED` line."""
    said = Diagnostic(code=Code.PORT_IN_USE, message="port 80 is taken", help="choose another")
    line = "CHAINS-FAILED " + json.dumps([said.model_dump(mode="json")])
    program = command(tmp_path, f"import sys\nsys.stderr.write({line + chr(10)!r})\nsys.exit(4)\n")
    assert refused(tmp_path / "home", program) == said


def test_a_platform_that_dies_silently_shows_its_last_words(tmp_path: Path) -> None:
    """CH309."""
    program = command(tmp_path, "print('oh no', flush=True)\nraise SystemExit(7)\n")
    diagnostic = refused(tmp_path / "home", program)
    assert diagnostic.code is Code.PLATFORM_START_FAILED
    assert "status 7" in diagnostic.message and diagnostic.detail == "oh no"


def test_only_the_words_of_this_start_are_quoted(tmp_path: Path) -> None:
    home = tmp_path / "home"
    refused(home, command(tmp_path, "print('first', flush=True)\nraise SystemExit(7)\n"))
    assert refused(home, command(tmp_path, "raise SystemExit(7)\n")).detail is None


def test_a_platform_that_never_answers_is_given_up_and_ended(tmp_path: Path) -> None:
    program = command(tmp_path, "import threading\nthreading.Event().wait()\n")
    diagnostic = refused(tmp_path / "home", program, timeout_s=0.5)
    assert diagnostic.code is Code.PLATFORM_START_FAILED


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    assert refused(tmp_path / "home", ("/no/such/python",)).code is Code.PLATFORM_START_FAILED


def test_another_protocol_is_said_so_and_left_alone(tmp_path: Path) -> None:
    """CH314."""
    home = tmp_path / "home"
    program = command(tmp_path, PLATFORM.replace("PROTOCOL = 1", "PROTOCOL = 99"))
    assert refused(home, program).code is Code.PROTOCOL_MISMATCH
    assert embedded.find_running(home) is not None
    assert embedded.shutdown(home)


@pytest.mark.parametrize("content", ["", "{}", "not json", None])
def test_files_that_say_nothing_are_no_platform(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "platform").mkdir()
        (tmp_path / "platform" / "platform.json").write_text(content)
        (tmp_path / "platform" / "token").write_text("t")
    assert embedded.find_running(tmp_path) is None
    with pytest.raises(DiagnosticsError) as caught:
        embedded.connect(tmp_path)
    assert caught.value.diagnostics[0].code is Code.REMOTE_UNREACHABLE


def test_a_pid_that_belongs_to_another_process_now_is_no_platform(tmp_path: Path) -> None:
    me = psutil.Process()
    content = {
        "pid": me.pid,
        "started": me.create_time() - 1000,
        "control_url": "http://127.0.0.1:1",
        "gateway_url": "http://127.0.0.1:2",
        "gateway_pid": 1,
        "instance": "i",
    }
    (tmp_path / "platform").mkdir()
    (tmp_path / "platform" / "token").write_text("t")
    file = tmp_path / "platform" / "platform.json"
    file.write_text(json.dumps(content))
    assert embedded.find_running(tmp_path) is None
    file.write_text(json.dumps({**content, "started": me.create_time()}))
    assert embedded.find_running(tmp_path) is not None


def test_the_home_is_the_variable_or_the_users_data_directory(tmp_path: Path) -> None:
    assert embedded.find_home({"CHAINS_HOME": str(tmp_path)}) == tmp_path
    assert embedded.find_home({}).name == "chains"


@pytest.mark.parametrize("below", ["", "chains"])
def test_a_home_that_cannot_be_used_is_named(tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.touch()
    said = refused(file / below, command(tmp_path, PLATFORM))
    assert said.code is Code.PLATFORM_START_FAILED
    assert str(file) in said.message
    assert "CHAINS_HOME" in (said.help or "")


def test_what_a_start_makes_is_its_owners_only(tmp_path: Path) -> None:
    home = tmp_path / "a" / "home"
    refused(home, command(tmp_path, "raise SystemExit(1)"))
    assert {path.stat().st_mode & 0o777 for path in (home, home / "platform")} == {0o700}


def test_a_platform_that_was_killed_is_told_from_one_that_was_stopped(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert not embedded.has_crashed(home)
    with closing(embedded.ensure_running(home, print, command=command(tmp_path, PLATFORM), environ=ENVIRON)):
        running = embedded.find_running(home)
        assert running is not None and not embedded.has_crashed(home)
        process = psutil.Process(running.file.pid)
        process.kill()
        process.wait(10)
    assert embedded.has_crashed(home)

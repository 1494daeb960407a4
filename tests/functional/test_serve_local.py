"""`chains run-local --serve`: a server of this machine that follows the file."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chains_cli import events
from chains_cli.operations.run_local import LocalOptions
from chains_cli.operations.serve_local import ServeResult, serve_local
from chains_cli.settings import Settings
from chains_protocol.errors import Code, DiagnosticsError

Tool = Any  # the fixture of conftest.py
Program = Callable[[str], Path]
Step = Callable[[str], None]  # given the URL; an edit at its end is a save


def serve(
    tool: Tool, source: str, entrypoint: str, *steps: Step, printed: list[str] | None = None
) -> tuple[ServeResult, list[str]]:
    """Serve while `steps` run one after the other; each ends with a reload, the last with the end."""
    told: list[str] = []
    printed = [] if printed is None else printed

    def report(event: events.Event) -> None:
        if isinstance(event, events.Step):
            told.append(event.text)
        elif isinstance(event, events.Found):
            told.append(event.diagnostic.code.value)
        elif isinstance(event, events.UserOutput):
            printed.append(event.text)

    def changes(workspace: Path) -> Iterator[None]:
        url = told[0].split(" at ", 1)[1].split(";", 1)[0]
        for number, step in enumerate(steps, 1):
            step(url)
            if number < len(steps):
                yield None

    settings = Settings(home=tool.home, cwd=tool.cwd)
    result = serve_local(
        tool.cwd / source,
        entrypoint,
        settings,
        options=LocalOptions(),
        port=0,
        report=report,
        changes=changes,
    )
    return result, told


def post(url: str, body: object, **headers: str) -> httpx.Response:
    sent = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return httpx.post(url, content=json.dumps(body), headers=sent, timeout=30)


def test_a_save_reloads_and_a_broken_one_changes_nothing(tool: Tool, program: Program) -> None:
    path = program("cli_hello.py")
    answers = []

    def first(url: str) -> None:
        answers.append(post(url, {"names": ["Ada"]}).json())
        path.write_text(path.read_text().replace("Hello,", "Hi,").replace('"Hello"', '"Hi"'))

    def second(url: str) -> None:
        answers.append(post(url, {"names": ["Ada"]}).json())
        path.write_text(path.read_text() + "\nbroken(\n")

    def third(url: str) -> None:
        answers.append(post(url, {"names": ["Ada"]}).json())

    result, told = serve(tool, path.name, "HelloAll", first, second, third)
    assert answers == [["Hello, Ada"], ["Hi, Ada"], ["Hi, Ada"]]
    assert result.reloads == 1
    assert told[2:] == ["reloaded", "CH152", "not reloaded; the code from before goes on serving"]


def test_errors_have_the_statuses_of_a_deployed_chain(tool: Tool, program: Program) -> None:
    name = program("cli_faults.py").name
    found: dict[str, httpx.Response] = {}

    def step(url: str) -> None:
        found["bad input"] = post(url, {"how": 7})
        found["raises"] = post(url, {"how": "raise"})
        found["bad result"] = post(url, {"how": "number"})
        found["elsewhere"] = post(url.replace("run_remote", "other"), {})
        found["no json"] = httpx.post(url, content="{}", timeout=30)

    serve(tool, name, "Faults", step)
    assert {k: r.status_code for k, r in found.items()} == {
        "bad input": 400,
        "raises": 500,
        "bad result": 500,
        "elsewhere": 404,
        "no json": 415,
    }
    error = found["raises"].json()["error"]
    assert (error["exception_cls_name"], error["exception_message"]) == ("ValueError", "asked to fail")
    assert [frame["name"] for frame in error["user_stack_trace"]][-1] == "run_remote"


@pytest.mark.parametrize("headers", [{"origin": "https://example.com"}, {"host": "example.com"}])
def test_other_sites_may_not_call(tool: Tool, program: Program, headers: dict[str, str]) -> None:
    name = program("cli_hello.py").name
    statuses = []
    serve(
        tool, name, "HelloAll", lambda url: statuses.append(post(url, {"names": []}, **headers).status_code)
    )
    assert statuses == [403]


def test_a_stream_is_chunked(tool: Tool, program: Program) -> None:
    name = program("cli_faults.py").name
    found = []
    serve(tool, name, "Letters", lambda url: found.append(post(url, {"word": "abc"})))
    assert (found[0].status_code, found[0].content) == (200, b"abc")
    assert found[0].headers["transfer-encoding"] == "chunked"


def test_the_openapi_document_follows_the_code(tool: Tool, program: Program) -> None:
    path = program("cli_hello.py")
    documents = []

    def first(url: str) -> None:
        documents.append(httpx.get(url.replace("run_remote", "openapi.json"), timeout=30).json())
        path.write_text(
            path.read_text().replace("names: list[str]", "people: list[str]").replace("names", "people")
        )

    def second(url: str) -> None:
        documents.append(httpx.get(url.replace("run_remote", "openapi.json"), timeout=30).json())

    serve(tool, path.name, "HelloAll", first, second)
    posts = [document["paths"]["/run_remote"]["post"] for document in documents]
    bodies = [post["requestBody"]["content"]["application/json"] for post in posts]
    assert [document["openapi"] for document in documents] == ["3.1.0"] * 2
    assert [list(body["schema"]["properties"]) for body in bodies] == [["names"], ["people"]]
    assert bodies[0]["example"] == {"names": ["names"]}
    result = posts[0]["responses"]["200"]["content"]["application/json"]["schema"]
    assert result == {"type": "array", "items": {"type": "string"}}


def test_a_page_to_try_it_is_served_to_this_machine_only(tool: Tool, program: Program) -> None:
    name = program("cli_hello.py").name
    found: dict[str, httpx.Response] = {}

    def step(url: str) -> None:
        found["page"] = httpx.get(url.replace("run_remote", ""), timeout=30)
        found["foreign"] = httpx.get(
            url.replace("run_remote", ""), headers={"host": "example.com"}, timeout=30
        )
        found["call"] = httpx.get(url, timeout=30)
        found["elsewhere"] = httpx.get(url.replace("run_remote", "other"), timeout=30)

    _, told = serve(tool, name, "HelloAll", step)
    assert {k: r.status_code for k, r in found.items()} == {
        "page": 200,
        "foreign": 403,
        "call": 405,
        "elsewhere": 404,
    }
    assert found["page"].headers["content-type"] == "text/html; charset=utf-8"
    assert "HelloAll(names: list[str])" in found["page"].text
    assert "&quot;names&quot;" in found["page"].text
    assert "http" not in found["page"].text.replace("http-equiv", ""), "nothing comes from elsewhere"
    assert told[1].startswith("try it at http://127.0.0.1:")


def test_errors_are_printed_with_the_users_own_lines(tool: Tool, program: Program) -> None:
    name = program("cli_faults.py").name
    printed: list[str] = []
    answers = []

    def step(url: str) -> None:
        answers.append(post(url, {"how": "raise"}))
        answers.append(post(url, {"how": "exit"}))

    serve(tool, name, "Faults", step, printed=printed)
    assert [answer.status_code for answer in answers] == [500, 500]
    assert answers[1].json()["error"]["exception_cls_name"] == "SystemExit"
    text = "\n".join(printed)
    assert 'faults.py", line' in text
    assert "ValueError: asked to fail" in text
    assert "local_server.py" not in text


def test_a_websocket_is_not_served(tool: Tool) -> None:
    (tool.cwd / "speaks.py").write_text(
        "import truss_chains as chains\n\n\n"
        "@chains.mark_entrypoint\n"
        "class Socket(chains.ChainletBase):\n"
        "    async def run_remote(self, websocket: chains.WebSocketProtocol) -> None:\n"
        "        await websocket.close()\n"
    )
    done = tool("run-local", "speaks.py", "--serve", "--port", "0")
    assert done.code == 1
    assert "speaks over a websocket" in done.err


def test_a_chain_that_cannot_be_made_is_told_at_the_start(tool: Tool, program: Program) -> None:
    name = program("cli_faults.py").name
    with pytest.raises(DiagnosticsError) as caught:
        serve(tool, name, "Broken", lambda url: None)
    assert [d.code for d in caught.value.diagnostics] == [Code.INIT_FAILED]


def test_a_port_in_use_is_told(tool: Tool, program: Program) -> None:
    program("cli_hello.py")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = tool("run-local", "hello.py", "--serve", "--port", str(taken.getsockname()[1]))
    assert done.code == 4
    assert "error[CH308]" in done.err


def test_serve_and_input_exclude_each_other(tool: Tool) -> None:
    assert tool("run-local", "hello.py", "--serve", "--input", "{}").code == 2

"""call, status, list, logs, history, promote, rollback, delete, secrets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chains_cli.remotes.memory import Answer, Call, MemoryRemote
from chains_protocol.control import LogLine
from chains_protocol.rpc import ErrorBody, RemoteErrorDetail, StackFrame

Tool = Any  # the fixture of conftest.py
Program = Callable[[str], Path]
Golden = Callable[[str, str], None]

NOW = 1_800_000_000.0
ERROR = RemoteErrorDetail(
    exception_cls_name="ValueError",
    exception_message="too long",
    user_stack_trace=[
        StackFrame(filename="/work/hello.py", lineno=8, name="run_remote", line="raise ValueError")
    ],
)


@pytest.fixture
def remote(tool: Tool, program: Program) -> MemoryRemote:
    """A remote on which the hello chain runs."""
    tool.remote = MemoryRemote(clock=lambda: NOW - 90)
    program("cli_hello.py")
    tool.ok("push", "hello.py")
    return tool.remote


def answering(remote: MemoryRemote, answer: Answer) -> list[Call]:
    """Makes `remote` answer so; returns the calls as they come."""
    calls: list[Call] = []

    def reply(call: Call) -> Answer:
        calls.append(call)
        return answer

    remote.answer = reply
    return calls


def test_call_prints_the_answer(tool: Tool, remote: MemoryRemote) -> None:
    calls = answering(remote, Answer((b'["Hello, Ada"]',)))
    done = tool.ok("call", "hello", "--data", '{"names": ["Ada"]}')
    assert done.out == '["Hello, Ada"]\n'
    assert calls[0].body == b'{"names": ["Ada"]}'


def test_a_text_answer_is_printed_without_quotes(tool: Tool, remote: MemoryRemote) -> None:
    answering(remote, Answer((b'"Hello\\nAda"',)))
    assert tool.ok("call", "hello", "-d", '{"names": []}').out == "Hello\nAda\n"


def test_call_in_json(tool: Tool, remote: MemoryRemote) -> None:
    answering(remote, Answer((b'["Hello, Ada"]',)))
    done = tool.ok("call", "hello", "-d", '{"names": ["Ada"]}', "-o", "json")
    assert done.result["value"] == ["Hello, Ada"]


def test_a_stream_prints_as_it_comes(tool: Tool, remote: MemoryRemote) -> None:
    answering(
        remote,
        Answer(("Gr\u00fc".encode()[:3], "Gr\u00fc".encode()[3:], b"\xc3\x9f"), content_type="text/plain"),
    )
    done = tool.ok("call", "hello", "-d", '{"names": []}', "-o", "json")
    assert "".join(line["value"] for line in done.lines if line["type"] == "item") == "Grüß"
    assert (done.result["streamed"], done.result["value"]) == (True, None)


def test_without_data_it_shows_an_example(tool: Tool, remote: MemoryRemote) -> None:
    done = tool("call", "hello")
    assert done.code == 1
    assert done.err.startswith("error[CH129]: chain `hello` needs an input\n")
    assert '--data \'{"names": [' in done.err


def test_an_error_of_the_chain_shows_its_traceback(tool: Tool, remote: MemoryRemote, golden: Golden) -> None:
    answering(remote, Answer((ErrorBody(error=ERROR).model_dump_json().encode(),), status=500))
    done = tool("call", "hello", "-d", '{"names": []}')
    assert (done.code, done.out) == (1, "")
    golden("call-error", done.err)


@pytest.mark.parametrize(("status", "code"), [(400, "CH129"), (404, "CH506"), (500, "CH506"), (503, "CH505")])
def test_other_errors_are_one_line(tool: Tool, remote: MemoryRemote, status: int, code: str) -> None:
    answering(remote, Answer((b'{"error": "Input does not fit:\\n  names: missing"}',), status=status))
    done = tool("call", "hello", "-d", "{}")
    assert done.code == 1
    assert done.err.startswith(f"error[{code}]: ")
    assert "Input does not fit" in done.err


def test_an_answer_that_is_no_error_body_is_shown(tool: Tool, remote: MemoryRemote) -> None:
    answering(remote, Answer((b"<html>bad gateway</html>",), status=502, content_type="text/html"))
    done = tool("call", "hello", "-d", "{}")
    assert "answered 502: <html>bad gateway</html>" in done.err


@pytest.mark.parametrize(
    ("where", "code"),
    [
        (("--deployment", "zz"), "CH304"),
        (("--development",), "CH304"),
        (("--environment", "staging"), "CH316"),
    ],
)
def test_an_unknown_target_is_not_called(
    tool: Tool, remote: MemoryRemote, where: tuple[str, ...], code: str
) -> None:
    calls = answering(remote, Answer((b"1",)))
    done = tool("call", "hello", "-d", "{}", *where)
    assert done.err.startswith(f"error[{code}]: chain `hello` has no ")
    assert calls == []


def test_a_deployment_is_called_by_its_id_or_its_name(tool: Tool, remote: MemoryRemote) -> None:
    """The gateway knows ids alone."""
    answering(remote, Answer((b"1",)))
    source = Path(tool.cwd) / "hello.py"
    source.write_text(source.read_text() + "\n# another\n")
    tool.ok("push", "hello.py", "--deployment-name", "first")
    known = remote.chain("hello").deployments[0]
    assert known.name == "first"
    for named in (known.id, known.name or ""):
        done = tool.ok("call", "hello", "-d", "{}", "--deployment", named, "-o", "json")
        assert done.result["selector"] == f"deployment/{known.id}"


def test_the_default_target_is_production_if_it_exists(tool: Tool, remote: MemoryRemote) -> None:
    calls = answering(remote, Answer((b"1",)))
    assert tool.ok("call", "hello", "-d", "{}", "-o", "json").result["selector"] == "latest"
    tool.ok("promote", "hello")
    assert tool.ok("call", "hello", "-d", "{}", "-o", "json").result["selector"] == "production"
    assert len(calls) == 2


def test_a_lone_development_deployment_is_the_target(tool: Tool, program: Program) -> None:
    tool.remote = MemoryRemote()
    program("cli_hello.py")
    tool.ok("push", "hello.py", "--development")
    answering(tool.remote, Answer((b"1",)))
    assert tool.ok("call", "hello", "-d", "{}", "-o", "json").result["selector"] == "development"


@pytest.mark.parametrize(
    ("options", "selector"),
    [
        (("--environment", "production"), "production"),
        (("--environment", "staging"), "environments/staging"),
        (("--deployment", "d1"), "deployment/d1"),
    ],
)
def test_a_chosen_target(tool: Tool, remote: MemoryRemote, options: tuple[str, ...], selector: str) -> None:
    answering(remote, Answer((b"1",)))
    tool.ok("promote", "hello")
    tool.ok("promote", "hello", "--environment", "staging")
    assert tool.ok("call", "hello", "-d", "{}", *options, "-o", "json").result["selector"] == selector


def test_an_unknown_chain_is_told(tool: Tool, remote: MemoryRemote) -> None:
    done = tool("call", "helo", "-d", "{}")
    assert done.code == 1
    assert "error[CH303]" in done.err


def test_status(tool: Tool, remote: MemoryRemote, golden: Golden) -> None:
    tool.ok("promote", "hello")
    golden("status", tool.ok("status", "hello").out)
    assert tool.ok("status").out == tool.ok("status", "hello").out
    assert "hello" in tool.ok("list").out
    assert tool.ok("status", "hello", "-o", "json").result["chains"][0]["name"] == "hello"


def test_a_fresh_remote_says_how_to_begin(tool: Tool) -> None:
    tool.remote = MemoryRemote()
    assert tool.ok("list").out == "no chains; `chains push FILE` deploys one\n"
    assert tool.ok("status").out == "no chains; `chains push FILE` deploys one\n"


def test_logs(tool: Tool, remote: MemoryRemote) -> None:
    line = LogLine(at=NOW, chainlet="SayHello", replica_id="r1", stream="stdout", text="hi")
    remote.log_lines["d1"] = [line, line.model_copy(update={"chainlet": "HelloAll"})]
    assert tool.ok("logs", "hello", "SayHello").out == "08:00:00.000 SayHello hi\n"
    assert tool.ok("logs", "hello", "-o", "json").result["lines"] == 2


def test_history_is_in_order(tool: Tool, remote: MemoryRemote) -> None:
    tool.ok("promote", "hello")
    kinds = [event["kind"] for event in tool.ok("history", "hello", "-o", "json").result["events"]]
    assert kinds == ["deployment_state", "deployment_state", "promoted"]
    assert "promoted" in tool.ok("history", "hello").out


def test_promote_and_rollback(tool: Tool, remote: MemoryRemote) -> None:
    tool.ok("promote", "hello")
    path = tool.cwd / "hello.py"
    path.write_text(path.read_text().replace("{greeting}, {name}", "{greeting} {name}"))
    tool.ok("push", "hello.py", "--promote")
    assert [d.environments for d in remote.chain("hello").deployments] == [("production",), ()]
    done = tool.ok("rollback", "hello")
    assert [d.environments for d in remote.chain("hello").deployments] == [(), ("production",)]
    assert done.out.startswith("hello: production is deployment d1, active\n")


def test_delete_needs_a_yes(tool: Tool, remote: MemoryRemote) -> None:
    assert tool("delete", "hello").code == 2
    assert tool.ok("delete", "hello", "--yes").out == "hello: deleted with all its deployments\n"
    assert remote.chains().chains == ()


def test_secrets_are_read_from_standard_input_and_never_shown(tool: Tool, remote: MemoryRemote) -> None:
    done = tool.ok("secrets", "set", "token", stdin="s3cr3t\n")
    assert remote.secret_values == {"token": "s3cr3t"}
    assert done.out == "secret token is set\n"
    assert "s3cr3t" not in done.out + done.err
    assert tool.ok("secrets", "list").out == "token\n"
    tool.ok("secrets", "delete", "token")
    assert remote.secret_values == {}


def test_an_empty_secret_is_refused(tool: Tool, remote: MemoryRemote) -> None:
    assert tool("secrets", "set", "token", stdin="\n").code == 1

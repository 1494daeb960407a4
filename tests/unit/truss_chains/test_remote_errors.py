"""X-rules: exceptions across the wire."""

import json
import sys
from types import ModuleType

import pytest
from starlette.exceptions import HTTPException

from chains_protocol.rpc import RemoteErrorDetail, StackFrame
from truss_chains.errors import GenericRemoteException
from truss_chains.remote_errors import (
    RemoteHTTPError,
    error_from_response,
    exception_to_detail,
    raise_for_error,
    status_of,
)

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class TwoArguments(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(first, second)


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def body(detail: RemoteErrorDetail | str) -> bytes:
    return json.dumps({"error": detail if isinstance(detail, str) else detail.model_dump()}).encode()


def detail(name: str, module: str | None = None, message: str = "boom") -> RemoteErrorDetail:
    return RemoteErrorDetail(exception_cls_name=name, exception_module_name=module, exception_message=message)


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


# --- callee side


def test_x01_detail_holds_class_message_and_user_frames() -> None:
    found = exception_to_detail(raised(ValueError("empty text")))
    assert (found.exception_cls_name, found.exception_module_name) == ("ValueError", None)
    assert found.exception_message == "empty text"
    (frame,) = found.user_stack_trace
    assert frame.name == "raised"
    assert frame.line == "raise error"
    assert frame.filename == __file__


def test_x01_stack_begins_behind_leading_and_ends_before_next_framework_frame() -> None:
    def framework_entry() -> None:
        user_outer()

    def user_outer() -> None:
        user_inner()

    def user_inner() -> None:
        framework_stub()

    def framework_stub() -> None:
        below_the_stub()

    def below_the_stub() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError) as caught:
        framework_entry()
    found = exception_to_detail(
        caught.value,
        is_framework_frame=lambda frame: not frame.f_code.co_name.startswith(("user", "below")),
    )
    assert [frame.name for frame in found.user_stack_trace] == ["user_outer", "user_inner"]


def test_x01_user_classes_name_their_module() -> None:
    found = exception_to_detail(raised(TwoArguments("a", "b")))
    assert (found.exception_cls_name, found.exception_module_name) == ("TwoArguments", __name__)


def test_an_exception_whose_text_fails_is_still_described() -> None:
    assert "__str__ raised RuntimeError" in exception_to_detail(raised(Unprintable())).exception_message


def test_x02_status_is_500_except_for_http_exceptions() -> None:
    assert status_of(ValueError()) == 500
    assert status_of(HTTPException(418, "tea")) == 418
    assert status_of(HTTPException(200, "not an error")) == 500
    assert exception_to_detail(HTTPException(418, "tea")).exception_message == "418: tea"


# --- caller side


def test_below_400_nothing_is_raised() -> None:
    raise_for_error("Dep", 200, b"7")


@pytest.mark.parametrize("name", ["ValueError", "TimeoutError", "ZeroDivisionError"])
def test_x04_builtins_are_rebuilt(name: str) -> None:
    error = error_from_response("Dep", 500, body(detail(name)), TRACE)
    assert type(error).__name__ == name
    assert type(error).__module__ == "builtins"
    assert "`Dep` answered with HTTP 500 (trace id: 4bf92f3577b34da6a3ce929d0e0e4736)" in str(error)


def test_x05_classes_of_imported_modules_are_rebuilt_and_nothing_is_imported() -> None:
    assert isinstance(
        error_from_response("Dep", 500, body(detail("JSONDecodeError", "json.decoder"))),
        GenericRemoteException,
    ), "its constructor needs more than one string (X-06)"
    module = ModuleType("user_errors")
    exec("class Odd(Exception): ...", module.__dict__)  # noqa: S102 (a module made for this test)
    module.Odd.__module__ = "user_errors"
    known = {"user_errors": module}
    found = error_from_response("Dep", 500, body(detail("Odd", "user_errors")), modules=known)
    assert type(found) is module.Odd
    assert "this" not in sys.modules
    assert type(error_from_response("Dep", 500, body(detail("Zen", "this")))) is GenericRemoteException
    assert "this" not in sys.modules


def test_x05_a_module_getattr_is_not_asked() -> None:
    module = ModuleType("lazy")
    exec("def __getattr__(name): raise AssertionError(name)", module.__dict__)  # noqa: S102 (as above)
    found = error_from_response("Dep", 500, body(detail("Odd", "lazy")), modules={"lazy": module})
    assert type(found) is GenericRemoteException


@pytest.mark.parametrize(
    "unfit",
    [
        detail("SystemExit"),  # not an Exception
        detail("KeyboardInterrupt"),
        detail("CancelledError", "asyncio.exceptions"),
        detail("print"),  # not a class
        detail("int"),
        detail("NoSuchError"),
        detail("StopIteration"),  # can't be raised by a coroutine
        detail("UnicodeDecodeError"),  # needs five arguments
        detail("ExceptionGroup"),
        detail("JSONDecodeError", "json.decoder"),
        detail("TwoArguments", __name__),
        detail("ValidationError", "pydantic_core._pydantic_core"),
    ],
    ids=lambda d: d.exception_cls_name,
)
def test_x06_what_cannot_be_rebuilt_is_a_generic_remote_exception(unfit: RemoteErrorDetail) -> None:
    error = error_from_response("Dep", 500, body(unfit))
    assert type(error) is GenericRemoteException
    assert "boom" in str(error)
    assert f"╰   {unfit.format().splitlines()[-1]}" in str(error)


def test_x06_an_unknown_class_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    error_from_response("Dep", 500, body(detail("NoSuchError", "nowhere")))
    assert "NoSuchError" in caplog.text


def test_x07_http_exceptions_keep_the_status() -> None:
    error = error_from_response("Dep", 418, body(detail("HTTPException", "starlette.exceptions", "418: tea")))
    assert type(error) is HTTPException
    assert error.status_code == 418
    assert error.detail.endswith("(exception class defined in `starlette.exceptions`)")
    assert status_of(error) == 418


def test_x07_an_http_exception_that_is_not_loaded_here_keeps_its_status_and_name_for_the_next_hop() -> None:
    error = error_from_response("Dep", 404, body(detail("HTTPException", "fastapi.exceptions")), modules={})
    assert isinstance(error, RemoteHTTPError)
    assert isinstance(error, GenericRemoteException)
    assert status_of(error) == 404
    again = exception_to_detail(raised(error))
    assert (again.exception_cls_name, again.exception_module_name) == ("HTTPException", "fastapi.exceptions")


def test_x08_a_text_is_a_generic_remote_exception() -> None:
    error = error_from_response("Dep", 503, body("model is not ready"))
    assert type(error) is GenericRemoteException
    assert str(error) == "`Dep` answered with HTTP 503 (trace id: none)\nmodel is not ready"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>Bad gateway</html>",
        b'{"detail": 1}',
        b'{"error": 7}',
        b"[]",
        b'{"error": {"x": 1}}',
        b"\xff",
    ],
)
def test_x09_anything_else_is_a_value_error_with_the_body(answer: bytes) -> None:
    error = error_from_response("Dep", 502, answer)
    assert type(error) is ValueError
    assert str(error).startswith("`Dep` answered with HTTP 502 (trace id: none)")
    assert answer.decode(errors="replace") in str(error)


def test_x10_one_trace_is_laid_out_like_pythons() -> None:
    """The last line is the exception; where its class is defined follows, if that is known."""
    frames = [
        StackFrame(filename="/p/pipeline.py", lineno=31, name="run_remote", line="return self._pick(rows)"),
        StackFrame(filename="/p/pipeline.py", lineno=12, name="_pick", line=None),
    ]
    error = RemoteErrorDetail(
        exception_cls_name="IndexError", exception_message="list index out of range", user_stack_trace=frames
    )
    text = (
        "Chainlet-Traceback (most recent call last):\n"
        '  File "/p/pipeline.py", line 31, in run_remote\n'
        "    return self._pick(rows)\n"
        '  File "/p/pipeline.py", line 12, in _pick\n'
        "IndexError: list index out of range"
    )
    assert error.format() == text
    *lines, where = error.model_copy(update={"exception_module_name": "shop.rows"}).format().splitlines()
    assert lines == text.splitlines()
    assert "shop.rows" in where


def test_x11_combined_messages_nest() -> None:
    inner = RemoteErrorDetail(
        exception_cls_name="ValueError",
        exception_message="empty text",
        user_stack_trace=[
            StackFrame(
                filename="/packages/c.py", lineno=17, name="run_remote", line='raise ValueError("empty text")'
            )
        ],
    )
    between = error_from_response("Tok", 500, body(inner))
    outer = RemoteErrorDetail(
        exception_cls_name="ValueError",
        exception_message=str(between),
        user_stack_trace=[
            StackFrame(
                filename="/packages/c.py",
                lineno=40,
                name="run_remote",
                line="parts = await self._tok.run_remote(text)",
            )
        ],
    )
    error = error_from_response("Split", 500, body(outer))
    assert f"{type(error).__name__}: {error}" == (
        "ValueError: remote error chain, innermost cause last\n"
        "├─ `Split` answered with HTTP 500 (trace id: none)\n"
        "│   Chainlet-Traceback (most recent call last):\n"
        '│     File "/packages/c.py", line 40, in run_remote\n'
        "│       parts = await self._tok.run_remote(text)\n"
        "│   ValueError: remote error chain, innermost cause last\n"
        "│   ├─ `Tok` answered with HTTP 500 (trace id: none)\n"
        "│   │   Chainlet-Traceback (most recent call last):\n"
        '│   │     File "/packages/c.py", line 17, in run_remote\n'
        '│   │       raise ValueError("empty text")\n'
        "╰   ╰   ValueError: empty text"
    )


def test_x11_a_key_error_shows_its_text_not_its_repr() -> None:
    error = error_from_response("Dep", 500, body(detail("KeyError", message="'x'")))
    assert type(error) is KeyError
    assert "\n├─ `Dep`" in str(error)
    assert "\n├─ `Dep`" in exception_to_detail(raised(error)).exception_message

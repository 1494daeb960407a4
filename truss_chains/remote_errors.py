"""Exceptions across the wire: exception -> `RemoteErrorDetail` -> exception.

Comes in: an exception of the callee's code, or an error answer a caller received. Goes out:
the detail to send, or the exception to raise. Nothing is ever imported to rebuild a class.
"""

import builtins
import json
import linecache
import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from types import FrameType, ModuleType
from typing import Any, Final

from pydantic import ValidationError

from chains_protocol.rpc import RemoteErrorDetail, StackFrame
from truss_chains.errors import GenericRemoteException

_LOG: Final = logging.getLogger(__name__)

CHAIN_HEADING: Final = "remote error chain, innermost cause last"
_FRAMEWORK_PACKAGES: Final = ("truss_chains", "chains_runtime", "chains_protocol")
_THREAD_POOL: Final = "concurrent.futures.thread"
_BODY_EXCERPT_CHARS: Final = 500
_HTTP_EXCEPTION_MODULES: Final = ("starlette.exceptions", "fastapi.exceptions", "fastapi")
_UNRAISABLE: Final = (StopIteration, StopAsyncIteration)
"""A coroutine can't raise these: Python would turn them into a `RuntimeError` without our text."""


class RemoteHTTPError(GenericRemoteException):
    """A callee's `HTTPException` whose class is not loaded here; keeps its status for the next hop.

    `status_code` and `detail` are named as in the class it stands for; `origin` is that class.
    """

    def __init__(self, status_code: int, detail: str, origin: tuple[str, str | None]) -> None:
        super().__init__(detail)
        self.status_code = status_code
        self.detail = detail
        self.origin = origin

    def __str__(self) -> str:
        return f"{self.status_code}: {self.detail}"


class _Verbatim(str):
    """Text whose `repr` is the text: `KeyError` shows the `repr` of its argument."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


# --- callee side ---------------------------------------------------------------------------------------


def is_framework_frame(frame: FrameType) -> bool:
    """Whether a frame is ours rather than the user's, judged by its module's name."""
    module = str(frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] in _FRAMEWORK_PACKAGES


def exception_to_detail(
    exc: BaseException, *, is_framework_frame: Callable[[FrameType], bool] = is_framework_frame
) -> RemoteErrorDetail:
    """What crosses the wire for `exc` (X-01).

    The stack begins behind the leading framework frames and ends before the next framework
    frame, which is the call of a stub.
    """
    class_name, module = _origin_of(exc)
    return RemoteErrorDetail(
        exception_cls_name=class_name,
        exception_module_name=module,
        exception_message=_text_of(exc),
        user_stack_trace=_user_stack(exc, is_framework_frame),
    )


def status_of(exc: BaseException) -> int:
    """The HTTP status an exception of user code is answered with (X-02)."""
    if isinstance(exc, RemoteHTTPError) or _is_http_exception(type(exc)):
        status = getattr(exc, "status_code", 500)
        if isinstance(status, int) and 400 <= status <= 599:
            return int(status)
    return 500


def _origin_of(exc: BaseException) -> tuple[str, str | None]:
    if isinstance(exc, RemoteHTTPError):
        return exc.origin
    module = type(exc).__module__
    return type(exc).__name__, None if module == builtins.__name__ else module


def _text_of(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception as broken:  # a user's __str__ may raise anything; the call must still be answered
        return f"<text of this error is not available: its __str__ raised {type(broken).__name__}>"


def _user_stack(exc: BaseException, is_framework: Callable[[FrameType], bool]) -> list[StackFrame]:
    frames: list[StackFrame] = []
    for frame, line_number in traceback.walk_tb(exc.__traceback__):
        if is_framework(frame):
            if frames:
                break
            continue
        if not frames and frame.f_globals.get("__name__") == _THREAD_POOL:
            continue  # a sync method runs in a pool; a pool of the user's own comes after frames of theirs
        code = frame.f_code
        line = linecache.getline(code.co_filename, line_number, frame.f_globals).strip()
        frames.append(
            StackFrame(filename=code.co_filename, lineno=line_number, name=code.co_name, line=line or None)
        )
    return frames


# --- caller side ---------------------------------------------------------------------------------------


def raise_for_error(
    service_name: str,
    status: int,
    body: bytes,
    traceparent: str = "",
    *,
    modules: Mapping[str, ModuleType] | None = None,
) -> None:
    """Raise what an error answer stands for (X-03 to X-09); return if `status` is below 400.

    Args:
        service_name: the dependency, as its user knows it.
        status: of the answer.
        body: of the answer; JSON whatever the encoding of results is.
        traceparent: of the request, empty if there was none.
        modules: where already imported modules are looked up; `sys.modules` by default.
    """
    if status >= 400:
        raise error_from_response(service_name, status, body, traceparent, modules=modules)


def error_from_response(
    service_name: str,
    status: int,
    body: bytes,
    traceparent: str = "",
    *,
    modules: Mapping[str, ModuleType] | None = None,
) -> Exception:
    """The exception that `raise_for_error` raises."""
    base = base_message(service_name, status, traceparent)
    error = _error_of(body)
    if isinstance(error, str):
        return GenericRemoteException(f"{base}\n{error}")
    if isinstance(error, Mapping):
        try:
            detail = RemoteErrorDetail.model_validate(error)
        except ValidationError:
            pass  # not a detail: reported with its body below
        else:
            known = sys.modules if modules is None else modules
            return _rebuild(detail, combined_message(base, detail), status, known)
    return ValueError(base + _excerpt(body))


def base_message(service_name: str, status: int, traceparent: str = "") -> str:
    """One line: which dependency answered, with which status, in which trace."""
    parts = traceparent.split("-")
    trace_id = parts[1] if len(parts) >= 3 else traceparent
    return f"`{service_name}` answered with HTTP {status} (trace id: {trace_id or 'none'})"


def combined_message(base: str, detail: RemoteErrorDetail) -> str:
    """The text of X-11: heading, base message, then the callee's trace, drawn as one branch."""
    *trace, last = detail.format().splitlines()
    return "\n".join([CHAIN_HEADING, f"├─ {base}", *(f"│   {line}" for line in trace), f"╰   {last}"])


def _error_of(body: bytes) -> object:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document.get("error") if isinstance(document, dict) else None


def _excerpt(body: bytes) -> str:
    text = body[: _BODY_EXCERPT_CHARS * 4].decode(errors="replace").strip()
    if not text:
        return "; the body is empty"
    more = " ..." if len(text) > _BODY_EXCERPT_CHARS else ""
    return f"; the body does not describe an error:\n{text[:_BODY_EXCERPT_CHARS]}{more}"


def _rebuild(
    detail: RemoteErrorDetail, message: str, status: int, modules: Mapping[str, ModuleType]
) -> Exception:
    cls = _resolve(detail, modules)
    if cls is None:
        origin = (detail.exception_cls_name, detail.exception_module_name)
        if detail.exception_module_name in _HTTP_EXCEPTION_MODULES and origin[0] == "HTTPException":
            return RemoteHTTPError(status, message, origin)
        _LOG.warning(
            "The remote exception class `%s` (module `%s`) is not known here; "
            "a `GenericRemoteException` stands for it.",
            *origin,
        )
        return GenericRemoteException(message)
    try:
        built = _construct(cls, message, status)
    except Exception:  # a user's constructor may raise anything; X-06 names the stand-in
        return GenericRemoteException(message)
    return built if isinstance(built, cls) else GenericRemoteException(message)


def _construct(cls: type[Exception], message: str, status: int) -> Exception:
    if _is_http_exception(cls):
        build: Any = cls  # its signature is starlette's, known only when starlette is loaded
        http_error: Exception = build(status_code=status, detail=message)
        return http_error
    if issubclass(cls, ValidationError):
        return GenericRemoteException(message)
    return cls(_Verbatim(message) if issubclass(cls, KeyError) else message)


def _resolve(detail: RemoteErrorDetail, modules: Mapping[str, ModuleType]) -> type[Exception] | None:
    name = detail.exception_module_name
    module: ModuleType | None = builtins if name is None else modules.get(name)
    # `vars`, not `getattr`: a module's `__getattr__` may import.
    found = None if module is None else vars(module).get(detail.exception_cls_name)
    if not isinstance(found, type) or not issubclass(found, Exception) or issubclass(found, _UNRAISABLE):
        return None
    return found


def _is_http_exception(cls: type[BaseException]) -> bool:
    for name in _HTTP_EXCEPTION_MODULES:
        module = sys.modules.get(name)
        known = None if module is None else vars(module).get("HTTPException")
        if isinstance(known, type) and issubclass(cls, known):
            return True
    return False


__all__ = [
    "CHAIN_HEADING",
    "RemoteHTTPError",
    "base_message",
    "combined_message",
    "error_from_response",
    "exception_to_detail",
    "is_framework_frame",
    "raise_for_error",
    "status_of",
]

"""A call of a wrapped Truss: any input, any answer, a stream if the model makes one (R-23, R-26)."""

import asyncio
import inspect
import sys
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json

from chains_runtime.asgi import send_bytes
from chains_runtime.calls import Incoming, Lease
from chains_runtime.endpoint import BadInput, BadResult, content_type
from chains_runtime.streaming import serve_stream
from chains_runtime.wrapped_model import starlette_request


async def serve_open(incoming: Incoming, lease: Lease) -> None:
    """Answer one call and end its lease; the slot is kept until the model's code has ended.

    Raises:
        BadInput: the body can't be read.
        BadResult: the answer can't be written.
        Exception: whatever the model raises.
    """
    work: asyncio.Task[Any] | None = None
    try:
        inputs = _inputs(incoming)
        method = lease.generation.served.method
        work = asyncio.get_running_loop().create_task(method(inputs, lambda: _request(incoming)))
        result = await asyncio.shield(work)
        if inspect.isasyncgen(result):
            await serve_stream(incoming, lease, result)
        elif _is_response(result):
            await _send_response(incoming, result)
        else:
            await _send_value(incoming, result)
    finally:
        if work is not None and not work.done():
            work.cancel()
            work.add_done_callback(lambda _: lease.end())
        else:
            lease.end()


def _inputs(incoming: Incoming) -> Any:
    try:
        if not incoming.is_binary:
            return from_json(incoming.body)
        from truss_chains.codec import decode_binary

        return decode_binary(incoming.body)
    except ValueError as error:
        raise BadInput(f"Input can't be read: {error}") from error


async def _send_value(incoming: Incoming, result: Any) -> None:
    try:
        if incoming.is_binary:
            from truss_chains.codec import encode_binary

            body = encode_binary(result)
        else:
            body = to_json(result, by_alias=True, inf_nan_mode="constants", fallback=_plain)
    except (PydanticSerializationError, TypeError, ValueError) as error:
        text = f"Internal error in model/chainlet: the result of `predict` can't be written: {error}"
        raise BadResult(text) from error
    await send_bytes(incoming.send, 200, body, content_type(binary=incoming.is_binary))


def _plain(value: Any) -> Any:
    """Arrays and numbers of numpy, and of what imitates it, as lists and numbers."""
    as_list = getattr(value, "tolist", None)
    if as_list is None:
        raise TypeError(f"`{type(value).__qualname__}` has no form in JSON")
    return as_list()


def _request(incoming: Incoming) -> Any:
    headers = incoming.headers
    known = {
        b"content-type": headers.content_type,
        b"accept": headers.accept,
        b"user-agent": headers.user_agent,
        **dict(headers.forwarded),
    }
    return starlette_request(known, incoming.body)


def _is_response(result: Any) -> bool:
    """Whether the model made the whole answer itself, with a class of starlette."""
    responses = sys.modules.get("starlette.responses")
    return responses is not None and isinstance(result, responses.Response)


async def _send_response(incoming: Incoming, response: Any) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    # from this version on, a streamed answer does not ask for the client's disconnection
    scope = {"type": "http", "asgi": {"spec_version": "2.4"}, "extensions": {}}
    await response(scope, receive, incoming.send)


__all__ = ["serve_open"]

"""JSON schemas of an endpoint, as pydantic writes them (2020-12)."""

from typing import Any, cast

from pydantic import TypeAdapter
from typing_extensions import NotRequired, TypedDict

from truss_chains.inspection import Endpoint, EndpointParameter

Schema = dict[str, Any]  # a JSON schema


def input_schema(title: str, parameters: tuple[EndpointParameter, ...]) -> Schema:
    """The schema of the request's body: one key per parameter; those with a default may be absent."""
    # A TypedDict, unlike a model, takes any parameter name (`schema`, `_x`, `model_config`).
    fields: dict[str, Any] = {
        p.name: NotRequired[p.annotation] if p.is_optional else p.annotation for p in parameters
    }
    body = TypedDict(title, fields)  # type: ignore[misc]  # made at run time
    schema: Schema = TypeAdapter(cast("type[Any]", body)).json_schema(mode="validation")
    for parameter in parameters:
        if parameter.is_optional and isinstance(parameter.default, str | int | float | bool | None):
            schema["properties"][parameter.name]["default"] = parameter.default
    return schema


def output_schema(endpoint: Endpoint) -> Schema | None:
    """The schema of the result, or of one item of a stream; None for a websocket."""
    if endpoint.is_websocket:
        return None
    form = endpoint.return_type if endpoint.stream_type is None else endpoint.stream_type
    return TypeAdapter(form).json_schema(mode="serialization")


__all__ = ["Schema", "input_schema", "output_schema"]

"""JSON schemas of an endpoint, as pydantic writes them (2020-12)."""

import math
from typing import Any, ClassVar, NotRequired, cast, get_args

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind
from pydantic_core import core_schema
from typing_extensions import TypedDict

from truss_chains.inspection import MISSING, Endpoint, EndpointParameter

Schema = dict[str, Any]  # a JSON schema


class QuietJsonSchema(GenerateJsonSchema):
    """Says of text what it stands for; a default that has no form in JSON stays out, without a warning."""

    ignored_warning_kinds: ClassVar[set[JsonSchemaWarningKind]] = {  # type: ignore[misc]  # is read from the class
        "skipped-choice",
        "non-serializable-default",
    }

    def complex_schema(self, schema: core_schema.ComplexSchema) -> JsonSchemaValue:
        """Text such as `1+2j`."""
        return {**super().complex_schema(schema), "format": "complex"}

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """A number or text in requests, text in answers."""
        found = super().decimal_schema(schema)
        for part in (found, *found.get("anyOf", ())):
            if part.get("type") == "string":
                part["format"] = "decimal"
        return found


def input_schema(title: str, parameters: tuple[EndpointParameter, ...]) -> Schema:
    """The schema of the request's body: one key per parameter; those with a default may be absent."""
    # A TypedDict, unlike a model, takes any parameter name (`schema`, `_x`, `model_config`).
    fields: dict[str, Any] = {
        p.name: NotRequired[p.annotation] if p.is_optional else p.annotation for p in parameters
    }
    body = TypedDict(title, fields)  # type: ignore[misc]  # made at run time
    schema: Schema = TypeAdapter(cast("type[Any]", body)).json_schema(
        mode="validation", schema_generator=QuietJsonSchema
    )
    for parameter in parameters:
        if parameter.is_optional and _is_plain(parameter.default):
            schema["properties"][parameter.name]["default"] = parameter.default
    return schema


def _is_plain(default: object) -> bool:
    if isinstance(default, float):
        return math.isfinite(default)
    return default is None or type(default) in (str, int, bool)


class Schemas:
    """Schemas of the Chainlets of one Chain: what many of them take or return is written once."""

    def __init__(self) -> None:
        self._inputs: dict[object, Schema] = {}
        self._outputs: dict[object, Schema | None] = {}

    def input(self, title: str, parameters: tuple[EndpointParameter, ...]) -> Schema:
        """`input_schema`."""
        if not all(_is_class(p.annotation) and p.default is MISSING for p in parameters):
            return input_schema(title, parameters)
        key = tuple((p.name, p.annotation) for p in parameters)
        known = self._inputs.get(key)
        if known is None:
            known = input_schema(title, parameters)
            if "$defs" not in known:  # there a title may take part in the names
                self._inputs[key] = known
        return {**known, "title": title}

    def output(self, endpoint: Endpoint) -> Schema | None:
        """`output_schema`."""
        form = _answer(endpoint)
        if endpoint.is_websocket or not _is_class(form):
            return output_schema(endpoint)
        if form not in self._outputs:
            self._outputs[form] = output_schema(endpoint)
        return self._outputs[form]


def _is_class(form: object) -> bool:
    """Whether a form is compared by what it is: `int | str` equals `str | int`, and is written otherwise."""
    return isinstance(form, type) and not get_args(form)


def _answer(endpoint: Endpoint) -> Any:  # a type form
    return endpoint.return_type if endpoint.stream_type is None else endpoint.stream_type


def output_schema(endpoint: Endpoint) -> Schema | None:
    """The schema of the result, or of one item of a stream; None for a websocket."""
    if endpoint.is_websocket:
        return None
    return TypeAdapter(_answer(endpoint)).json_schema(mode="serialization", schema_generator=QuietJsonSchema)


__all__ = ["QuietJsonSchema", "Schema", "Schemas", "input_schema", "output_schema"]

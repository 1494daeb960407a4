"""An example input made from a JSON Schema: what to type, not what is sensible."""

import json
from collections.abc import Mapping
from typing import Any, Final

_DEPTH: Final = 6
_BY_TYPE: Final[dict[str, Any]] = {  # Any: JSON values
    "integer": 1,
    "number": 1.0,
    "boolean": True,
    "null": None,
    "string": "text",
}
_BY_FORMAT: Final = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00",
    "duration": "PT1S",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.com",
    "email": "ada@example.com",
    "binary": "",
    "base64": "",
}

Json = Any  # a JSON value: too recursive for a type that helps


def example_input(schema: Mapping[str, Json]) -> Json:
    """A value that fits `schema`, with required fields only; an object if the schema is empty."""
    return _value(schema, schema.get("$defs", {}), _DEPTH) if schema else {}


def example_json(schema: Mapping[str, Json]) -> str:
    """`example_input` as JSON on one line."""
    return json.dumps(example_input(schema), ensure_ascii=False)


def shell_quoted(text: str) -> str:
    """`text` as one word of a POSIX shell, in single quotes."""
    return "'" + text.replace("'", "'\\''") + "'"


def _value(schema: Mapping[str, Json], defs: Mapping[str, Json], depth: int) -> Json:
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return _value(defs.get(name, {}), defs, depth - 1) if depth > 0 else {}
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return _value(schema[key][0], defs, depth)
    return _typed(schema, defs, depth)


def _typed(schema: Mapping[str, Json], defs: Mapping[str, Json], depth: int) -> Json:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return _object(schema, defs, depth)
    if kind == "array":
        return _array(schema, defs, depth)
    if kind == "string":
        text = _BY_FORMAT.get(schema.get("format", ""), _BY_TYPE["string"])
        return text.ljust(int(schema.get("minLength", 0)), "t")[: schema.get("maxLength")]
    if kind in ("integer", "number"):
        return _number(schema, _BY_TYPE[kind])
    return _BY_TYPE.get(kind)


def _object(schema: Mapping[str, Json], defs: Mapping[str, Json], depth: int) -> Json:
    fields = schema.get("properties", {})
    if depth <= 0:
        return {}
    return {name: _value(fields.get(name, {}), defs, depth - 1) for name in schema.get("required", ())}


def _array(schema: Mapping[str, Json], defs: Mapping[str, Json], depth: int) -> Json:
    if depth <= 0:
        return []
    if prefix := schema.get("prefixItems"):
        return [_value(item, defs, depth - 1) for item in prefix]
    count = max(1, int(schema.get("minItems", 1)))
    return [_value(schema.get("items") or {}, defs, depth - 1) for _ in range(count)]


def _number(schema: Mapping[str, Json], usual: float) -> Json:
    step = 1 if isinstance(usual, int) else 0.5
    low = schema.get("minimum")
    if "exclusiveMinimum" in schema:
        low = schema["exclusiveMinimum"] + step
    high = schema.get("maximum")
    if "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - step
    if low is not None and usual < low:
        return low
    if high is not None and usual > high:
        return high
    return usual


__all__ = ["example_input", "example_json", "shell_quoted"]

"""JSON Schema -> a value that conforms to it, always the same one. Pure, over plain data.

Reads schemas as pydantic writes them (2020-12 with `$defs`). What a schema says about its values
(`const`, `enum`, `default`, `examples`) is taken first; else the simplest value within its bounds.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

Schema = Mapping[str, Any]  # a JSON schema: any JSON

TEXT: Final = "text"

_FORMATS: Final = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05",
    "duration": "PT1S",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uuid1": "00000000-0000-1000-8000-000000000000",
    "uuid3": "00000000-0000-3000-8000-000000000000",
    "uuid4": "00000000-0000-4000-8000-000000000000",
    "uuid5": "00000000-0000-5000-8000-000000000000",
    "email": "user@example.com",
    "name-email": "User <user@example.com>",
    "uri": "https://example.com/",
    "multi-host-uri": "https://example.com/",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "ipvanyaddress": "192.0.2.1",
    "ipv4network": "192.0.2.0/24",
    "ipv6network": "2001:db8::/32",
    "ipvanynetwork": "192.0.2.0/24",
    "ipv4interface": "192.0.2.1/24",
    "ipv6interface": "2001:db8::1/32",
    "ipvanyinterface": "192.0.2.1/24",
    "path": "file.txt",
    "file-path": "file.txt",
    "directory-path": "directory",
    "json-string": "{}",
    "base64": "dGV4dA==",
    "base64url": "dGV4dA==",
    "binary": TEXT,
    "password": TEXT,
    "color": "black",
    "complex": "1+1j",
    "decimal": "1.0",
}
_CANDIDATES: Final = (
    TEXT,
    "a",
    "A",
    "1",
    "1.0",
    "12",
    "123",
    "a1",
    "A1",
    "ab",
    "AB",
    "ABC",
    "abc",
    "a-b",
    "a_b",
    "a/b",
    "a.b",
    "0",
    "00000",
    "12345",
    "AAAA",
    "2026-01-02",
    "03:04",
    "+12025550123",
    "#000000",
    "v1.0.0",
    "1.0.0",
    *_FORMATS.values(),
    "",
)


class NoValueError(ValueError):
    """A schema that no value is found for; the text names the place in it."""


def auto_value(schema: Schema, *, name: str = "") -> Any:
    """A value that conforms to `schema`; the same schema gives the same value.

    Args:
        schema: JSON Schema as pydantic writes it; `$ref` is resolved within it.
        name: of the thing, used as text where any text will do.

    Raises:
        NoValueError: a pattern or a combination that no simple value fits; an `examples` entry helps.
    """
    return _Maker(schema).make(schema, name or TEXT)


class _Maker:
    """Makes values for one root schema."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._open: list[str] = []
        """References whose values are being made: meeting one again means a recursive type."""
        self._by_type: dict[str, Callable[[Schema, str], Any]] = {
            "null": lambda schema, name: None,
            "boolean": lambda schema, name: True,
            "integer": _integer,
            "number": _number,
            "string": _text,
            "array": self._array,
            "object": self._object,
        }

    def make(self, schema: Schema | bool, name: str) -> Any:
        if isinstance(schema, bool):
            if not schema:
                raise NoValueError(f"nothing is allowed for `{name}`")
            return None
        reference = schema.get("$ref")
        if reference is None:
            return self._plain(schema, name)
        if reference in self._open:
            raise NoValueError(f"`{name}` holds itself without end")
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        self._open.append(reference)
        try:
            return self.make({**self._target(reference, name), **beside}, name)
        finally:
            self._open.pop()

    def _plain(self, schema: Schema, name: str) -> Any:
        for key in ("const", "default"):
            if key in schema:
                return schema[key]
        for key in ("enum", "examples"):
            if schema.get(key):
                return schema[key][0]
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self._choice(schema[key], name)
        if "allOf" in schema:
            return self.make(self._merged(schema, name), name)
        return self._typed(schema, name)

    def _typed(self, schema: Schema, name: str) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else None)
        if isinstance(kind, list):
            kind = next((k for k in kind if k != "null"), "null")
        if kind is None:
            return None
        make = self._by_type.get(kind)
        if make is None:
            raise NoValueError(f"`{name}` has a type that JSON does not know: {kind}")
        return make(schema, name)

    def _target(self, reference: str, name: str) -> Schema:
        found: Any = self._root
        for part in reference.removeprefix("#").strip("/").split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or (key and key not in found):
                raise NoValueError(f"the schema of `{name}` refers to `{reference}`, which is not there")
            found = found[key] if key else found
        target: Schema = found
        return target

    def _merged(self, schema: Schema, name: str) -> Schema:
        merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            whole = {**self._target(part["$ref"], name), **part} if "$ref" in part else part
            for key, value in whole.items():
                if key == "properties":
                    merged[key] = {**merged.get(key, {}), **value}
                elif key == "required":
                    merged[key] = [*merged.get(key, []), *value]
                elif key != "$ref":
                    merged.setdefault(key, value)
        return merged

    def _choice(self, options: Sequence[Schema], name: str) -> Any:
        """The first option that a value is found for; null only if no other has one."""
        problem: NoValueError | None = None
        for option in sorted(options, key=lambda option: option.get("type") == "null"):
            try:
                return self.make(option, name)
            except NoValueError as error:
                problem = problem or error
        raise problem or NoValueError(f"nothing is allowed for `{name}`")

    def _array(self, schema: Schema, name: str) -> list[Any]:
        """As many items as there must be, or one."""
        prefix = schema.get("prefixItems", ())
        values = [self.make(item, f"{name}[{n}]") for n, item in enumerate(prefix)]
        items = schema.get("items", True)
        fewest = schema.get("minItems", 0)
        wanted = max(fewest, min(1, schema.get("maxItems", 1)))
        distinct = bool(schema.get("uniqueItems"))
        while len(values) < wanted and items is not False:
            try:
                values.append(self._item(items, name, values if distinct else ()))
            except NoValueError:
                if len(values) < fewest:
                    raise
                break
        return values

    def _item(self, items: Schema | bool, name: str, taken: Sequence[Any]) -> Any:
        """An item that is not `taken` yet."""
        if isinstance(items, bool):
            return f"{name} {len(taken) + 1}"
        value = self.make(items, name)
        if value not in taken:
            return value
        bounds = self._target(items["$ref"], name) if "$ref" in items else items
        for candidate in _others(bounds, value, len(taken)):
            if candidate not in taken:
                return candidate
        raise NoValueError(f"`{name}` needs more distinct items than can be made up")

    def _object(self, schema: Schema, name: str) -> dict[str, Any]:
        """All properties; an optional one that no value is found for is left out."""
        required = set(schema.get("required", ()))
        values: dict[str, Any] = {}
        for key, part in schema.get("properties", {}).items():
            try:
                values[key] = self.make(part, key)
            except NoValueError:
                if key in required:
                    raise
        extra = schema.get("additionalProperties", True)
        for n in range(schema.get("minProperties", 0) - len(values)):
            values[f"key{n + 1}"] = self.make(extra, f"key{n + 1}")
        return values


def _others(schema: Schema, value: Any, number: int) -> Sequence[Any]:
    """Further values beside the one that was made, for sets."""
    if schema.get("enum"):
        return list(schema["enum"])
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        step = schema.get("multipleOf", 1)
        high = schema.get("maximum", math.inf)
        below = schema.get("exclusiveMaximum", math.inf)
        up = [value + step * n for n in range(1, number + 2)]
        return [v for v in up if v <= high and v < below]
    if isinstance(value, str) and not schema.keys() & {"pattern", "format", "maxLength"}:
        return [f"{value}{n}" for n in range(1, number + 2)]
    return []


def _integer(schema: Schema, name: str) -> int:
    low, high = _bounds(schema, 1)
    step = schema.get("multipleOf", 1)
    candidates = [step]
    if math.isfinite(low):
        candidates.append(-(-low // step) * step)
    if math.isfinite(high):
        candidates.append(high // step * step)
    for value in candidates:
        if low <= value <= high:
            return int(value)
    raise NoValueError(f"no integer fits the bounds of `{name}`")


def _number(schema: Schema, name: str) -> float:
    low, high = _bounds(schema, 0)
    step = schema.get("multipleOf")
    if step:
        value = step * (low // step + 1) if math.isfinite(low) else step * min(1, high // step)
    elif low <= 1.0 <= high and not _excluded(schema, 1.0):
        value = 1.0
    elif math.isfinite(low) and math.isfinite(high):
        value = (low + high) / 2
    else:
        value = low + 1 if math.isfinite(low) else high - 1
    if not low <= value <= high or _excluded(schema, value):
        raise NoValueError(f"no number fits the bounds of `{name}`")
    return float(value)


def _bounds(schema: Schema, gap: int) -> tuple[float, float]:
    """Least and greatest value; exclusive bounds of integers are moved by `gap`."""
    low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf) + gap)
    high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf) - gap)
    return low, high


def _excluded(schema: Schema, value: float) -> bool:
    return value in (schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum"))


def _text(schema: Schema, name: str) -> str:
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    pattern = schema.get("pattern")
    known = _FORMATS.get(schema.get("format", "")) or _encoded(schema)
    first = known or (name if pattern is None else TEXT)
    for candidate in (first, *(_CANDIDATES if pattern is not None or known is None else ())):
        for text in (candidate, _fitted(candidate, shortest, longest)):
            if shortest <= len(text) <= longest and (pattern is None or re.search(pattern, text)):
                return text
    raise NoValueError(f"no simple text fits the pattern {pattern!r} of `{name}`: give the field `examples`")


def _encoded(schema: Schema) -> str | None:
    return _FORMATS.get(schema.get("contentEncoding", "")) or None


def _fitted(text: str, shortest: int, longest: float) -> str:
    if len(text) > longest:
        return text[: int(longest)]
    return text + (text[-1:] or "a") * (shortest - len(text))


__all__ = ["NoValueError", "Schema", "auto_value"]

"""An example input made from a JSON Schema: what to type, not what is sensible."""

import json
from collections.abc import Mapping
from typing import Any

from truss_chains.schema_values import NoValueError, auto_value


def example_input(schema: Mapping[str, Any]) -> dict[str, Any]:  # Any: JSON values
    """An input that fits `schema`, with the required arguments only.

    An argument that no value is found for is left out; so is everything if there is no schema.
    """
    required = set(schema.get("required", ()))
    example: dict[str, Any] = {}
    for name, part in schema.get("properties", {}).items():
        if name not in required:
            continue
        try:
            example[name] = auto_value({**part, "$defs": schema.get("$defs", {})}, name=name)
        except NoValueError:
            continue
    return example


def example_json(schema: Mapping[str, Any]) -> str:  # Any: JSON values
    """`example_input` as JSON on one line."""
    return json.dumps(example_input(schema), ensure_ascii=False)


def shell_quoted(text: str) -> str:
    """`text` as one word of a POSIX shell, in single quotes."""
    return "'" + text.replace("'", "'\\''") + "'"


__all__ = ["example_input", "example_json", "shell_quoted"]

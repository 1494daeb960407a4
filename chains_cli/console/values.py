"""JSON values as text: what an endpoint answered, what it takes."""

import json
from typing import Any


def value_text(value: Any, *, pretty: bool = True) -> str:  # Any: a JSON value
    """A string as it is; anything else as JSON, on several lines if that reads better."""
    if isinstance(value, str):
        return value
    short = json.dumps(value, ensure_ascii=False)
    if not pretty or len(short) <= 88:
        return short
    return json.dumps(value, ensure_ascii=False, indent=2)


__all__ = ["value_text"]

"""Names of test cases that are the same in every process."""

import re

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def stable_id(value: object) -> str:
    """`str(value)` without memory addresses and with sets in order: parallel workers must agree on it."""
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(map(str, value))) + "}"
    return _ADDRESS.sub("", str(value))


__all__ = ["stable_id"]

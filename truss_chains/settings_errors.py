"""Settings that pydantic refused while a user's file was read, as diagnostics at the user's line.

A `ValidationError` of one of our settings models becomes one diagnostic a bad field: what the
field takes, what it was given, what to write instead. Errors of the user's own models are not ours
to explain: for those the result is empty.
"""

import ast
import difflib
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from chains_protocol.errors import Code, Diagnostic, ErrorKind, Location
from truss_chains.settings import ClosedSettings, OpenSettings
from truss_chains.source import SourceFile

_TAKES: Final[Mapping[str, str]] = {
    "bool_type": "`True` or `False`",
    "dict_type": "a dict",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number from {ge} on",
    "int_from_float": "an integer",
    "int_type": "an integer",
    "is_instance_of": "a `{class}`",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number up to {le}",
    "list_type": "a list",
    "literal_error": "{expected}",
    "mapping_type": "a dict",
    "model_attributes_type": "a `{class_name}`",
    "model_type": "a `{class_name}`",
    "string_too_short": "a text that is not empty",
    "string_type": "a text",
    "union_tag_invalid": "a `kind` of {expected_tags}",
    "union_tag_not_found": "a `kind`",
}
"""What a field takes, by the type of pydantic's error; in braces the error's own context."""

Problem = Mapping[str, Any]  # an item of `ValidationError.errors()`; inputs are whatever the user wrote
IsUsers = Callable[[str], bool]


def settings_diagnostics(error: ValidationError, is_user_file: IsUsers) -> tuple[Diagnostic, ...]:
    """One diagnostic for each field that one of our settings refused; empty if the model is not ours.

    Args:
        error: as it was caught, with its traceback.
        is_user_file: whether a file, given by its name in the traceback, is the user's.
    """
    call = _find_call(error.__traceback__, is_user_file)
    if call is None:
        return ()
    fields: dict[str, list[Problem]] = {}
    for problem in error.errors(include_url=False):
        fields.setdefault(_field(problem["loc"]), []).append(problem)
    return tuple(_diagnostic(call, field, problems) for field, problems in fields.items())


@dataclass(frozen=True)
class _Call:
    """The user's call that failed: where it is, what it called, which model refused."""

    place: traceback.FrameSummary
    owner: str
    model: type[BaseModel]
    chainlet: str | None

    @property
    def is_dependency(self) -> bool:
        return self.owner == "depends"


def _find_call(trace: TracebackType | None, is_user_file: IsUsers) -> _Call | None:
    frames = [frame for frame, _ in traceback.walk_tb(trace)]
    places = traceback.extract_tb(trace)
    last = max((i for i, p in enumerate(places) if is_user_file(p.filename)), default=None)
    if last is None or last + 1 >= len(frames):
        return None
    below = frames[last + 1 :]
    models = [found for frame in below for found in _models(frame)]
    if not models or not issubclass(models[-1], ClosedSettings | OpenSettings):
        return None
    user = frames[last]
    chainlet = user.f_code.co_name if "__qualname__" in user.f_locals else None
    return _Call(places[last], _called(below[0], models[-1]), models[-1], chainlet)


def _models(frame: FrameType) -> Iterator[type[BaseModel]]:
    """The model that a frame of pydantic works on."""
    for name in ("self", "model", "cls"):
        value = frame.f_locals.get(name)
        found = value if isinstance(value, type) else type(value)
        if issubclass(found, BaseModel) and found is not BaseModel:
            yield found


def _called(frame: FrameType, model: type[BaseModel]) -> str:
    """The name of what the user called: a class, or one of our functions."""
    if "self" in frame.f_locals:
        return type(frame.f_locals["self"]).__name__
    is_ours = str(frame.f_globals.get("__name__")).startswith("truss_chains.")
    return frame.f_code.co_name if is_ours else model.__name__


def _field(loc: tuple[int | str, ...]) -> str:
    """`pip_requirements[0]` for its first item; without the names of a union's members."""
    if not loc:
        return ""
    first, *rest = loc
    index = rest[0] if rest and isinstance(rest[0], int) else None
    return str(first) if index is None else f"{first}[{index}]"


def _diagnostic(call: _Call, field: str, problems: list[Problem]) -> Diagnostic:
    message, remedy = _words(call, field, problems)
    return Diagnostic(
        code=Code.BAD_DEPENDENCY if call.is_dependency else Code.BAD_REMOTE_CONFIG,
        kind=ErrorKind.INVALID_CONFIG_ERROR,
        message=message,
        help=remedy,
        location=_location(call.place, field.partition("[")[0]),
        chainlet=call.chainlet,
    )


def _words(call: _Call, field: str, problems: list[Problem]) -> tuple[str, str]:
    """What is wrong with one field, and what to do."""
    first = problems[0]
    kind, owner = first["type"], f"`{call.owner}`"
    if kind == "extra_forbidden":
        return f"{owner} has no field `{field}`", _known_fields(call.model, field)
    if kind == "missing":
        return f"{owner} needs `{_path(first['loc'])}`", f"add `{_path(first['loc'])}=...`"
    if kind in ("value_error", "assertion_error"):
        told = str(first.get("ctx", {}).get("error", first["msg"]))
        return f"`{field}` of {owner}: {told}" if field else f"{owner}: {told}", f"correct {owner}"
    if any(problem["type"] not in _TAKES for problem in problems):
        told = "; ".join(_lower(problem["msg"]) for problem in problems)
        return f"`{field}` of {owner} is not valid: {told}", f"correct `{field}`"
    takes = _either(_takes(problem) for problem in problems)
    inner = _path(first["loc"]) if len(problems) == 1 else field
    given = _short(first["input"])
    return f"`{inner}` of {owner} takes {takes}, not `{given}`", _example(inner, first, takes)


def _path(loc: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".")


def _takes(problem: Problem) -> str:
    return _TAKES[problem["type"]].format_map(problem.get("ctx", {})).replace("'", "`")


def _either(parts: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(parts))


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _known_fields(model: type[BaseModel], field: str) -> str:
    known = list(model.model_fields)
    near = difflib.get_close_matches(field, known, n=1)
    return f"did you mean `{near[0]}`?" if near else f"its fields are {', '.join(f'`{n}`' for n in known)}"


def _example(field: str, problem: Problem, takes: str) -> str:
    """The same value in the form that is wanted, if it is plain to see."""
    kind, value = problem["type"], problem["input"]
    if kind == "list_type" and isinstance(value, str | tuple | set | frozenset):
        better: object = [value] if isinstance(value, str) else list(value)
        return f"write `{field}={_short(better)}`"
    if kind in ("int_type", "float_type") and isinstance(value, str) and value.isdecimal():
        return f"write `{field}={value}`"
    if kind == "string_type" and isinstance(value, int | float) and not isinstance(value, bool):
        return f'write `"{value}"`' if "[" in field or "." in field else f'write `{field}="{value}"`'
    return f"give it {takes}"


def _location(place: traceback.FrameSummary, field: str) -> Location:
    """The keyword in the user's call, else the call."""
    file = SourceFile(place.filename)
    line = place.lineno or 1
    call = _call_node(file, place)
    for keyword in call.keywords if call else ():
        if keyword.arg == field:
            return file.location(keyword.lineno, keyword.col_offset)
    return file.location(line, place.colno)


def _call_node(file: SourceFile, place: traceback.FrameSummary) -> ast.Call | None:
    try:
        tree = ast.parse("".join(file.lines))
    except (SyntaxError, ValueError):  # edited since it was loaded
        return None
    wanted = (place.lineno, place.colno, place.end_lineno, place.end_colno)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _span(node) == wanted:
            return node
    return None


def _span(node: ast.Call) -> tuple[int | None, ...]:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


__all__ = ["settings_diagnostics"]

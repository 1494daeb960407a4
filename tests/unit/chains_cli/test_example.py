"""Example inputs made from a schema fit that schema."""

import enum
from datetime import datetime
from typing import Annotated, Literal

import pydantic
import pytest
from pydantic import Field

from chains_cli.operations.example import example_input, example_json, shell_quoted


class Colour(enum.StrEnum):
    RED = "red"


class Inner(pydantic.BaseModel):
    size: Annotated[int, Field(gt=5)]
    ratio: Annotated[float, Field(lt=0.5)]
    when: datetime
    label: str = "none"


class Tree(pydantic.BaseModel):
    children: list["Tree"]


class Everything(pydantic.BaseModel):
    names: list[str]
    inner: Inner
    colour: Colour
    mode: Literal["fast", "slow"]
    pair: tuple[int, str]
    table: dict[str, int]
    maybe: int | None
    code: Annotated[str, Field(min_length=8)]
    flag: bool
    optional: int = 3


@pytest.mark.parametrize("model", [Everything, Inner])
def test_an_example_is_valid(model: type[pydantic.BaseModel]) -> None:
    model.model_validate(example_input(model.model_json_schema()))


def test_only_required_fields_are_given() -> None:
    assert "optional" not in example_input(Everything.model_json_schema())


def test_a_recursive_schema_ends() -> None:
    assert isinstance(example_input(Tree.model_json_schema()), dict)


def test_no_schema_is_an_empty_object() -> None:
    assert example_json({}) == "{}"


def test_quotes_survive_the_shell() -> None:
    assert shell_quoted("""{"a": "it's"}""") == """'{"a": "it'\\''s"}'"""

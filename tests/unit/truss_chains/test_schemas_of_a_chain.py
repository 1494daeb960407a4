"""Schemas that many Chainlets share are written once, and are those that each would get by itself."""

from collections.abc import AsyncIterator
from typing import Optional

import pydantic
import pytest

from truss_chains.inspection import MISSING, Endpoint, EndpointParameter
from truss_chains.schemas import Schemas, input_schema, output_schema


class C0Input(pydantic.BaseModel):
    """Named as the request of a Chainlet `C0`."""

    x: int


class Tree(pydantic.BaseModel):
    children: list["Tree"] = []


FORMS = [int, str, bytes, C0Input, Tree, int | str, str | int, list[int], Optional[int], None]  # noqa: UP045 (meant)


def parameters(form: object, default: object = MISSING) -> tuple[EndpointParameter, ...]:
    return (EndpointParameter("x", int, MISSING), EndpointParameter("y", form, default))


def endpoint(form: object, stream: object = None) -> Endpoint:
    async def run_remote() -> None: ...

    return Endpoint("run_remote", run_remote, True, False, (), form, stream)


@pytest.mark.parametrize("default", [MISSING, 1, None])
def test_requests_of_one_chain_are_those_of_each(default: object) -> None:
    schemas = Schemas()
    for _ in range(2):
        for form in FORMS:
            for title in ("C0Input", "C1Input"):
                given = parameters(form, default)
                assert schemas.input(title, given) == input_schema(title, given)


def test_answers_of_one_chain_are_those_of_each() -> None:
    schemas = Schemas()
    for _ in range(2):
        for form in FORMS[:-1]:
            assert schemas.output(endpoint(form)) == output_schema(endpoint(form))
            streamed = endpoint(AsyncIterator[str], form)
            assert schemas.output(streamed) == output_schema(streamed)


def test_what_chainlets_share_is_written_once() -> None:
    schemas = Schemas()
    first, second = (schemas.input(title, parameters(int)) for title in ("AInput", "BInput"))
    assert first["properties"] is second["properties"]
    assert (first["title"], second["title"]) == ("AInput", "BInput")
    assert schemas.output(endpoint(Tree)) is schemas.output(endpoint(Tree))

"""1.13: the request of an engine-builder Chainlet."""

import pytest
from pydantic import ValidationError

import truss_chains as chains
from truss_chains.chainlet import EngineBuilderLLMChainlet
from truss_chains.engine_builder import TRTLLMConfiguration, is_engine_config
from truss_chains.inspection import endpoint_of


def test_only_what_was_set_is_sent_under_public_names():
    """WP-17."""
    request = chains.EngineBuilderLLMInput(
        messages=[{"role": "user", "content": "hi"}],
        response_format={"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
        tools=[
            {
                "type": "function",
                "function": {"name": "f", "parameters": {"type": "object"}, "return": {"type": "string"}},
            }
        ],
        tool_choice={"type": "function", "function": {"name": "f"}},
    )
    sent = request.model_dump()
    assert sent == request.model_dump(by_alias=True) == request.model_dump(mode="json")
    assert sent == {
        "model": "",
        "messages": [{"role": "user", "content": "hi"}],
        "frequency_penalty": 0,
        "presence_penalty": 0,
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 50,
        "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
        "tools": [
            {
                "type": "function",
                "function": {"name": "f", "parameters": {"type": "object"}, "return": {"type": "string"}},
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": True,
        "n": 1,
        "margins_stop_sequences": ["NO#"],
        "max_chunk_size": 4096,
    }
    assert chains.EngineBuilderLLMInput.model_validate(sent) == request


def test_defaults():
    request = chains.EngineBuilderLLMInput()
    assert request.messages is None and request.prompt is None and request.beam_width is None
    assert request.bad_words_ is None and request.lookahead_decoding_config is None
    assert not hasattr(chains.EngineBuilderLLMInput(unknown=1), "unknown")


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": ""},
        {"beam_width": 2},
        {"tool_choice": "sometimes"},
        {"response_format": {"type": "xml"}},
        {"response_format": {"type": "json_schema"}},
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "f", "parameters": {"definitions": {}, "$defs": {}}},
                }
            ]
        },
    ],
)
def test_broken_requests(wrong):
    with pytest.raises(ValidationError):
        chains.EngineBuilderLLMInput(**wrong)


@pytest.mark.parametrize("choice", ["none", "required", "auto"])
def test_tool_choices(choice):
    assert chains.EngineBuilderLLMInput(tool_choice=choice).tool_choice == choice


async def test_the_method_does_not_run_locally(define):
    found = define(
        "from truss_chains.engine_builder import TRTLLMConfiguration\n"
        "class E(chains.EngineBuilderLLMChainlet):\n    engine_builder_config = TRTLLMConfiguration()\n"
    )
    with pytest.raises(NotImplementedError, match="deployed"):
        async for _ in found.E().run_remote(chains.EngineBuilderLLMInput()):
            pass


def test_the_endpoint_is_readable():
    endpoint = endpoint_of(EngineBuilderLLMChainlet)
    assert endpoint.parameters[0].annotation is chains.EngineBuilderLLMInput
    assert endpoint.stream_item == "str"


def test_configurations_of_other_packages_count_by_name():
    other = type("TRTLLMConfigurationV2", (TRTLLMConfiguration.__mro__[1],), {"__module__": __name__})
    assert is_engine_config(other())
    assert not is_engine_config({"build": 1})

"""The request of an engine-builder Chainlet, and the description of its engine."""

from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

JsonObject = dict[str, Any]  # a JSON object that is passed on unread


class _RequestPart(BaseModel):
    """Sent under the public key names, without the keys that nobody set (WP-17)."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True, protected_namespaces=())

    @model_serializer(mode="wrap")
    def _as_sent(self, handler: SerializerFunctionWrapHandler) -> JsonObject:
        dumped: JsonObject = handler(self)
        public = {name: field.alias or name for name, field in type(self).model_fields.items()}
        return {public.get(key, key): value for key, value in dumped.items() if value is not None}


class StreamOptions(_RequestPart):
    """What a stream carries beside the text."""

    include_usage: bool | None = None


class LookaheadDecodingConfig(_RequestPart):
    """Sizes for lookahead decoding."""

    window_size: int
    ngram_size: int
    verification_set_size: int


class JsonSchemaFormat(_RequestPart):
    """A JSON schema that the answer has to fit."""

    schema_: JsonObject = Field(alias="schema")
    name: str | None = None
    strict: bool | None = None


class ResponseFormatJsonSchema(_RequestPart):
    """The answer is JSON of a given schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchemaFormat


class ResponseFormatJsonObject(_RequestPart):
    """The answer is any JSON object."""

    type: Literal["json_object"]


class ResponseFormatText(_RequestPart):
    """The answer is text."""

    type: Literal["text"]


class Function(_RequestPart):
    """A function the model may call. `parameters` and `return` are JSON schemas."""

    name: str
    description: str | None = None
    parameters: JsonObject | None = None
    return_: JsonObject | None = Field(default=None, alias="return")

    @model_validator(mode="after")
    def _one_place_for_definitions(self) -> Self:
        if self.parameters and "definitions" in self.parameters and "$defs" in self.parameters:
            raise ValueError("`parameters` has both `definitions` and `$defs`; use one of them")
        return self


class Tool(_RequestPart):
    """A tool the model may use."""

    type: Literal["function"]
    function: Function


class ToolChoiceFunction(_RequestPart):
    """The function that has to be called, by name."""

    name: str


class ToolChoice(_RequestPart):
    """The tool that has to be used."""

    type: Literal["function"]
    function: ToolChoiceFunction


class EngineBuilderLLMInput(_RequestPart):
    """A chat request in the form of the OpenAI API.

    It is written as JSON under the public names (`parameters`, `return`, `schema`), without the
    optional keys that were not set.
    """

    model: str | None = ""
    messages: list[JsonObject] | None = None
    prompt: str | None = Field(default=None, min_length=1)
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    seed: int | None = None
    random_seed: int | None = None
    frequency_penalty: float | None = 0
    presence_penalty: float | None = 0
    length_penalty: float | None = None
    repetition_penalty: float | None = None
    temperature: float | None = 1.0
    top_p: float | None = 1.0
    top_k: int | None = 50
    runtime_top_p: float | None = None
    runtime_top_k: int | None = None
    stop: str | list[str] | None = None
    bad_words_: str | list[str] | None = None
    skip_special_tokens: list[str] | bool | None = None
    response_format: ResponseFormatJsonSchema | ResponseFormatJsonObject | ResponseFormatText | None = Field(
        default=None, discriminator="type"
    )
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "required", "auto"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = True
    beam_width: Literal[1] | None = None
    n: int | None = 1
    end_id: int | None = None
    pad_id: int | None = None
    margins_prompt: str | None = None
    margins_stop_sequences: list[str] | None = Field(default_factory=lambda: ["NO#"])
    max_chunk_size: int | None = 4096
    lookahead_decoding_config: LookaheadDecodingConfig | None = None


class TRTLLMConfiguration(BaseModel):
    """How to build and run an engine: passed on to the target as it is."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    build: JsonObject | None = None
    runtime: JsonObject | None = None


def is_engine_config(value: object) -> bool:
    """Whether it is a `TRTLLMConfiguration`, ours or the one of the Truss package (V-11)."""
    names = [cls.__name__ for cls in type(value).__mro__]
    return isinstance(value, BaseModel) and any(name.startswith("TRTLLMConfiguration") for name in names)


__all__ = [
    "EngineBuilderLLMInput",
    "Function",
    "JsonSchemaFormat",
    "LookaheadDecodingConfig",
    "ResponseFormatJsonObject",
    "ResponseFormatJsonSchema",
    "ResponseFormatText",
    "StreamOptions",
    "TRTLLMConfiguration",
    "Tool",
    "ToolChoice",
    "ToolChoiceFunction",
    "is_engine_config",
]

"""The endpoint of an auto mock: no user code, answers made from the output schema."""

from collections.abc import AsyncIterator
from typing import Any

from chains_protocol.spec import ChainletSpec, StreamItem
from chains_runtime.endpoint import Endpoint
from chains_runtime.signature import CallSignature, Mode


def mock_endpoint(spec: ChainletSpec) -> Endpoint:
    """Takes any object with the required keys; answers with a value that fits the schema."""
    from truss_chains.mocks import auto_value

    schema = spec.endpoint.output_schema or {"type": "null"}
    item = spec.endpoint.stream_item
    plain: dict[StreamItem, type] = {StreamItem.BYTES: bytes, StreamItem.STR: str}
    signature = CallSignature(
        owner=spec.class_name,
        name=spec.endpoint.method_name,
        mode=Mode.ASYNC if item is None else Mode.STREAM,
        parameters={parameter.name: Any for parameter in spec.endpoint.parameters},
        optional=frozenset(p.name for p in spec.endpoint.parameters if p.is_optional),
        result=Any if item is None else plain.get(item, Any),
    )

    async def answer(**_: Any) -> Any:
        return auto_value(schema)

    async def stream(**_: Any) -> AsyncIterator[Any]:
        value = auto_value(schema)
        if item is StreamItem.MODEL:
            yield value
        else:
            yield str(value if value is not None else "mock")

    return Endpoint(signature, answer if item is None else stream)


__all__ = ["mock_endpoint"]

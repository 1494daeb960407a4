"""The OpenAPI document, from the same table as the routes. Pure."""

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from chains_platform.api.endpoints import Endpoint
from chains_protocol.control import ApiError

_REF = "#/components/schemas/{model}"


def document(endpoints: Iterable[Endpoint], version: str) -> dict[str, Any]:
    """OpenAPI 3.1 of these endpoints."""
    found = list(endpoints)
    models: list[type[BaseModel]] = [ApiError]
    for endpoint in found:
        models += [m for m in (endpoint.request, endpoint.reply) if m is not None and m not in models]
    inputs = {e.request for e in found}
    pairs = [(m, "validation" if m in inputs else "serialization") for m in models]
    refs, schemas = models_json_schema(pairs, ref_template=_REF)  # type: ignore[arg-type] # literals
    by_model = {model: refs[(model, mode)] for model, mode in pairs}  # type: ignore[index] # literals
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in found:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, by_model)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Chains platform", "version": version or "0"},
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _operation(endpoint: Endpoint, refs: dict[type[BaseModel], Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": endpoint.handler.__name__ + _suffix(endpoint),
        "parameters": [_parameter(n, "path") for n in re.findall(r"{(\w+)}", endpoint.path)]
        + [_parameter(n, "query") for n in endpoint.query],
        "responses": {
            str(endpoint.status): _content(endpoint, refs),
            "default": {
                "description": "Refused or failed",
                "content": {"application/json": {"schema": refs[ApiError]}},
            },
        },
    }
    if endpoint.request is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": refs[endpoint.request]}},
        }
    elif endpoint.is_raw:
        operation["requestBody"] = {"required": True, "content": {"application/octet-stream": {}}}
    if endpoint.is_open:
        operation["security"] = []
    return operation


def _suffix(endpoint: Endpoint) -> str:
    """Two paths may share a handler; ids may not repeat."""
    return "_deployments" if endpoint.path.endswith("/deployments") and endpoint.method == "GET" else ""


def _content(endpoint: Endpoint, refs: dict[type[BaseModel], Any]) -> dict[str, Any]:
    schema = refs[endpoint.reply] if endpoint.reply is not None else {}
    media = "text/event-stream" if endpoint.is_stream else "application/json"
    return {"description": endpoint.summary, "content": {media: {"schema": schema}}}


def _parameter(name: str, where: str) -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "schema": {"type": "string"}}


__all__ = ["document"]

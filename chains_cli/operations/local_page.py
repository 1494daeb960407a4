"""What `chains run-local --serve` shows at its address: an OpenAPI document and a page to try the chain.

Pure: the entrypoint's spec in, texts out. The page loads nothing from elsewhere.
"""

import html
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from chains_cli.operations.example import example_json
from chains_cli.operations.graph import signature
from chains_protocol.spec import ChainletSpec

_DEFINITIONS: Final = "#/$defs/"
_COMPONENTS: Final = "#/components/schemas/"

Schema = dict[str, Any]  # JSON Schema


def openapi(chain: str, spec: ChainletSpec) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the served entrypoint."""
    components: dict[str, Any] = {}
    input_schema = _lifted(spec.endpoint.input_schema, components)
    if spec.endpoint.is_streaming:
        result: dict[str, Any] = {"application/octet-stream": {"schema": {"type": "string"}}}
    else:
        result = {"application/json": {"schema": _lifted(spec.endpoint.output_schema or {}, components)}}
    body = {"schema": input_schema, "example": json.loads(example_json(spec.endpoint.input_schema))}
    error = {"application/json": {"schema": {"type": "object", "required": ["error"]}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": chain, "version": "local"},
        "paths": {
            "/run_remote": {
                "post": {
                    "operationId": "run_remote",
                    "summary": f"{spec.display_name}{signature(spec.endpoint)}",
                    "requestBody": {"required": True, "content": {"application/json": body}},
                    "responses": {
                        "200": {"description": "the result", "content": result},
                        "400": {"description": "the input does not fit", "content": error},
                        "500": {"description": "the chain failed", "content": error},
                    },
                }
            }
        },
        "components": {"schemas": components},
    }


def _lifted(schema: Mapping[str, Any], components: dict[str, Any]) -> Any:
    """The schema with its definitions moved to `components`."""
    plain = {key: value for key, value in schema.items() if key != "$defs"}
    for name, definition in schema.get("$defs", {}).items():
        components[name] = _redirected(definition)
    return _redirected(plain)


def _redirected(part: Any) -> Any:
    if isinstance(part, Mapping):
        return {
            key: value.replace(_DEFINITIONS, _COMPONENTS, 1)
            if key == "$ref" and isinstance(value, str)
            else _redirected(value)
            for key, value in part.items()
        }
    return [_redirected(item) for item in part] if isinstance(part, list) else part


def page(chain: str, spec: ChainletSpec) -> str:
    """An HTML page that shows what the entrypoint takes and calls it."""
    example = json.dumps(json.loads(example_json(spec.endpoint.input_schema)), ensure_ascii=False, indent=2)
    schema = json.dumps(spec.endpoint.input_schema, ensure_ascii=False, indent=2)
    texts = {
        "CHAIN": chain,
        "SIGNATURE": f"{spec.display_name}{signature(spec.endpoint)}",
        "EXAMPLE": example,
        "SCHEMA": schema,
    }
    return re.sub("@([A-Z]+)@", lambda name: html.escape(texts[name[1]]), _PAGE)


_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>@CHAIN@</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { max-width: 48rem; margin: 2rem auto; padding: 0 1rem; }
  textarea { width: 100%; min-height: 10rem; box-sizing: border-box; }
  textarea, pre, code { font: 14px/1.4 ui-monospace, monospace; }
  pre { padding: .75rem; border: 1px solid color-mix(in srgb, currentColor 25%, transparent);
        overflow: auto; white-space: pre-wrap; }
  #status { margin-left: 1rem; }
</style>
</head>
<body>
<h1>@CHAIN@</h1>
<p><code>@SIGNATURE@</code></p>
<form id="call">
  <label for="input">Input</label>
  <textarea id="input" spellcheck="false">@EXAMPLE@</textarea>
  <p><button>Run</button><output id="status"></output></p>
</form>
<h2>Answer</h2>
<pre id="answer" aria-live="polite"></pre>
<details><summary>Input schema</summary><pre>@SCHEMA@</pre></details>
<p><a href="openapi.json">OpenAPI document</a></p>
<script>
const field = name => document.getElementById(name);
const pretty = text => { try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; } };
function told(text) {
  try {
    const error = JSON.parse(text).error;
    if (typeof error === "string") return error;
    const lines = error.user_stack_trace.map(
      f => `  ${f.filename}:${f.lineno} in ${f.name}\\n    ${f.line ?? ""}`);
    return [...lines, `${error.exception_cls_name}: ${error.exception_message}`].join("\\n");
  } catch { return pretty(text); }
}
field("call").addEventListener("submit", async event => {
  event.preventDefault();
  const begin = performance.now();
  field("answer").textContent = "";
  field("status").textContent = "running";
  let status = "no answer";
  try {
    const reply = await fetch("run_remote", {
      method: "POST", headers: {"Content-Type": "application/json"}, body: field("input").value,
    });
    status = reply.status;
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text += part.value;
      field("answer").textContent = text;
    }
    field("answer").textContent = reply.ok ? pretty(text) : told(text);
  } catch (error) {
    status = "broke off";
    field("answer").textContent += `\\n${error}`;
  }
  field("status").textContent = `${status}, ${Math.round(performance.now() - begin)} ms`;
});
</script>
</body>
</html>
"""

__all__ = ["openapi", "page"]

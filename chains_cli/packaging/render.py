"""Templates -> text: one frozen context object in, an undefined name is an error, no decisions inside."""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from pydantic import JsonValue

from chains_cli.packaging.config import ModelContext, TrussConfigContext
from chains_cli.templates import template_root

_CONFIG: Final = "config.yaml.j2"
_MODEL: Final = "model/model.py.j2"
_ESCAPED: Final = {
    code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF)
}
_CONTROL: Final = {code: f"\\x{code:02x}" for code in range(0x20)}
_QUOTED: Final = {**_ESCAPED, **_CONTROL, ord('"'): '\\"', ord("\\"): "\\\\"}


def yaml_flow(value: JsonValue) -> str:
    """JSON-like data as one line of YAML that reads the same under YAML 1.1 and 1.2."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _yaml_float(value)
    if isinstance(value, str):
        return f'"{value.translate(_QUOTED)}"'
    if isinstance(value, dict):
        pairs = (f"{yaml_flow(str(key))}: {yaml_flow(value[key])}" for key in sorted(value))
        return "{" + ", ".join(pairs) + "}"
    return "[" + ", ".join(yaml_flow(item) for item in value) + "]"


def _yaml_float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    mantissa, exponent, power = repr(value).partition("e")
    with_point = mantissa if "." in mantissa else f"{mantissa}.0"
    signed = power if power[:1] in ("+", "-", "") else f"+{power}"
    return with_point + exponent + signed


def python_literal(text: str) -> str:
    """A text as Python writes it, in the double quotes that formatters like."""
    return '"' + repr(text + "'")[1:-2].replace("\\'", "'") + '"' if '"' not in text else repr(text)


@cache
def _environment(root: Path) -> Environment:
    """One for all renderers of a directory: templates are compiled once."""
    environment = Environment(  # noqa: S701 (YAML and Python, never HTML)
        loader=FileSystemLoader(root, encoding="utf-8"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        newline_sequence="\n",
        auto_reload=False,
    )
    environment.filters["yaml"] = yaml_flow
    environment.filters["literal"] = python_literal
    return environment


@dataclass(frozen=True)
class Renderer:
    """Renders the templates below `root`, laid out like their output."""

    root: Path

    def warm_up(self) -> None:
        """Compile the templates."""
        for name in (_CONFIG, _MODEL):
            self._template(name)

    def _template(self, name: str) -> Template:
        return _environment(self.root).get_template(name)

    def config(self, context: TrussConfigContext) -> bytes:
        """`config.yaml`."""
        return self._template(_CONFIG).render(config=context).encode()

    def model(self, context: ModelContext) -> bytes:
        """`model/model.py`."""
        return self._template(_MODEL).render(model=context).encode()


def package_renderer() -> Renderer:
    """The renderer of this tool's own templates."""
    return Renderer(template_root() / "package" / "truss")


__all__ = ["Renderer", "package_renderer", "python_literal", "yaml_flow"]

"""Inside the discovery child: which class of a loaded file is the entrypoint (I-08 to I-10)."""

from pathlib import Path
from types import ModuleType
from typing import Any

from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Location
from truss_chains.chainlet import declaration_of, is_chainlet_class

ChainletClass = type[Any]
"""A user's Chainlet: a live class, which never leaves the child."""


def find_entrypoint(module: ModuleType, class_name: str | None, source: Path) -> ChainletClass:
    """The class of that name, or the only Chainlet, or the only marked one.

    Raises:
        DiagnosticsError: CH123, CH154, CH155 or CH156.
    """
    if class_name is not None:
        return _named(module, class_name, source)
    visible = _visible_chainlets(module)
    if len(visible) == 1:
        return visible[0]
    marked = [cls for cls in visible if cls.meta_data.is_entrypoint]
    if len(marked) == 1:
        return marked[0]
    if not visible:
        message = f"`{source.name}` defines no Chainlet"
        remedy = "derive a class from `chains.ChainletBase` and give it a `run_remote`"
        code = Code.NO_ENTRYPOINT
    elif not marked:
        message = f"none of the Chainlets in `{source.name}` is marked as entrypoint: {_list(visible)}"
        remedy = f"put `@chains.mark_entrypoint` above one, or name it: `{visible[-1].__name__}`"
        code = Code.NO_ENTRYPOINT
    else:
        message = f"`{source.name}` marks several entrypoints: {_list(marked)}"
        remedy = f"name the one that is meant, for example `{marked[-1].__name__}`"
        code = Code.SEVERAL_ENTRYPOINTS
    raise DiagnosticsError(
        [Diagnostic(code=code, message=message, help=remedy, location=Location(path=str(source)))]
    )


def _visible_chainlets(module: ModuleType) -> list[ChainletClass]:
    found: list[ChainletClass] = []
    for value in vars(module).values():
        if is_chainlet_class(value) and value not in found:
            found.append(value)
    return found


def _named(module: ModuleType, class_name: str, source: Path) -> ChainletClass:
    value: object = vars(module).get(class_name)
    if class_name not in vars(module):
        names = [cls.__name__ for cls in _visible_chainlets(module)]
        raise DiagnosticsError(
            [
                Diagnostic(
                    code=Code.ENTRYPOINT_NOT_FOUND,
                    message=f"`{source.name}` has no class `{class_name}`",
                    help=f"its Chainlets are: {', '.join(names)}" if names else "it defines no Chainlet",
                    location=Location(path=str(source)),
                )
            ]
        )
    if not isinstance(value, type) or not is_chainlet_class(value):
        raise DiagnosticsError(
            [
                Diagnostic(
                    code=Code.BAD_ENTRYPOINT,
                    message=f"`{class_name}` in `{source.name}` is not a Chainlet",
                    help="name a class that is derived from `chains.ChainletBase`",
                    location=Location(path=str(source)),
                )
            ]
        )
    return value


def _list(classes: list[ChainletClass]) -> str:
    return ", ".join(f"`{cls.__name__}` ({_place(cls)})" for cls in classes)


def _place(cls: ChainletClass) -> str:
    declaration = declaration_of(cls)
    return f"{Path(declaration.path).name}:{declaration.line}"


__all__ = ["ChainletClass", "find_entrypoint"]

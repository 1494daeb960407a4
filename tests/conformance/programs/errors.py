"""Exceptions over one, two and three hops, told by the Chainlet that catches them."""

from typing import Any

import errors_elsewhere
from pydantic import BaseModel, TypeAdapter
from starlette.exceptions import HTTPException

import truss_chains as chains


class OwnError(Exception):
    """Of the chain's own module."""


class OwnValueError(ValueError):
    pass


class TwoArgumentsError(Exception):
    """Can't be built from one text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")


class SilentError(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Outer:
    class InnerError(Exception):
        """Can't be found by its bare name."""


class OwnHTTPError(HTTPException):
    """Keeps its status."""


class Caught(BaseModel):
    """The class that the caller caught, its bases, and the last line of its text."""

    raised: str = ""
    bases: list[str] = []
    last_line: str = ""
    status: int = 0
    hops: list[str] = []
    value: str = ""


def fail(kind: str) -> Any:
    """Raise what `kind` names."""
    if kind == "local class":

        class LocalError(Exception):
            pass

        raise LocalError("of a function")
    if kind == "pydantic":
        TypeAdapter(int).validate_python("x")
    if kind == "chained":
        try:
            raise KeyError("cause")
        except KeyError as error:
            raise ValueError("effect") from error
    if kind == "division":
        return 1 / 0
    if kind == "attribute":
        return None.attribute  # type: ignore[attr-defined]
    if kind == "deep":
        return fail_deeper(3)
    raise MADE[kind]


def fail_deeper(depth: int) -> Any:
    return fail_deeper(depth - 1) if depth else fail("ValueError")


MADE: dict[str, BaseException] = {
    "ValueError": ValueError("a value"),
    "KeyError": KeyError("a key"),
    "IndexError": IndexError("an index"),
    "RuntimeError": RuntimeError("no text follows\nbut a second line"),
    "no text": ValueError(),
    "NotImplementedError": NotImplementedError("later"),
    "AssertionError": AssertionError("claim"),
    "FileNotFoundError": FileNotFoundError(2, "No such file", "weights.bin"),
    "PermissionError": PermissionError("denied"),
    "TimeoutError": TimeoutError("the model was slow"),
    "ConnectionError": ConnectionError("its own connection"),
    "StopAsyncIteration": StopAsyncIteration("over"),
    "UnicodeDecodeError": UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    "ExceptionGroup": ExceptionGroup("several", [ValueError("one"), KeyError("two")]),
    "SystemExit": SystemExit("the model ended the process"),
    "OwnError": OwnError("ours"),
    "OwnValueError": OwnValueError("ours, too"),
    "two arguments": TwoArgumentsError(7, "seven"),
    "elsewhere": errors_elsewhere.ElsewhereError("from another module"),
    "nested class": Outer.InnerError("nested"),
    "silent": SilentError(),
    "HTTP 404": HTTPException(404, "not here"),
    "HTTP 503": HTTPException(503, "busy"),
    "own HTTP": OwnHTTPError(418, "teapot"),
    "GenericRemoteException": chains.GenericRemoteException("made by hand"),
}


class Leaf(chains.ChainletBase):
    async def run_remote(self, kind: str) -> str:
        fail(kind)
        return "no error"


class SyncLeaf(chains.ChainletBase):
    def run_remote(self, kind: str) -> str:
        fail(kind)
        return "no error"


class Middle(chains.ChainletBase):
    """Lets errors pass, or translates them."""

    def __init__(self, leaf: Leaf = chains.depends(Leaf)) -> None:
        self._leaf = leaf

    async def run_remote(self, kind: str, how: str = "pass") -> str:
        if how == "pass":
            return await self._leaf.run_remote(kind)
        try:
            return await self._leaf.run_remote(kind)
        except OwnError as error:
            if how == "translate":
                raise OwnValueError("translated") from error
            if how == "again":
                raise
            return "caught an OwnError"
        except ValueError:
            return "caught a ValueError"
        except HTTPException as error:
            return f"caught HTTP {error.status_code}"


class Top(chains.ChainletBase):
    def __init__(self, middle: Middle = chains.depends(Middle)) -> None:
        self._middle = middle

    async def run_remote(self, kind: str) -> str:
        return await self._middle.run_remote(kind)


@chains.mark_entrypoint("conformance-errors")
class Errors(chains.ChainletBase):
    """Runs one case: `path` says over which Chainlets the error comes."""

    def __init__(
        self,
        leaf: Leaf = chains.depends(Leaf),
        sync_leaf: SyncLeaf = chains.depends(SyncLeaf),
        middle: Middle = chains.depends(Middle),
        top: Top = chains.depends(Top),
    ) -> None:
        self._leaf = leaf
        self._sync_leaf = sync_leaf
        self._middle = middle
        self._top = top

    async def run_remote(self, kind: str, path: str = "leaf", how: str = "pass") -> Caught:
        try:
            if path == "nowhere":
                fail(kind)
            if path == "outside":
                return Caught(value=await self._top.run_remote(kind))
            return Caught(value=await self._call(kind, path, how))
        except BaseException as error:
            if path in ("nowhere", "outside"):
                raise
            return caught(error)

    async def _call(self, kind: str, path: str, how: str) -> str:
        if path == "leaf":
            return await self._leaf.run_remote(kind)
        if path == "sync leaf":
            return self._sync_leaf.run_remote(kind)
        if path == "middle":
            return await self._middle.run_remote(kind, how)
        return await self._top.run_remote(kind)


def caught(error: BaseException) -> Caught:
    """What the caller can see of it."""
    text = error.args[0] if isinstance(error, KeyError) and error.args else None
    try:
        lines = (str(error) if text is None else text).splitlines() or [""]
    except RuntimeError:
        lines = ["<no text>"]
    status = getattr(error, "status_code", 0)
    return Caught(
        raised=type(error).__name__,
        bases=[cls.__name__ for cls in type(error).__mro__[1:-1]],
        last_line=[line.lstrip("╰│ ") for line in lines if "(exception class defined in" not in line][-1],
        status=status if isinstance(status, int) else 0,
        hops=[line.strip("│├─ ").split("`")[1] for line in lines if "├─" in line],
    )

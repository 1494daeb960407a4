"""numpy arrays as fields, as JSON and as msgpack."""

from typing import Any

import numpy as np
from pydantic import BaseModel

import truss_chains as chains
from truss_chains.pydantic_numpy import NumpyArrayField

ARRAYS: dict[str, Any] = {
    "int64": np.arange(6).reshape(2, 3),
    "float32": np.array([0.5, -1.5], dtype=np.float32),
    "float16": np.array([0.5], dtype=np.float16),
    "bool": np.array([True, False]),
    "uint8": np.arange(256, dtype=np.uint8),
    "complex128": np.array([1 + 2j]),
    "big endian": np.array([1, 2], dtype=">i4"),
    "fortran order": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "strided": np.arange(12)[::3],
    "transposed": np.arange(6).reshape(2, 3).T,
    "empty": np.zeros((0, 3)),
    "scalar shape": np.array(5.5),
    "four dimensions": np.ones((2, 1, 3, 2), dtype=np.int8),
    "datetime64": np.array(["2026-01-02"], dtype="datetime64[D]"),
    "unicode": np.array(["a", "世界"]),
    "byte strings": np.array([b"a", b"bc"]),
    "structured": np.array([(1, 0.5), (2, 1.5)], dtype=[("n", "<i4"), ("score", "<f8")]),
    "structured with shape": np.array([((1, 2),)], dtype=[("at", "<i4", (2,))]),
    "not finite": np.array([np.nan, np.inf]),
    "objects": np.array([{}, 1], dtype=object),
}


class Frame(BaseModel):
    pixels: NumpyArrayField
    name: str = "frame"


class Seen(BaseModel):
    described: str
    writable: bool
    frame: Frame


class Arrays(BaseModel):
    """What came, on both sides; `raised` if it did not."""

    seen: str = ""
    got: str = ""
    writable: list[bool] = []
    raised: str = ""


def describe(array: Any) -> str:
    """Dtype, shape and content, whatever the layout in memory."""
    return f"{array.dtype.descr} {array.shape} {array.tolist()!r}"


class Camera(chains.ChainletBase):
    async def run_remote(self, frame: Frame) -> Seen:
        array = frame.pixels.array
        return Seen(described=describe(array), writable=array.flags.writeable, frame=frame)


class BinaryCamera(Camera):
    pass


class Adder(chains.ChainletBase):
    """Changes what it got, which it may."""

    async def run_remote(self, frame: Frame, amount: int) -> Frame:
        frame.pixels.array += amount
        return frame


@chains.mark_entrypoint("conformance-arrays")
class ArrayCases(chains.ChainletBase):
    def __init__(
        self,
        camera: Camera = chains.depends(Camera),
        binary: BinaryCamera = chains.depends(BinaryCamera, use_binary=True),
        adder: Adder = chains.depends(Adder, use_binary=True),
    ) -> None:
        self._cameras: dict[str, Any] = {"json": camera, "binary": binary}
        self._adder = adder

    async def run_remote(self, case: str, encoding: str = "json") -> Arrays:
        try:
            if case == "changed by the callee":
                frame = Frame(pixels=np.arange(3))
                changed = await self._adder.run_remote(frame, 1)
                return Arrays(seen=describe(changed.pixels.array), got=describe(frame.pixels.array))
            return await self._round(ARRAYS[case], self._cameras[encoding])
        except Exception as error:
            return Arrays(raised=type(error).__name__)

    async def _round(self, array: Any, camera: Any) -> Arrays:
        seen = await camera.run_remote(Frame(pixels=array))
        back = seen.frame.pixels.array
        return Arrays(seen=seen.described, got=describe(back), writable=[seen.writable, back.flags.writeable])

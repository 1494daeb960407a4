"""Structured arrays over the wire: a grid of measurements is cut into tiles, each tile is summarised elsewhere."""

import asyncio

import numpy as np
import numpy.typing as npt
import pydantic

import truss_chains as chains
from truss_chains import pydantic_numpy

NUMPY = chains.DockerImage(pip_requirements=["numpy>=2.0"])
CELL = np.dtype([("celsius", "<f4"), ("humidity", "<u2")])


class Tile(pydantic.BaseModel):
    """`cells`: structured dtype `CELL`, shape (rows, columns)."""

    row: int
    column: int
    cells: pydantic_numpy.NumpyArrayField


class Summary(pydantic.BaseModel):
    row: int
    column: int
    mean_celsius: float
    max_humidity: int


def measure(size: int, seed: int) -> npt.NDArray[np.void]:
    """A made-up weather map: structured array of dtype `CELL`, shape (size, size)."""
    rng = np.random.default_rng(seed)
    grid = np.zeros((size, size), dtype=CELL)
    grid["celsius"] = 10 + np.add.outer(np.linspace(-5, 5, size), np.linspace(0, 3, size))
    grid["humidity"] = rng.integers(20, 100, (size, size))
    return grid


class Summarise(chains.ChainletBase):
    remote_config = chains.RemoteConfig(docker_image=NUMPY)

    async def run_remote(self, tile: Tile) -> Summary:
        cells = tile.cells.array
        return Summary(
            row=tile.row,
            column=tile.column,
            mean_celsius=round(float(cells["celsius"].mean()), 2),
            max_humidity=int(cells["humidity"].max()),
        )


@chains.mark_entrypoint("tiles")
class Map(chains.ChainletBase):
    remote_config = chains.RemoteConfig(docker_image=NUMPY)

    def __init__(self, summarise: Summarise = chains.depends(Summarise, use_binary=True)) -> None:
        self._summarise = summarise

    async def run_remote(self, size: int = 64, tile_size: int = 32, seed: int = 0) -> list[Summary]:
        grid = measure(size, seed)
        tiles = [
            Tile(
                row=r,
                column=c,
                cells=pydantic_numpy.NumpyArrayField(grid[r : r + tile_size, c : c + tile_size]),
            )
            for r in range(0, size, tile_size)
            for c in range(0, size, tile_size)
        ]
        return list(await asyncio.gather(*(self._summarise.run_remote(tile) for tile in tiles)))

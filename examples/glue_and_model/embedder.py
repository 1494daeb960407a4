"""The slow half: a text embedding that is fitted when the Chainlet loads."""

import zlib

import numpy as np
import numpy.typing as npt

import truss_chains as chains

BUCKETS = 2048
DIMENSIONS = 128

CORPUS = """
the ship left the harbour before the storm and the crew lowered the sails
a baker kneads dough at night so that bread is warm when the town wakes
the telescope turned to the comet and its tail filled half of the sky
rain on the roof of the station kept the passengers awake until dawn
the orchestra tuned while the conductor read the first page of the score
a fox crossed the frozen lake and left a line of small prints in the snow
the compiler found the error and pointed at the line that caused it
apples from the old orchard are sour but make the best cider of the valley
the river rose over its banks and carried boats into the market square
her experiment failed twice before the crystal grew in the third beaker
"""


def ngram_buckets(text: str, n: int = 3) -> list[int]:
    """Hash every character n-gram of `text` into one of `BUCKETS` buckets (CRC-32)."""
    padded = f" {text.lower().strip()} "
    return [zlib.crc32(padded[i : i + n].encode()) % BUCKETS for i in range(len(padded) - n + 1)]


def fit_projection() -> npt.NDArray[np.float64]:
    """Spectral embedding of n-gram co-occurrence: float64, shape (BUCKETS, BUCKETS). Takes seconds."""
    counts = np.eye(BUCKETS)
    for line in CORPUS.strip().splitlines():
        seen = np.bincount(ngram_buckets(line), minlength=BUCKETS).astype(np.float64)
        counts += np.outer(seen, seen)
    _, vectors = np.linalg.eigh(counts)
    return vectors[:, ::-1]


class Embedder(chains.ChainletBase):
    """Text to unit vectors. Loads for seconds and then holds tens of megabytes."""

    remote_config = chains.RemoteConfig(
        docker_image=chains.DockerImage(pip_requirements=["numpy>=2.0"]),
        compute=chains.Compute(cpu_count=1, memory="1Gi", predict_concurrency=4),
    )

    def __init__(self) -> None:
        self._projection = fit_projection()

    async def run_remote(self, texts: list[str]) -> list[list[float]]:
        rows = np.array([np.bincount(ngram_buckets(text), minlength=BUCKETS) for text in texts])
        vectors = rows @ self._projection[:, :DIMENSIONS]
        norms = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return [[float(x) for x in vector] for vector in vectors / norms]

"""Transcribe a recording: cut it at the pauses, decode all pieces at once, join the words.

The recording is Morse code in noise, made by a Chainlet of its own, so the example needs no file and no GPU.
"""

import asyncio

import pydantic
from morse import SAMPLE_RATE_HZ, decode, synthesize, words

import truss_chains as chains
from truss_chains import pydantic_numpy

NUMPY = chains.DockerImage(pip_requirements=["numpy>=2.0"])


class Recording(pydantic.BaseModel):
    """`samples`: float32, shape (n,), amplitude in [-1, 1]."""

    samples: pydantic_numpy.NumpyArrayField
    sample_rate_hz: int = SAMPLE_RATE_HZ


class Transcript(pydantic.BaseModel):
    text: str
    pieces: int
    seconds: float


class Radio(chains.ChainletBase):
    """Sends a message as sound."""

    remote_config = chains.RemoteConfig(docker_image=NUMPY)

    async def run_remote(self, message: str, noise: float = 0.1, seed: int = 0) -> Recording:
        samples = synthesize(message, noise, seed)
        return Recording(samples=pydantic_numpy.NumpyArrayField(samples))


class Decoder(chains.ChainletBase):
    """Decodes one piece. In a real pipeline this is the model on the GPU, with many replicas."""

    remote_config = chains.RemoteConfig(
        docker_image=NUMPY, compute=chains.Compute(cpu_count=1, predict_concurrency=8)
    )

    async def run_remote(self, piece: Recording) -> str:
        return decode(piece.samples.array)


@chains.mark_entrypoint("transcription")
class Transcribe(chains.ChainletBase):
    remote_config = chains.RemoteConfig(docker_image=NUMPY)

    def __init__(
        self,
        radio: Radio = chains.depends(Radio, use_binary=True),
        decoder: Decoder = chains.depends(Decoder, retries=3, use_binary=True, concurrency_limit=16),
    ) -> None:
        self._radio = radio
        self._decoder = decoder

    async def run_remote(self, message: str, noise: float = 0.1) -> Transcript:
        recording = await self._radio.run_remote(message, noise)
        pieces = [
            Recording(samples=pydantic_numpy.NumpyArrayField(p)) for p in words(recording.samples.array)
        ]
        texts = await asyncio.gather(*(self._decoder.run_remote(piece) for piece in pieces))
        seconds = len(recording.samples.array) / recording.sample_rate_hz
        return Transcript(text=" ".join(texts), pieces=len(pieces), seconds=round(seconds, 2))


if __name__ == "__main__":
    with chains.run_local():
        print(asyncio.run(Transcribe().run_remote("chains carry sound")))

"""What type checkers say about a user's program.

`#: T` behind a `reveal_type` is the type, `#: T, pyright U` where the two checkers word it differently.
`# wrong` marks a line that both refuse; there is no other such line.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from pydantic import BaseModel
from typing_extensions import reveal_type

import truss_chains as chains
from truss_chains import streaming
from truss_chains.remote_chainlet.truss_chainlet import TrussHandle


class Token(BaseModel):
    text: str


class Usage(BaseModel):
    n: int


TYPES = streaming.stream_types(Token, footer_type=Usage)
FULL = streaming.stream_types(Token, header_type=Usage, footer_type=Usage)


class Speaks(Protocol):
    async def run_remote(self, text: str) -> int: ...


class Back(chains.ChainletBase):
    remote_config = chains.RemoteConfig(
        docker_image=chains.DockerImage(base_image=chains.BasetenImage.PY311, pip_requirements=["numpy"]),
        compute=chains.Compute(gpu="L4", predict_concurrency="cpu_count"),
        assets=chains.Assets(secret_keys=["key"]),
        options=chains.ChainletOptions(env_variables={"A": "1"}),
        autoscaling=chains.Autoscaling(max_replicas=3),
    )

    async def run_remote(self, text: str) -> int:
        return len(text)


class Words(chains.ChainletBase):
    async def run_remote(self, n: int = 3) -> AsyncIterator[str]:
        for i in range(n):
            yield str(i)


class Framed(chains.ChainletBase):
    async def run_remote(self) -> AsyncIterator[bytes]:
        out = streaming.stream_writer(TYPES)
        yield out.yield_item(Token(text="a"))
        yield out.yield_footer(Usage(n=1))
        out.yield_header(Usage(n=1))  # wrong


class Wrapped(chains.TrussChainlet):
    truss_dir = "./truss"


class Engine(chains.EngineBuilderLLMChainlet): ...


class Tagger(chains.StubBase):
    async def run_remote(self, text: str) -> Token:
        return await self.predict_async({"text": text}, Token)


@chains.mark_entrypoint("A name")
class Front(chains.ChainletBase):
    def __init__(
        self,
        back: Back = chains.depends(Back, retries=2, timeout_sec=5, use_binary=True),
        spoken: Speaks = chains.depends(Back),
        words: Words = chains.depends(Words),
        framed: Framed = chains.depends(Framed),
        wrapped: TrussHandle = chains.depends(Wrapped),
        engine: Engine = chains.depends(Engine),
        context: chains.DeploymentContext = chains.depends_context(),
    ) -> None:
        self.back = back
        self.words = words
        self.framed = framed
        self.engine = engine
        self.tagger = Tagger.from_url("https://model.example", context)
        reveal_type(chains.depends(Back))  #: Back
        reveal_type(chains.depends(Words, concurrency_limit=3))  #: Words
        reveal_type(chains.depends(Wrapped))  #: TrussHandle
        reveal_type(chains.depends(Engine))  #: Engine
        reveal_type(chains.depends_context())  #: DeploymentContext
        reveal_type(context.secrets["key"])  #: str
        reveal_type(context.secrets.get("key"))  #: str | None
        reveal_type(context.secrets.get("key", ""))  #: str
        reveal_type("key" in context.secrets)  #: bool
        reveal_type(context.data_dir)  #: Path | None
        reveal_type(self.tagger)  #: Tagger

    async def run_remote(self, text: str) -> AsyncIterator[str]:
        reveal_type(await self.back.run_remote(text))  #: int
        reveal_type(await self.tagger.run_remote(text))  #: Token
        reveal_type(await self.tagger.predict_async({"text": text}, Token))  #: Token
        async for word in self.words.run_remote():
            reveal_type(word)  #: str
        reader = streaming.stream_reader(TYPES, self.framed.run_remote())
        async for token in reader.read_items():
            reveal_type(token)  #: Token
        reveal_type(await reader.read_footer())  #: Usage
        reader.read_header  # wrong
        full = streaming.stream_reader(FULL, self.framed.run_remote())
        reveal_type(await full.read_header())  #: Usage
        async for part in self.engine.run_remote(chains.EngineBuilderLLMInput(prompt="Hi")):
            reveal_type(part)  #: str
        yield text


class Socket(chains.ChainletBase):
    async def run_remote(self, websocket: chains.WebSocketProtocol) -> None:
        reveal_type(await websocket.is_connected())  #: bool
        async for text in await websocket.iter_text():
            reveal_type(text)  #: str
        async for data in websocket.iter_bytes():  # wrong
            await websocket.send_bytes(b"")


@chains.mark_entrypoint
class Other(chains.ChainletBase):
    async def run_remote(self) -> None: ...


reveal_type(Front.run_remote)  #: def (self: Front, text: str) -> AsyncIterator[str], pyright (self: Front, text: str) -> AsyncIterator[str]
reveal_type(Other())  #: Other
reveal_type(Front.name)  #: str
reveal_type(Front.display_name)  #: str
reveal_type(Front.remote_config)  #: RemoteConfig
reveal_type(Front.meta_data.is_entrypoint)  #: bool
with chains.run_local(secrets={"key": "x"}, mocks={Back: "auto"}) as block:
    front = Front()
    reveal_type(front)  #: Front
    reveal_type(block)  #: LocalRun

mistaken: Back = chains.depends(Other)  # wrong
chains.depends(Back, retries="3")  # wrong
chains.RemoteConfig(nam="x")  # wrong
chains.DockerImage(pip_requirements="numpy")  # wrong
chains.Compute(gpus=3)  # wrong

import truss_chains as chains
from truss_chains.engine_builder import TRTLLMConfiguration


class Engine(chains.EngineBuilderLLMChainlet):
    remote_config = chains.RemoteConfig(
        compute=chains.Compute(gpu="H100"), assets=chains.Assets(secret_keys=["hf_token"])
    )
    engine_builder_config = TRTLLMConfiguration(
        build={
            "base_model": "decoder",
            "checkpoint_repository": {"source": "HF", "repo": "owner/model"},
            "max_seq_len": 4096,
        }
    )


@chains.mark_entrypoint("engine")
class Ask(chains.ChainletBase):
    def __init__(self, engine: Engine = chains.depends(Engine)) -> None:
        self._engine = engine

    async def run_remote(self, prompt: str) -> str:
        asked = chains.EngineBuilderLLMInput(prompt=prompt)
        return "".join([part async for part in self._engine.run_remote(asked)])

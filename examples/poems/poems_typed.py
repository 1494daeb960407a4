"""The poems again, with the mock's type made explicit by a protocol: accepted by `mypy --strict`."""

import asyncio
from typing import Protocol

import truss_chains as chains

PHI_REPO = "microsoft/Phi-3-mini-4k-instruct"


class PhiLLM(chains.ChainletBase):
    """Generates text with Phi-3; needs an NVIDIA GPU and downloads the weights when it loads."""

    remote_config = chains.RemoteConfig(
        docker_image=chains.DockerImage(
            pip_requirements=["accelerate>=0.33", "torch>=2.4", "transformers>=4.43"]
        ),
        compute=chains.Compute(cpu_count=2, memory="16Gi", gpu="L4"),
    )

    def __init__(self) -> None:
        import torch
        import transformers

        self._tokenizer = transformers.AutoTokenizer.from_pretrained(PHI_REPO)
        self._model = transformers.AutoModelForCausalLM.from_pretrained(
            PHI_REPO, device_map="cuda", torch_dtype=torch.float16
        )

    async def run_remote(self, prompt: str) -> str:
        chat = [{"role": "user", "content": prompt}]
        tokens = self._tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt")
        answer = self._model.generate(tokens.to("cuda"), max_new_tokens=256, do_sample=True, temperature=0.7)
        return str(self._tokenizer.decode(answer[0][tokens.shape[1] :], skip_special_tokens=True))


class PhiProtocol(Protocol):
    async def run_remote(self, prompt: str) -> str: ...


@chains.mark_entrypoint
class PoemGenerator(chains.ChainletBase):
    """One poem a word, all asked for at once."""

    def __init__(self, phi_llm: PhiProtocol = chains.depends(PhiLLM, timeout_sec=120)) -> None:
        self._phi_llm = phi_llm

    async def run_remote(self, words: list[str]) -> list[str]:
        prompts = [f"Generate a poem about {word}" for word in words]
        return list(await asyncio.gather(*(self._phi_llm.run_remote(prompt) for prompt in prompts)))


if __name__ == "__main__":

    class FakePhiLLM:
        async def run_remote(self, prompt: str) -> str:
            return f"Here's a poem about {prompt.rsplit(maxsplit=1)[-1]}"

    with chains.run_local():
        poem_generator = PoemGenerator(phi_llm=FakePhiLLM())
        print(asyncio.run(poem_generator.run_remote(words=["bird", "plane", "superman"])))

"""Stand-ins for Chainlets that need a GPU."""


class FakePhiLLM:
    async def run_remote(self, prompt: str) -> str:
        return f"Here's a poem about {prompt.rsplit(maxsplit=1)[-1]}"

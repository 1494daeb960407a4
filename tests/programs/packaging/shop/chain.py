"""A shop's assistant: glue in front of a model and a table of prices."""

from pathlib import Path

import truss_chains as chains
from pydantic import BaseModel

from lib import text

HERE = Path(__file__).parent


class Offer(BaseModel):
    article: str
    price: float
    note: str | None = None


class Prices(chains.ChainletBase):
    remote_config = chains.RemoteConfig(
        name="price-table",
        docker_image=chains.DockerImage(
            base_image=chains.BasetenImage.PY312,
            data_dir=chains.make_abs_path_here("data"),
            external_package_dirs=[chains.make_abs_path_here("shared_src")],
        ),
        assets=chains.Assets(secret_keys=["price_key"]),
    )

    def __init__(self, context: chains.DeploymentContext = chains.depends_context()) -> None:
        self._context = context

    async def run_remote(self, article: str) -> Offer:
        from vendored import price_of

        return Offer(article=article, price=price_of(article))


class Recommend(chains.ChainletBase):
    remote_config = chains.RemoteConfig(
        docker_image=chains.DockerImage(
            base_image=chains.BasetenImage.PY312,
            requirements_file=chains.make_abs_path_here("requirements.txt"),
            pip_requirements=["accelerate"],
            apt_requirements=["ffmpeg"],
        ),
        compute=chains.Compute(cpu_count=4, memory="16Gi", gpu="L4", gpu_count=2, predict_concurrency=8),
        options=chains.ChainletOptions(
            env_variables={"HF_HUB_OFFLINE": "1", "GREETING": 'say "hi"\n'},
            metadata={"owner": "shop", "weights": [1, 2.5, None]},
        ),
        build_commands=["echo ready"],
    )

    async def run_remote(self, article: str, count: int = 3) -> list[str]:
        return [article] * count


@chains.mark_entrypoint("shop")
class Front(chains.ChainletBase):
    remote_config = chains.RemoteConfig(docker_image=chains.DockerImage(base_image=chains.BasetenImage.PY312))

    def __init__(
        self,
        prices: Prices = chains.depends(Prices, retries=3, timeout_sec=2.5),
        recommend: Recommend = chains.depends(Recommend, use_binary=True, concurrency_limit=10),
    ) -> None:
        self._prices = prices
        self._recommend = recommend

    async def run_remote(self, article: str) -> list[Offer]:
        articles = await self._recommend.run_remote(text.normal(article))
        return [await self._prices.run_remote(a) for a in articles]

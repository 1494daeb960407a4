import missing_torchlike as mtl
import truss_chains as chains
from missing_torchlike import nn
from missing_torchlike.utils.data import Loader


class Net(nn.Module):
    @mtl.no_grad()
    def forward(self, x: mtl.Tensor) -> "mtl.Tensor | None":
        return x


class Model(chains.ChainletBase):
    remote_config = chains.RemoteConfig(
        docker_image=chains.DockerImage(pip_requirements=["missing-torchlike>=2"])
    )

    def __init__(self) -> None:
        self._net = Net().to(mtl.device("cuda"))

    @mtl.inference_mode
    async def run_remote(self, x: int) -> int:
        return int(self._net(x))

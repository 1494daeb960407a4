import missing_torchlike as mtl
import truss_chains as chains

WEIGHTS = mtl.zeros(3)


class Model(chains.ChainletBase):
    remote_config = chains.RemoteConfig(
        docker_image=chains.DockerImage(pip_requirements=["missing-torchlike>=2"])
    )

    async def run_remote(self, x: int) -> int:
        return x

"""One Chainlet a group of fields: together they use every field that a package knows."""

import truss_chains as chains
from truss_chains.assets import ExternalDataItem, ModelRepo, WeightsAuth
from truss_chains.config import HealthChecks
from truss_chains.images import DockerAuthSettings

here = chains.make_abs_path_here


class CustomImage(chains.ChainletBase):
    remote_config = chains.RemoteConfig(
        docker_image=chains.DockerImage(
            base_image=chains.CustomImage(
                image="registry.example.com/base:1",
                python_executable_path="/usr/bin/python3",
                docker_auth=DockerAuthSettings(
                    auth_method="registry_secret",
                    registry="registry.example.com",
                    secret_name="registry_key",
                    aws_access_key_id_secret_name="their_id",
                    aws_secret_access_key_secret_name="their_key",
                ),
            ),
            apt_requirements=["libsndfile1", "ffmpeg"],
            truss_server_version_override="0.9.90",
        ),
        build_commands=["echo one", "echo 'two'"],
    )

    async def run_remote(self) -> int:
        return 1


class PipFile(chains.ChainletBase):
    remote_config = chains.RemoteConfig(
        docker_image=chains.DockerImage(
            base_image=chains.BasetenImage.PY311,
            requirements_file=here("requirements.txt"),
            pip_requirements=["six==1.16.0"],
        ),
        compute=chains.Compute(instance_type="L4:8x32"),
    )

    async def run_remote(self) -> int:
        return 1


class Project(chains.ChainletBase):
    remote_config = chains.RemoteConfig(
        docker_image=chains.DockerImage(requirements_file=here("project/pyproject.toml"))
    )

    async def run_remote(self) -> int:
        return 1


class Locked(chains.ChainletBase):
    remote_config = chains.RemoteConfig(
        docker_image=chains.DockerImage(
            base_image=chains.CustomImage(
                image="us-docker.pkg.dev/p/r/base:1",
                docker_auth=DockerAuthSettings(
                    auth_method="GCP_OIDC",
                    registry="us-docker.pkg.dev",
                    gcp_oidc_service_account="a@p.iam",
                    gcp_oidc_workload_id_provider="projects/1/providers/p",
                ),
            ),
            requirements_file=here("locked/uv.lock"),
        )
    )

    async def run_remote(self) -> int:
        return 1


class Files(chains.ChainletBase):
    """Directories of all kinds, and what lies beside a module."""

    remote_config = chains.RemoteConfig(
        docker_image=chains.DockerImage(data_dir=here("data"), external_package_dirs=[here("ext")])
    )

    async def run_remote(self) -> str:
        import vendored
        from src import words

        return vendored.NAME + words.FIRST


class Options(chains.ChainletBase):
    remote_config = chains.RemoteConfig(
        name="with-options",
        compute=chains.Compute(
            cpu_count=4, memory="16Gi", gpu="A10G", gpu_count=2, predict_concurrency="cpu_count"
        ),
        assets=chains.Assets(
            secret_keys=["hf_token"],
            weights=[
                chains.WeightsSource(
                    source="hf://owner/model@main", mount_location="/weights", allow_patterns=["*.safetensors"]
                ),
                chains.WeightsSource(
                    source="s3://bucket/model",
                    mount_location="/more",
                    auth=WeightsAuth(
                        auth_method="AWS_OIDC", aws_oidc_role_arn="arn:aws:iam::1:role/r", aws_oidc_region="us-1"
                    ),
                    ignore_patterns=["*.bin"],
                ),
                chains.WeightsSource(
                    source="gs://bucket/model",
                    mount_location="/third",
                    auth=WeightsAuth(
                        auth_method="GCP_OIDC",
                        gcp_oidc_service_account="a@p.iam",
                        gcp_oidc_workload_id_provider="projects/1/providers/p",
                    ),
                ),
                chains.WeightsSource(
                    source="s3://bucket/other",
                    mount_location="/fourth",
                    auth=WeightsAuth(auth_method="CUSTOM_SECRET", auth_secret_name="aws_key"),
                ),
                chains.WeightsSource(source="hf://o/m", mount_location="/fifth", auth_secret_name="hf_key"),
            ],
        ),
        options=chains.ChainletOptions(
            enable_b10_tracing=True,
            enable_debug_logs=True,
            env_variables={"MODE": "fast", "QUOTED": 'a "b"\n'},
            health_checks=HealthChecks(
                restart_check_delay_seconds=60,
                restart_threshold_seconds=600,
                stop_traffic_threshold_seconds=30,
                startup_threshold_seconds=900,
            ),
            metadata={"team": "audio", "levels": [1, 2.5, None]},
            streaming_read_timeout=120,
        ),
    )

    async def run_remote(self) -> int:
        return 1

    def is_healthy(self) -> bool:
        return True


class Caches(chains.ChainletBase):
    """What is fetched before a replica starts, and an image that needs a cloud's identity."""

    remote_config = chains.RemoteConfig(
        docker_image=chains.DockerImage(
            base_image=chains.CustomImage(
                image="1.dkr.ecr.us-1.amazonaws.com/base:1",
                docker_auth=DockerAuthSettings(
                    auth_method="aws_oidc",
                    aws_oidc_role_arn="arn:aws:iam::1:role/r",
                    aws_oidc_region="us-1",
                ),
            ),
            pip_requirements_file=here("more.txt"),
        ),
        assets=chains.Assets(
            cached=[
                ModelRepo(
                    repo_id="owner/model",
                    revision="main",
                    allow_patterns=["*.json"],
                    ignore_patterns=["*.bin"],
                    volume_folder="model",
                    use_volume=True,
                    runtime_secret_name="hf_token",
                ),
                ModelRepo(repo_id="gs://bucket/model", kind="gcs", use_volume=False),
            ],
            external_data=[
                ExternalDataItem(url="https://example.com/words.txt", local_data_path="words.txt", name="words")
            ],
        ),
        options=chains.ChainletOptions(transport={"kind": "grpc"}),
        autoscaling=chains.Autoscaling(
            min_replicas=0, max_replicas=3, concurrency_target=4, window_s=30.0, scale_down_delay_s=60.0
        ),
    )

    async def run_remote(self) -> int:
        return 1


class Socket(chains.ChainletBase):
    remote_config = chains.RemoteConfig(
        options=chains.ChainletOptions(
            transport={"kind": "websocket", "ping_interval_seconds": 5.0, "ping_timeout_seconds": None}
        )
    )

    async def run_remote(self, websocket: chains.WebSocketProtocol) -> None:
        await websocket.send_text("hello")


class Wrapped(chains.TrussChainlet):
    truss_dir = "truss"


@chains.mark_entrypoint("fields")
class Entry(chains.ChainletBase):
    def __init__(
        self,
        image: CustomImage = chains.depends(CustomImage),
        pip: PipFile = chains.depends(PipFile, retries=2),
        project: Project = chains.depends(Project),
        locked: Locked = chains.depends(Locked),
        files: Files = chains.depends(Files, use_binary=True),
        options: Options = chains.depends(Options, timeout_sec=1.5, concurrency_limit=7),
        wrapped: Wrapped = chains.depends(Wrapped),
        caches: Caches = chains.depends(Caches),
    ) -> None:
        self._files = files

    async def run_remote(self) -> str:
        return await self._files.run_remote()

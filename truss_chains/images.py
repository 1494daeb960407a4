"""The environment of a Chainlet: base image, requirements, data and files."""

import logging
import re
from enum import Enum
from typing import Any, Final, Self

from pydantic import Field, field_validator, model_validator

from chains_protocol.errors import Code
from truss_chains.errors import ChainsUsageError
from truss_chains.paths import AbsPath
from truss_chains.settings import ClosedSettings, OpenSettings

_LOG: Final = logging.getLogger(__name__)
_VERSION: Final = re.compile(r"v?\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?(\+[a-z0-9.]+)?")
_AUTH_METHODS: Final = (
    "GCP_SERVICE_ACCOUNT_JSON",
    "AWS_IAM",
    "AWS_OIDC",
    "GCP_OIDC",
    "REGISTRY_SECRET",
)


class BasetenImage(Enum):
    """Default images, by Python version."""

    PY39 = "py39"
    PY310 = "py310"
    PY311 = "py311"
    PY312 = "py312"
    PY313 = "py313"

    @property
    def python_version(self) -> str:
        """Such as `3.11`."""
        return f"{self.value[2]}.{self.value[3:]}"


class DockerAuthSettings(OpenSettings):
    """How to pull a private image. `auth_method` is case-insensitive."""

    auth_method: str
    registry: str | None = ""
    secret_name: str | None = None
    aws_access_key_id_secret_name: str = "aws_access_key_id"  # noqa: S105 (the name of a secret)
    aws_secret_access_key_secret_name: str = "aws_secret_access_key"  # noqa: S105 (the name of a secret)
    aws_oidc_role_arn: str | None = None
    aws_oidc_region: str | None = None
    gcp_oidc_service_account: str | None = None
    gcp_oidc_workload_id_provider: str | None = None

    @field_validator("auth_method")
    @classmethod
    def _known_method(cls, value: str) -> str:
        if value.upper() not in _AUTH_METHODS:
            raise ValueError(f"`{value}` is not one of {', '.join(_AUTH_METHODS)}")
        return value.upper()


class CustomImage(OpenSettings):
    """An image of your own. `python_executable_path` is absolute, inside the image."""

    image: str = Field(min_length=1)
    python_executable_path: str | None = None
    docker_auth: DockerAuthSettings | None = None

    @field_validator("python_executable_path")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("/"):
            raise ValueError(f"`{value}` is not an absolute path")
        return value


class DockerImage(ClosedSettings):
    """The environment a Chainlet runs in.

    Args:
        base_image: a `BasetenImage` (a Python version) or a `CustomImage`.
        requirements_file: `requirements.txt`, `pyproject.toml` or `uv.lock`.
        pip_requirements_file: deprecated name of `requirements_file`.
        pip_requirements: more requirement lines; only beside pip-style files.
        apt_requirements: system packages.
        data_dir: a directory that is copied and appears as `context.data_dir`.
        external_package_dirs: directories whose contents become importable.
        truss_server_version_override: a release of the Truss server, where the target has one.
    """

    base_image: BasetenImage | CustomImage = BasetenImage.PY311
    requirements_file: AbsPath | None = None
    pip_requirements_file: AbsPath | None = None
    pip_requirements: list[str] = Field(default_factory=list)
    apt_requirements: list[str] = Field(default_factory=list)
    data_dir: AbsPath | None = None
    external_package_dirs: list[AbsPath] | None = None
    truss_server_version_override: str | None = None

    @field_validator("base_image", mode="before")
    @classmethod
    def _no_text(cls, value: Any) -> Any:  # raw input of any type
        if isinstance(value, str):
            raise ChainsUsageError(
                f"`base_image` takes a `BasetenImage` or a `CustomImage`, not the text `{value}`",
                code=Code.BAD_REMOTE_CONFIG,
                remedy=f'write `base_image=chains.CustomImage(image="{value}")`',
            )
        return value

    @field_validator("truss_server_version_override")
    @classmethod
    def _version(cls, value: str | None) -> str | None:
        if value is not None and not _VERSION.fullmatch(value):
            raise ValueError(f"`{value}` is not a version")
        return value

    @model_validator(mode="after")
    def _merge_alias(self) -> Self:
        old, new = self.pip_requirements_file, self.requirements_file
        if old is None or new is old:
            return self
        if new is not None:
            raise ChainsUsageError(
                "`requirements_file` and its deprecated name `pip_requirements_file` are both given",
                code=Code.BAD_REMOTE_CONFIG,
                remedy="keep `requirements_file`",
            )
        _LOG.warning("`pip_requirements_file` is deprecated; write `requirements_file` instead.")
        # Not an assignment: that would validate, and come back here.
        self.__dict__["requirements_file"] = old
        return self


__all__ = ["BasetenImage", "CustomImage", "DockerAuthSettings", "DockerImage"]

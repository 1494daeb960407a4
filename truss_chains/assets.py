"""Secrets, weights, caches and other files that a Chainlet needs beside its code."""

import copy
from collections.abc import Iterable, Mapping
from typing import Final, Literal, Self, TypeVar

from pydantic import BaseModel, Field, field_validator, model_validator

from chains_protocol.errors import Code
from truss_chains.errors import ChainsUsageError
from truss_chains.settings import OpenSettings

_WEIGHT_SCHEMES: Final = ("hf", "s3", "gs", "azure", "r2", "cw", "https")

ModelT = TypeVar("ModelT", bound=BaseModel)


class ModelRepo(OpenSettings):
    """A model repository that is downloaded while the image is built or when a replica starts."""

    repo_id: str = Field(min_length=1)
    revision: str | None = None
    allow_patterns: list[str] | None = None
    ignore_patterns: list[str] | None = None
    volume_folder: str | None = None
    use_volume: bool
    kind: Literal["hf", "gcs", "s3", "azure"] = "hf"
    runtime_secret_name: str = "hf_access_token"  # noqa: S105 (the name of a secret)


class ExternalDataItem(OpenSettings):
    """A file that is downloaded from `url` into the data directory, at `local_data_path`."""

    url: str = Field(min_length=1)
    local_data_path: str = Field(min_length=1)
    backend: str = "http_public"
    name: str | None = None


class WeightsAuth(OpenSettings):
    """How to read a source of weights that is not public."""

    auth_method: str
    auth_secret_name: str | None = None
    aws_oidc_role_arn: str | None = None
    aws_oidc_region: str | None = None
    gcp_oidc_service_account: str | None = None
    gcp_oidc_workload_id_provider: str | None = None


class WeightsSource(OpenSettings):
    """Weights that appear at `mount_location` when the Chainlet starts.

    Args:
        source: a URI such as `hf://owner/repo@main` or `s3://bucket/path`. `@revision` only
            for `hf://`.
        mount_location: absolute path in the replica, used once per Chainlet.
        auth: how to authenticate, or
        auth_secret_name: the secret that holds the credentials; only in one of the two places.
        allow_patterns: files to take, for example `["*.safetensors"]`.
        ignore_patterns: files to leave out.
    """

    source: str = Field(min_length=1)
    mount_location: str = Field(min_length=1)
    auth: WeightsAuth | None = None
    auth_secret_name: str | None = None
    allow_patterns: list[str] | None = None
    ignore_patterns: list[str] | None = None

    @field_validator("source")
    @classmethod
    def _check_source(cls, value: str) -> str:
        scheme, separator, rest = value.partition("://")
        if not separator or scheme not in _WEIGHT_SCHEMES or not rest:
            supported = ", ".join(f"{s}://" for s in _WEIGHT_SCHEMES)
            raise ValueError(f"`{value}` does not start with a supported scheme ({supported})")
        if scheme not in ("hf", "https") and "@" in rest:
            raise ValueError(f"`{value}`: only `hf://` sources take a revision after `@`")
        return value

    @field_validator("mount_location")
    @classmethod
    def _check_mount(cls, value: str) -> str:
        if not value.startswith("/"):
            raise ValueError(f"`{value}` is not an absolute path")
        return value

    @model_validator(mode="after")
    def _check_auth(self) -> Self:
        if self.auth_secret_name and self.auth and self.auth.auth_secret_name:
            raise ValueError("`auth_secret_name` is given twice: beside `auth` and inside it")
        return self


class AssetSpec(OpenSettings):
    """`Assets` as checked data."""

    secret_keys: list[str] = Field(default_factory=list)
    cached: list[ModelRepo] = Field(default_factory=list)
    external_data: list[ExternalDataItem] = Field(default_factory=list)
    weights: list[WeightsSource] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if self.cached and self.weights:
            raise ValueError("`cached` and `weights` exclude each other; move all to `weights`")
        mounts = [source.mount_location for source in self.weights]
        repeated = sorted({mount for mount in mounts if mounts.count(mount) > 1})
        if repeated:
            raise ValueError(f"`mount_location` is used more than once: {', '.join(repeated)}")
        return self


class Assets:
    """Files and secrets of a Chainlet.

    Args:
        cached: model repositories to cache, items are `ModelRepo`.
        secret_keys: names of the secrets that the Chainlet may read from `context.secrets`.
        external_data: files to download, items are `ExternalDataItem`.
        weights: mounted weights, items are `WeightsSource`; not together with `cached`.

    Raises:
        ChainsUsageError: CH115 if an argument is a plain text instead of a list (WP-33).
        ValidationError: an item is not valid.
    """

    def __init__(
        self,
        cached: Iterable[ModelRepo] = (),
        secret_keys: Iterable[str] = (),
        external_data: Iterable[ExternalDataItem] = (),
        weights: Iterable[WeightsSource] = (),
    ) -> None:
        self._spec = AssetSpec(
            secret_keys=list(dict.fromkeys(_items("secret_keys", secret_keys))),
            cached=[_model(ModelRepo, item) for item in _items("cached", cached)],
            external_data=[_model(ExternalDataItem, item) for item in _items("external_data", external_data)],
            weights=[_model(WeightsSource, item) for item in _items("weights", weights)],
        )

    def get_spec(self) -> AssetSpec:
        """A copy of the checked data."""
        return copy.deepcopy(self._spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Assets) and self._spec == other._spec

    def __hash__(self) -> int:
        return hash(repr(self._spec))

    def __repr__(self) -> str:
        return f"Assets({self._spec!s})"


ItemT = TypeVar("ItemT")


def _items(name: str, given: Iterable[ItemT]) -> list[ItemT]:
    """The items of an argument; a text or a single object is refused instead of taken apart."""
    if isinstance(given, str | bytes | Mapping | BaseModel) or not isinstance(given, Iterable):
        raise ChainsUsageError(
            f"`{name}` takes a list, not the single value {given!r}",
            code=Code.BAD_REMOTE_CONFIG,
            remedy=f"write `{name}=[{given!r}]`",
        )
    return list(given)


def _model(cls: type[ModelT], item: object) -> ModelT:
    """`item` as `cls`: itself, or built from a mapping or another library's model of the same fields."""
    if isinstance(item, cls):
        return item
    if isinstance(item, BaseModel):
        return cls.model_validate(item.model_dump(mode="json", exclude_none=True))
    return cls.model_validate(item)


__all__ = [
    "AssetSpec",
    "Assets",
    "ExternalDataItem",
    "ModelRepo",
    "WeightsAuth",
    "WeightsSource",
]

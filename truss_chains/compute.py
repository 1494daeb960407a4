"""What a replica needs: cores, memory, accelerators."""

import copy
import difflib
import re
from enum import StrEnum
from typing import Final, Literal

from pydantic import Field, field_validator

from chains_protocol.errors import Code
from truss_chains.errors import ChainsUsageError, SettingsError
from truss_chains.settings import ClosedSettings

_QUANTITY: Final = re.compile(r"(\d+(?:\.\d+)?)(|[kMGTPE]|[KMGTPE]i)")
_STEPS: Final = "kMGTPE"


class Accelerator(StrEnum):
    """The accelerators that can be asked for by name."""

    T4 = "T4"
    L4 = "L4"
    A10G = "A10G"
    V100 = "V100"
    A100 = "A100"
    A100_40GB = "A100_40GB"
    H100 = "H100"
    H200 = "H200"
    H100_40GB = "H100_40GB"
    B200 = "B200"
    B300 = "B300"
    GB300 = "GB300"
    L40S = "L40S"
    RTX_PRO_6000 = "RTX_PRO_6000"


def parse_memory(text: str) -> int:
    """Bytes of a quantity such as `2Gi`, `500M`, `1.5Gi` or `1048576`.

    Units are `k M G T P E` (powers of 1,000) and `Ki Mi Gi Ti Pi Ei` (powers of 1,024).

    Raises:
        ValueError: `text` is no such quantity.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"`{text}` is not an amount of memory; write for example `512Mi` or `2Gi`")
    number, unit = match.groups()
    if not unit:
        return int(float(number))
    base = 1024 if unit.endswith("i") else 1000
    exponent = _STEPS.index(unit[0].replace("K", "k")) + 1
    return int(float(number) * base**exponent)


class ComputeSpec(ClosedSettings):
    """`Compute` as checked data. `predict_concurrency` is a number here, `gpu` a known name."""

    cpu_count: int = Field(default=1, ge=1)
    memory: str = "2Gi"
    gpu: str | None = None
    gpu_count: int = Field(default=1, ge=1)
    predict_concurrency: int = Field(default=1, ge=1)
    instance_type: str | None = Field(default=None, min_length=1)

    @field_validator("memory")
    @classmethod
    def _check_memory(cls, value: str) -> str:
        parse_memory(value)
        return value

    @property
    def memory_bytes(self) -> int:
        """`memory` in bytes."""
        return parse_memory(self.memory)


class Compute:
    """Hardware of one replica.

    Args:
        cpu_count: CPU cores.
        memory: a quantity such as `2Gi`, see `parse_memory`.
        gpu: an accelerator's name, for example `L4`.
        gpu_count: accelerators per replica; no effect without `gpu`.
        predict_concurrency: requests that one replica works on at once; `"cpu_count"` takes
            the number of cores.
        instance_type: a named machine type; where the target knows it, it overrides cores,
            memory and accelerators.

    Raises:
        ValueError: an unknown accelerator, a malformed quantity, a number below 1.
        ChainsUsageError: CH115 if `predict_concurrency` is another text than `"cpu_count"`.
    """

    def __init__(  # noqa: PLR0917 (a published signature)
        self,
        cpu_count: int = 1,
        memory: str = "2Gi",
        gpu: str | Accelerator | None = None,
        gpu_count: int = 1,
        predict_concurrency: int | Literal["cpu_count"] = 1,
        instance_type: str | None = None,
    ) -> None:
        if isinstance(predict_concurrency, str):
            if predict_concurrency != "cpu_count":
                raise ChainsUsageError(
                    "`predict_concurrency` of `Compute` is a number or "
                    f'"cpu_count", not "{predict_concurrency}"',
                    code=Code.BAD_REMOTE_CONFIG,
                    remedy='write a number, or `predict_concurrency="cpu_count"`',
                )
            predict_concurrency = cpu_count
        self._spec = ComputeSpec(
            cpu_count=cpu_count,
            memory=memory,
            gpu=_accelerator_name(gpu),
            gpu_count=gpu_count,
            predict_concurrency=predict_concurrency,
            instance_type=instance_type,
        )

    def get_spec(self) -> ComputeSpec:
        """A copy of the checked data."""
        return copy.deepcopy(self._spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Compute) and self._spec == other._spec

    def __hash__(self) -> int:
        return hash(repr(self._spec))

    def __repr__(self) -> str:
        return f"Compute({self._spec!s})"


def _accelerator_name(gpu: str | Accelerator | None) -> str | None:
    if gpu is None:
        return None
    try:
        return Accelerator(gpu).value
    except ValueError:
        raise SettingsError(
            f"`gpu` of `Compute`: `{gpu}` is not a known accelerator",
            code=Code.BAD_REMOTE_CONFIG,
            remedy=_accelerator_remedy(str(gpu)),
        ) from None


def _accelerator_remedy(gpu: str) -> str:
    name, separator, count = gpu.partition(":")
    if separator and name in list(Accelerator) and count.isdecimal():
        return f'write `gpu="{name}", gpu_count={count}`'
    near = difflib.get_close_matches(gpu.upper().replace("-", "_"), list(Accelerator), n=1)
    meant = f"did you mean `{near[0]}`? " if near else ""
    return f"{meant}known are {', '.join(Accelerator)}"


__all__ = ["Accelerator", "Compute", "ComputeSpec", "parse_memory"]

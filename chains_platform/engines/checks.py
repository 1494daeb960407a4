"""What the process engine can't honour of a Chainlet's wishes: pure, over the spec and a few facts."""

from collections.abc import Collection
from dataclasses import dataclass

from chains_platform.engines.pythons import is_supported
from chains_protocol.errors import Code, Diagnostic, Location, Severity
from chains_protocol.manifest import EnvironmentSpec
from chains_protocol.spec import ChainletKind, ChainletSpec

GPU = "gpu"
"""The name of the need in `allow_missing`."""


@dataclass(frozen=True)
class Machine:
    """Facts about this machine: a GPU is there; the Python that an environment would get."""

    has_gpu: bool
    python_version: str


def check_chainlet(
    spec: ChainletSpec, environment: EnvironmentSpec, machine: Machine, allow_missing: Collection[str]
) -> tuple[Diagnostic, ...]:
    """Errors refuse the deployment, warnings are shown. A mocked Chainlet needs no GPU and no engine."""
    found: list[Diagnostic] = []
    where = Location(path=spec.file, line=spec.line)
    if spec.mock is None:
        found += _engine(spec, where)
        found += _gpu(spec, where, machine, allow_missing)
    found += _target(spec, where, environment, machine)
    return tuple(found)


def _engine(spec: ChainletSpec, where: Location) -> list[Diagnostic]:
    if spec.kind is not ChainletKind.ENGINE_BUILDER:
        return []
    return [
        Diagnostic(
            code=Code.UNSUPPORTED_CHAINLET,
            message=f"`{spec.display_name}` is built by an engine builder, which this platform does not have",
            location=where,
            help=f"deploy it to a remote that has one, or use `--mock {spec.display_name}=auto`",
            chainlet=spec.display_name,
        )
    ]


def _gpu(
    spec: ChainletSpec, where: Location, machine: Machine, allow_missing: Collection[str]
) -> list[Diagnostic]:
    if spec.compute.gpu is None or machine.has_gpu or GPU in allow_missing:
        return []
    return [
        Diagnostic(
            code=Code.GPU_MISSING,
            message=f"`{spec.display_name}` asks for a GPU ({spec.compute.gpu}), and this machine has none",
            location=where,
            help=f"use `--mock {spec.display_name}=auto`, another remote with `--remote NAME`, "
            "or `--allow-missing gpu` to run it without",
            chainlet=spec.display_name,
        )
    ]


def _target(
    spec: ChainletSpec, where: Location, environment: EnvironmentSpec, machine: Machine
) -> list[Diagnostic]:
    wishes = []
    if spec.image.custom_image is not None:
        wishes.append("its base image")
    if spec.image.apt_requirements:
        wishes.append("its apt packages (" + ", ".join(spec.image.apt_requirements) + ")")
    if spec.image.build_commands:
        wishes.append("its build commands")
    found = []
    if wishes:
        found.append(
            _mismatch(
                spec,
                where,
                f"{' and '.join(wishes)} will not be used: replicas are processes of this machine",
                "install what it needs on this machine, or deploy to a remote that builds images",
            )
        )
    found += _assets(spec, where)
    if (spec.options.transport or {}).get("kind") == "grpc":
        what, remedy = "calls arrive over HTTP, not gRPC", "deploy it to a remote that has gRPC"
        found.append(_mismatch(spec, where, what, remedy))
    if machine.python_version != environment.python_version:
        found.append(_other_python(spec, where, environment.python_version, machine.python_version))
    return found


def _assets(spec: ChainletSpec, where: Location) -> list[Diagnostic]:
    """Files that a platform with containers would fetch; a mock needs none."""
    assets = spec.assets
    given = {
        "its cached models": assets.cached,
        "its weights": assets.weights,
        "its external data": assets.external_data,
    }
    missing = [name for name, items in given.items() if items]
    if not missing or spec.mock is not None:
        return []
    return [
        _mismatch(
            spec,
            where,
            f"{' and '.join(missing)} will not be fetched: nothing will be at the places they name",
            "load them in `__init__`, or deploy to a remote that fetches them",
        )
    ]


def _other_python(spec: ChainletSpec, where: Location, wanted: str, used: str) -> Diagnostic:
    if not is_supported(wanted):
        return _mismatch(
            spec,
            where,
            f"replicas do not run on Python {wanted}, Python {used} will be used",
            "choose a newer one with `base_image`, or deploy to a remote that builds images",
        )
    return _mismatch(
        spec,
        where,
        f"Python {wanted} is not installed, Python {used} will be used",
        f"install Python {wanted}, for example with `uv python install {wanted}`",
    )


def _mismatch(spec: ChainletSpec, where: Location, what: str, remedy: str) -> Diagnostic:
    return Diagnostic(
        code=Code.TARGET_MISMATCH,
        severity=Severity.WARNING,
        message=f"`{spec.display_name}`: {what}",
        location=where,
        help=remedy,
        chainlet=spec.display_name,
    )


__all__ = ["GPU", "Machine", "check_chainlet"]

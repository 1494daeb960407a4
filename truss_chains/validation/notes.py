"""What is allowed, but worth saying: V-53 and the warnings about settings."""

import inspect
import warnings
from collections.abc import Iterator
from pathlib import Path

from chains_protocol.errors import Code, Diagnostic, ErrorKind, Severity
from truss_chains.chainlet import AbstractChainlet
from truss_chains.config import RemoteConfig
from truss_chains.context import CHAIN_API_KEY_SECRET
from truss_chains.inspection import (
    Method,
    class_attribute,
    defining_class,
    endpoint_function,
    is_async,
    is_generator,
    method_name,
)
from truss_chains.source import Sources
from truss_chains.validation.subject import Subject

_OVERWRITTEN_VARIABLES = ("PORT", "HOSTNAME")


def notes_of(cls: type[AbstractChainlet], sources: Sources) -> Iterator[Diagnostic]:
    """Warnings and notes about one Chainlet of a Chain."""
    subject = Subject(cls, sources=sources)
    yield from _sync_note(subject)
    config = class_attribute(cls, "remote_config")
    if isinstance(config, RemoteConfig):
        yield from _config_notes(subject, config)


def warn_if_sync(cls: type) -> None:
    """V-53, for programs that run without the tool: a `DeprecationWarning` at the user's own line."""
    function = endpoint_function(cls)
    if function is None or _is_fine(function) or defining_class(cls, method_name(cls)) is not cls:
        return
    code = inspect.unwrap(function).__code__
    warnings.warn_explicit(
        f"{_sync_message(cls)}; {_sync_remedy(cls)}",
        DeprecationWarning,
        code.co_filename,
        code.co_firstlineno,
        module=cls.__module__,
    )


def _is_fine(function: Method) -> bool:
    """A synchronous generator is an error already (V-52)."""
    return is_async(function) or is_generator(function)


def _sync_message(cls: type) -> str:
    return (
        f"`{cls.__name__}.{method_name(cls)}` is not `async`; it works, but will have to be `async def`: "
        "it runs in a thread, and threads are no safe way to concurrency"
    )


def _sync_remedy(cls: type) -> str:
    return (
        f"write `async def {method_name(cls)}`, and test it inside `run_local` with "
        f"`asyncio.run(chainlet.{method_name(cls)}(...))`"
    )


def _sync_note(subject: Subject) -> Iterator[Diagnostic]:
    function = endpoint_function(subject.cls)
    if function is not None and not _is_fine(function):
        yield subject.problem(
            Code.SYNC_METHOD,
            ErrorKind.TYPE_ERROR,
            _sync_message(subject.cls),
            _sync_remedy(subject.cls),
            at=subject.sources.of_method(subject.cls, function),
            method=subject.method,
            severity=Severity.WARNING,
        )


def _config_notes(subject: Subject, config: RemoteConfig) -> Iterator[Diagnostic]:
    for name in _OVERWRITTEN_VARIABLES:
        if name in config.options.env_variables:
            yield _note(
                subject,
                f"the environment variable `{name}` of `{subject.name}` is overwritten by the platform",
                "choose another name",
            )
    compute = config.get_compute_spec()
    if compute.instance_type:
        yield _note(
            subject,
            f"`instance_type` `{compute.instance_type}` of `{subject.name}` overrides its cpu, memory and "
            "gpu where the target knows it",
            "leave out `cpu_count`, `memory` and `gpu`, or the `instance_type`",
        )
    if config.options.transport is not None and config.options.transport.kind == "grpc":
        yield _note(
            subject,
            f"`{subject.name}` asks for the `grpc` transport, which is ignored",
            "leave `transport` out",
        )
    for directory in config.docker_image.external_package_dirs or ():
        if Path(directory.path).name != "packages":
            yield _note(
                subject,
                f"`external_package_dirs` of `{subject.name}` names `{directory.original}`; its contents "
                "become importable, not the directory itself",
                "call the directory `packages` to make that plain",
                Severity.NOTE,
            )
    if CHAIN_API_KEY_SECRET in config.get_asset_spec().secret_keys:
        yield _note(
            subject,
            f"`secret_keys` of `{subject.name}` lists `{CHAIN_API_KEY_SECRET}`, which every "
            "Chainlet has anyway",
            "remove it from the list",
            Severity.NOTE,
        )


def _note(subject: Subject, message: str, remedy: str, severity: Severity = Severity.WARNING) -> Diagnostic:
    return subject.problem(
        Code.BAD_REMOTE_CONFIG,
        ErrorKind.INVALID_CONFIG_ERROR,
        message,
        remedy,
        at=subject.sources.of_class_variable(subject.cls, "remote_config"),
        severity=severity,
    )


__all__ = ["notes_of", "warn_if_sync"]

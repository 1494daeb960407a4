"""`push` from Python: the same verb as `chains push`, with a handle to the result.

The work is done by `chains_cli.operations`, imported inside the functions: the SDK in a
replica never loads it, and the tool need not be installed there.
"""

import logging
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chains_protocol.errors import Code, DiagnosticsError
from truss_chains import validation
from truss_chains.chainlet import declaration_of, is_chainlet_class
from truss_chains.errors import ChainsDeploymentError, ChainsUsageError
from truss_chains.service import ChainService, deployment_error

if TYPE_CHECKING:
    from rich.progress import Progress

    from chains_cli.events import Event
    from chains_cli.remotes.remote import Remote
    from chains_cli.settings import Settings

_LOG: Final = logging.getLogger(__name__)
_GENERATED: Final = ".chains_generated"
_DISCOVERY: Final = ("chains_cli", "discovery", "child.py")


def push(  # noqa: PLR0917 (a published signature)
    entrypoint: type,
    chain_name: str,
    publish: bool = True,
    promote: bool = True,
    only_generate_trusses: bool = False,
    remote: str | None = None,
    environment: str | None = None,
    progress_bar: "type[Progress] | None" = None,
    include_git_info: bool = False,
    disable_chain_download: bool = False,
) -> ChainService | None:
    """Deploy the Chain of `entrypoint`, and wait until it serves.

    Args:
        entrypoint: the entrypoint's class; it has to be defined in a file.
        chain_name: the name of the Chain.
        publish: make a published deployment; False makes the development deployment.
        promote: promote to `production`, unless `environment` names another.
        only_generate_trusses: write the packages to `<tmp>/.chains_generated`, contact nobody.
        remote: where to push to; `CHAINS_REMOTE`, else the platform of this machine, if None.
        environment: promote to this environment; implies `publish`.
        progress_bar: accepted for compatibility; progress is logged.
        include_git_info: accepted for compatibility; no information about git is sent.
        disable_chain_download: accepted for compatibility; the raw source is never sent.

    Returns:
        A handle to the deployment; None with `only_generate_trusses`.

    Raises:
        ChainsUsageError: the definitions are not valid (E-05), or the entrypoint is no Chainlet
            of a file.
        ChainsDeploymentError: the remote refuses, can't be reached, or the deployment failed.
    """
    from chains_cli.settings import Flags, load_settings

    source = _source_of(entrypoint)
    settings = load_settings(Flags(remote=remote))
    if only_generate_trusses:
        below = Path(tempfile.gettempdir())
        generate(source, entrypoint.__name__, chain_name, settings, below=below)
        return None
    environment = environment or ("production" if publish and promote else None)
    try:
        from chains_cli.operations.connect import connect

        connected = connect(settings, os.environ, _tell, start=True)
    except DiagnosticsError as error:
        raise deployment_error(error) from error
    return push_to(
        connected, source, entrypoint.__name__, chain_name, settings, environment=environment, publish=publish
    )


def push_to(
    remote: "Remote",
    source: Path,
    class_name: str,
    chain_name: str,
    settings: "Settings",
    *,
    environment: str | None,
    publish: bool,
    environ: Mapping[str, str] = os.environ,
) -> ChainService:
    """`push` to a remote that is connected already; raises what `push` raises."""
    from chains_cli.operations.push import PushOptions
    from chains_cli.operations.push import push as run

    options = PushOptions(
        chain_name=chain_name,
        environment=environment,
        development=not publish and environment is None,
    )
    try:
        result = run(
            source, class_name, settings, options=options, remote=remote, report=_tell, environ=environ
        )
    except DiagnosticsError as error:
        raise _translated(error) from error
    if result.exit_code or result.deployment is None:
        raise deployment_error(DiagnosticsError(result.diagnostics))
    return ChainService(remote, result.deployment)


def generate(
    source: Path,
    class_name: str,
    chain_name: str,
    settings: "Settings",
    *,
    below: Path,
    environ: Mapping[str, str] = os.environ,
) -> Path:
    """Write the packages to `<below>/.chains_generated/<chain name>`, and return that directory (G-01).

    Raises:
        ChainsUsageError: the Chain is not valid.
        ChainsDeploymentError: the packages can't be written.
    """
    from chains_cli.operations.packages import package
    from chains_cli.operations.source import SourceOptions

    directory = re.sub(r"_+", "_", re.sub(r"[^\w.-]", "_", chain_name.strip()))
    out = below / _GENERATED / directory
    try:
        package(
            source,
            class_name,
            out,
            settings,
            options=SourceOptions(chain_name),
            report=_tell,
            environ=environ,
        )
    except DiagnosticsError as error:
        raise _translated(error) from error
    _LOG.info("The packages of `%s` are in %s.", chain_name, out)
    return out


def _source_of(entrypoint: Any) -> Path:  # whatever the caller passes
    """The file that defines the entrypoint; raises what keeps it from being pushed."""
    validation.raise_if_any()
    if not is_chainlet_class(entrypoint):
        raise ChainsUsageError(f"`{entrypoint!r}` is no Chainlet class.", code=Code.BAD_ENTRYPOINT)
    if Path(getattr(sys.modules["__main__"], "__file__", None) or "").parts[-3:] == _DISCOVERY:
        raise ChainsUsageError(
            "`push` was called while the file was being read for a push; move the call below "
            '`if __name__ == "__main__":`.',
            code=Code.BAD_ENTRYPOINT,
        )
    source = Path(declaration_of(entrypoint).path)
    if not source.is_file():
        raise ChainsUsageError(
            f"`{entrypoint.__name__}` was defined in an interactive session; a Chain has to be in a file.",
            code=Code.UNSUPPORTED_CHAINLET,
        )
    return source


def _translated(error: DiagnosticsError) -> ChainsUsageError | ChainsDeploymentError:
    """CH1xx and CH2xx are about the user's Chain, everything else about the deployment."""
    if all(d.code.startswith(("CH1", "CH2")) for d in error.diagnostics):
        return validation.usage_error(error.diagnostics)
    return deployment_error(error)


def _tell(event: "Event") -> None:
    _LOG.info("%s", event)


__all__ = ["generate", "push", "push_to"]

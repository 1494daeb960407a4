"""Package directories made by hand."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from chains_protocol.digest import bytes_digest
from chains_protocol.spec import (
    AssetsSpec,
    ChainletSpec,
    ComputeSpec,
    DependencySpec,
    EndpointSpec,
    MockSpec,
    OptionsSpec,
    RPCOptions,
)


def dependency(class_name: str, parameter: str, options: RPCOptions | None = None) -> DependencySpec:
    return DependencySpec(
        parameter=parameter,
        class_name=class_name,
        display_name=class_name,
        options=options or RPCOptions(),
    )


def write_package(
    root: Path,
    files: Mapping[str, str],
    class_name: str,
    *,
    module: str = "chain",
    dependencies: Sequence[DependencySpec] = (),
    takes_context: bool = False,
    concurrency: int = 64,
    secret_keys: Sequence[str] = (),
    options: OptionsSpec | None = None,
    endpoint: EndpointSpec | None = None,
    mock: MockSpec | None = None,
    data: Mapping[str, str] | None = None,
) -> Path:
    """Write a package below `root`; files are dedented Python sources by relative path."""
    spec = ChainletSpec(
        class_name=class_name,
        display_name=class_name,
        module=module,
        qualname=class_name,
        file=module.replace(".", "/") + ".py",
        endpoint=endpoint or EndpointSpec(),
        dependencies=tuple(dependencies),
        takes_context=takes_context,
        compute=ComputeSpec(predict_concurrency=concurrency),
        assets=AssetsSpec(secret_keys=tuple(secret_keys)),
        options=options or OptionsSpec(),
        mock=mock,
    )
    for path, text in files.items():
        target = root / "packages" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(text))
    for path, text in (data or {}).items():
        target = root / "data" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    (root / "packages").mkdir(parents=True, exist_ok=True)
    (root / "chains.json").write_text(spec.model_dump_json())
    return root


def digest_of(text: str) -> str:
    """Some digest."""
    return bytes_digest(text.encode())

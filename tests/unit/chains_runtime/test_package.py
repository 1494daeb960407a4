"""Opening a package directory, and what a Chainlet is told about its services."""

from pathlib import Path

import pytest

from chains_protocol.errors import Code, DiagnosticsError
from chains_protocol.kinds import ChainletKind
from chains_protocol.replica import ReplicaLaunch
from chains_protocol.routes import ReplicaSet
from chains_runtime.context import build_context, predict_url
from chains_runtime.package import open_package
from tests.unit.chains_runtime.packages import dependency, write_package


def test_a_package_is_opened(tmp_path: Path) -> None:
    found = open_package(write_package(tmp_path, {"chain.py": ""}, "Some", data={"a": "1"}))
    assert (found.spec.class_name, found.source_root, found.data_dir) == (
        "Some",
        tmp_path / "packages",
        tmp_path / "data",
    )
    assert not found.is_auto_mock


def broken(tmp_path: Path, how: str) -> Path:
    root = write_package(tmp_path, {"chain.py": ""}, "Some")
    spec = root / "chains.json"
    if how == "no spec":
        spec.unlink()
    elif how == "not a spec":
        spec.write_text("{}")
    elif how == "other kind":
        text = spec.read_text().replace(f'"kind":"{ChainletKind.CHAINLET}"', f'"kind":"{ChainletKind.TRUSS}"')
        spec.write_text(text)
    else:
        (root / "packages" / "chain.py").unlink()
        (root / "packages").rmdir()
    return root


@pytest.mark.parametrize("how", ["no spec", "not a spec", "other kind", "no source"])
def test_what_is_no_package_is_refused(tmp_path: Path, how: str) -> None:
    with pytest.raises(DiagnosticsError) as refused:
        open_package(broken(tmp_path, how))
    (found,) = refused.value.diagnostics
    assert (found.code, found.help is not None) == (Code.BAD_PACKAGE, True)


def test_services_are_known_by_class_name(tmp_path: Path) -> None:
    package = write_package(
        tmp_path, {"chain.py": ""}, "Some", dependencies=[dependency("A", "a"), dependency("B", "b")]
    )
    launch = ReplicaLaunch(replica_id="r", deployment="d", admin_token="x", package_digest="0" * 64)
    services = {"A": (ReplicaSet(addresses=("http://127.0.0.1:1",), token="t"),)}
    context = build_context(open_package(package).spec, launch, None, services)
    assert context.get_service_descriptor("A").predict_url == "http://127.0.0.1:1/v1/models/model:predict"
    assert context.get_service_descriptor("B").predict_url is not None
    assert (context.environment, context.data_dir, len(context.secrets)) == (None, None, 0)


def test_socket_paths_are_percent_encoded() -> None:
    assert predict_url("unix:/tmp/a b") == "http+unix://%2Ftmp%2Fa%20b/v1/models/model:predict"

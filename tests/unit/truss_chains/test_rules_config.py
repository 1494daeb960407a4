"""V-10 to V-13 and V-70 to V-73: class variables."""

from pathlib import Path

import pytest

from truss_chains.describe_config import truss_dir

RUN = "    async def run_remote(self) -> int: return 1\n"


def test_v10_a_remote_config_of_another_type_is_collected(define):
    found = define(f"class A(chains.ChainletBase):\n    remote_config = {{'name': 'x'}}\n{RUN}")
    assert found.only.code == "CH115"
    assert found.only.kind == "TYPE_ERROR"
    assert "`dict`" in found.only.message and "`RemoteConfig`" in found.only.message
    assert (found.only.location.line, found.only.location.column) == (3, 5)
    assert found.A.display_name == "A"


ENGINE = """
from truss_chains.engine_builder import TRTLLMConfiguration

class E(chains.EngineBuilderLLMChainlet):
    engine_builder_config = {engine}
    remote_config = chains.RemoteConfig({config})
"""


def test_v11_an_engine_needs_its_configuration_object(define):
    assert define(ENGINE.format(engine="TRTLLMConfiguration(build={'a': 1})", config="")).errors == []
    wrong = define(ENGINE.format(engine="{'build': 1}", config="")).only
    assert (wrong.code, wrong.kind) == ("CH124", "TYPE_ERROR")
    assert "`dict`" in wrong.message and "TRTLLMConfiguration" in wrong.message
    missing = define("class E(chains.EngineBuilderLLMChainlet): pass").only
    assert "missing" in missing.message


def test_v12_all_offending_settings_are_listed_in_one_error(define):
    config = (
        "docker_image=chains.DockerImage(apt_requirements=['git']), "
        "assets=chains.Assets(external_data=[{'url': 'u', 'local_data_path': 'p'}]), "
        "options=chains.ChainletOptions(health_checks={'restart_threshold_seconds': 5})"
    )
    error = define(ENGINE.format(engine="TRTLLMConfiguration()", config=config)).only
    assert (error.code, error.kind) == ("CH124", "INVALID_CONFIG_ERROR")
    for name in ("docker_image", "assets.external_data", "options.health_checks"):
        assert f"`{name}`" in error.message
    assert "`assets.cached`" not in error.message


def test_v12_weights_compute_and_secrets_are_allowed(define):
    config = (
        "compute=chains.Compute(gpu='H100'), assets=chains.Assets(secret_keys=['k'], "
        "weights=[chains.WeightsSource(source='hf://a/b', mount_location='/w')])"
    )
    assert define(ENGINE.format(engine="TRTLLMConfiguration()", config=config)).errors == []


def test_an_engine_has_no_method_of_its_own(define):
    own = "\n    async def run_remote(self, x: int) -> int: ...\n"
    found = define(ENGINE.format(engine="TRTLLMConfiguration()", config="") + own + "class Sub(E): pass\n")
    assert (found.only.code, found.only.chainlet, found.only.method) == ("CH124", "E", "run_remote")


TRANSPORT = """
class A(chains.ChainletBase):
    remote_config = chains.RemoteConfig(options=chains.ChainletOptions(transport={transport}))
    async def run_remote(self, {parameter}) -> None: ...
"""


@pytest.mark.parametrize(
    ("transport", "parameter", "codes"),
    [
        ("None", "ws: chains.WebSocketProtocol", []),
        ("None", "x: int", []),
        ({"kind": "websocket"}, "ws: chains.WebSocketProtocol", []),
        ({"kind": "http"}, "x: int", []),
        ({"kind": "grpc"}, "x: int", []),
        ({"kind": "http"}, "ws: chains.WebSocketProtocol", ["CH116"]),
        ({"kind": "grpc"}, "ws: chains.WebSocketProtocol", ["CH116"]),
        ({"kind": "websocket"}, "x: int", ["CH116"]),
    ],
)
def test_v13_the_transport_fits_the_endpoint(define, transport, parameter, codes):
    found = define(TRANSPORT.format(transport=transport, parameter=parameter))
    assert found.codes == codes
    assert all(d.kind == "INVALID_CONFIG_ERROR" for d in found.errors)


def test_v70_truss_dir_is_required_and_inherited_values_count(define):
    found = define(
        "class Base(chains.TrussChainlet):\n    truss_dir = './t'\n"
        "class Sub(Base): pass\n"
        "class Bare(chains.TrussChainlet): pass\n"
    )
    assert found.only.code == "CH122"
    assert found.only.kind == "MISSING_API_ERROR"
    assert found.only.chainlet == "Bare"


def test_v71_truss_dir_is_a_path(define):
    error = define("class T(chains.TrussChainlet):\n    truss_dir = 3\n").only
    assert (error.code, error.kind) == ("CH122", "TYPE_ERROR")
    assert "`int`" in error.message
    assert error.location.line == 3


def test_v72_relative_directories_resolve_against_the_declaring_file(define):
    found = define("class T(chains.TrussChainlet):\n    truss_dir = './t'\nclass Sub(T): pass\n")
    assert truss_dir(found.Sub) == found.path.parent / "t"
    absolute = define("class U(chains.TrussChainlet):\n    truss_dir = '/somewhere'\n", name="other")
    assert truss_dir(absolute.U) == Path("/somewhere")


def test_v73_v74_a_missing_directory_is_no_error_here_and_deps_are_ignored(define):
    found = define("class T(chains.TrussChainlet):\n    truss_dir = './absent'\n    deps = ['x']\n")
    assert found.errors == []

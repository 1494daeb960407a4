"""`TrussHandle` and what it reads inside a deployed Chain (1.11, R-31 to R-33)."""

import json
from pathlib import Path

import pytest

import truss_chains as chains
from truss_chains.context import InternalURL
from truss_chains.errors import MissingDependencyError
from truss_chains.remote_chainlet.truss_chainlet import (
    DYNAMIC_CONFIG_VARIABLE,
    SECRET_VARIABLE_PREFIX,
    CallArgs,
    ServiceURLs,
    TrussHandle,
    get_baseten_chain_api_key,
    get_service_urls,
    http_call_args,
    ws_call_args,
)

PUBLIC = "https://chain-1.api.example.com/deployment/d/chainlet/c/run_remote"
INTERNAL = InternalURL(
    gateway_run_remote_url="https://gw.internal/c/run_remote", hostname="chain-1.example.com"
)
BOTH = ServiceURLs(PUBLIC, INTERNAL)
AUTH = {"Authorization": "Api-Key k"}


class HandledTruss(chains.TrussChainlet):
    truss_dir = "x"
    remote_config = chains.RemoteConfig(name="Wrapped-One")


@pytest.mark.parametrize(
    ("urls", "options", "expected"),
    [
        (BOTH, {}, CallArgs(PUBLIC, AUTH)),
        (
            BOTH,
            {"prefer_internal": True},
            CallArgs(INTERNAL.gateway_run_remote_url, {**AUTH, "Host": INTERNAL.hostname}),
        ),
        (
            ServiceURLs(None, INTERNAL),
            {},
            CallArgs(INTERNAL.gateway_run_remote_url, {**AUTH, "Host": INTERNAL.hostname}),
        ),
        (ServiceURLs(PUBLIC), {"prefer_internal": True}, CallArgs(PUBLIC, AUTH)),
        (BOTH, {"sync_path": "v1/x"}, CallArgs(PUBLIC.removesuffix("/run_remote") + "/sync/v1/x", AUTH)),
        (BOTH, {"sync_path": "/v1/x"}, CallArgs(PUBLIC.removesuffix("/run_remote") + "/sync/v1/x", AUTH)),
        (
            BOTH,
            {"sync_path": "v1/x", "prefer_internal": True},
            CallArgs("https://gw.internal/c/sync/v1/x", {**AUTH, "Host": INTERNAL.hostname}),
        ),
    ],
)
def test_http_call_args(urls: ServiceURLs, options: dict[str, object], expected: CallArgs) -> None:
    assert http_call_args(urls, "k", **options) == expected  # type: ignore[arg-type]


def test_ws_call_args() -> None:
    base = PUBLIC.removesuffix("/run_remote").replace("https", "wss")
    assert ws_call_args(BOTH, "k") == CallArgs(f"{base}/websocket", AUTH)
    assert ws_call_args(BOTH, "k", sync_path="/v1/x") == CallArgs(f"{base}/sync/v1/x", AUTH)
    plain = ServiceURLs("http://127.0.0.1:8000/run_remote")
    assert ws_call_args(plain, "k").url == "ws://127.0.0.1:8000/websocket"
    with pytest.raises(MissingDependencyError, match="predict_url"):
        ws_call_args(ServiceURLs(None, INTERNAL), "k")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "services"
    file.write_text(
        json.dumps({"Wrapped-One": {"predict_url": PUBLIC, "internal_url": INTERNAL.model_dump()}, "B": {}})
    )
    return file


def test_r33_siblings_are_found_by_display_name_or_class(config: Path) -> None:
    assert get_service_urls("Wrapped-One", config_file=config) == BOTH
    assert get_service_urls(HandledTruss, config_file=config) == BOTH


def test_what_is_no_sibling(config: Path, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="display name"):
        get_service_urls(7, config_file=config)  # type: ignore[arg-type]
    with pytest.raises(MissingDependencyError, match="`C`; known are: `B`, `Wrapped-One`"):
        get_service_urls("C", config_file=config)
    with pytest.raises(MissingDependencyError, match="inside a deployed Chain"):
        get_service_urls("C", config_file=tmp_path / "absent")
    for text in ("", "[1]"):
        other = tmp_path / f"other{len(text)}"
        other.write_text(text)
        with pytest.raises(MissingDependencyError, match="known are: none"):
            get_service_urls("C", config_file=other)


def test_a_handle_reads_the_platforms_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DYNAMIC_CONFIG_VARIABLE, str(config))
    handle = TrussHandle(HandledTruss)
    assert handle.urls == BOTH
    assert handle.http_call_args(api_key="k", prefer_internal=True).headers["Host"] == INTERNAL.hostname
    assert handle.ws_call_args(api_key="k").url.startswith("wss://")
    assert "Api-Key" not in repr(handle.http_call_args(api_key="k"))


def test_r31_the_key_comes_from_file_then_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = f"{SECRET_VARIABLE_PREFIX}baseten_chain_api_key"
    with pytest.raises(MissingDependencyError, match=variable):
        get_baseten_chain_api_key(secrets_dir=tmp_path)
    monkeypatch.setenv(variable, "***")
    with pytest.raises(MissingDependencyError):
        get_baseten_chain_api_key(secrets_dir=tmp_path)
    monkeypatch.setenv(variable, "from env")
    assert get_baseten_chain_api_key(secrets_dir=tmp_path / "nowhere") == "from env"
    (tmp_path / "baseten_chain_api_key").write_text("from file\n")
    assert get_baseten_chain_api_key(secrets_dir=tmp_path) == "from file"

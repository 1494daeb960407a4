"""Paths below a home, and the files that appear in one step."""

import os
import stat
from pathlib import Path

import pytest

from chains_platform.layout import MAX_SOCKET_BYTES, Layout, PlatformFile, find_layout, write_private

PLATFORM = PlatformFile(
    pid=1, started=2.5, control_url="http://c", gateway_url="http://g", gateway_pid=3, instance="i"
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_home_is_the_argument_else_chains_home_else_the_users_data(tmp_path: Path) -> None:
    environ = {"CHAINS_HOME": str(tmp_path / "b")}
    assert find_layout(environ, tmp_path / "a").home == tmp_path / "a"
    assert find_layout(environ).home == tmp_path / "b"
    assert find_layout({}).home.name == "chains"


def test_every_directory_is_its_owners_only(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "home", tmp_path / "s").create()
    made = [path for path in layout.home.rglob("*") if path.is_dir()]
    assert {mode(path) for path in [layout.home, layout.sockets, *made]} == {0o700}
    assert layout.create() == layout


def test_directories_that_others_could_read_are_closed(tmp_path: Path) -> None:
    """A tool may have made them before, by its own umask; the home is the user's affair."""
    (tmp_path / "platform" / "logs").mkdir(parents=True)
    tmp_path.chmod(0o755)
    layout = Layout(tmp_path, tmp_path / "s").create()
    assert (mode(layout.platform), mode(layout.logs), mode(tmp_path)) == (0o700, 0o700, 0o755)


def test_sockets_lie_in_the_runtime_directory_if_their_paths_fit(tmp_path: Path) -> None:
    short = find_layout({"XDG_RUNTIME_DIR": "/tmp"}, tmp_path)
    assert short.sockets.parent == Path("/tmp")
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    for run in (str(deep), "/does/not/exist", ""):
        sockets = find_layout({"XDG_RUNTIME_DIR": run}, tmp_path).sockets
        assert sockets.name.startswith(f"chains-{os.getuid()}-")


def test_socket_paths_fit_whatever_the_home_and_the_id(tmp_path: Path) -> None:
    layout = find_layout({}, tmp_path / ("h" * 150))
    longest = layout.replica_socket("r" * 200)
    assert len(os.fsencode(longest)) <= MAX_SOCKET_BYTES
    assert layout.replica_socket("a") != layout.replica_socket("b")


def test_two_homes_have_two_socket_directories(tmp_path: Path) -> None:
    assert find_layout({}, tmp_path / "a").sockets != find_layout({}, tmp_path / "b").sockets


def test_a_start_from_another_session_finds_the_same_sockets(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    first = Layout(tmp_path / "home", run / "x").create()
    assert find_layout({}, tmp_path / "home").sockets == first.sockets
    (run / "x").rmdir()
    run.rmdir()
    assert find_layout({}, tmp_path / "home").sockets != first.sockets


def test_a_socket_directory_that_is_no_directory_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(PermissionError):
        Layout(tmp_path / "home", tmp_path / "link").create()


def test_platform_json_comes_back_and_is_private(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "home", tmp_path / "s").create()
    assert layout.read_platform_file() is None
    layout.write_platform_file(PLATFORM)
    assert layout.read_platform_file() == PLATFORM
    assert mode(layout.platform_file) == 0o600
    layout.platform_file.write_text("{")
    assert layout.read_platform_file() is None


def test_a_private_file_is_replaced_and_leaves_no_draft(tmp_path: Path) -> None:
    target = tmp_path / "f"
    target.write_text("old")
    target.chmod(0o644)
    write_private(target, b"new")
    assert (target.read_bytes(), mode(target), list(tmp_path.iterdir())) == (b"new", 0o600, [target])

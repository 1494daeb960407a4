"""Flags, then environment, then defaults."""

from pathlib import Path

import pytest

from chains_cli.settings import Flags, Output, load_settings

CWD = Path("/work")
HOME = {"CHAINS_HOME": "/home/of/chains"}


def test_defaults() -> None:
    settings = load_settings(environ=HOME, cwd=CWD)
    assert (settings.home, settings.cwd, settings.remote) == (Path("/home/of/chains"), CWD, None)
    assert (settings.output, settings.color, settings.interactive) == (Output.TEXT, None, False)


def test_a_flag_wins_over_the_environment() -> None:
    environ = {**HOME, "CHAINS_OUTPUT": "json", "CHAINS_REMOTE": "http://one"}
    from_environment = load_settings(environ=environ, cwd=CWD)
    assert (from_environment.output, from_environment.remote) == (Output.JSON, "http://one")
    flags = Flags(output=Output.TEXT, remote="http://two")
    from_flags = load_settings(flags, environ=environ, cwd=CWD)
    assert (from_flags.output, from_flags.remote) == (Output.TEXT, "http://two")


def test_an_unknown_output_is_refused() -> None:
    with pytest.raises(ValueError, match="xml"):
        load_settings(environ={**HOME, "CHAINS_OUTPUT": "xml"}, cwd=CWD)


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_by_environment(environ: dict[str, str]) -> None:
    assert load_settings(environ={**HOME, **environ}, cwd=CWD).color is False


def test_an_empty_no_color_means_nothing() -> None:
    assert load_settings(environ={**HOME, "NO_COLOR": ""}, cwd=CWD).color is None


def test_no_colour_by_flag() -> None:
    assert load_settings(Flags(no_color=True), environ=HOME, cwd=CWD).color is False


@pytest.mark.parametrize(
    ("environ", "flags", "has_terminal", "interactive"),
    [
        ({}, Flags(), True, True),
        ({}, Flags(), False, False),
        ({"CI": "true"}, Flags(), True, False),
        ({}, Flags(non_interactive=True), True, False),
    ],
)
def test_who_can_be_asked(
    environ: dict[str, str], flags: Flags, has_terminal: bool, interactive: bool
) -> None:
    settings = load_settings(flags, environ={**HOME, **environ}, cwd=CWD, has_terminal=has_terminal)
    assert settings.interactive is interactive

"""Tokens: one random, all others derived."""

import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from chains_platform.layout import Layout
from chains_platform.secrets.tokens import Tokens, check


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "home", tmp_path / "s").create()


def test_tokens_are_made_once_and_private(layout: Layout) -> None:
    first = Tokens.load(layout)
    assert Tokens.load(layout) == first
    for path in (layout.token_file, layout.key_file):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {p.name for p in layout.platform.iterdir() if p.is_file()} == {"token", "key", "sockets"}


def test_another_home_has_other_tokens(layout: Layout, tmp_path: Path) -> None:
    other = Tokens.load(Layout(tmp_path / "other", tmp_path / "s2").create())
    mine = Tokens.load(layout)
    assert mine.api_token != other.api_token
    assert mine.gateway_admin != other.gateway_admin
    assert mine.instance != other.instance


def test_every_purpose_has_its_own_token(layout: Layout) -> None:
    tokens = Tokens.load(layout)
    found = [
        tokens.api_token,
        tokens.gateway_admin,
        tokens.replica_admin("a"),
        tokens.replica_admin("b"),
        tokens.edge("a", "b"),
        tokens.edge("ab", ""),
        tokens.edge("", "ab"),
        tokens.edge("b", "a"),
        tokens.secrets_key.decode(),
    ]
    assert len(set(found)) == len(found)
    assert tokens.edge("a", "b") == Tokens.load(layout).edge("a", "b")


def test_no_secret_shows_in_a_repr(layout: Layout) -> None:
    tokens = Tokens.load(layout)
    assert tokens.api_token not in repr(tokens)
    assert repr(tokens.key)[2:-1] not in repr(tokens)


def test_the_secrets_key_opens_what_it_closed(layout: Layout) -> None:
    closed = Fernet(Tokens.load(layout).secrets_key).encrypt(b"value")
    assert Fernet(Tokens.load(layout).secrets_key).decrypt(closed) == b"value"


def test_a_damaged_key_is_an_error_not_a_new_key(layout: Layout) -> None:
    layout.key_file.write_bytes(b"short")
    with pytest.raises(ValueError, match="32 bytes"):
        Tokens.load(layout)


@pytest.mark.parametrize(
    ("given", "is_right"), [("abc", True), ("abd", False), ("", False), ("abcd", False), ("äöü", False)]
)
def test_check_compares(given: str, is_right: bool) -> None:
    assert check(given, "abc") is is_right

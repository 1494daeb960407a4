"""Every code has a page in `docs/errors`, and every page a code."""

from pathlib import Path

import pytest

from chains_protocol.errors import Code

PAGES = Path(__file__).parents[3] / "docs" / "errors"


def test_pages_and_codes_are_the_same_set() -> None:
    pages = {path.stem for path in PAGES.glob("CH*.md")}
    assert pages == {code.value for code in Code}


@pytest.mark.parametrize("code", list(Code), ids=lambda c: c.value)
def test_a_page_says_what_happened_and_what_to_do(code: Code) -> None:
    text = (PAGES / f"{code.value}.md").read_text("utf-8")
    assert text.startswith(f"# {code.value}: ")
    assert text.count("```") == 2
    assert "**What to do.** " in text


def test_the_index_lists_every_code() -> None:
    index = (PAGES / "README.md").read_text("utf-8")
    assert all(f"[{code.value}]({code.value}.md)" in index for code in Code)

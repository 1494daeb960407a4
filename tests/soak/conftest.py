"""What the long forms share with the short ones, and a way to show figures."""

from collections.abc import Callable

import pytest

from tests.e2e.conftest import chains

__all__ = ["chains"]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print a figure past the capture."""

    def write(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}")  # noqa: T201 (a soak is run for its figures)

    return write

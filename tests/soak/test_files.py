"""The long form of `tests/e2e/test_watch_saves.py`: ten thousand files, a thousand edits."""

from collections.abc import Callable

import pytest

from tests.e2e.conftest import Chains
from tests.soak.files import edit_many

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]


def test_a_thousand_edits_among_ten_thousand_files(chains: Chains, say: Callable[[str], None]) -> None:
    seen = edit_many(chains, files=10_000, edits=1000, idle_s=20)
    say(str(seen))

    assert (seen.missed, seen.spurious) == ([], [])
    assert seen.quantile(0.5) < 50
    assert seen.idle_cpu < 0.02

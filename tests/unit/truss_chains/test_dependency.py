"""1.3, 1.4: the markers."""

import copy

import pytest

import truss_chains as chains
from truss_chains.errors import ChainsRuntimeError


class Namesake:
    pass


def test_any_use_of_a_marker_is_explained():
    marker = chains.depends(Namesake, 2, 3.0, True, 4)
    with pytest.raises(ChainsRuntimeError) as caught:
        _ = marker.run_remote
    text = str(caught.value)
    assert text.startswith("CH126: `depends(Namesake)`")
    for fact in ("run_remote", "__init__", "https://", "chains.depends(Back)"):
        assert fact in text
    assert marker.options.model_dump() == {
        "retries": 2,
        "timeout_sec": 3.0,
        "use_binary": True,
        "concurrency_limit": 4,
    }


def test_any_use_of_a_context_marker_is_explained():
    with pytest.raises(ChainsRuntimeError, match=r"CH126: `depends_context\(\)`.*`secrets`"):
        _ = chains.depends_context().secrets


def test_markers_can_be_looked_at_by_tools():
    for marker in (chains.depends(Namesake), chains.depends_context()):
        assert not hasattr(marker, "__wrapped__")
        assert repr(copy.copy(marker)) == repr(marker)
        assert "depends" in repr(marker)

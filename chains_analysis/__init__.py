"""Reads user source as text; never imports or runs it.

Comes in: files as bytes. Goes out: which files a module can reach (`closure`), what an edit
means for a Chainlet (`judge`), and which values may live on (`CarryPlan`). Touches nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from chains_analysis.closure import Closure, Widening, closure
from chains_analysis.tree import SourceTree, module_name

if TYPE_CHECKING:
    from chains_analysis.cache import AnalysisCache
    from chains_analysis.declarations import declared_chainlets
    from chains_analysis.outcome import CarryPlan, ChainletRef, Reason, StatementPlan, Verdict
    from chains_analysis.probing import Spot, line_count, spot_at
    from chains_analysis.verdict import carry_plan, judge, warm_up

__all__ = [
    "AnalysisCache",
    "CarryPlan",
    "ChainletRef",
    "Closure",
    "Reason",
    "SourceTree",
    "Spot",
    "StatementPlan",
    "Verdict",
    "Widening",
    "carry_plan",
    "closure",
    "declared_chainlets",
    "judge",
    "line_count",
    "module_name",
    "spot_at",
    "warm_up",
]

_PLACES: Final = {
    "AnalysisCache": "cache",
    "CarryPlan": "outcome",
    "ChainletRef": "outcome",
    "Reason": "outcome",
    "StatementPlan": "outcome",
    "Spot": "probing",
    "Verdict": "outcome",
    "spot_at": "probing",
    "line_count": "probing",
    "carry_plan": "verdict",
    "declared_chainlets": "declarations",
    "judge": "verdict",
    "warm_up": "verdict",
}


def __getattr__(name: str) -> Any:  # Any: whatever is asked for
    """Loads a part when one of its names is asked for: packaging needs a tenth of all."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)

"""Reads user source as text; never imports or runs it.

Comes in: files as bytes. Goes out: which files a module can reach (`closure`), what an edit
means for a Chainlet (`judge`), and which values may live on (`CarryPlan`). Touches nothing.
"""

from chains_analysis.cache import AnalysisCache
from chains_analysis.closure import Closure, Widening, closure
from chains_analysis.declarations import declared_chainlets
from chains_analysis.outcome import CarryPlan, ChainletRef, Reason, StatementPlan, Verdict
from chains_analysis.tree import SourceTree, module_name
from chains_analysis.verdict import carry_plan, judge, warm_up

__all__ = [
    "AnalysisCache",
    "CarryPlan",
    "ChainletRef",
    "Closure",
    "Reason",
    "SourceTree",
    "StatementPlan",
    "Verdict",
    "Widening",
    "carry_plan",
    "closure",
    "declared_chainlets",
    "judge",
    "module_name",
    "warm_up",
]

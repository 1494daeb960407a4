"""What a generation takes over from the one before, module by module."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class StatementLike(Protocol):
    """One top-level statement of a re-executed module: take its names over, or run it."""

    @property
    def index(self) -> int: ...
    @property
    def names(self) -> Collection[str]: ...
    @property
    def carry(self) -> bool: ...


class CarryPlanLike(Protocol):
    """What `chains_analysis` decides; see `CarryPlan` there."""

    @property
    def shared(self) -> Collection[str]: ...
    @property
    def modules(self) -> Mapping[str, Sequence[StatementLike]]: ...


@dataclass(frozen=True)
class FreshPlan:
    """Take nothing over: every module is executed."""

    shared: frozenset[str] = frozenset()
    modules: Mapping[str, Sequence[StatementLike]] = field(default_factory=dict)


__all__ = ["CarryPlanLike", "FreshPlan", "StatementLike"]

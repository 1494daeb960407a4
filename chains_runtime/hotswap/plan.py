"""What a generation takes over from the one before, module by module."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from chains_protocol.patch import JudgedStep


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


@dataclass(frozen=True, slots=True)
class HandedStatement:
    """A statement as it was told."""

    index: int
    names: tuple[str, ...]
    carry: bool


@dataclass(frozen=True)
class HandedPlan:
    """A plan that the author's side was told."""

    shared: frozenset[str]
    modules: Mapping[str, Sequence[StatementLike]]

    @classmethod
    def of(cls, judged: JudgedStep) -> "HandedPlan":
        modules = {
            name: tuple(HandedStatement(*statement) for statement in statements)
            for name, statements in judged.modules.items()
        }
        return cls(frozenset(judged.shared), modules)


__all__ = ["CarryPlanLike", "FreshPlan", "HandedPlan", "HandedStatement", "StatementLike"]

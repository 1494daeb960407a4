"""How two vectors are compared. Only the glue uses it."""

from collections.abc import Sequence


def similarity(a: Sequence[float], b: Sequence[float]) -> float:
    """Dot product; of unit vectors, the cosine in [-1, 1]."""
    return sum(x * y for x, y in zip(a, b, strict=True))


def best_first(query: Sequence[float], others: Sequence[Sequence[float]]) -> list[tuple[int, float]]:
    """Indices of `others` with their similarity to `query`, the most similar first."""
    scored = [(i, similarity(query, other)) for i, other in enumerate(others)]
    return sorted(scored, key=lambda pair: -pair[1])

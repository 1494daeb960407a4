"""Prometheus text about one replica. Source: the text exposition format 0.0.4."""

from collections.abc import Callable, Iterator

from chains_runtime.replica import Replica
from truss_chains.queueing import Limiter

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


def metrics_text(replica: Replica) -> str:
    """All figures, one a line."""
    return "\n".join([*_of_replica(replica), *_of_dependencies(replica)]) + "\n"


def _of_replica(replica: Replica) -> Iterator[str]:
    yield from _metric("chainlet_ready", "gauge", int(replica.state.value == "ready"))
    yield from _metric("chainlet_requests_total", "counter", replica.requests_total)
    yield from _metric("chainlet_errors_total", "counter", replica.errors_total)
    yield from _metric("chainlet_ongoing_requests", "gauge", replica.in_flight)
    yield from _metric("chainlet_queued_requests", "gauge", replica.slots.queued)
    yield from _metric("chainlet_generations", "gauge", len(replica.generations))
    yield from _metric("chainlet_loads_total", "counter", replica.load_count)


def _of_dependencies(replica: Replica) -> Iterator[str]:
    """S-09, of the newest generation."""
    if not replica.is_loaded:
        return
    limiters = {name: binding.policy.limiter for name, binding in replica.newest.bindings.items()}
    if not limiters:
        return
    rows: tuple[tuple[str, str, Callable[[Limiter], int]], ...] = (
        ("dependency_chainlet_ongoing_requests", "gauge", lambda x: x.ongoing),
        ("dependency_chainlet_queued_requests", "gauge", lambda x: x.waiting),
        ("dependency_chainlet_total_requests", "gauge", lambda x: x.ongoing + x.waiting),
        ("dependency_chainlet_requests_total", "counter", lambda x: x.requests_total),
    )
    for name, kind, read in rows:
        yield f"# TYPE {name} {kind}"
        for dependency, limiter in sorted(limiters.items()):
            yield f'{name}{{dependency_chainlet="{dependency}"}} {read(limiter)}'


def _metric(name: str, kind: str, value: float) -> Iterator[str]:
    yield f"# TYPE {name} {kind}"
    yield f"{name} {value:g}"


__all__ = ["CONTENT_TYPE", "metrics_text"]

"""Testing Chains with pytest: fixtures that build a Chain in the test's process and tell its calls.

A plugin of pytest, found by its entry point. Without pytest, use `run_local` with
`CallLog.record` as `record=`.

Example:
    async def test_a_poem_for_each_word(chain):
        poems = chain(PoemGenerator, mocks={PhiLLM: "auto"})
        await poems.run_remote(words=["sea", "sky"])
        chain.calls.assert_called(PhiLLM, times=2)
        chain.calls.assert_called(PhiLLM, prompt="Generate a poem about sky")
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import pytest

if TYPE_CHECKING:
    from truss_chains.context import DeployedServiceDescriptor
    from truss_chains.recording import CallRecord

ChainletT = TypeVar("ChainletT")


class CallLog(Sequence["CallRecord"]):
    """The finished calls between Chainlets, in the order in which they ended."""

    def __init__(self, records: "Sequence[CallRecord]" = ()) -> None:
        self._records = list(records)

    def record(self, call: "CallRecord") -> None:
        """Keep a call; give this to `run_local(record=...)`."""
        self._records.append(call)

    @overload
    def __getitem__(self, index: int) -> "CallRecord": ...
    @overload
    def __getitem__(self, index: slice) -> "Sequence[CallRecord]": ...
    def __getitem__(self, index: int | slice) -> "CallRecord | Sequence[CallRecord]":
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> "Iterator[CallRecord]":
        return iter(tuple(self._records))

    def of(self, callee: type | str, *, caller: type | str | None = None) -> "CallLog":
        """The calls of one Chainlet, by class or class name; those of one caller if given."""
        wanted, by = _name(callee), None if caller is None else _name(caller)
        return CallLog(
            [call for call in self._records if call.callee == wanted and by in (None, call.caller)]
        )

    def assert_called(
        self, callee: type | str, *, times: int | None = None, caller: type | str | None = None, **inputs: Any
    ) -> None:
        """Fail unless `callee` was called.

        Args:
            callee: class or class name.
            times: how often exactly; at least once if None.
            caller: count the calls of this Chainlet only.
            **inputs: arguments that a call was given, to be counted.
        """
        found = [call for call in self.of(callee, caller=caller) if _has(call.inputs, inputs)]
        if len(found) == times or (times is None and found):
            return
        wanted = "at least one call" if times is None else f"{times} call{'' if times == 1 else 's'}"
        raise AssertionError(
            f"expected {wanted} {_described(callee, caller, inputs)}, found {len(found)}\n{self}"
        )

    def assert_not_called(
        self, callee: type | str, *, caller: type | str | None = None, **inputs: Any
    ) -> None:
        """Fail if `callee` was called; with the same meaning of arguments as `assert_called`."""
        self.assert_called(callee, times=0, caller=caller, **inputs)

    def assert_order(self, *callees: type | str) -> None:
        """Fail unless exactly these Chainlets were called, in this order of their calls' ends."""
        wanted = [_name(callee) for callee in callees]
        found = [call.callee for call in self._records]
        if wanted != found:
            raise AssertionError(f"expected calls of {wanted}, found {found}\n{self}")

    def __str__(self) -> str:
        return "\n".join(_line(call) for call in self._records) or "no calls were made"


def _name(chainlet: type | str) -> str:
    return chainlet if isinstance(chainlet, str) else chainlet.__name__


def _has(given: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(name in given and bool(given[name] == value) for name, value in wanted.items())


def _described(callee: type | str, caller: type | str | None, inputs: Mapping[str, Any]) -> str:
    by = "" if caller is None else f" by `{_name(caller)}`"
    given = ", ".join(f"{name}={value!r}" for name, value in inputs.items())
    return f"of `{_name(callee)}`{by}" + (f" with {given}" if given else "")


def _line(call: "CallRecord") -> str:
    given = ", ".join(f"{name}={value!r}" for name, value in call.inputs.items())
    outcome = f"raised {call.error!r}" if call.error is not None else f"-> {call.output!r}"
    return f"  {call.caller} -> {call.callee}.{call.method}({given}) {outcome}"


class ChainFactory:
    """Builds Chains for one test, and keeps their calls in `calls`."""

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self.calls = CallLog()

    def __call__(
        self,
        entrypoint: type[ChainletT],
        *,
        mocks: Mapping[type | str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
        data_dir: Path | str | None = None,
        chainlet_to_service: "Mapping[str, DeployedServiceDescriptor] | None" = None,
        **stand_ins: Any,
    ) -> ChainletT:
        """An instance of `entrypoint` with local dependencies.

        Args:
            entrypoint: the Chainlet class.
            mocks: as of `run_local`: stand-ins at any depth, `"auto"` ones among them.
            secrets: as of `run_local`.
            data_dir: as of `run_local`.
            chainlet_to_service: as of `run_local`.
            **stand_ins: dependencies of the entrypoint itself, by parameter.
        """
        from truss_chains.local import run_local

        with run_local(
            secrets,
            data_dir,
            chainlet_to_service,
            strict=self._strict,
            mocks=mocks,
            record=self.calls.record,
        ):
            return entrypoint(**stand_ins)


@pytest.fixture
def chain() -> ChainFactory:
    """Builds a Chain whose calls are plain Python calls."""
    return ChainFactory(strict=False)


@pytest.fixture
def strict_chain() -> ChainFactory:
    """Builds a Chain whose calls behave as over the network: copied, validated, retried, limited."""
    return ChainFactory(strict=True)


__all__ = ["CallLog", "ChainFactory", "chain", "strict_chain"]

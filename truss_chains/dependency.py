"""`depends` and `depends_context`: markers that stand as defaults of `__init__` parameters."""

from typing import TYPE_CHECKING, Final, Never, TypeVar, overload

from chains_protocol.errors import Code
from truss_chains.errors import DOCS_URL, ChainsRuntimeError

if TYPE_CHECKING:
    from truss_chains.chainlet import TrussChainlet
    from truss_chains.config import RPCOptions
    from truss_chains.context import DeploymentContext
    from truss_chains.remote_chainlet.truss_chainlet import TrussHandle

    TrussT = TypeVar("TrussT", bound=TrussChainlet)

ChainletT = TypeVar("ChainletT")

EXAMPLE: Final = """\
    class Front(chains.ChainletBase):
        def __init__(self, back=chains.depends(Back), context=chains.depends_context()):
            self._back = back

        async def run_remote(self, text: str) -> str:
            return await self._back.run_remote(text)"""


class Marker:
    """A default that says what Chains passes for the parameter. It has nothing that user code can use."""

    def __getattr__(self, name: str) -> Never:
        # Python and tools probe special names with hasattr(); those have to be simply absent.
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        raise ChainsRuntimeError(
            f"`{self!r}` was used as if it were the thing itself (attribute `{name}`). "
            "It only works as the default of a parameter of `__init__`, where Chains replaces it. "
            f"See {DOCS_URL}. Example:\n{EXAMPLE}",
            code=Code.MARKER_USED,
        )


class DependencyMarker(Marker):
    """What `depends` returns. `chainlet_class` is unchecked until the class body is validated."""

    def __init__(self, chainlet_class: object, options: "RPCOptions") -> None:
        self.chainlet_class = chainlet_class
        self.options = options

    def __repr__(self) -> str:
        name = getattr(self.chainlet_class, "__name__", None) or repr(self.chainlet_class)
        return f"depends({name})"


class ContextMarker(Marker):
    """What `depends_context` returns."""

    def __repr__(self) -> str:
        return "depends_context()"


@overload
def depends(
    chainlet_cls: "type[TrussT]",
    retries: int = 1,
    timeout_sec: float = 600.0,
    use_binary: bool = False,
    concurrency_limit: int = 300,
) -> "TrussHandle": ...


@overload
def depends(
    chainlet_cls: type[ChainletT],
    retries: int = 1,
    timeout_sec: float = 600.0,
    use_binary: bool = False,
    concurrency_limit: int = 300,
) -> ChainletT: ...


def depends(
    chainlet_cls: object,
    retries: int = 1,
    timeout_sec: float = 600.0,
    use_binary: bool = False,
    concurrency_limit: int = 300,
) -> object:
    """Declare that a Chainlet calls another one; the default of an `__init__` parameter.

    For type checkers the result is an instance of `chainlet_cls`.

    Args:
        chainlet_cls: the Chainlet class to call.
        retries: attempts in total; 0 and 1 both mean one. Of a stream, only what comes before
            its first byte is tried again.
        timeout_sec: seconds an attempt may take.
        use_binary: send and receive msgpack instead of JSON.
        concurrency_limit: calls in flight from one replica of the caller; more calls wait.

    Raises:
        ValidationError: an option has a wrong type or is out of range.
    """
    from truss_chains.config import RPCOptions

    options = RPCOptions(
        retries=retries,
        timeout_sec=timeout_sec,
        use_binary=use_binary,
        concurrency_limit=concurrency_limit,
    )
    return DependencyMarker(chainlet_cls, options)


def depends_context() -> "DeploymentContext":
    """Ask for the `DeploymentContext`; the default of the last `__init__` parameter, `context`."""
    marker: object = ContextMarker()
    return marker  # type: ignore[return-value]  # the marker is replaced before user code sees it


__all__ = ["ContextMarker", "DependencyMarker", "Marker", "depends", "depends_context"]

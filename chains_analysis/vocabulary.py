"""Names whose behaviour is known. What is not listed is taken for the worse."""

import sys
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PURE_BUILTINS: Final = _words(
    """
    abs all any ascii bin bool bytes callable chr complex dict enumerate float format frozenset hasattr
    hash hex id int isinstance issubclass len list max min oct ord pow print range repr reversed round
    set slice sorted str sum tuple type zip
    """
)
"""Calls that neither change their arguments nor call them (a key function is taken for pure)."""

READING_METHODS: Final = _words(
    """
    get keys items values copy index count format join split rsplit splitlines strip lstrip rstrip
    startswith endswith encode decode lower upper title replace exists is_file is_dir read_text
    read_bytes resolve joinpath with_suffix as_posix search match fullmatch finditer findall sub debug
    info warning error exception critical log isEnabledFor union intersection difference issubset
    issuperset isdisjoint most_common total_seconds isoformat hexdigest model_dump model_dump_json
    model_copy
    """
)
"""Methods that leave their object as it is."""

CHANGING_METHODS: Final = _words(
    """
    append appendleft add insert extend extendleft update setdefault pop popleft popitem remove discard
    clear sort reverse put put_nowait push register subscribe set __setitem__ __setattr__ model_rebuild
    update_forward_refs
    """
)
"""Methods that certainly change their object."""

CONTAINER_CALLS: Final = _words("list dict set defaultdict OrderedDict Counter deque ChainMap")
"""Calls whose result is a fresh container."""

IMMUTABLE_CALLS: Final = _words(
    """
    str int float bool bytes tuple frozenset complex Path PurePath PurePosixPath Decimal Fraction
    timedelta datetime date time UUID compile TypeVar NewType ParamSpec getenv join dirname abspath
    basename getLogger get_logger object sentinel MappingProxyType
    """
)
"""Calls whose result nothing changes in place (a logger is one object a name, whoever asks for it)."""

INERT_CALLS: Final = (
    IMMUTABLE_CALLS
    | CONTAINER_CALLS
    | _words(
        """
    namedtuple field Field Lock RLock Semaphore BoundedSemaphore Event Condition Queue SimpleQueue
    ContextVar local partial itemgetter attrgetter WeakValueDictionary ConfigDict RemoteConfig
    DockerImage Compute Assets ChainletOptions RPCOptions CustomImage Autoscaling HealthChecks depends
    depends_context make_abs_path_here TypeAdapter count range enumerate zip sorted len min max sum
    round abs environ
    """
    )
)
"""Calls that, at the top of a file, can neither fail for a new reason nor change anything outside."""

INERT_DECORATORS: Final = _words(
    """
    property staticmethod classmethod dataclass lru_cache cache cached_property wraps contextmanager
    asynccontextmanager abstractmethod override final overload total_ordering mark_entrypoint
    runtime_checkable field_validator model_validator validator root_validator field_serializer
    model_serializer computed_field setter getter deleter unique no_type_check singledispatch
    singledispatchmethod
    """
)
"""Decorators that only wrap or mark what they are given, and read no docstring."""

PLAIN_BASES: Final = _words(
    """
    object ABC Enum IntEnum StrEnum Flag IntFlag Protocol Generic NamedTuple TypedDict BaseModel
    RootModel BaseSettings ChainletBase ModelBase TrussChainlet EngineBuilderLLMChainlet StubBase
    Exception BaseException ValueError TypeError RuntimeError KeyError IndexError LookupError OSError
    ArithmeticError StopIteration NotImplementedError AttributeError ConnectionError TimeoutError dict
    list str int float tuple set frozenset bytes UserDict UserList
    """
)
"""Bases whose subclasses can be made without effect outside, and that read no docstring."""

STARTING_CALLS: Final = _words(
    """
    Thread Timer Process Popen ThreadPool Pool create_task ensure_future run_coroutine_threadsafe submit
    start start_new_thread start_http_server serve_forever listen bind putenv chdir signal
    set_event_loop set_start_method on_exit register_at_fork
    """
)
"""Calls that start or claim something which a second execution would start or claim twice."""

STARTING_PATHS: Final = frozenset({("atexit", "register"), ("os", "environ"), ("faulthandler", "enable")})

TRUSTED_MODULES: Final = frozenset(
    {*sys.stdlib_module_names, "truss_chains", "pydantic", "typing_extensions"}
)
"""Top-level modules that are always there and whose import changes nothing."""

REFLECTION: Final = frozenset(
    {
        ("sys", "modules"),
        ("sys", "_getframe"),
        ("inspect", "currentframe"),
        ("inspect", "stack"),
        ("inspect", "getmodule"),
        ("gc", "get_objects"),
        ("gc", "get_referrers"),
    }
)
"""Ways to reach any code of the process without naming it."""

REFLECTION_ATTRIBUTES: Final = frozenset(
    {"__subclasses__", "__globals__", "__builtins__", "f_globals", "f_locals"}
)

DOC_ATTRIBUTES: Final = _words(
    """
    __doc__ getdoc cleandoc render_doc help getsource getsourcelines model_json_schema
    models_json_schema json_schema schema schema_json
    """
)
"""Names of what reads docstrings; a schema describes a class by its docstring."""

DOC_KEYWORDS: Final = _words("response_format response_model output_type result_type tools")
"""Arguments of libraries that describe a class or function to a model by its docstring."""

__all__ = [
    "CHANGING_METHODS",
    "CONTAINER_CALLS",
    "DOC_ATTRIBUTES",
    "DOC_KEYWORDS",
    "IMMUTABLE_CALLS",
    "INERT_CALLS",
    "INERT_DECORATORS",
    "PLAIN_BASES",
    "PURE_BUILTINS",
    "READING_METHODS",
    "REFLECTION",
    "REFLECTION_ATTRIBUTES",
    "STARTING_CALLS",
    "STARTING_PATHS",
    "TRUSTED_MODULES",
]

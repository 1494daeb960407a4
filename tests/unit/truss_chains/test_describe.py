"""A class becomes data: `describe_chain` and its parts."""

import pytest

import truss_chains as chains
from chains_protocol.spec import (
    AutoscalingSpec,
    ChainSpec,
    ComputeSpec,
    DependencySpec,
    ParameterSpec,
    PythonSpec,
    RPCOptions,
)
from truss_chains import validation
from truss_chains.describe import chainlets_of, describe_chain
from truss_chains.errors import ChainsUsageError

PYTHON = PythonSpec(executable="/usr/bin/python3", version="3.12")
RUN = "    async def run_remote(self) -> int: return 1\n"


def describe(found, entrypoint: str, **fields) -> ChainSpec:
    return describe_chain(vars(found.module)[entrypoint], source=found.path, python=PYTHON, **fields)


FULL = """
from collections.abc import AsyncIterator
import pydantic

class Text(pydantic.BaseModel):
    words: list[str]

class Leaf(chains.ChainletBase):
    remote_config = chains.RemoteConfig(
        name="leaf-service",
        compute=chains.Compute(cpu_count=2, memory="1.5Gi", gpu="L4", gpu_count=2,
                               predict_concurrency="cpu_count"),
        docker_image=chains.DockerImage(
            base_image=chains.BasetenImage.PY312, pip_requirements=["torch"], apt_requirements=["git"]
        ),
        assets=chains.Assets(
            secret_keys=["hf"],
            weights=[chains.WeightsSource(source="hf://a/b", mount_location="/w")],
        ),
        options=chains.ChainletOptions(
            env_variables={"A": "1"},
            health_checks={"restart_threshold_seconds": 9},
            transport={"kind": "http"},
            metadata={"m": 1},
        ),
        build_commands=["make"],
        autoscaling=chains.Autoscaling(min_replicas=0, max_replicas=3, concurrency_target=8),
    )

    async def run_remote(
        self, text: Text, limit: int = 3, *, hook: "list[Text] | None" = None
    ) -> AsyncIterator[Text]:
        yield text

    async def is_healthy(self) -> bool:
        return True

class Side(chains.ChainletBase):
    async def run_remote(self) -> None: ...

@chains.mark_entrypoint("My Chain")
class Front(chains.ChainletBase):
    def __init__(
        self,
        leaf: Leaf = chains.depends(Leaf, retries=2, timeout_sec=3, use_binary=True, concurrency_limit=5),
        side: Side = chains.depends(Side),
        context: chains.DeploymentContext = chains.depends_context(),
    ): ...

    async def run_remote(self, x: int, schema: str = "s") -> tuple[int, "Text"]: ...
"""


def test_a_whole_chain(define):
    spec = describe(define(FULL), "Front")
    assert (spec.chain_name, spec.entrypoint, spec.python) == ("My Chain", "Front", PYTHON)
    assert [found.spec.class_name for found in spec.chainlets] == ["Leaf", "Side", "Front"]
    assert ChainSpec.model_validate_json(spec.model_dump_json()) == spec


def test_names_and_places(define):
    found = define(FULL)
    spec = describe(found, "Front")
    assert spec.workspace == str(found.path.parent)
    assert spec.source == str(found.path)
    leaf = spec.chainlet("Leaf").spec
    assert (leaf.display_name, leaf.module, leaf.qualname, leaf.file) == (
        "leaf-service",
        "chain",
        "Leaf",
        "chain.py",
    )
    lines = found.path.read_text().splitlines()
    assert lines[leaf.line - 1].startswith("class Leaf")
    assert lines[spec.chainlet("Front").spec.line - 1].startswith("@chains.mark_entrypoint")


def test_an_endpoint(define):
    endpoint = describe(define(FULL), "Front").chainlet("Leaf").spec.endpoint
    assert (endpoint.method_name, endpoint.is_async, endpoint.stream_item) == ("run_remote", True, "model")
    assert endpoint.has_health_check
    assert endpoint.parameters == (
        ParameterSpec(name="text", annotation="Text"),
        ParameterSpec(name="limit", annotation="int", is_optional=True),
        ParameterSpec(name="hook", annotation="list[Text] | None", is_optional=True),
    )
    assert endpoint.return_annotation == "AsyncIterator[Text]"
    text = {
        "type": "object",
        "title": "Text",
        "properties": {"words": {"type": "array", "title": "Words", "items": {"type": "string"}}},
        "required": ["words"],
    }
    assert endpoint.input_schema == {
        "$defs": {"Text": text},
        "title": "LeafInput",
        "type": "object",
        "properties": {
            "text": {"$ref": "#/$defs/Text"},
            "limit": {"title": "Limit", "type": "integer", "default": 3},
            "hook": {
                "title": "Hook",
                "anyOf": [{"type": "array", "items": {"$ref": "#/$defs/Text"}}, {"type": "null"}],
                "default": None,
            },
        },
        "required": ["text"],
    }
    assert endpoint.output_schema == text


def test_parameters_may_have_any_name_and_results_be_none(define):
    spec = describe(define(FULL), "Front")
    front = spec.chainlet("Front").spec.endpoint
    assert set(front.input_schema["properties"]) == {"x", "schema"}
    assert spec.chainlet("Side").spec.endpoint.output_schema == {"type": "null"}
    assert spec.chainlet("Side").spec.endpoint.input_schema["properties"] == {}
    odd = describe(
        define(
            "class A(chains.ChainletBase):\n"
            "    async def run_remote(self, model_config: int, _x: int, copy: int = 1) -> int: return 1\n",
            name="odd",
        ),
        "A",
    )
    assert odd.chainlet("A").spec.endpoint.input_schema["required"] == ["model_config", "_x"]


def test_defaults_that_are_no_json_stay_out_of_the_schema(define):
    spec = describe(
        define(
            "class A(chains.ChainletBase):\n"
            "    async def run_remote(self, a: float = float('nan'), b: int = object()) -> int: return 1\n"
        ),
        "A",
    )
    properties = spec.chainlet("A").spec.endpoint.input_schema["properties"]
    assert all("default" not in schema for schema in properties.values())


def test_settings(define):
    leaf = describe(define(FULL), "Front").chainlet("Leaf").spec
    assert leaf.compute == ComputeSpec(
        cpu_count=2,
        memory="1.5Gi",
        memory_bytes=1610612736,
        gpu="L4",
        gpu_count=2,
        predict_concurrency=2,
    )
    assert leaf.image.python_version == "3.12"
    assert leaf.image.pip_requirements == ("torch",)
    assert leaf.image.apt_requirements == ("git",)
    assert leaf.image.build_commands == ("make",)
    assert leaf.assets.secret_keys == ("hf",)
    assert leaf.assets.weights == ({"source": "hf://a/b", "mount_location": "/w"},)
    assert leaf.options.env_variables == {"A": "1"}
    assert leaf.options.health_checks == {"restart_threshold_seconds": 9}
    assert leaf.options.transport == {"kind": "http"}
    assert leaf.options.metadata == {"m": 1}
    assert leaf.autoscaling == AutoscalingSpec(min_replicas=0, max_replicas=3, concurrency_target=8)


def test_edges(define):
    front = describe(define(FULL), "Front").chainlet("Front").spec
    assert front.takes_context
    assert front.dependencies == (
        DependencySpec(
            parameter="leaf",
            class_name="Leaf",
            display_name="leaf-service",
            options=RPCOptions(retries=2, timeout_sec=3, use_binary=True, concurrency_limit=5),
        ),
        DependencySpec(parameter="side", class_name="Side", display_name="Side"),
    )


def test_the_python_version_is_only_there_if_it_was_chosen(define):
    found = define(
        f"class A(chains.ChainletBase):\n    remote_config = chains.RemoteConfig()\n{RUN}"
        f"class B(chains.ChainletBase):\n    remote_config = chains.RemoteConfig("
        f"docker_image=chains.DockerImage(base_image=chains.BasetenImage.PY311))\n{RUN}"
        f"class C(chains.ChainletBase):\n    remote_config = chains.RemoteConfig("
        f"docker_image=chains.DockerImage(base_image=chains.CustomImage(image='i')))\n{RUN}"
    )
    versions = [describe(found, n).chainlet(n).spec.image.python_version for n in ("A", "B", "C")]
    assert versions == [None, "3.11", None]
    assert describe(found, "C").chainlet("C").spec.image.custom_image == {"image": "i"}


def test_the_name_of_the_chain(define):
    found = define(
        f"class A(chains.ChainletBase):\n    remote_config = chains.RemoteConfig(name='shown')\n{RUN}"
    )
    assert describe(found, "A").chain_name == "shown"
    assert describe(found, "A", chain_name="asked").chain_name == "asked"


DIAMOND = "".join(
    f"class L{layer}{side}(chains.ChainletBase):\n"
    + (
        f"    def __init__(self, a=chains.depends(L{layer - 1}a), b=chains.depends(L{layer - 1}b)): ...\n"
        if layer
        else ""
    )
    + RUN
    for layer in range(30)
    for side in "ab"
)


def test_shared_dependencies_are_described_once_dependencies_first(define):
    """2**30 paths: only a linear walk ends."""
    found = define(DIAMOND)
    order = [cls.__name__ for cls in chainlets_of(found.L29a)]
    assert order == [f"L{layer}{side}" for layer in range(29) for side in "ab"] + ["L29a"]


def test_chains_may_be_deeper_than_the_recursion_limit(define):
    found = define(
        f"class C0(chains.ChainletBase):\n{RUN}"
        + "".join(
            f"class C{n}(chains.ChainletBase):\n"
            f"    def __init__(self, a=chains.depends(C{n - 1})): ...\n{RUN}"
            for n in range(1, 1500)
        )
    )
    assert len(describe(found, "C1499").chainlets) == 1500


def test_v03_display_names_are_unique_within_a_chain(define):
    found = define(
        f"class A(chains.ChainletBase):\n    remote_config = chains.RemoteConfig(name='same')\n{RUN}"
        f"class B(chains.ChainletBase):\n    remote_config = chains.RemoteConfig(name='same')\n"
        f"    def __init__(self, a=chains.depends(A)): ...\n{RUN}"
        f"class Unrelated(chains.ChainletBase):\n    remote_config = chains.RemoteConfig(name='same')\n{RUN}"
    )
    with pytest.raises(ChainsUsageError) as caught:
        describe(found, "B")
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.chainlet) == ("CH103", "B")
    assert "`same`" in problem.message and "`A`" in problem.message
    assert describe(found, "Unrelated").chain_name == "same"


def test_two_classes_of_one_name_in_a_chain(define):
    found = define(
        f"class A(chains.ChainletBase):\n{RUN}\nFirst = A\n"
        f"class A(chains.ChainletBase):\n    def __init__(self, a=chains.depends(First)): ...\n{RUN}"
    )
    with pytest.raises(ChainsUsageError, match="CH102"):
        describe(found, "A")


def test_a_chainlet_inside_a_function_can_be_no_part_of_a_chain(define):
    found = define(f"def make():\n    class A(chains.ChainletBase):\n    {RUN}    return A\nA = make()\n")
    with pytest.raises(ChainsUsageError, match="CH210"):
        describe(found, "A")


def test_a_model_without_schema_is_a_diagnostic(define):
    found = define(
        "import pydantic, typing\n"
        "class M(pydantic.BaseModel):\n    call: typing.Callable\n"
        "class A(chains.ChainletBase):\n    async def run_remote(self, m: M) -> int: return 1\n"
    )
    assert found.errors == []
    with pytest.raises(ChainsUsageError) as caught:
        describe(found, "A")
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.method, problem.location.line) == ("CH105", "run_remote", 6)


def test_files_are_local_and_missing_ones_are_diagnostics(define, tmp_path):
    (tmp_path / "requirements.txt").write_text("torch")
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "x.py").write_text("")
    image = (
        "chains.DockerImage(requirements_file=chains.make_abs_path_here('requirements.txt'), "
        "external_package_dirs=[chains.make_abs_path_here('{directory}')])"
    )
    source = (
        "class A(chains.ChainletBase):\n    remote_config = chains.RemoteConfig(docker_image={image})\n" + RUN
    )
    found = define(source.format(image=image.format(directory="vendor")))
    sources = describe(found, "A").chainlet("A").sources
    assert sources.requirements_file == str(tmp_path / "requirements.txt")
    assert sources.external_package_dirs == (str(tmp_path / "vendor"),)
    assert str(tmp_path) not in describe(found, "A").chainlet("A").spec.model_dump_json()
    broken = define(source.format(image=image.format(directory="not_there")))
    with pytest.raises(ChainsUsageError) as caught:
        describe(broken, "A")
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.location.line) == ("CH202", 3)
    assert "not_there" in problem.message and not problem.message.startswith("CH")


def test_v72_a_truss_chainlet(define, tmp_path):
    found = define(
        "class T(chains.TrussChainlet):\n    truss_dir = './truss'\n"
        f"class A(chains.ChainletBase):\n    def __init__(self, t=chains.depends(T)): ...\n{RUN}"
    )
    truss = describe(found, "A").chainlet("T")
    assert truss.spec.kind == "truss"
    assert truss.sources.truss_dir == str(tmp_path / "truss")


def test_an_engine_builder(define):
    found = define(
        "from truss_chains.engine_builder import TRTLLMConfiguration\n"
        "class E(chains.EngineBuilderLLMChainlet):\n"
        "    engine_builder_config = TRTLLMConfiguration(build={'max_seq_len': 1})\n"
        f"class A(chains.ChainletBase):\n    def __init__(self, e=chains.depends(E)): ...\n{RUN}"
    )
    spec = describe(found, "A").chainlet("E").spec
    assert spec.kind == "engine_builder"
    assert spec.engine == {"build": {"max_seq_len": 1}}
    assert spec.endpoint.stream_item == "str"
    assert spec.endpoint.input_schema["title"] == "EngineBuilderLLMInput"
    assert spec.endpoint.parameters[0].name == "llm_input"


def test_a_websocket_and_a_model(define):
    found = define(
        "class W(chains.ChainletBase):\n"
        "    async def run_remote(self, ws: chains.WebSocketProtocol) -> None: ...\n"
        "class M(chains.ModelBase):\n    async def predict(self, x: int) -> int: return x\n"
    )
    socket = describe(found, "W").chainlet("W").spec.endpoint
    assert (socket.is_websocket, socket.input_schema, socket.output_schema) == (True, {}, None)
    model = describe(found, "M").chainlet("M").spec
    assert (model.kind, model.endpoint.method_name) == ("model", "predict")


def test_i13_main_is_the_stem_of_its_file(tmp_path):
    path = tmp_path / "my_chain.py"
    path.write_text(f"import truss_chains as chains\nclass A(chains.ChainletBase):\n{RUN}")
    names = {"__name__": "__main__", "__file__": str(path)}
    with validation.scope():
        exec(compile(path.read_text(), str(path), "exec"), names)  # noqa: S102 (our own text)
        spec = describe_chain(names["A"], source=path, python=PYTHON).chainlet("A").spec
    assert (spec.module, spec.file) == ("my_chain", "my_chain.py")


def test_i13_an_interactive_session_has_no_file(registry_scope):
    names = {"__name__": "__main__", "chains": chains}
    exec(compile(f"class A(chains.ChainletBase):\n{RUN}", "<stdin>", "exec"), names)  # noqa: S102 (our own text)
    with pytest.raises(ChainsUsageError, match="interactive session"):
        describe_chain(names["A"], source="x.py", python=PYTHON)


def test_modules_are_named_relative_to_the_workspace(define, tmp_path):
    found = define(f"class A(chains.ChainletBase):\n{RUN}")
    inside = describe(found, "A", workspace=tmp_path.parent).chainlet("A").spec
    assert (inside.module, inside.file) == (f"{tmp_path.name}.chain", f"{tmp_path.name}/chain.py")
    elsewhere = describe(found, "A", workspace=tmp_path / "other").chainlet("A").spec
    assert (elsewhere.module, elsewhere.file) == ("chain", "chain.py")


def test_what_is_no_chainlet_is_refused():
    for target in (int, chains.ChainletBase):
        with pytest.raises(ChainsUsageError, match="CH123"):
            describe_chain(target, source="x.py", python=PYTHON)


def test_notes_tell_what_is_allowed_but_worth_saying(define, tmp_path):
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "x.py").write_text("")
    found = define(
        "class A(chains.ChainletBase):\n    remote_config = chains.RemoteConfig(\n"
        "        compute=chains.Compute(instance_type='L4:4x16'),\n"
        "        assets=chains.Assets(secret_keys=['baseten_chain_api_key']),\n"
        "        docker_image=chains.DockerImage(\n"
        "            external_package_dirs=[chains.make_abs_path_here('vendor')]),\n"
        "        options=chains.ChainletOptions(\n"
        f"            env_variables={{'PORT': '1'}}, transport={{'kind': 'grpc'}}))\n{RUN}"
    )
    assert found.errors == []
    notes = describe(found, "A").notes
    assert [(note.severity, note.location.line) for note in notes] == [
        ("warning", 3),
        ("warning", 3),
        ("warning", 3),
        ("note", 3),
        ("note", 3),
    ]
    for note, word in zip(
        notes, ("`PORT`", "`L4:4x16`", "`grpc`", "`vendor`", "`baseten_chain_api_key`"), strict=True
    ):
        assert word in note.message


def test_the_same_source_gives_the_same_bytes(define):
    first = describe(define(FULL), "Front").model_dump_json()
    assert describe(define(FULL), "Front").model_dump_json() == first

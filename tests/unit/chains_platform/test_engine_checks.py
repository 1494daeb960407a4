"""What the process engine says of a Chainlet's wishes before anything is built."""

import pytest

from chains_platform.engines.checks import Machine, check_chainlet
from chains_platform.engines.process import parse_failure
from chains_protocol.errors import Code, Diagnostic, Severity
from chains_protocol.manifest import EnvironmentSpec
from chains_protocol.spec import ChainletKind, ChainletSpec, ComputeSpec, ImageSpec, MockSpec

HERE = Machine(has_gpu=False, python_version="3.12")
ENVIRONMENT = EnvironmentSpec(python_version="3.12")


def spec(**more: object) -> ChainletSpec:
    names = {"class_name": "PhiLLM", "display_name": "phi", "module": "m", "qualname": "PhiLLM"}
    return ChainletSpec.model_validate({**names, "file": "m.py", "line": 7, **more})


def test_a_plain_chainlet_has_nothing_against_it() -> None:
    assert check_chainlet(spec(), ENVIRONMENT, HERE, ()) == ()


def test_a_missing_gpu_is_an_error_with_the_choices() -> None:
    (found,) = check_chainlet(spec(compute=ComputeSpec(gpu="A10G")), ENVIRONMENT, HERE, ())
    assert (found.code, found.severity) == (Code.GPU_MISSING, Severity.ERROR)
    assert found.location is not None
    assert str(found.location) == "m.py:7"
    assert found.help is not None
    assert all(choice in found.help for choice in ("--mock phi=auto", "--remote", "--allow-missing gpu"))


@pytest.mark.parametrize(
    ("chainlet", "machine", "allowed"),
    [
        (spec(compute=ComputeSpec(gpu="T4")), Machine(has_gpu=True, python_version="3.12"), ()),
        (spec(compute=ComputeSpec(gpu="T4")), HERE, ("gpu",)),
        (spec(compute=ComputeSpec(gpu="T4"), mock=MockSpec(kind="auto")), HERE, ()),
        (spec(kind=ChainletKind.ENGINE_BUILDER, mock=MockSpec(kind="auto")), HERE, ()),
    ],
)
def test_a_gpu_that_is_there_allowed_to_miss_or_mocked_is_no_error(
    chainlet: ChainletSpec, machine: Machine, allowed: tuple[str, ...]
) -> None:
    assert check_chainlet(chainlet, ENVIRONMENT, machine, allowed) == ()


@pytest.mark.parametrize(
    ("field", "word"),
    [("cached", "cached models"), ("weights", "weights"), ("external_data", "external data")],
)
def test_files_that_nobody_fetches_here_are_a_warning(field: str, word: str) -> None:
    """CH311: the replica would look for them in vain."""
    wishes = spec(assets={field: ({"any": "thing"},)})
    (found,) = check_chainlet(wishes, ENVIRONMENT, HERE, ())
    assert (found.code, found.severity) == (Code.TARGET_MISMATCH, Severity.WARNING)
    assert word in found.message and "`__init__`" in (found.help or "")
    mocked = wishes.model_copy(update={"mock": MockSpec(kind="auto")})
    assert check_chainlet(mocked, ENVIRONMENT, HERE, ()) == ()


def test_another_transport_is_a_warning() -> None:
    """CH311."""
    (found,) = check_chainlet(spec(options={"transport": {"kind": "grpc"}}), ENVIRONMENT, HERE, ())
    assert (found.code, found.severity) == (Code.TARGET_MISMATCH, Severity.WARNING)
    assert check_chainlet(spec(options={"transport": {"kind": "http"}}), ENVIRONMENT, HERE, ()) == ()


def test_an_engine_builder_is_an_error() -> None:
    (found,) = check_chainlet(spec(kind=ChainletKind.ENGINE_BUILDER), ENVIRONMENT, HERE, ())
    assert (found.code, found.severity) == (Code.UNSUPPORTED_CHAINLET, Severity.ERROR)


@pytest.mark.parametrize(
    ("image", "word"),
    [
        (ImageSpec(custom_image={"image": "x"}), "base image"),
        (ImageSpec(apt_requirements=("ffmpeg",)), "ffmpeg"),
        (ImageSpec(build_commands=("make",)), "build commands"),
    ],
)
def test_what_a_process_can_not_have_is_a_warning(image: ImageSpec, word: str) -> None:
    (found,) = check_chainlet(spec(image=image), ENVIRONMENT, HERE, ())
    assert (found.code, found.severity) == (Code.TARGET_MISMATCH, Severity.WARNING)
    assert word in found.message


def test_another_python_is_a_warning_that_names_both() -> None:
    (found,) = check_chainlet(spec(), EnvironmentSpec(python_version="3.13"), HERE, ())
    assert (found.code, found.severity) == (Code.TARGET_MISMATCH, Severity.WARNING)
    assert "3.13" in found.message
    assert "3.12" in found.message


DIAGNOSTIC = Diagnostic(code=Code.INIT_FAILED, message="no", detail="Traceback ...")


@pytest.mark.parametrize(
    "output",
    [
        f"noise\nCHAINS-FAILED [{DIAGNOSTIC.model_dump_json()}]\n",
        f'CHAINS-FAILED {{"diagnostics": [{DIAGNOSTIC.model_dump_json()}]}}',
        f"CHAINS-FAILED []\nCHAINS-FAILED [{DIAGNOSTIC.model_dump_json()}]",
    ],
)
def test_a_replicas_own_diagnostics_are_read_from_its_output(output: str) -> None:
    assert parse_failure(output) == (DIAGNOSTIC,)


@pytest.mark.parametrize(
    "output", ["", "CHAINS-FAILED {", "CHAINS-FAILED {}", "CHAINS-FAILED [1]", " CHAINS-FAILED []"]
)
def test_what_can_not_be_read_is_no_diagnostic(output: str) -> None:
    assert parse_failure(output) == ()

"""Settings that are refused while a file is read: CH115 and CH119, a diagnostic a field."""

import importlib.util
import textwrap
from pathlib import Path

import pytest
from pydantic import ValidationError

from chains_protocol.errors import Diagnostic
from truss_chains.settings_errors import settings_diagnostics
from truss_chains.validation import scope

HEADER = "import truss_chains as chains\n\n\n"


def refused(tmp_path: Path, source: str) -> tuple[Diagnostic, ...]:
    """Execute a file that has to raise pydantic's error."""
    path = tmp_path / "refused.py"
    path.write_text(HEADER + textwrap.dedent(source))
    spec = importlib.util.spec_from_file_location("refused", path)
    assert spec is not None and spec.loader is not None
    with scope(), pytest.raises(ValidationError) as caught:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return settings_diagnostics(caught.value, lambda filename: filename == str(path))


def shown(diagnostic: Diagnostic) -> str:
    where = diagnostic.location
    assert where is not None and where.source_line is not None and where.column is not None
    return f"{diagnostic.code} {where.line}:{where.column} {diagnostic.message} | {diagnostic.help}"


def config(text: str) -> str:
    return f"class A(chains.ChainletBase):\n    remote_config = chains.RemoteConfig({text})\n"


REFUSED = [  # settings, the message (or how it begins), the remedy
    (
        "name=3",
        "`name` of `RemoteConfig` takes a text, not `3`",
        'write `name="3"`',
    ),
    (
        "nme='x'",
        "`RemoteConfig` has no field `nme`",
        "did you mean `name`?",
    ),
    (
        "build_commands='ls'",
        "`build_commands` of `RemoteConfig` takes a list, not `'ls'`",
        "write `build_commands=['ls']`",
    ),
    (
        "build_commands=['ls', 3]",
        "`build_commands[1]` of `RemoteConfig` takes a text, not `3`",
        'write `"3"`',
    ),
    (
        "compute='L4'",
        "`compute` of `RemoteConfig` takes a `Compute`, not `'L4'`",
        "give it a `Compute`",
    ),
    (
        "docker_image=None",
        "`docker_image` of `RemoteConfig` takes a `DockerImage`, not `None`",
        "give it a `DockerImage`",
    ),
    (
        "docker_image=chains.DockerImage(base_image=3)",
        "`base_image` of `DockerImage` takes a `BasetenImage` or a `CustomImage`, not `3`",
        "give it a `BasetenImage` or a `CustomImage`",
    ),
    (
        "docker_image=chains.DockerImage(zip=1)",
        "`DockerImage` has no field `zip`",
        "its fields are `base_image`, `req",
    ),
    (
        "docker_image=chains.DockerImage(truss_server_version_override='new')",
        "`truss_server_version_override` of `DockerImage`: `new` is not a version",
        "correct `DockerImage`",
    ),
    (
        "compute=chains.Compute(cpu_count=0)",
        "`cpu_count` of `Compute` takes a number from 1 on, not `0`",
        "give it",
    ),
    (
        "compute=chains.Compute(memory='lots')",
        "`memory` of `Compute`: `lots` is not an amount of memory; write for",
        "",
    ),
    (
        "assets=chains.Assets(secret_keys=[1])",
        "`secret_keys[0]` of `Assets` takes a text, not `1`",
        'write `"1"`',
    ),
    (
        "assets=chains.Assets(weights=[chains.WeightsSource(source='x', mount_location='y')])",
        "`source` of `WeightsSource`: `x` does not start with a supported scheme",
        "",
    ),
    (
        "options=chains.ChainletOptions(env_variables={'A': 1})",
        "`env_variables.A` of `ChainletOptions` takes a text, not `1`",
        'write `"1"`',
    ),
    (
        "options=chains.ChainletOptions(transport={'kind': 'carrier pigeon'})",
        "`transport` of `ChainletOptions` takes a `kind` of",
        "",
    ),
    (
        "autoscaling=chains.Autoscaling(min_replicas=3)",
        "`Autoscaling`: `min_replicas` (3) is above `max_replicas` (1)",
        "",
    ),
]


@pytest.mark.parametrize(("settings", "message", "remedy"), REFUSED)
def test_each_refused_setting_is_one_sentence_at_its_line(
    tmp_path: Path, settings: str, message: str, remedy: str
) -> None:
    found = refused(tmp_path, config(settings))
    assert found[0].message.startswith(message)
    assert (found[0].help or "").startswith(remedy)
    for diagnostic in found:
        assert diagnostic.location is not None
        assert (diagnostic.code, diagnostic.location.line, diagnostic.chainlet) == ("CH115", 5, "A")
        assert "\n" not in diagnostic.message


def test_each_bad_field_is_told_at_its_own_line(tmp_path: Path) -> None:
    source = """\
        class A(chains.ChainletBase):
            remote_config = chains.RemoteConfig(
                docker_image=chains.DockerImage(
                    pip_requirement=["x"],
                    apt_requirements="git",
                ),
            )
    """
    assert [shown(d) for d in sorted(refused(tmp_path, source), key=lambda d: str(d.location))] == [
        "CH115 7:13 `DockerImage` has no field `pip_requirement` | did you mean `pip_requirements`?",
        "CH115 8:13 `apt_requirements` of `DockerImage` takes a list, not `'git'` | "
        "write `apt_requirements=['git']`",
    ]


def test_options_of_depends_are_ch119(tmp_path: Path) -> None:
    source = """\
        class A(chains.ChainletBase):
            async def run_remote(self) -> int: return 1

        class B(chains.ChainletBase):
            def __init__(self, a=chains.depends(A, retries="3", timeout_sec=-1)): ...
    """
    assert [shown(d) for d in refused(tmp_path, source)] == [
        "CH119 8:44 `retries` of `depends` takes an integer, not `'3'` | write `retries=3`",
        "CH119 8:57 `timeout_sec` of `depends` takes a number above 0.0, not `-1` | "
        "give it a number above 0.0",
    ]


def test_an_assignment_is_told_at_its_line(tmp_path: Path) -> None:
    (found,) = refused(tmp_path, "config = chains.RemoteConfig()\nconfig.name = 3\n")
    assert shown(found) == 'CH115 5:1 `name` of `RemoteConfig` takes a text, not `3` | write `name="3"`'


def test_a_place_that_python_does_not_know_exactly_is_the_line(tmp_path: Path) -> None:
    """Made in a helper of the user's, told where the helper calls us."""
    source = """\
        def image(**fields):
            return chains.DockerImage(**fields)

        image(x=1)
    """
    (found,) = refused(tmp_path, source)
    assert shown(found).startswith("CH115 5:12 `DockerImage` has no field `x`")
    assert found.chainlet is None


def test_errors_of_the_users_own_models_are_not_ours(tmp_path: Path) -> None:
    source = """\
        import pydantic

        class RemoteConfig(pydantic.BaseModel):
            name: str

        RemoteConfig(name=3)
    """
    assert refused(tmp_path, source) == ()


def test_an_error_without_a_line_of_the_users_is_not_explained() -> None:
    from truss_chains import RemoteConfig

    with pytest.raises(ValidationError) as caught:
        RemoteConfig(name=3)  # type: ignore[arg-type]
    assert settings_diagnostics(caught.value, lambda filename: False) == ()

"""`chains check`, `graph`, `package`: what is wrong, what a chain is, what would be deployed."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chains_cli.app import tool_version

Tool = Any  # the fixture of conftest.py
Program = Callable[[str], Path]
Golden = Callable[[str, str], None]


def test_a_valid_chain(tool: Tool, program: Program) -> None:
    program("cli_hello.py")
    done = tool.ok("check", "hello.py")
    assert done.out == "ok: chain `hello`, entrypoint `HelloAll`, 2 chainlets\n"
    assert done.err == ""


@pytest.mark.parametrize("format", ["text", "json", "github", "sarif"])
def test_everything_that_is_wrong_is_told_at_once(
    tool: Tool, program: Program, golden: Golden, format: str
) -> None:
    program("cli_broken.py")
    done = tool("check", "broken.py", "--format", format)
    assert (done.code, done.err) == (1, "")
    text = done.out.replace(tool.cwd.as_uri(), "file:///work")
    golden(f"check-{format}", text.replace(f'"version": "{tool_version()}"', '"version": "0"'))


REQUIRES = """import truss_chains as chains


@chains.mark_entrypoint
class Here(chains.ChainletBase):
    remote_config = chains.RemoteConfig(docker_image=chains.DockerImage(pip_requirements=["%s"]))

    async def run_remote(self) -> str:
        return __import__("json" + "").dumps(1)
"""


@pytest.mark.parametrize(("requirement", "code"), [("../mine", "CH203"), ("six", "CH206")])
def test_what_packaging_finds_is_placed_for_who_stands_elsewhere(
    tool: Tool, requirement: str, code: str
) -> None:
    """Packages know a file by its path below the workspace; a reader in another directory does not."""
    (tool.cwd / "sub").mkdir()
    (tool.cwd / "sub" / "chain.py").write_text(REQUIRES % requirement)
    assert f"title={code},file=sub/chain.py,line=" in tool("check", "sub/chain.py", "--format", "github").out


def test_types_adds_what_mypy_finds_at_its_place(tool: Tool, program: Program) -> None:
    """CH130 beside the other codes, with line and column; the rule of mypy is named."""
    path = program("cli_typing_faults.py")
    done = tool("check", "typing_faults.py", "--types", "--format", "github")
    assert done.code == 1
    found = re.findall(r"title=(CH\d+),file=typing_faults.py,line=(\d+),col=(\d+)::(.*)", done.out)
    assert [(code, int(line)) for code, line, _, _ in found] == marked(path)
    assert [text.rpartition("[")[2] for code, *_, text in found if code == "CH130"] == [
        "arg-type]",
        "return-value]",
    ]
    assert not [column for *_, column, _ in found if int(column) < 5]


def test_types_is_quiet_about_a_file_that_cannot_be_read(tool: Tool) -> None:
    assert "CH130" not in tool("check", "missing.py", "--types").out


def marked(path: Path) -> list[tuple[str, int]]:
    """Codes and lines of a program whose lines name the code that they provoke."""
    lines = enumerate(path.read_text("utf-8").splitlines(), 1)
    return [(match[1], number) for number, line in lines if (match := re.search(r"# (CH\d{3})$", line))]


@pytest.mark.parametrize("format", ["text", "json", "github", "sarif"])
def test_twelve_mistakes_are_twelve_diagnostics_at_their_lines(
    tool: Tool, program: Program, golden: Golden, format: str
) -> None:
    """V-01, V-22, V-24, V-25, V-40, V-43, V-45, V-46, V-48, V-55, V-62, and settings that end the reading."""
    path = program("cli_twelve.py")
    done = tool("check", "twelve.py", "--format", format)
    assert (done.code, done.err) == (1, "")
    golden(f"twelve-{format}", done.out.replace(tool.cwd.as_uri(), "file:///work"))
    expected = marked(path)
    assert len({code for code, _ in expected}) == 12
    assert found_in(done.out, format) == expected


def found_in(text: str, format: str) -> list[tuple[str, int]]:
    """Codes and lines, read from one of the formats."""
    if format == "text":
        pattern = r"^error\[(CH\d+)\]: .*\n  --> twelve\.py:(\d+)$"
        return [(m[1], int(m[2])) for m in re.finditer(pattern, text, re.MULTILINE)]
    if format == "github":
        pattern = r"^::error title=(CH\d+),file=twelve\.py,line=(\d+),col=\d+::"
        return [(m[1], int(m[2])) for m in re.finditer(pattern, text, re.MULTILINE)]
    document = json.loads(text)
    if format == "json":
        return [(d["code"], d["location"]["line"]) for d in document["diagnostics"]]
    results = document["runs"][0]["results"]
    places = [r["locations"][0]["physicalLocation"]["region"]["startLine"] for r in results]
    return [(r["ruleId"], line) for r, line in zip(results, places, strict=True)]


def test_a_file_with_every_accepted_type_has_no_finding(tool: Tool, program: Program) -> None:
    """V-45: nothing is said, not even a note."""
    program("cli_all_types.py")
    done = tool.ok("check", "all_types.py")
    assert done.out == "ok: chain `Socket`, entrypoint `Socket`, 10 chainlets\n"
    assert json.loads(tool.ok("check", "all_types.py", "--format", "json").out)["diagnostics"] == []


@pytest.mark.parametrize("name", ["twelve", "hello"])
def test_sarif_fits_the_official_schema(tool: Tool, program: Program, name: str) -> None:
    """By the models of `pydantic-sarif`, which are generated from it and refuse unknown properties."""
    from pydantic_sarif.model import StaticAnalysisResultsFormatSarifVersion210JsonSchema as Log

    program(f"cli_{name}.py")
    text = tool("check", f"{name}.py", "--format", "sarif").out
    assert len(Log.model_validate_json(text).runs[0].results or []) == (12 if name == "twelve" else 0)
    broken = json.loads(text)
    broken["runs"][0]["tool"]["driver"]["unknown"] = 1
    with pytest.raises(ValueError, match="unknown"):
        Log.model_validate(broken)


def test_sarif_has_what_the_standard_requires(tool: Tool, program: Program) -> None:
    program("cli_broken.py")
    log = json.loads(tool("check", "broken.py", "--format", "sarif").out)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == sorted(set(rules))
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        (location,) = result["locations"]
        physical = location["physicalLocation"]
        assert physical["artifactLocation"] == {"uri": "broken.py", "uriBaseId": "ROOT"}
        assert physical["region"]["startLine"] >= 1
    assert all(base["uri"].endswith("/") for base in run["originalUriBaseIds"].values())


def test_sarif_without_findings_is_valid_too(tool: Tool, program: Program) -> None:
    program("cli_hello.py")
    log = json.loads(tool.ok("check", "hello.py", "--format", "sarif").out)
    assert log["runs"][0]["results"] == []


def test_json_output_ends_with_the_result(tool: Tool, program: Program) -> None:
    program("cli_broken.py")
    done = tool("check", "broken.py", "--output", "json")
    assert done.code == 1
    assert (done.result["ok"], done.result["exit_code"]) == (False, 1)
    assert {d["code"] for d in done.result["diagnostics"]} >= {"CH104", "CH106", "CH118"}


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("missing.py", None, "CH150"),
        ("syntax.py", "def run(:\n", "CH152"),
        ("imports.py", "1 / 0\n", "CH153"),
        ("empty.py", "x = 1\n", "CH154"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_its_code(
    tool: Tool, name: str, text: str | None, code: str
) -> None:
    if text is not None:
        (tool.cwd / name).write_text(text)
    done = tool("check", name)
    assert done.code == 1
    assert f"error[{code}]: " in done.out


def test_what_the_file_prints_is_part_of_the_story(tool: Tool, program: Program) -> None:
    path = program("cli_hello.py")
    path.write_text(path.read_text() + '\nprint("loading things")\n')
    done = tool.ok("check", "hello.py")
    assert "loading things" in done.err
    assert "loading things" not in done.out


@pytest.mark.parametrize("format", ["tree", "mermaid", "json"])
def test_graph(tool: Tool, program: Program, golden: Golden, format: str) -> None:
    program("cli_hello.py")
    golden(f"graph-{format}", tool.ok("graph", "hello.py", "--format", format).out)


def test_a_shared_chainlet_is_spelled_out_once(tool: Tool) -> None:
    (tool.cwd / "diamond.py").write_text(
        "import truss_chains as chains\n"
        "class Leaf(chains.ChainletBase):\n"
        "    async def run_remote(self) -> int: return 1\n"
        "class Mid(chains.ChainletBase):\n"
        "    def __init__(self, leaf=chains.depends(Leaf)): ...\n"
        "    async def run_remote(self) -> int: return 1\n"
        "@chains.mark_entrypoint\n"
        "class Top(chains.ChainletBase):\n"
        "    def __init__(self, mid=chains.depends(Mid), leaf=chains.depends(Leaf)): ...\n"
        "    async def run_remote(self) -> int: return 1\n"
    )
    assert tool.ok("graph", "diamond.py").out == (
        "Top() -> int\n├─ Mid() -> int\n│  └─ Leaf() -> int\n└─ Leaf() -> int\n"
    )


def test_package_writes_one_directory_a_chainlet(tool: Tool, program: Program) -> None:
    program("cli_hello.py")
    done = tool.ok("package", "hello.py", "--out", "build")
    assert done.out.startswith("hello: wrote 2 packages to build\n")
    names = sorted(path.name for path in (tool.cwd / "build").iterdir())
    assert names == ["chainlet_HelloAll", "chainlet_SayHello"]
    assert (tool.cwd / "build" / "chainlet_HelloAll" / "config.yaml").is_file()


def test_package_refuses_a_directory_with_other_things(tool: Tool, program: Program) -> None:
    program("cli_hello.py")
    done = tool("package", "hello.py", "--out", ".")
    assert done.code == 1
    assert "error[CH207]" in done.err

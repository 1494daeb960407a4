"""`chains init`: every template is written, checked, run and tested as a user would."""

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from chains_cli.operations.init import EXAMPLE_INPUTS, Template
from chains_cli.templates import template_root

Tool = Any  # the fixture of conftest.py


def test_the_templates_are_the_directories() -> None:
    names = {path.name for path in (template_root() / "init").iterdir()}
    assert names == {template.value for template in Template}


def test_it_says_what_is_there_and_what_to_type(tool: Tool) -> None:
    done = tool.ok("init", "my_chain")
    assert done.out == (
        "wrote the template `hello` to `my_chain`: .gitignore, README.md, chain.py, test_chain.py\n"
        "next:\n"
        "  cd my_chain\n"
        '  chains run-local chain.py --input \'{"names": ["Ada", "Grace"]}\'\n'
        "  chains push chain.py\n"
    )
    assert done.err == ""


def test_the_current_directory_is_the_default(tool: Tool) -> None:
    assert "cd " not in tool.ok("init").out
    assert (tool.cwd / "chain.py").is_file()


@pytest.mark.parametrize("name", ["occupied", "file"])
def test_it_refuses_what_is_not_empty(tool: Tool, name: str) -> None:
    (tool.cwd / "occupied").mkdir()
    (tool.cwd / "occupied" / "note.txt").write_text("mine")
    (tool.cwd / "file").write_text("mine")
    done = tool("init", name)
    assert done.code == 1
    assert done.err.startswith("error[CH207]: ")
    assert done.out == ""
    assert [p.name for p in (tool.cwd / "occupied").iterdir()] == ["note.txt"]


def test_it_tells_that_a_directory_cannot_be_written(tool: Tool) -> None:
    (tool.cwd / "file").write_text("mine")
    done = tool("init", "file/below")
    assert (done.code, done.err.partition(": ")[0]) == (1, "error[CH207]")


@pytest.mark.parametrize("template", list(Template))
def test_a_template_is_a_valid_chain_of_its_name(tool: Tool, template: Template) -> None:
    tool.ok("init", "it", "--template", template.value)
    done = tool.ok("check", "it/chain.py", "--output", "json")
    assert done.result["chain"] == template.value
    assert done.result["diagnostics"] == []


@pytest.mark.parametrize("template", list(Template))
def test_a_template_answers_its_example(tool: Tool, template: Template) -> None:
    tool.ok("init", "it", "--template", template.value)
    run = ("run-local", "it/chain.py", "--strict", "--input", EXAMPLE_INPUTS[template])
    done = tool.ok(*run, "--output", "json")
    items = [line["value"] for line in done.lines if line["type"] == "item"]
    assert items if template is Template.STREAMING else done.result["value"]


@pytest.mark.parametrize("template", list(Template))
def test_a_readme_names_an_input_that_works(template: Template) -> None:
    readme = (template_root() / "init" / template.value / "README.md").read_text("utf-8")
    assert f"--input '{EXAMPLE_INPUTS[template]}'" in readme
    json.loads(EXAMPLE_INPUTS[template])


def test_the_first_page_names_what_the_template_writes(tool: Tool) -> None:
    tool.ok("init", "my_chain")
    page = (template_root().parent / "README.md").read_text("utf-8")
    commands = page.partition("chains init my_chain")[2].partition("```")[0]
    files = set(re.findall(r"chains (?:check|run-local|push|watch) (\S+)", commands))
    chain = tool.ok("check", "my_chain/chain.py", "--output", "json").result["chain"]
    assert files == {"chain.py"}
    assert set(re.findall(r"chains call (\S+)", commands)) == {chain}


@pytest.mark.parametrize("template", list(Template))
def test_a_template_passes_its_own_tests(tool: Tool, template: Template) -> None:
    tool.ok("init", "it", "--template", template.value)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "."]
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "CHAINS_"))}
    done = subprocess.run(
        command, cwd=tool.cwd / "it", env=keep, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout

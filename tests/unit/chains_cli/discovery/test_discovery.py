"""Reading user files in a child interpreter (chapter 4: I-rules; CH150 to CH161)."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from chains_cli.discovery.discover import MockOption, discover, fit_chain_name
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError, Severity
from chains_protocol.spec import ChainSpec
from tests.conftest import find_interpreter

PROGRAMS = Path(__file__).parents[3] / "programs" / "discovery"
ENVIRON = {"PATH": os.environ["PATH"]}


def read(
    name: str | Path,
    entrypoint: str | None = None,
    *,
    mocks: tuple[str, ...] = (),
    output: list[str] | None = None,
    timeout_s: float = 60.0,
    **options: str,
) -> ChainSpec:
    return discover(
        PROGRAMS / name,
        entrypoint,
        mocks=[MockOption.parse(text) for text in mocks],
        report_output=(output if output is not None else []).append,
        environ=ENVIRON,
        timeout_s=timeout_s,
        **options,
    )


def refused(name: str | Path, entrypoint: str | None = None, **options: object) -> tuple[Diagnostic, ...]:
    with pytest.raises(DiagnosticsError) as caught:
        read(name, entrypoint, **options)  # type: ignore[arg-type]  # handed on as they are
    return caught.value.diagnostics


def only(diagnostics: tuple[Diagnostic, ...]) -> Diagnostic:
    assert len(diagnostics) == 1, diagnostics
    return diagnostics[0]


def place(diagnostic: Diagnostic) -> tuple[str, int | None]:
    assert diagnostic.location is not None
    return Path(diagnostic.location.path).name, diagnostic.location.line


def names(spec: ChainSpec) -> list[str]:
    return [found.spec.class_name for found in spec.chainlets]


def test_a_chain_is_read_as_data_and_its_prints_are_reported() -> None:
    output: list[str] = []
    spec = read("two_hops.py", output=output)
    assert names(spec) == ["Say", "Greet"]
    assert (spec.entrypoint, spec.chain_name) == ("Greet", "Greet")
    assert spec.workspace == str(PROGRAMS)
    assert spec.source == str(PROGRAMS / "two_hops.py")
    assert spec.python.version == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert spec.chainlet("Greet").spec.dependencies[0].options.retries == 2
    assert output == ["reading two_hops"]
    assert spec.notes == ()


def test_the_tool_itself_never_imports_the_file() -> None:
    before = set(sys.modules), list(sys.path)
    read("two_hops.py")
    assert "two_hops" not in sys.modules
    assert list(sys.path) == before[1]


def test_reading_the_same_file_twice_gives_equal_specs() -> None:
    """I-05: nothing of one reading is left for the next."""
    assert read("two_hops.py") == read("two_hops.py")


# --- SOURCE (I-01, I-02, I-04)


@pytest.mark.parametrize(
    ("name", "code"),
    [("absent.py", Code.SOURCE_NOT_FOUND), ("parent", Code.SOURCE_NOT_A_FILE), ("notes.txt", None)],
)
def test_source_is_an_existing_python_file(name: str, code: Code | None, tmp_path: Path) -> None:
    """I-01; the message says that a file is needed."""
    path: str | Path = name
    if code is None:
        path = tmp_path / name
        path.write_text("")
        code = Code.SOURCE_NOT_A_FILE
    diagnostic = only(refused(path))
    assert diagnostic.code is code
    assert "file" in diagnostic.message + (diagnostic.help or "")


def test_a_module_name_that_is_taken_is_refused_with_advice_to_rename() -> None:
    """I-02: `json.py`."""
    diagnostic = only(refused("json.py"))
    assert diagnostic.code is Code.NAME_TAKEN
    assert "rename" in (diagnostic.help or "")


def test_relative_imports_in_the_target_do_not_work() -> None:
    """I-04."""
    diagnostic = only(refused("relative_import.py"))
    assert (diagnostic.code, place(diagnostic)) == (Code.IMPORT_FAILED, ("relative_import.py", 1))
    assert "without a leading dot" in (diagnostic.help or "")


# --- what the user's code raises (I-06, I-07)


@pytest.mark.parametrize("name", ["bad_syntax.py", "imports_bad_syntax.py"])
def test_a_syntax_error_is_located_where_it_is(name: str) -> None:
    diagnostic = only(refused(name))
    assert diagnostic.code is Code.SYNTAX_ERROR
    assert diagnostic.location is not None
    assert place(diagnostic) == ("bad_syntax.py", 4)
    assert diagnostic.location.column == 12
    assert diagnostic.location.source_line == "def broken(:"


def test_a_null_byte_is_a_syntax_error() -> None:
    assert only(refused("null_byte.py")).code is Code.SYNTAX_ERROR


def test_an_import_failure_shows_the_users_frames_only() -> None:
    """I-06: the error is the user's, located at the innermost user line."""
    output: list[str] = []
    diagnostic = only(refused("raises.py", output=output))
    assert (diagnostic.code, place(diagnostic)) == (Code.IMPORT_FAILED, ("raises.py", 2))
    assert "RuntimeError: no such thing" in diagnostic.message
    assert diagnostic.detail is not None
    files = [line for line in diagnostic.detail.splitlines() if line.startswith("  File")]
    assert [line.rpartition(", in ")[2] for line in files] == ["<module>", "explode"]
    assert "chains_cli" not in diagnostic.detail
    assert output == ["before"]


def test_a_failure_inside_a_library_is_located_at_the_users_line() -> None:
    diagnostic = only(refused("raises_deep.py"))
    assert place(diagnostic) == ("raises_deep.py", 3)
    assert "json/decoder.py" in (diagnostic.detail or "")


def test_sys_exit_in_the_file_ends_nothing_but_the_reading() -> None:
    diagnostic = only(refused("exits.py"))
    assert (diagnostic.code, place(diagnostic)) == (Code.IMPORT_FAILED, ("exits.py", 3))
    assert "__main__" in (diagnostic.help or "")


def test_a_file_cannot_ask_for_input() -> None:
    assert place(only(refused("asks.py"))) == ("asks.py", 1)


def test_collected_definition_errors_are_all_reported_sorted_by_place() -> None:
    """I-07, E-05."""
    found = refused("rule_broken.py")
    assert [(d.code, d.location and d.location.line) for d in found] == [
        (Code.MISSING_ANNOTATION, 5),
        (Code.MISSING_RETURN_ANNOTATION, 10),
    ]


# --- crashes and hangs


@pytest.mark.parametrize(
    ("name", "said", "line", "word"),
    [
        ("kills_itself.py", "last words", None, "SIGKILL"),
        ("ends_hard.py", "bye", None, "status 0"),
        ("segfaults.py", None, 3, "SIGSEGV"),
    ],
)
def test_a_child_that_dies_is_a_diagnostic(name: str, said: str | None, line: int | None, word: str) -> None:
    diagnostic = only(refused(name))
    assert (diagnostic.code, place(diagnostic)) == (Code.DISCOVERY_CRASHED, (name, line))
    assert word in diagnostic.message
    assert said is None or said in (diagnostic.detail or "")


def test_a_file_that_hangs_is_given_up_and_located() -> None:
    began = time.monotonic()
    diagnostic = only(refused("hangs.py", timeout_s=2.0))
    assert time.monotonic() - began < 30
    assert (diagnostic.code, place(diagnostic)) == (Code.DISCOVERY_CRASHED, ("hangs.py", 4))
    assert "within 2 s" in diagnostic.message
    assert "waiting" in (diagnostic.detail or "")


def test_threads_and_processes_left_behind_end_with_the_reading() -> None:
    before = {p.pid for p in psutil.process_iter()}
    assert names(read("leaves_threads.py")) == ["Alone"]
    left = [
        p
        for p in psutil.process_iter(["cmdline"])
        if p.pid not in before and "time.sleep(600)" in " ".join(p.info["cmdline"] or [])
    ]
    _, alive = psutil.wait_procs(left, timeout=10)
    assert alive == []


# --- the entrypoint (I-08 to I-12)


def test_the_only_chainlet_is_the_entrypoint_although_unmarked() -> None:
    """I-09; importing the base class by name does not count as a second one (WP-38)."""
    assert read("only_one.py").entrypoint == "Alone"


def test_an_imported_chainlet_counts() -> None:
    """I-09: a file that only imports one is a valid target; I-11: the root is that of its file."""
    spec = read("imports_one.py")
    assert (spec.entrypoint, spec.workspace) == ("Alone", str(PROGRAMS))
    assert spec.chainlet("Alone").spec.file == "only_one.py"


def test_an_entrypoint_inside_a_package_keeps_its_dotted_name() -> None:
    """I-11: the root is the directory its module is imported from, so its imports mean the same later."""
    spec = read("deep_entry.py")
    assert spec.workspace == str(PROGRAMS)
    assert (spec.chainlets[0].spec.module, spec.chainlets[0].spec.file) == ("parent.inner", "parent/inner.py")


@pytest.mark.parametrize(
    ("name", "code", "named"),
    [
        ("nothing.py", Code.NO_ENTRYPOINT, ()),
        ("unmarked.py", Code.NO_ENTRYPOINT, ("`First`", "`Second`", "mark_entrypoint")),
        ("marked_twice.py", Code.SEVERAL_ENTRYPOINTS, ("`First`", "`Second`")),
    ],
)
def test_without_a_clear_entrypoint_the_choices_are_named(
    name: str, code: Code, named: tuple[str, ...]
) -> None:
    """I-09."""
    diagnostic = only(refused(name))
    assert diagnostic.code is code
    assert all(word in diagnostic.message + (diagnostic.help or "") for word in named)


def test_a_named_class_wins() -> None:
    """I-08, I-12: other Chainlets of the file are left out."""
    assert names(read("unmarked.py", "Second")) == ["Second"]
    assert names(read("two_hops.py", "Say")) == ["Say"]


def test_a_named_class_must_exist_and_be_a_chainlet() -> None:
    """I-08."""
    absent = only(refused("two_hops.py", "Nope"))
    assert absent.code is Code.ENTRYPOINT_NOT_FOUND
    assert "`Nope`" in absent.message and "two_hops.py" in absent.message
    assert "Greet" in (absent.help or "")
    assert only(refused("nothing.py", "Plain")).code is Code.BAD_ENTRYPOINT


def test_a_model_needs_no_mark() -> None:
    """I-10."""
    spec = read("a_model.py")
    assert (spec.entrypoint, spec.chainlets[0].spec.endpoint.method_name) == ("Doubler", "predict")


# --- names


def test_the_chain_name_is_the_option_the_mark_or_the_display_name() -> None:
    assert read("two_hops.py", chain_name="mine").chain_name == "mine"
    assert read("marked_twice.py", "Second").chain_name == "Other"


def test_a_chain_name_is_made_fit_for_urls_with_a_note() -> None:
    """G-01's rule for names."""
    spec = read("spaced_name.py")
    assert spec.chain_name == "My_Chain_Name"
    assert [(n.code, n.severity) for n in spec.notes] == [(Code.INVALID_NAME, Severity.NOTE)]
    assert fit_chain_name("  a b//c__d ") == "a_b_c_d"


def test_a_name_is_neither_an_option_nor_a_directory() -> None:
    names = ["-x", "--", "-", ".", "..", "...", ".a", "a-"]
    assert [fit_chain_name(name) for name in names] == ["_x", "_-", "_", "_", "_.", "...", ".a", "a-"]


# --- placeholders


def test_a_missing_module_that_requirements_provide_is_stood_in_for() -> None:
    spec = read("needs_torch.py")
    assert names(spec) == ["Model"]
    assert [(n.code, n.severity) for n in spec.notes] == [(Code.MODULE_STOOD_IN, Severity.NOTE)]
    assert "`missing_torchlike`" in spec.notes[0].message


def test_a_missing_module_that_nothing_provides_is_the_original_error() -> None:
    diagnostic = only(refused("typo_import.py"))
    assert (diagnostic.code, place(diagnostic)) == (Code.IMPORT_FAILED, ("typo_import.py", 2))
    assert "No module named 'nunpy_of_a_typo'" in diagnostic.message


def test_of_two_missing_modules_the_one_that_nothing_provides_is_named(tmp_path: Path) -> None:
    source = tmp_path / "chain.py"
    program = (PROGRAMS / "needs_torch.py").read_text()
    source.write_text(f"{program}\nimport nunpy_of_a_typo\n")
    diagnostic = only(refused(source))
    assert "No module named 'nunpy_of_a_typo'" in diagnostic.message
    assert diagnostic.location is not None and diagnostic.location.source_line == "import nunpy_of_a_typo"


def test_a_placeholder_that_is_really_used_is_an_error_at_that_line() -> None:
    diagnostic = only(refused("uses_torch.py"))
    assert (diagnostic.code, place(diagnostic)) == (Code.PLACEHOLDER_USED, ("uses_torch.py", 4))
    assert "`missing_torchlike.zeros`" in diagnostic.message


def test_reading_again_with_a_placeholder_reports_output_once(tmp_path: Path) -> None:
    source = tmp_path / "chain.py"
    program = (PROGRAMS / "needs_torch.py").read_text()
    source.write_text(f"print('once')\n{program}\nprint('then')\n")
    output: list[str] = []
    read(source, output=output)
    assert output == ["once", "then"]


# --- mocks


def test_an_automatic_mock_needs_nothing() -> None:
    spec = read("two_hops.py", mocks=("Say=auto",))
    say = spec.chainlet("Say").spec
    assert say.mock is not None and say.mock.kind == "auto"
    assert (say.dependencies, say.compute.gpu, say.image.pip_requirements) == ((), None, ())
    assert names(read("two_hops.py", mocks=("Greet=auto",))) == ["Greet"]


def test_a_class_replaces_a_chainlet() -> None:
    """The stand-in's module joins the package; its callers see the same endpoint."""
    real = read("two_hops.py").chainlet("Say").spec
    found = read("two_hops.py", mocks=(f"Say={PROGRAMS / 'mocks.py'}:FakeSay",)).chainlet("Say")
    assert (found.spec.module, found.spec.qualname, found.spec.file) == ("mocks", "FakeSay", "mocks.py")
    assert found.spec.endpoint == real.endpoint
    assert found.sources.mock_file == str(PROGRAMS / "mocks.py")


@pytest.mark.parametrize(
    ("mock", "said"),
    [
        ("Nobody=auto", "Greet"),
        ("Say=MOCKS:NoMethod", "run_remote"),
        ("Say=MOCKS:OtherArguments", "name: str"),
        ("Say=MOCKS:NeedsArguments", "without arguments"),
        ("Say=MOCKS:Streams", "does not stream"),
        ("Say=MOCKS:Absent", "Absent"),
        ("Say=absent.py:FakeSay", "absent.py"),
    ],
)
def test_a_mock_that_does_not_fit_is_refused(mock: str, said: str) -> None:
    diagnostic = only(refused("two_hops.py", mocks=(mock.replace("MOCKS", str(PROGRAMS / "mocks.py")),)))
    assert diagnostic.code is Code.BAD_MOCK
    assert said in diagnostic.message + (diagnostic.help or "")


@pytest.mark.parametrize("text", ["Say", "=auto", "Say=", "Say=file.py", "Say=file.py:not a name"])
def test_a_mock_option_has_two_forms(text: str) -> None:
    with pytest.raises(DiagnosticsError) as caught:
        MockOption.parse(text)
    assert caught.value.diagnostics[0].code is Code.BAD_MOCK


# --- interpreters


@pytest.fixture(scope="module")
def bare_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment without pydantic."""
    path = tmp_path_factory.mktemp("bare") / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(path)], check=True)
    return path


def test_an_environment_without_pydantic_is_passed_over_with_a_warning(bare_environment: Path) -> None:
    source = bare_environment.parent / "chain.py"
    source.write_text((PROGRAMS / "only_one.py").read_text())
    spec = read(source)
    assert spec.python.executable == sys.executable
    assert [(n.code, n.severity) for n in spec.notes] == [(Code.INTERPRETER_UNUSABLE, Severity.WARNING)]
    assert "pydantic" in spec.notes[0].message


def test_a_chosen_interpreter_is_never_replaced(bare_environment: Path) -> None:
    diagnostic = only(refused("only_one.py", python=str(bare_environment)))
    assert (diagnostic.code, diagnostic.severity) == (Code.INTERPRETER_UNUSABLE, Severity.ERROR)


@pytest.mark.parametrize("minor", ["3.11", "3.13"])
def test_the_users_interpreter_may_be_of_another_version(minor: str, python_of: Callable[[str], str]) -> None:
    spec = read("two_hops.py", python=python_of(minor))
    assert spec.python.version == minor
    assert names(spec) == ["Say", "Greet"]


def test_libraries_of_the_tool_are_not_visible_to_the_users_file(
    python_of: Callable[[str], str], tmp_path: Path
) -> None:
    """Only our own packages are lent to the user's interpreter."""
    source = tmp_path / "chain.py"
    source.write_text("import typer\n")
    assert "No module named 'typer'" in only(refused(source, python=python_of("3.11"))).message


def test_an_interpreter_that_is_too_old_says_so(tmp_path: Path) -> None:
    """The child's first part has to run on any Python 3."""
    found = next(filter(None, map(find_interpreter, ("3.8", "3.9", "3.10"))), None)
    if found is None:
        pytest.skip("no Python older than 3.11 on this machine")
    assert "3.11 or newer" in only(refused("only_one.py", python=found)).message


def test_an_interpreter_that_does_not_start_says_so(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho no such version >&2\nexit 127\n")
    python.chmod(0o755)
    diagnostic = only(refused("only_one.py", python=str(python)))
    assert diagnostic.code is Code.INTERPRETER_UNUSABLE
    assert "no such version" in diagnostic.message


def test_an_edit_of_the_same_size_in_the_same_second_is_seen(tmp_path: Path) -> None:
    """Cached bytecode is told apart by second and size only, which two quick saves share."""
    source = tmp_path / "chain.py"
    source.write_text(
        "import truss_chains as chains\nfrom named import NAME\n\n\n"
        "@chains.mark_entrypoint\nclass Quick(chains.ChainletBase):\n"
        "    remote_config = chains.RemoteConfig(name=NAME)\n\n"
        "    async def run_remote(self) -> int:\n        return 1\n"
    )
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    seen = []
    for name in ("one", "two"):
        (tmp_path / "named.py").write_text(f"NAME = {name!r}\n")
        os.utime(tmp_path / "named.py", (1_000_000_000, 1_000_000_000))
        spec = discover(source, report_output=lambda text: None, environ=environ)
        seen.append(spec.chainlets[-1].spec.display_name)

    assert seen == ["one", "two"]

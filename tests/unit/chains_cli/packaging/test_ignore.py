"""What is hidden: quick answers about names are those of the `.gitignore` rules (G-42)."""

from hypothesis import given, settings
from hypothesis import strategies as st

from chains_cli.packaging.ignore import Rules, built_in_rules, rules_of

BUILT_IN = built_in_rules()
PLAIN = Rules(BUILT_IN.lines)
_PIECES = (
    *(word for line in BUILT_IN.lines for word in (line.strip("/*"), line.strip("/").replace("*", "x"))),
    *("git", ".", "~", "#", "a", "py", ".pyc", ".pyd", ".swp", "lib", "build", "env", " ", "é"),
)
names = st.lists(st.sampled_from(_PIECES), min_size=1, max_size=3).map("".join)


@settings(deadline=None)
@given(names, st.booleans(), st.sampled_from(["", "src/", "a/b.c/"]))
def test_the_built_in_rules_answer_as_the_lines_do(name: str, is_directory: bool, below: str) -> None:
    path = below + name.replace("/", "")
    if path and not path.endswith("/"):
        expected = PLAIN.hides(path, is_directory=is_directory)
        assert BUILT_IN.hides(path, is_directory=is_directory) == expected


def test_what_is_never_packaged_wins_over_the_authors_rules() -> None:
    rules = rules_of(["!__pycache__/", "!*.pyc", "!.git/", "notes/"])
    assert rules.hides("pkg/__pycache__", is_directory=True)
    assert rules.hides("pkg/a.pyc", is_directory=False)
    assert rules.hides(".git", is_directory=True)
    assert rules.hides("notes", is_directory=True) and not rules.hides("notes", is_directory=False)
    assert rules.match_file("notes/a.txt") and not rules.match_file("pkg/a.py")

"""What a command that speaks to a remote loads."""

import subprocess
import sys

PROGRAM = """
import sys
import chains_cli.remotes.platform
print(*sorted({"httpx", "rich", "click", "pygments", "jinja2", "pathspec"} & set(sys.modules)))
"""


def test_the_http_client_comes_without_its_command_line() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["httpx"]

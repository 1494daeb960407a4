"""Where the imports of a user's file are looked for (I-03)."""

import os
from pathlib import Path

from chains_cli.discovery.discover import discover

PROGRAM = """
import sys

import yaml  # installed, too

import truss_chains as chains


class Looks(chains.ChainletBase):
    remote_config = chains.RemoteConfig(
        name=yaml.WHOSE, options=chains.ChainletOptions(env_variables={"FIRST": sys.path[0]})
    )

    async def run_remote(self) -> None: ...
"""


def test_i03_the_files_directory_comes_before_all_that_is_installed(tmp_path: Path) -> None:
    (tmp_path / "looks.py").write_text(PROGRAM)
    (tmp_path / "yaml.py").write_text('WHOSE = "mine"\n')
    spec = discover(tmp_path / "looks.py", report_output=print, environ={"PATH": os.environ["PATH"]})
    (found,) = spec.chainlets
    assert found.spec.display_name == "mine"
    assert found.spec.options.env_variables["FIRST"] == str(tmp_path)

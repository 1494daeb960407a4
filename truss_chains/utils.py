"""Old import path of the path helper; new code imports it from `truss_chains`."""

from truss_chains.paths import AbsPath, make_abs_path_here

__all__ = ["AbsPath", "make_abs_path_here"]

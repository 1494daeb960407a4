"""Where the templates lie: beside the packages in a source tree, inside ours in an installed wheel."""

from pathlib import Path


def template_root() -> Path:
    """The directory that holds `package/` and `init/`.

    A wheel carries it as `chains_cli/_templates`; in a source tree it is `templates/` beside
    `chains_cli/`. The installed form wins, so a tool never reads another project's directory.

    Raises:
        FileNotFoundError: neither form exists; the installation is broken.
    """
    here = Path(__file__).resolve().parent
    for root in (here / "_templates", here.parent / "templates"):
        if root.is_dir():
            return root
    raise FileNotFoundError("the templates are missing from this installation of chains")


__all__ = ["template_root"]

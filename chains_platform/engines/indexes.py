"""Where packages come from: the user's pip settings, in the words of uv."""

import configparser
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_SECTIONS: Final = ("global", "install")
_OPTIONS: Final = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
}


def installer_environment(environ: Mapping[str, str], pip_files: tuple[Path, ...]) -> dict[str, str]:
    """The environment for uv: the caller's, with pip's indexes where uv has none of its own.

    uv reads its own configuration as usual. pip's files and `PIP_*` variables are translated
    because people configure mirrors there; pip prefers the best version over all indexes, so
    that is what a translated extra index means too.
    """
    pip = _pip_options(environ, pip_files)
    result = dict(environ)
    for option, variable in _OPTIONS.items():
        if option in pip and variable not in environ:
            separator = "," if option == "find-links" else " "
            result[variable] = separator.join(pip[option].split())
    if "extra-index-url" in pip and "UV_INDEX" not in environ:
        result.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    result.setdefault("UV_SYSTEM_CERTS", "1")
    result["UV_PYTHON_DOWNLOADS"] = "never"
    result["UV_NO_PROGRESS"] = "1"
    result.pop("VIRTUAL_ENV", None)
    return result


def default_pip_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """pip's configuration files, weakest first."""
    if environ.get("PIP_CONFIG_FILE"):
        return (Path(environ["PIP_CONFIG_FILE"]),)
    home = Path(environ.get("HOME") or "~").expanduser()
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    return (Path("/etc/pip.conf"), home / ".pip" / "pip.conf", config / "pip" / "pip.conf")


def _pip_options(environ: Mapping[str, str], files: tuple[Path, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    parser = configparser.RawConfigParser()
    try:
        parser.read(files, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        parser.clear()  # pip itself would complain about it; here it only means no settings
    for section in _SECTIONS:
        if parser.has_section(section):
            found.update({k: v for k, v in parser.items(section) if k in _OPTIONS})
    for option in _OPTIONS:
        value = environ.get("PIP_" + option.upper().replace("-", "_"))
        if value:
            found[option] = value
    return found


__all__ = ["default_pip_files", "installer_environment"]

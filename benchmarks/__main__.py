"""Run the benchmarks: `python -m benchmarks [NAME ...] [--short] [--list]`.

Each module beside this one is a benchmark: its `main()` prints a line a ratio, against a peer or a
floor that is measured in the same run. `main(short=True)`, where a module has it, does as little as
possible and judges nothing: it only shows that the benchmark still runs.
"""

import argparse
import asyncio
import importlib
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType


def names() -> list[str]:
    """The benchmarks that there are."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def load(name: str) -> ModuleType:
    """The module of a benchmark."""
    return importlib.import_module(f"benchmarks.{name}")


def has_short_form(module: ModuleType) -> bool:
    """Whether its `main` takes `short`."""
    return "short" in inspect.signature(module.main).parameters


def run(module: ModuleType, *, short: bool = False) -> None:
    """Run one benchmark."""
    arguments = {"short": True} if short and has_short_form(module) else {}
    outcome = module.main(**arguments)
    if inspect.iscoroutine(outcome):
        asyncio.run(outcome)


def main(argv: Sequence[str]) -> int:
    """Run what the command line names; the status is 1 if one of them missed its bound."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--short", action="store_true", help="only show that they run")
    parser.add_argument("--list", action="store_true", help="name them with their first line")
    options = parser.parse_args(argv)
    if unknown := set(options.names) - set(names()):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    missed = []
    for name in options.names or names():
        module = load(name)
        if options.list:
            print(f"{name:<20} {(module.__doc__ or '').splitlines()[0]}")
            continue
        try:
            run(module, short=options.short)
        except (AssertionError, SystemExit) as error:
            missed.append(f"{name}: {error}" if isinstance(error, AssertionError) else name)
    for text in missed:
        print(f"missed its bound: {text}", file=sys.stderr)
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

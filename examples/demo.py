"""`make demo`: pushes glue_and_model to a platform of its own, calls it, edits its glue while it runs.

Everything is real and nothing is left behind: the copy that is edited, the platform's state and its
processes live in a temporary directory until the demo ends.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parent / "glue_and_model"
CHAIN = "glue-and-model"
REQUEST = {
    "question": "a storm at sea",
    "texts": ["bread and dough", "the ship lowered its sails before the storm", "a comet in the sky"],
    "limit": 1,
}


class Demo:
    """The `chains` command, run as in a shell, against a private home."""

    def __init__(self, directory: Path) -> None:
        self.source = directory / "glue_and_model"
        shutil.copytree(EXAMPLE, self.source, ignore=shutil.ignore_patterns("__pycache__"))
        self._env = {**os.environ, "CHAINS_HOME": str(directory / "home")}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "chains_cli", *arguments]

    def show(self, *arguments: str) -> None:
        """Run a command as a person would and let it print."""
        print(f"\n$ chains {' '.join(arguments)}", flush=True)
        subprocess.run(self.command(*arguments), cwd=self.source, env=self._env, check=True)

    def ask(self, *arguments: str) -> dict[str, Any]:
        """Run a command as CI would: the last JSON line is the result."""
        done = subprocess.run(
            self.command(*arguments, "--output", "json"),
            cwd=self.source,
            env=self._env,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result

    def watch(self) -> "subprocess.Popen[str]":
        print("\n$ chains watch chain.py", flush=True)
        process = subprocess.Popen(
            self.command("watch", "chain.py"),
            cwd=self.source,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        is_watching = threading.Event()

        def show() -> None:
            for line in process.stdout or ():
                print(line, end="", flush=True)
                if line.startswith("watching "):
                    is_watching.set()

        threading.Thread(target=show, daemon=True).start()
        if not is_watching.wait(60):
            sys.exit("the demo failed: the watch did not begin")
        return process

    def best(self) -> dict[str, Any]:
        """The best match that the running Chain answers with."""
        value = self.ask("call", CHAIN, "--development", "--data", json.dumps(REQUEST))["value"]
        best: dict[str, Any] = value[0]
        return best

    def processes(self) -> dict[str, tuple[int, int]]:
        """Chainlet -> (process id, how often its `__init__` ran)."""
        deployment = self.ask("status", CHAIN)["chains"][0]["deployments"][0]
        found = {c["display_name"]: c["replicas"][0] for c in deployment["chainlets"]}
        return {name: (replica["pid"], replica["load_count"]) for name, replica in found.items()}

    def edit(self, old: str, new: str) -> None:
        file = self.source / "chain.py"
        print(f"\n# edit chain.py: {old}  ->  {new}", flush=True)
        file.write_text(file.read_text().replace(old, new))


def wait_until(probe: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not probe():
        if time.monotonic() > deadline:
            sys.exit("the demo failed: the edit did not arrive")
        time.sleep(0.05)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="chains-demo-") as directory:
        demo = Demo(Path(directory))
        watcher: subprocess.Popen[str] | None = None
        try:
            demo.show("push", "chain.py", "--development")
            before, first = demo.processes(), demo.best()
            print(f"\nanswer:    {first}\nprocesses: {before}", flush=True)
            watcher = demo.watch()
            demo.edit("round(score, 3)", "round(100 * score, 1)")
            wait_until(lambda: demo.best()["score"] > 1, 60)
            after, second = demo.processes(), demo.best()
            print(f"\nanswer:    {second}\nprocesses: {after}", flush=True)
            if after["Embedder"] != before["Embedder"] or second == first:
                sys.exit("the demo failed: the model was loaded again, or the answer did not change")
            print("\nThe answer changed; the model kept its process and was loaded once.", flush=True)
        finally:
            if watcher is not None:
                watcher.terminate()  # as Ctrl-C, which background jobs of a shell ignore
                watcher.wait()
            demo.show("platform", "down")


if __name__ == "__main__":
    main()

"""`python -m benchmarks.applications [name ...]`: how long it takes to build networks.

Each library has a process of its own, and both take turns, name by name. A network is
built three times; the least counts, in seconds of the processor, so that other work on
the machine hardly shows. The first time is apart: it compiles what makes first values.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import time
from typing import Any

LIBRARIES = ("carnyx", "keras")


def names() -> list[str]:
    """All architectures."""
    import carnyx

    own = vars(carnyx.applications).items()
    return sorted(name for name, make in own if inspect.isfunction(make))


def serve(library: str) -> None:
    """Build what the standard input names; print the seconds of each time."""
    os.environ["KERAS_BACKEND"] = "jax"
    k: Any = __import__(library)
    for line in sys.stdin:
        make = getattr(k.applications, line.strip())
        seconds = []
        for _ in range(3):
            start = time.process_time()
            model = make(weights=None)
            seconds.append(time.process_time() - start)
            layers = len(model.layers)
            del model
            k.utils.clear_session()
        print(json.dumps([layers, *seconds]), flush=True)


def main(chosen: list[str]) -> None:
    """Print the table."""
    workers = {
        library: subprocess.Popen(
            [sys.executable, "-m", "benchmarks.applications", "--serve", library],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for library in LIBRARIES
    }
    print("| network | layers | Carnyx, s | Keras, s | share | first time: share |")
    print("|---|--:|--:|--:|--:|--:|")
    for name in chosen or names():
        found = {}
        for library, worker in workers.items():
            assert worker.stdin is not None and worker.stdout is not None
            print(name, file=worker.stdin, flush=True)
            found[library] = json.loads(worker.stdout.readline())
        (layers, first, *own), (_, their_first, *theirs) = found.values()
        least, their_least = min(own), min(theirs)
        print(
            f"| {name} | {layers} | {least:.2f} | {their_least:.2f} "
            f"| {least / their_least:.2f} | {first / their_first:.2f} |",
            flush=True,
        )
    for worker in workers.values():
        worker.kill()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2])
    else:
        main(sys.argv[1:])

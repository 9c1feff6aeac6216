"""How a script ended is known when it is over, in whatever way it does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Forked, so that the packages are imported once; each way ends as a script of its own.
SCRIPT = """
import atexit, os, sys
from carnyx.distribution.exit_hooks import ExitWatcher, code_of

WAYS = "end caught again exit raised none zero deep caught_deep".split()
way = ""
for name in WAYS:
    child = os.fork()
    if not child:
        way = name
        break
    os.waitpid(child, 0)

def leave():
    sys.exit(6)

def report(watcher):
    error = watcher.error()
    print(way, None if error is None else code_of(error), flush=True)
    os._exit(0)

if way:
    watcher = ExitWatcher()
    watcher.watch(lambda error: None)
    atexit.register(report, watcher)
if way in ("caught", "again"):
    try:
        sys.exit(3)
    except SystemExit:
        pass
if way == "caught_deep":
    try:
        leave()
    except SystemExit:
        pass
if way in ("exit", "again"):
    sys.exit(4)
if way == "raised":
    sys.stderr = open(os.devnull, "w")
    raise ValueError("boom")
if way == "none":
    sys.exit()
if way == "zero":
    sys.exit(0)
if way == "deep":
    leave()
"""
ENDS = "end None,caught None,again 4,exit 4,raised 1,none 0,zero 0,deep 6"


def test_exits_that_are_caught_and_such_that_are_not(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    run = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [*ENDS.split(","), "caught_deep None"]

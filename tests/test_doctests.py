"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "carnyx"
FILES = [f for f in sorted(PACKAGE.rglob("*.py")) if ">>>" in f.read_text()]
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_examples_in_docstrings(file):
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    module = importlib.import_module(".".join(parts))
    report = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for test in doctest.DocTestFinder().find(module):
        runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)
    written = sum(
        line.strip().startswith(">>>") for line in file.read_text().splitlines()
    )
    assert runner.tries == written, "the finder does not see all of the examples"

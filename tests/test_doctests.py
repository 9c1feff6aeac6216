"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
from pathlib import Path

import pytest

from carnyx._core.naming import clear_session

PACKAGE = Path(__file__).resolve().parents[1] / "carnyx"
FILES = [f for f in sorted(PACKAGE.rglob("*.py")) if ">>>" in f.read_text()]
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


class Finder(doctest.DocTestFinder):
    """Also sees decorated functions, whose globals are the decorator's."""

    def _from_module(self, module, object):
        if isinstance(object, property):
            return True
        return getattr(object, "__module__", module.__name__) == module.__name__


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_examples_in_docstrings(file):
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    module = importlib.import_module(".".join(parts))
    clear_session(free_memory=False)  # automatic names do not depend on other tests
    report = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for test in Finder().find(module, module.__name__):
        runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)
    lines = file.read_text().splitlines()
    written = sum(line.strip().startswith(">>>") for line in lines)
    assert runner.tries == written, "the finder does not see all of the examples"

"""What an editor shows of the arguments of a class is what the class takes.

Arguments are declared as annotated fields, so any annotated attribute of a base class
looks like one: it has to be an `attribute`, a `ClassVar` or not annotated.
"""

import inspect
import subprocess
import sys

import pytest

import carnyx as keras
from carnyx.configurable import Configurable

FAMILIES = """layers losses metrics optimizers initializers regularizers constraints
callbacks""".split()
# Their arguments are those of the cell, copied where no checker sees it.
FROM_CELLS = {"SimpleRNN", "GRU", "LSTM", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"}


def calls():
    """A call of each class with what it needs, and one with all it takes in order."""
    for family in FAMILIES:
        for name, cls in sorted(vars(getattr(keras, family)).items()):
            own = inspect.isclass(cls) and issubclass(cls, Configurable)
            if not own or name != cls.__name__ or name in FROM_CELLS:
                continue
            parameters = inspect.signature(cls).parameters.values()
            places = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
            needed = sum(p.default is p.empty for p in places)
            for count in (needed, len(places)):
                yield f"keras.{family}.{name}({', '.join(['x'] * count)})"


def test_checkers_know_what_every_class_takes(tmp_path):
    pytest.importorskip("pyright")
    file = tmp_path / "calls.py"
    head = ["from typing import Any", "import carnyx as keras", "x: Any = None"]
    file.write_text("\n".join([*head, *calls()]))
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, str(file)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    wrong = [line for line in done.stdout.splitlines() if " error:" in line]
    assert not wrong, "\n".join(wrong)

"""Every op of Keras 3.15 is there, with its parameters, their order and defaults."""

import importlib
import inspect
import json
from pathlib import Path

import pytest

import carnyx.ops

INVENTORY = Path(__file__).parents[2] / "../shared/api/keras-3.15.json"
if not INVENTORY.is_file():
    pytest.skip(f"{INVENTORY} is missing: nothing to compare", allow_module_level=True)
OPS = {
    name.removeprefix("keras."): entry
    for name, entry in json.loads(INVENTORY.read_text()).items()
    if name.startswith("keras.ops.") and entry["kind"] == "function"
}


def parameters(function):
    signature = inspect.signature(function)
    bare = [
        p.replace(annotation=inspect.Parameter.empty)
        for p in signature.parameters.values()
    ]
    return str(inspect.Signature(bare))


@pytest.mark.parametrize("name", OPS)
def test_signatures_are_those_of_keras(name):
    module, _, attribute = name.rpartition(".")
    function = getattr(importlib.import_module(f"carnyx.{module}"), attribute)
    assert parameters(function) == OPS[name]["signature"]


@pytest.mark.parametrize("module", sorted({name.rpartition(".")[0] for name in OPS}))
def test_all_lists_every_name_once(module):
    listed = importlib.import_module(f"carnyx.{module}").__all__
    wanted = {n.rpartition(".")[2] for n in OPS if n.rpartition(".")[0] == module}
    assert len(set(listed)) == len(listed)
    assert wanted <= set(listed)


def test_a_thin_op_knows_its_name_and_what_it_does():
    assert carnyx.ops.exp.__name__ == "exp"
    assert carnyx.ops.exp.__doc__ == "e ** x."
    assert carnyx.ops.bitwise_invert.__name__ == "bitwise_invert"
    assert carnyx.ops.numpy.exp is carnyx.ops.exp

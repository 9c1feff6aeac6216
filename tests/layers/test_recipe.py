"""CONTRIBUTING's recipe for a layer, followed: its file and one row are enough."""

import importlib.util
import inspect
import sys

import pytest

from carnyx import layers, registry
from tests.layers import test_contract
from tests.layers.cases import Case

FILE = '''
"""Activations scaled by their root mean square."""

from typing import Any

from carnyx import ops
from carnyx.configurable import above_zero, field
from carnyx.layers.base import Layer
from carnyx.typing import Shape, Tensor


class RMSNormalization(Layer):
    """scale x / sqrt(mean(x²) + epsilon), over `axis`.

    Shapes: (batch, …) -> the same
    Weights: scale (of the size of `axis`)
    """

    axis: int = field(-1)
    epsilon: float = field(1e-6, check=above_zero)

    def __post_init__(self) -> None:
        self.autocast = False

    def build(self, input_shape: Shape) -> None:
        shape = (input_shape[self.axis],)
        self.scale = self.add_weight(shape, "ones", name="scale", autocast=False)

    def call(self, inputs: Tensor) -> Tensor:
        y = ops.rms_normalization(inputs, self.scale, self.axis, self.epsilon)
        return ops.cast(y, self.compute_dtype)


__all__ = ["RMSNormalization"]
'''
ROW = Case(
    "RMSNormalization",
    {"epsilon": 1e-3},
    (None, 5, 4),
    wrong=(({"epsilon": -1.0}, "epsilon=-1.0; expected a number above 0"),),
)
HARNESS = {
    name: check
    for name, check in vars(test_contract).items()
    if name.startswith("test_") and "index" in inspect.signature(check).parameters
}


@pytest.fixture(scope="module")
def row(tmp_path_factory):
    """The number of the row of a layer whose file is new in the package."""
    path = tmp_path_factory.mktemp("layers") / "rms.py"
    path.write_text(FILE)
    spec = importlib.util.spec_from_file_location("carnyx.layers.rms_by_recipe", path)
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    ours = layers.RMSNormalization
    spec.loader.exec_module(module)
    layers.RMSNormalization = module.RMSNormalization
    test_contract.CASES.append(ROW)
    yield len(test_contract.CASES) - 1
    test_contract.CASES.pop()
    layers.RMSNormalization = ours
    registry.add_builtin(ours, "layers")
    del sys.modules[spec.name]


@pytest.mark.parametrize("name", HARNESS)
def test_a_file_and_a_row_are_enough(row, name, tmp_path):
    more = {"tmp_path": tmp_path}
    taken = inspect.signature(HARNESS[name]).parameters
    HARNESS[name](row, **{k: v for k, v in more.items() if k in taken})
    if "file" in name:
        assert type(ROW.make(test_contract.OURS)).__module__.endswith("by_recipe")


def test_the_harness_is_whole():
    wanted = {"weights", "gradients", "shapes", "config", "precision", "file", "wrong"}
    assert all(any(word in name for name in HARNESS) for word in wanted)

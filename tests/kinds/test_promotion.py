"""Kind: an op with a rule of its own for how dtypes meet.

Ops that made each operand a float by itself gave an integer all of floatx, whatever
float it met, or cut a float down to the integers of a kernel.
"""

import jax.numpy as jnp
import pytest

from carnyx import ops

LOW = jnp.ones((3, 3), "bfloat16")
WHOLE = jnp.ones((3, 3), "int32")
MEETINGS = {
    "add": lambda a, b: ops.add(a, b),
    "cdist": lambda a, b: ops.cdist(a, b),
    "matmul": lambda a, b: ops.matmul(a, b),
    "arctan2": lambda a, b: ops.arctan2(a, b),
    "solve_triangular": lambda a, b: ops.solve_triangular(a, b),
    "conv": lambda a, b: ops.conv(a[None], b[None]),
    "depthwise_conv": lambda a, b: ops.depthwise_conv(a[None], b[None]),
    "conv_transpose": lambda a, b: ops.conv_transpose(a[None], b[None], 1),
    "binary_crossentropy": lambda a, b: ops.binary_crossentropy(a, b),
    "categorical_crossentropy": lambda a, b: ops.categorical_crossentropy(a, b),
    "layer_normalization": lambda a, b: ops.layer_normalization(a, b[0], b[0]),
    "batch_normalization": lambda a, b: ops.batch_normalization(a, b[0], b[0], -1),
    "where": lambda a, b: ops.where(a > 0, a, b),
    "concatenate": lambda a, b: ops.concatenate([a, b]),
}


@pytest.mark.parametrize("name", MEETINGS)
def test_an_integer_takes_the_dtype_of_the_float_it_meets(name):
    for first, second in ((WHOLE, LOW), (LOW, WHOLE)):
        assert MEETINGS[name](first, second).dtype == "bfloat16"

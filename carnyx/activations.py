"""Nonlinearities by name, as layers take them.

Most are ops; what is here is what Keras spells differently under `keras.activations`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from carnyx import registry
from carnyx.ops.core import convert_to_tensor
from carnyx.ops.nn import celu as celu
from carnyx.ops.nn import elu as elu
from carnyx.ops.nn import gelu as _gelu
from carnyx.ops.nn import glu as glu
from carnyx.ops.nn import hard_shrink as hard_shrink
from carnyx.ops.nn import hard_sigmoid as hard_sigmoid
from carnyx.ops.nn import hard_silu as hard_silu
from carnyx.ops.nn import hard_tanh as hard_tanh
from carnyx.ops.nn import leaky_relu as leaky_relu
from carnyx.ops.nn import log_sigmoid as log_sigmoid
from carnyx.ops.nn import log_softmax as log_softmax
from carnyx.ops.nn import relu as _relu
from carnyx.ops.nn import relu6 as relu6
from carnyx.ops.nn import selu as selu
from carnyx.ops.nn import sigmoid as sigmoid
from carnyx.ops.nn import silu as silu
from carnyx.ops.nn import soft_shrink as soft_shrink
from carnyx.ops.nn import softmax as softmax
from carnyx.ops.nn import softplus as softplus
from carnyx.ops.nn import softsign as softsign
from carnyx.ops.nn import sparse_plus as sparse_plus
from carnyx.ops.nn import sparse_sigmoid as sparse_sigmoid
from carnyx.ops.nn import sparsemax as sparsemax
from carnyx.ops.nn import squareplus as squareplus
from carnyx.ops.nn import tanh_shrink as tanh_shrink
from carnyx.ops.nn import threshold as threshold
from carnyx.ops.numpy import exp, minimum, where
from carnyx.ops.numpy import tanh as tanh
from carnyx.typing import Config, Tensor


def relu(
    x: Tensor,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
) -> Tensor:
    """min(x, max_value) above `threshold`, negative_slope · (x - threshold) below.

    >>> relu([-1.0, 2.0]).tolist(), relu([-1.0, 9.0], 0.5, max_value=6).tolist()
    ([0.0, 2.0], [-0.5, 6.0])
    """
    above = _relu(x)
    if threshold != 0 or negative_slope != 0:
        if threshold == 0 and max_value is None:
            return leaky_relu(x, negative_slope)
        x = convert_to_tensor(x)
        below = negative_slope * (x - threshold) if negative_slope else 0.0
        above = where(x > threshold, x, below)
    return above if max_value is None else minimum(above, max_value)


def gelu(x: Tensor, approximate: bool = False) -> Tensor:
    """x Φ(x), Φ the normal distribution function, by its tanh formula if approximate.

    References: Hendrycks & Gimpel 2016, arXiv:1606.08415
    """
    return _gelu(x, approximate)


def exponential(x: Tensor) -> Tensor:
    """e ** x."""
    return exp(x)


def linear(x: Tensor) -> Tensor:
    """x."""
    return x


def mish(x: Tensor) -> Tensor:
    """x tanh(softplus(x)).

    References: Misra 2020, arXiv:1908.08681
    """
    x = convert_to_tensor(x)
    return x * tanh(softplus(x))


swish = silu
hard_swish = hard_silu

for _function in (
    celu, elu, exponential, gelu, glu, hard_shrink, hard_sigmoid, hard_silu, hard_tanh,
    leaky_relu, linear, log_sigmoid, log_softmax, mish, relu, relu6, selu, sigmoid,
    silu, soft_shrink, softmax, softplus, softsign, sparse_plus, sparse_sigmoid,
    sparsemax, squareplus, tanh, tanh_shrink, threshold,
):  # fmt: skip
    registry.add_builtin(_function, "activations")
registry.add_builtin(silu, "activations", "swish")
registry.add_builtin(hard_silu, "activations", "hard_swish")


def get(identifier: object) -> Callable[..., Any]:
    """An activation from its name, its config or itself; None is `linear`.

    Raises:
        UnknownNameError: names the nearest known one.

    >>> get("relu") is relu, get(None) is linear
    (True, True)
    """
    if identifier is None:
        return linear
    return registry.lookup_callable(identifier, "activations", kind="activation")


def serialize(activation: Callable[..., Any]) -> Any:
    """The name of a known function, the config of anything else."""
    return registry.serialize_keras_object(activation)


def deserialize(config: Config, custom_objects: dict[str, Any] | None = None) -> Any:
    """The inverse of `serialize`."""
    with registry.custom_object_scope(custom_objects):
        return get(config)

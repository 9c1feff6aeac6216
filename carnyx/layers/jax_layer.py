"""A layer made of functions that know JAX and nothing of layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from carnyx import registry, tree
from carnyx._core.scope import in_program
from carnyx._core.seed import SeedGenerator
from carnyx._core.variable import Variable
from carnyx.configurable import field
from carnyx.dtype_policies import is_float
from carnyx.errors import ArgumentError, GraphError
from carnyx.layers.base import Layer
from carnyx.layers.input_spec import label
from carnyx.typing import Shape, Tensors

_CALLED_WITH = ("params", "state", "rng", "inputs", "training")
_INITIALIZED_WITH = ("rng", "inputs", "training")


def _function(value: Any) -> Any:
    """A function, also from its record in a config."""
    known = registry.is_serialized(value)
    return registry.deserialize_keras_object(value) if known else value


class JaxLayer(Layer):
    """call_fn(params, state, rng, inputs, training), whose parameters are weights.

    The functions take these arguments by these names; `inputs` they must take, the
    others they may leave out. With `state`, `call_fn` gives the outputs and the new
    state, and `init_fn` parameters and state; without it, outputs and parameters alone.

    Shapes: as the function has it; one structure of inputs, one of outputs

    Args:
        call_fn: the function. `rng` is a key of JAX in training, None in inference.
        init_fn: `init_fn(rng, inputs, training)` makes the first parameters, on ones in
            the place of inputs, with 1 for unknown sizes.
        params, state: parameters and state that there are already, any pytree; floats
            take the layer's dtype.
        seed: of the generator behind `rng`.
        native_serialization_platforms: of Keras on TensorFlow; kept in the config.

    Raises:
        ArgumentError: where a function takes other arguments, or nothing says what the
            parameters are.

    >>> def affine(params, inputs):
    ...     return inputs @ params["w"] + params["b"]
    >>> layer = JaxLayer(affine, params={"w": np.ones((2, 3)), "b": np.zeros(3)})
    >>> layer(np.ones((1, 2))).tolist(), len(layer.trainable_weights)
    ([[2.0, 2.0, 2.0]], 2)
    """

    call_fn: Callable[..., Any] = field(convert=_function)
    init_fn: Callable[..., Any] | None = field(None, _function)
    params: Any = field(None, config=False)  # values are in files beside the config
    state: Any = field(None, config=False)
    seed: int | None = field(None)
    native_serialization_platforms: Sequence[str] | None = field(None)

    def __post_init__(self) -> None:
        self._takes = _arguments(self.call_fn, "call_fn", _CALLED_WITH)
        self._init_takes = ()
        if self.init_fn is not None:
            self._init_takes = _arguments(self.init_fn, "init_fn", _INITIALIZED_WITH)
        has_weights = "params" in self._takes or "state" in self._takes
        given = self.params is not None or self.state is not None
        if has_weights and not given and self.init_fn is None:
            raise ArgumentError(
                f"{type(self).__name__}: `init_fn`, `params` and `state` cannot all be "
                "None where call_fn takes `params` or `state`."
            )
        self.seed_generator = SeedGenerator(self.seed) if "rng" in self._takes else None
        self.built = given or not has_weights
        if given:
            self._hold(self.params, self.state)

    def build(self, input_shape: Shape) -> None:
        if self.params is not None or self.state is not None or not self._init_takes:
            return
        if in_program():
            raise GraphError(
                f"{label(self)} cannot make its weights inside a compiled function: "
                "call it on data, or build the model, before."
            )
        inputs = tree.map_shape_structure(
            lambda shape: jnp.ones([1 if n is None else n for n in shape]), input_shape
        )
        known = {
            "rng": self.init_rng,
            "inputs": lambda: inputs,
            "training": lambda: True,
        }
        made = self.init_fn(**{n: known[n]() for n in self._init_takes})  # type: ignore
        self._hold(*(made if "state" in self._takes else (made, None)))

    def _hold(self, params: Any, state: Any) -> None:
        """Make variables of the arrays and numbers in them."""
        self.params = self._variables(params, trainable=True)
        self.state = self._variables(state, trainable=False)

    def _variables(self, values: Any, trainable: bool) -> Any:
        def variable(path: Any, value: Any) -> Any:
            if not isinstance(value, jax.Array | np.ndarray | np.generic | int | float):
                return value  # part of how the function works
            array = jnp.asarray(value)
            name = str(getattr(path[-1], "key", "variable")) if path else "variable"
            return self.add_weight(
                array.shape, lambda shape, dtype: array.astype(dtype),
                None if is_float(array.dtype) else array.dtype, trainable,
                name=name.replace("/", "_"),
            )  # fmt: skip

        return jax.tree_util.tree_map_with_path(variable, values)

    def init_rng(self) -> Any:
        """What `init_fn` gets as `rng`."""
        return SeedGenerator().next()

    def call_rng(self, training: bool) -> Any:
        """What `call_fn` gets as `rng`."""
        return self.seed_generator.next() if training else None  # type: ignore

    def call(self, inputs: Tensors, training: bool = False) -> Any:
        known = {
            "params": lambda: jax.tree.map(_value, self.params),
            "state": lambda: jax.tree.map(_value, self.state),
            "rng": lambda: self.call_rng(training),
            "inputs": lambda: inputs,
            "training": lambda: training,
        }
        outputs = self.call_fn(**{name: known[name]() for name in self._takes})
        if "state" not in self._takes:
            return outputs
        outputs, state = outputs
        self._keep(state)
        return outputs

    def _keep(self, state: Any) -> None:
        now, before = jax.tree.structure(state), jax.tree.structure(self.state)
        if now != before:
            raise ArgumentError(
                f"{label(self)}: call_fn gave a state of structure {now}; at first it "
                f"was {before}."
            )
        for variable, value in zip(jax.tree.leaves(self.state), jax.tree.leaves(state)):
            if isinstance(variable, Variable):
                variable.assign(value)


def _value(leaf: Any) -> Any:
    return leaf.value if isinstance(leaf, Variable) else leaf


def _arguments(fn: Callable[..., Any], name: str, allowed: Sequence[str]) -> tuple:
    """The names of a function's arguments, all of which must be known."""
    names = tuple(inspect.signature(fn).parameters)
    if "inputs" not in names:
        raise ArgumentError(f"Missing required argument in `{name}`: `inputs`.")
    unknown = [n for n in names if n not in allowed]
    if unknown:
        raise ArgumentError(
            f"Unsupported argument in `{name}`: `{unknown[0]}`; it may take "
            f"{', '.join(f'`{n}`' for n in allowed)}."
        )
    return names


__all__ = ["JaxLayer"]

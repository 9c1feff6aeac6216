"""Layers that work on the host: what XLA has no arrays for, such as texts.

Called on values, they compute in NumPy and give arrays of JAX. A functional model whose
first layers are such ones has them run where its batches are made
(`models/host_part.py`). In the middle of a compiled function numbers go to the host and
come back; texts cannot be there.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from carnyx import tree
from carnyx._core.symbol import KerasTensor
from carnyx._core.variable import Variable
from carnyx.errors import ArgumentError
from carnyx.layers.base import Layer
from carnyx.layers.input_spec import label
from carnyx.layers.preprocessing._pipelines import InPipelines
from carnyx.typing import ArrayLike, DTypeLike, Shape, Tensor


class HostLayer(InPipelines, Layer, register=False):
    """Base: a subclass writes `on_host`, from NumPy to NumPy, and the output's shape.

    Attributes:
        output_dtype: of the result, texts apart.
    """

    supports_jit = False
    runs_on_host = takes_texts = True
    output_dtype: DTypeLike = "int64"

    def on_host(self, inputs: Tensor) -> np.ndarray:
        """The output for arrays of NumPy, as an array of NumPy."""
        raise NotImplementedError(f"{type(self).__name__} must define on_host.")

    def in_feed(self, inputs: Tensor) -> np.ndarray:
        return self.on_host(tree.map_structure(as_numpy, _whole(inputs)))

    def call(self, inputs: Tensor) -> Tensor:
        inputs = _whole(inputs)
        if any(isinstance(x, Tracer) for x in tree.flatten(inputs)):
            return self._called_back(inputs)
        return on_device(self.in_feed(inputs))

    def _convert(self, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict]:
        """Arrays of NumPy, and lists as whole arrays; what is traced stays."""
        one = lambda x: x if _is_abstract(x) else as_numpy(x)  # noqa: E731
        whole = tuple(tree.map_structure(one, _whole(a)) for a in args)
        return whole, {k: tree.map_structure(one, _whole(v)) for k, v in kwargs.items()}

    def compute_output_spec(self, inputs: Tensor) -> KerasTensor:
        shape = self.compute_output_shape(tree.map_structure(lambda t: t.shape, inputs))
        dtype = self.output_dtype
        if dtype != "string":  # as the result will be
            dtype = jax.dtypes.canonicalize_dtype(dtype)
        return KerasTensor(shape, dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def _called_back(self, inputs: Tensor) -> Tensor:
        """Within a compiled function, on numbers."""
        if self.output_dtype == "string":
            raise ArgumentError(
                f"{label(self)} gives texts, which cannot be in the middle of a "
                "compiled function. Call it on what the function returns."
            )
        out = self.compute_output_spec(inputs)
        if None in out.shape:
            raise ArgumentError(
                f"{label(self)} gives as much as is in its input, but a compiled "
                "function needs to know how much. Call the layer on the data instead: "
                "dataset.map(layer)."
            )
        result = jax.ShapeDtypeStruct(out.shape, out.dtype)
        run = lambda x: np.asarray(self.in_feed(x), out.dtype)  # noqa: E731
        given = jax.tree_util.tree_map(jax.lax.stop_gradient, inputs)
        return jax.pure_callback(run, result, given, vmap_method="sequential")


def _whole(inputs: Tensor) -> Any:
    """A list of texts or numbers as one array; arrays in a tuple or list stay."""
    if not isinstance(inputs, list | tuple):
        return inputs
    several = any(_has_shape(v) for v in inputs)
    return inputs if several else as_numpy(inputs)


def _has_shape(x: Any) -> bool:
    return hasattr(x, "shape") and not isinstance(x, np.generic)


def as_numpy(value: ArrayLike) -> np.ndarray:
    """An array of NumPy; texts stay objects, so that one long text costs no more."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, Variable):
        return value.numpy()
    if hasattr(value, "to_list") and hasattr(value, "row_splits"):  # ragged
        value = value.to_list()
    if isinstance(value, list | tuple):
        first = value
        while isinstance(first, list | tuple) and first:
            first = first[0]
        if isinstance(first, str | bytes):
            return np.array(value, object)
    return np.asarray(value)


def on_device(array: np.ndarray) -> Any:
    """An array of JAX; texts, of which JAX has none, stay as they are."""
    return array if array.dtype.kind in "OSUT" else jnp.asarray(array)


def _is_abstract(x: Any) -> bool:
    return isinstance(x, Tracer | KerasTensor)

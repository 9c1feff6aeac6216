"""Layers within the data pipelines of other libraries, and of ours."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from carnyx import tree
from carnyx._core.symbol import KerasTensor
from carnyx.typing import Tensor


class InPipelines:
    """Mixin of layers that may stand in `Dataset.map`, `tf.data` and Grain."""

    compute_output_spec: Any

    def in_feed(self, inputs: Tensor) -> Any:
        """As a call, but the result is an array of NumPy: for `Dataset.map`."""
        return tree.map_structure(np.asarray, super().__call__(inputs))  # type: ignore[misc]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs and "tensorflow" in sys.modules:
            if any(map(_is_of_tensorflow, tree.flatten(args[0]))):
                return self._in_tensorflow(args[0])
        return super().__call__(*args, **kwargs)  # type: ignore[misc]

    def _in_tensorflow(self, inputs: Tensor) -> Any:
        """In a graph of TensorFlow, as `tf.data.Dataset.map` makes one."""
        tensorflow = sys.modules["tensorflow"]
        flat = [tensorflow.convert_to_tensor(x) for x in tree.flatten(inputs)]
        given = tree.pack_sequence_as(inputs, flat)
        out = self.compute_output_spec(tree.map_structure(_as_symbol, given))
        specs = tree.flatten(out)

        def run(*values: Any) -> list[np.ndarray]:
            made = self.in_feed(tree.pack_sequence_as(inputs, list(values)))
            pairs = zip(tree.flatten(made), specs, strict=True)
            return [np.asarray(value).astype(_of_numpy(spec)) for value, spec in pairs]

        dtypes = [tensorflow.as_dtype(spec.dtype) for spec in specs]
        results = tensorflow.numpy_function(run, flat, dtypes)
        for result, spec in zip(results, specs, strict=True):
            result.set_shape(spec.shape)
        return tree.pack_sequence_as(out, results)


def _of_numpy(spec: KerasTensor) -> Any:
    return "object" if spec.dtype == "string" else spec.dtype


class ShortConfig:
    """Mixin of layers whose config says no more of any layer's arguments than name and
    dtype: Keras's classes take nothing else."""

    name: str
    dtype: Any

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


def _is_of_tensorflow(x: Any) -> bool:
    kind = type(x)  # found by name, so that nothing is imported
    return kind.__name__ == "SymbolicTensor" and kind.__module__.startswith("tensorf")


def _as_symbol(x: Any) -> KerasTensor:
    return KerasTensor(tuple(x.shape), x.dtype.name)

"""Where a graph begins: `Input` and the layer behind it."""

from __future__ import annotations

import warnings
from typing import Any

from carnyx._core.node import Node
from carnyx._core.symbol import KerasTensor, is_symbolic, standardize_shape
from carnyx.dtype_policies import standardize_dtype
from carnyx.errors import ArgumentError, GraphError, nearest
from carnyx.layers.base import Layer
from carnyx.typing import DTypeLike, Shape, ShapeLike, Tensor


class InputLayer(Layer):
    """The layer that a symbolic input comes from; usually made by `Input`.

    Args:
        shape: of one sample; give it or `batch_shape`.
        input_tensor: a symbolic tensor to begin from, instead of a new one.
        optional: whether the model may be called with None here.
    """

    takes_texts = True

    def __init__(
        self,
        shape: ShapeLike | None = None,
        batch_size: int | None = None,
        dtype: DTypeLike = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: ShapeLike | None = None,
        input_tensor: Any = None,
        optional: bool = False,
        name: str | None = None,
        **old: Any,
    ) -> None:
        shape, batch_shape = _of_old_names("InputLayer", shape, batch_shape, old)
        wanted = _batch_shape(shape, batch_size, batch_shape)
        if input_tensor is not None:
            _check_tensor(input_tensor, wanted, dtype)
            _check_options(input_tensor, batch_size, sparse, ragged)
            wanted, dtype = input_tensor.shape, input_tensor.dtype
        if wanted is None:
            raise ArgumentError(
                "An Input needs a shape, such as Input(shape=(28, 28))."
            )
        super().__init__(dtype=standardize_dtype(dtype), name=name)
        self.batch_shape: Shape = wanted
        self.optional = optional
        if input_tensor is None:
            input_tensor = KerasTensor(
                wanted, self.dtype, bool(sparse), bool(ragged), name=self.name
            )
        self.sparse, self.ragged = input_tensor.sparse, input_tensor.ragged
        Node(self, (), {}, input_tensor)
        self.built = True

    def call(self, inputs: Tensor | None = None) -> Tensor | None:
        return inputs

    def get_config(self) -> dict[str, Any]:
        return {
            "batch_shape": list(self.batch_shape),
            "dtype": self.dtype,
            "sparse": self.sparse,
            "ragged": self.ragged,
            "name": self.name,
            "optional": self.optional,
        }


def _of_old_names(what: str, shape: Any, batch_shape: Any, old: dict[str, Any]) -> Any:
    """`(shape, batch_shape)`, also under their names of Keras 2."""
    for name in old:
        if name not in ("input_shape", "batch_input_shape"):
            raise TypeError(
                f"{what}() got an unknown argument {name!r}."
                f"{nearest(name, ('shape', 'batch_shape', 'batch_size', 'dtype'))}"
            )
    if "input_shape" in old:
        warnings.warn(
            f"{what}(input_shape=...) is the name of Keras 2; today it is shape=...",
            UserWarning,
            stacklevel=4,
        )
    return old.get("input_shape", shape), old.get("batch_input_shape", batch_shape)


def _batch_shape(shape: Any, batch_size: Any, batch_shape: Any) -> Shape | None:
    if batch_shape is not None:
        if shape is not None or batch_size is not None:
            raise ArgumentError(
                f"Input got batch_shape={batch_shape} and also shape={shape}, "
                f"batch_size={batch_size}; batch_shape says both, so give it alone."
            )
        return standardize_shape(batch_shape)
    return None if shape is None else (batch_size, *standardize_shape(shape))


def _check_tensor(tensor: Any, wanted: Shape | None, dtype: DTypeLike) -> None:
    if not is_symbolic(tensor):
        raise GraphError(
            f"Input got tensor={tensor!r}; expected a symbolic tensor. Arrays are "
            "given to the model when it is called."
        )
    if wanted is not None and wanted != tensor.shape:
        raise ArgumentError(
            f"Input got a tensor of shape {tensor.shape} but a shape of {wanted}; "
            "leave the shape out."
        )
    if dtype is not None and standardize_dtype(dtype) != tensor.dtype:
        raise ArgumentError(
            f"Input got a tensor of dtype {tensor.dtype} but dtype={dtype!r}; leave "
            "the dtype out."
        )


def _check_options(
    tensor: KerasTensor, batch_size: Any, sparse: Any, ragged: Any
) -> None:
    options = {
        "batch_size": (batch_size, tensor.shape[0] if tensor.shape else None),
        "sparse": (sparse, tensor.sparse),
        "ragged": (ragged, tensor.ragged),
    }
    for name, (wanted, real) in options.items():
        if wanted is not None and wanted != real:
            raise ArgumentError(
                f"Input got a tensor with {name}={real} but {name}={wanted}; leave "
                f"{name} out."
            )


def Input(  # noqa: N802 - Keras's name
    shape: ShapeLike | None = None,
    batch_size: int | None = None,
    dtype: DTypeLike = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: ShapeLike | None = None,
    name: str | None = None,
    tensor: Tensor | None = None,
    optional: bool = False,
    **old: Any,
) -> KerasTensor:
    """A symbolic tensor that a functional model begins with.

    Args:
        shape: of one sample, None for sizes that vary.
        batch_shape: `(batch_size, *shape)`, instead of those two.
        tensor: a symbolic tensor to begin from, instead of a new one.
        optional: whether the model may be called with None here.

    >>> Input((None, 8), batch_size=4, dtype="int32", name="words")
    <KerasTensor shape=(4, None, 8), dtype=int32, name=words>
    """
    shape, batch_shape = _of_old_names("Input", shape, batch_shape, old)
    layer = InputLayer(
        shape, batch_size, dtype, sparse, ragged, batch_shape, tensor, optional, name
    )
    return layer.output


__all__ = ["Input", "InputLayer"]

"""`KerasTensor`: a tensor that has a shape and a history, but no value."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from carnyx._core import masks
from carnyx._core.naming import auto_name
from carnyx._core.operators import OPS, Operators
from carnyx._strangers import asked_by_another_keras
from carnyx.dtype_policies import standardize_dtype
from carnyx.errors import GraphError, NoValueError, ShapeError
from carnyx.typing import DTypeLike, ShapeLike

if TYPE_CHECKING:
    from carnyx._core.node import Node


def shapes_fit(shape: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two shapes are the same, as far as they are known.

    >>> shapes_fit((None, 3), (2, 3)), shapes_fit((2, 3), (2, 4))
    (True, False)
    """
    return len(shape) == len(other) and all(
        a == b or not (isinstance(a, int) and isinstance(b, int))
        for a, b in zip(shape, other, strict=True)
    )


class KerasHistory(NamedTuple):
    """Which call made a tensor: the operation, its how-manyeth call, which output."""

    operation: Any
    node_index: int
    tensor_index: int


class KerasTensor(Operators):
    """A symbolic tensor: what `Input` gives, and what layers and ops make of it.

    Args:
        shape: None for a size that is not known yet.

    >>> x = KerasTensor((None, 3), name="x")
    >>> (x + 1).shape, x[:, 0].shape
    ((None, 3), (None,))
    """

    def __init__(
        self,
        shape: Sequence[int | None],
        dtype: DTypeLike = "float32",
        sparse: bool = False,
        ragged: bool = False,
        record_history: bool = True,
        name: str | None = None,
    ) -> None:
        self._shape = standardize_shape(shape)
        self._dtype = standardize_dtype(dtype)
        self.sparse, self.ragged = bool(sparse), bool(ragged)
        if self.ragged:
            raise GraphError(
                "Ragged symbolic tensors are not supported: XLA needs rectangular "
                "arrays. Pad the data (utils.pad_sequences) and use a mask."
            )
        self.name = name or auto_name(type(self).__name__)
        self.record_history = record_history
        self._truth: bool | None = None
        self.node: Node | None = None
        self.given: KerasTensor | None = None  # what a layer cast, to compute on this
        self.node_index = 0
        self.tensor_index = 0

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The static shape."""
        return self._shape

    @property
    def dtype(self) -> str:
        """The dtype's name."""
        return self._dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._shape)

    @property
    def _keras_history(self) -> KerasHistory:
        if self.node is None:
            raise AttributeError("_keras_history")
        return KerasHistory(self.node.operation, self.node_index, self.tensor_index)

    @property
    def _keras_mask(self) -> Any:
        return masks.get_mask(self)

    @_keras_mask.setter
    def _keras_mask(self, mask: Any) -> None:
        masks.set_mask(self, mask)

    def serialize(self) -> dict[str, Any]:
        """Where in a graph the tensor stands, as Keras 3 writes it in a config."""
        history = [self._keras_history.operation.name, self.node_index]
        config = {
            "shape": list(self.shape),
            "dtype": self.dtype,
            "keras_history": [*history, self.tensor_index],
        }
        return {"class_name": "__keras_tensor__", "config": config}

    def reshape(self, newshape: Sequence[int]) -> Any:
        """As `ops.reshape`."""
        return OPS["reshape"](self, newshape)

    def squeeze(self, axis: object = None) -> Any:
        """As `ops.squeeze`."""
        return OPS["squeeze"](self, axis)

    def __repr__(self) -> str:
        kind = ", sparse=True" if self.sparse else ""
        return (
            f"<KerasTensor shape={self.shape}, dtype={self.dtype}{kind}, "
            f"name={self.name}>"
        )

    def _refuse(self, wanted: str, kind: type[GraphError] = NoValueError) -> GraphError:
        return kind(
            f"Symbolic tensor {self!r} has no value, so it cannot be {wanted}. "
            "Inside a model use carnyx.ops or layers (ops.cond for a choice that "
            "depends on values); outside, call the model on an array first."
        )

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise self._refuse("made a NumPy array")

    @property
    def __jax_array__(self) -> Any:
        # A property, as JAX only asks whether there is one, and then says what is
        # of no use to who called it.
        if asked_by_another_keras():
            raise GraphError(
                f"Symbolic tensor {self!r} was given to a layer or function of another "
                "Keras. Import that of the same name from carnyx, everywhere in the "
                "program."
            )
        raise self._refuse(
            "given to a function of JAX (take the one of that name in keras.ops: "
            "keras.ops.exp for jnp.exp)",
            GraphError,  # of a TypeError, JAX would make one of its own
        )

    # Where Python asks about equality, as `x in [a, b]` does, the answer is whether
    # they are one tensor.

    def __eq__(self, other: Any) -> Any:
        outcome = super().__eq__(other)
        if isinstance(other, KerasTensor):
            outcome._truth = self is other
        return outcome

    def __ne__(self, other: Any) -> Any:
        outcome = super().__ne__(other)
        if isinstance(other, KerasTensor):
            outcome._truth = self is not other
        return outcome

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        if self._truth is None:
            raise self._refuse("used as True or False")
        return self._truth

    def __float__(self) -> float:
        raise self._refuse("made a number")

    def __int__(self) -> int:
        raise self._refuse("made a number")

    def __iter__(self) -> Any:
        raise self._refuse("iterated over (ops.unstack splits along an axis)")

    def __len__(self) -> int:
        raise self._refuse("asked for its len(); use .shape")

    def __setitem__(self, key: Any, value: Any) -> None:
        raise NoValueError(
            f"Symbolic tensor {self!r} cannot be changed in place (x[i] = y). Make "
            "a new one: ops.slice_update, ops.scatter_update, ops.where."
        )

    def __getattr__(self, name: str) -> Any:
        of_op = _OF_ARRAYS.get(name, name)
        instead = ""
        if name in _OF_VALUES:
            instead = " It has no value: call the model on an array first."
        elif of_op in OPS:
            instead = f" Use ops.{of_op}(x)."
        raise AttributeError(
            f"A symbolic tensor has no attribute {name!r}.{instead}",
            name=name,
            obj=self,
        )


_OF_VALUES = frozenset(("numpy", "item", "tolist", "block_until_ready"))
_OF_ARRAYS = {"astype": "cast", "T": "transpose", "at": "slice_update", "dot": "matmul"}
"""What methods of arrays are called in `ops`, where the names differ."""


def standardize_shape(shape: ShapeLike) -> tuple[int | None, ...]:
    """A tuple of sizes.

    Raises:
        ShapeError: for what is no shape, or a negative size.
    """
    if isinstance(shape, int):
        raise ShapeError(f"Got {shape} as a shape; a shape is a tuple: ({shape},).")
    try:
        sizes = tuple(None if d is None else operator.index(d) for d in shape)
    except TypeError:
        raise ShapeError(
            f"Got {shape!r} as a shape; expected a tuple of integers and None."
        ) from None
    if any(d is not None and d < 0 for d in sizes):
        raise ShapeError(
            f"Got the shape {sizes}; sizes are 0 or more, None where not known."
        )
    return sizes


def is_symbolic(x: object) -> bool:
    """True for a `KerasTensor`."""
    return isinstance(x, KerasTensor)


is_keras_tensor = is_symbolic


def any_symbolic(structure: object) -> bool:
    """True where a `KerasTensor` stands anywhere in nested arguments."""
    if isinstance(structure, KerasTensor):
        return True
    if isinstance(structure, list | tuple):
        return any(any_symbolic(s) for s in structure)
    if isinstance(structure, dict):
        return any(any_symbolic(s) for s in structure.values())
    return False

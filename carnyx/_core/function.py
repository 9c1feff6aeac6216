"""A graph of operations as one operation, without the rest of a model."""

from __future__ import annotations

from typing import Any

import jax

from carnyx import tree
from carnyx._core.graph import Graph
from carnyx._core.infer import infer
from carnyx._core.node import Node, Operation
from carnyx._core.symbol import KerasTensor, is_symbolic, shapes_fit
from carnyx.errors import ArgumentError, ShapeError
from carnyx.typing import Shape, Tensors


class Function(Operation):
    """What leads from symbolic inputs to symbolic outputs, to be called again.

    Args:
        inputs, outputs: symbolic tensors, or structures of them. An input may be any
            tensor on the way to the outputs; what made it is then no part.

    Raises:
        ArgumentError: for no inputs or outputs, or what is no symbolic tensor.
        GraphError: where an output depends on something else than the inputs.

    >>> import carnyx as keras
    >>> x = keras.KerasTensor((None, 2))
    >>> double = Function(x, 2 * x)
    >>> double(jax.numpy.ones((1, 2))).tolist(), double(keras.Input((2,))).shape
    ([[2.0, 2.0]], (None, 2))
    """

    def __init__(self, inputs: Tensors, outputs: Tensors, name: str | None = None):
        super().__init__(name=name)
        for what, tensors in (("inputs", inputs), ("outputs", outputs)):
            if not tree.flatten(tensors):
                raise ArgumentError(
                    f"`{what}` argument cannot be empty. Got {tensors!r}."
                )
            if not all(map(is_symbolic, tree.flatten(tensors))):
                raise ArgumentError(
                    f"Function got {what}={tensors!r}; expected symbolic tensors."
                )
        self._inputs, self._outputs = inputs, outputs
        self._graph = Graph(tree.flatten(inputs), tree.flatten(outputs))

    inputs = property(lambda self: tree.flatten(self._inputs))
    outputs = property(lambda self: tree.flatten(self._outputs))

    @property
    def operations(self) -> list[Operation]:
        """Layers and recorded ops, farthest from the outputs first."""
        return self._graph.operations

    def call(self, inputs: Tensors) -> Any:
        values = self._fitting(inputs)
        return tree.pack_sequence_as(self._outputs, self._graph.run(values, _called))

    def _fitting(self, inputs: Tensors) -> list[Any]:
        """The values for the inputs, flat, of the structure and shapes that it has."""
        if jax.tree.structure(inputs) != jax.tree.structure(self._inputs):
            raise ArgumentError(
                f"{self!r} was called with an invalid input structure "
                f"{jax.tree.structure(inputs)}; expected "
                f"{jax.tree.structure(self._inputs)}."
            )
        values = tree.flatten(inputs)
        for value, symbol in zip(values, self.inputs, strict=True):
            shape = tuple(getattr(value, "shape", ()))
            if not shapes_fit(shape, symbol.shape):
                raise ShapeError(
                    f"{self!r} was passed incompatible inputs: shape {shape} for "
                    f"{symbol.name!r}; expected {symbol.shape}."
                )
        return values

    def compute_output_spec(self, inputs: Tensors) -> Any:
        return infer(self.call, inputs)

    def compute_output_shape(self, input_shape: Shape) -> Any:
        """The shapes that come out for a structure of shapes."""
        symbols = tree.map_structure_up_to(
            self._inputs,
            lambda t, shape: KerasTensor(shape, t.dtype),
            self._inputs,
            input_shape,
        )
        spec = self.compute_output_spec(symbols)
        return tree.map_structure(lambda t: t.shape, spec)


def _called(node: Node, args: tuple, kwargs: dict[str, Any]) -> Any:
    return node.operation(*args, **kwargs)

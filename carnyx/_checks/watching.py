"""What a call of a model shows while it is traced: which value came from where."""

from __future__ import annotations

from typing import Any, NamedTuple

from carnyx import activations, registry, tree
from carnyx._core.watch import Watch
from carnyx.layers import BatchNormalization, Embedding, LayerNormalization
from carnyx.layers.base import Layer
from carnyx.typing import Tensor, Tensors

# operations that move values, or change their dtype, and nothing else
_MOVES = frozenset(
    "cast convert_to_tensor copy expand_dims flip identity moveaxis ravel reshape roll "
    "squeeze stop_gradient swapaxes transpose".split()
)
_MOVING_LAYERS = frozenset(("Flatten", "Reshape", "Permute", "Identity", "Dropout"))


class Origin(NamedTuple):
    """Where a value came from: the operation or activation, the layer around it."""

    operation: str
    layer: Any


class Index(NamedTuple):
    """An input of the model that an embedding takes as it is."""

    place: int  # of the input, flat
    layer: Embedding


class CallWatch(Watch):
    """Remembers which operation and layer of a model made which value.

    Args:
        model: the call of it is the last; its inputs are then known.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.masked = False  # whether a mask came out
        self.indices: list[Index] = []
        # by id of an output: operation, layer, first input; outputs are kept alive
        self._made: dict[int, tuple[str, Any, Any]] = {}
        self._alive: list[Any] = []
        self._embedded: list[tuple[Embedding, Any]] = []

    def operation(self, name: str, args: tuple, out: Tensors) -> None:
        self._note(name, None, args[0] if args else None, out)

    def layer(self, layer: Layer, inputs: dict[str, Any], outputs: Tensors) -> None:
        first = next(iter(inputs.values()), None)
        if isinstance(layer, Embedding):
            self._embedded.append((layer, first))
        if layer is self.model:
            self._find_indices(first)
            return
        for out in tree.flatten(outputs):
            self._note(_operation_of(layer), layer, first, out)

    def _note(self, name: str, layer: Any, first: Any, out: Any) -> None:
        known = self._made.get(id(out))
        if out is first or not hasattr(out, "shape"):
            return
        if known is None:
            self._alive.append(out)
            self._made[id(out)] = name, layer, first
        elif known[1] is None:  # the op's value is what the layer around it gives
            self._made[id(out)] = known[0], layer, known[2]

    def origin(self, value: Tensor) -> Origin:
        """Which operation made a value, not counting those that only move it."""
        layer = None
        while id(value) in self._made:
            name, around, first = self._made[id(value)]
            layer = layer or around
            if name not in _MOVES:
                return Origin(name, layer)
            value = first
        return Origin("", layer)

    def _source(self, value: Any) -> Any:
        """The value of which another one is a moved copy."""
        while id(value) in self._made and self._made[id(value)][0] in _MOVES:
            value = self._made[id(value)][2]
        return value

    def _find_indices(self, inputs: Any) -> None:
        places = {id(self._source(x)): i for i, x in enumerate(tree.flatten(inputs))}
        for layer, value in self._embedded:
            place = places.get(id(self._source(value)))
            found = None if place is None else Index(place, layer)
            if found is not None and found not in self.indices:
                self.indices.append(found)


def _operation_of(layer: Any) -> str:
    """What a layer does with values, as far as its class tells."""
    if type(layer).__name__ in _MOVING_LAYERS:
        return "reshape"
    linear = getattr(layer, "activation", None) is activations.linear
    normalized = isinstance(layer, BatchNormalization | LayerNormalization)
    return "linear" if registry.is_own(type(layer)) and (linear or normalized) else ""

"""`clone_model`: the same architecture with weights of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from carnyx import tree
from carnyx._core.node import Node, OpCall
from carnyx._core.symbol import is_symbolic
from carnyx.errors import ArgumentError, GraphError
from carnyx.layers import Input, InputLayer
from carnyx.layers.base import Layer
from carnyx.models.functional import Functional
from carnyx.models.model import Model
from carnyx.models.sequential import Sequential


def clone_model(
    model: Model,
    input_tensors: Any = None,
    clone_function: Callable[[Layer], Any] | None = None,
    call_function: Callable[..., Any] | None = None,
    recursive: bool = False,
    **kwargs: Any,
) -> Model:
    """A model of the same layers, made anew.

    Args:
        input_tensors: symbolic tensors to begin from, in place of new inputs.
        clone_function: `layer -> layer`, what stands in a layer's place.
        call_function: `(layer, *args, **kwargs) -> outputs`, how a clone is called;
            functional models only.
        recursive: whether `clone_function` sees the layers of models inside, too.

    >>> import carnyx as keras
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> clone_model(model).count_params()
    8
    """
    if not isinstance(model, Model):
        raise ArgumentError(f"clone_model got {model!r}; expected a Model.")
    clone = _cloner(clone_function, call_function, recursive)
    if isinstance(model, Sequential):
        if call_function is not None:
            raise ArgumentError(
                "call_function is for functional models; got Sequential."
            )
        return _clone_sequential(model, input_tensors, clone)
    if type(model) is Functional or (
        isinstance(model, Functional) and clone_function is not None
    ):
        return _clone_functional(model, input_tensors, clone, call_function)
    if input_tensors is not None or clone_function is not None:
        raise ArgumentError(
            f"{model.name!r} is a subclass of Model: its layers are made by its own "
            "code, so input_tensors and clone_function have no meaning."
        )
    return _copy(model)


def _copy(layer: Any) -> Any:
    return type(layer).from_config(layer.get_config())


def _cloner(function: Any, call_function: Any, recursive: bool) -> Callable[..., Any]:
    def clone(layer: Any) -> Any:
        if recursive and isinstance(layer, Functional | Sequential):
            return clone_model(layer, clone_function=function, recursive=True)
        if function is None or isinstance(layer, InputLayer):
            return _copy(layer)
        return function(layer)

    return clone


def _clone_sequential(model: Sequential, inputs: Any, clone: Any) -> Sequential:
    layers = [clone(x) for x in model.layers]
    if inputs is not None:
        (symbol,) = tree.flatten(inputs)
        return Sequential([_input_of(symbol), *layers], name=model.name)
    first = model._stack[:1]
    if first and isinstance(first[0], InputLayer):
        layers = [_copy(first[0]), *layers]
    return Sequential(layers, name=model.name, trainable=model.trainable)


def _input_of(symbol: Any) -> Any:
    if not is_symbolic(symbol):
        raise GraphError(
            f"input_tensors got {symbol!r}; expected a symbolic tensor from "
            "carnyx.Input()."
        )
    return symbol.node.operation if symbol.node and symbol.node.is_input else symbol


def _clone_functional(
    model: Functional, inputs: Any, clone: Any, call_function: Any
) -> Functional:
    if inputs is None:
        fresh = [
            Input(batch_shape=t.shape, dtype=t.dtype, name=t.name) for t in model.inputs
        ]
    else:
        fresh = [t for t in tree.flatten(inputs) if _input_of(t) is not None]
        if len(fresh) != len(model.inputs):
            raise GraphError(
                f"input_tensors has {len(fresh)} tensors, the model "
                f"{len(model.inputs)} inputs."
            )
    clones: dict[int, Any] = {}

    def call(node: Node, args: tuple, kwargs: dict[str, Any]) -> Any:
        operation = node.operation
        if isinstance(operation, OpCall):
            return operation.fn(*args, **kwargs)
        if id(operation) not in clones:
            clones[id(operation)] = clone(operation)
        layer = clones[id(operation)]
        if call_function is not None:
            return call_function(layer, *args, **kwargs)
        return layer(*args, **kwargs)

    outputs = model._graph.run(fresh, call)
    return Functional(
        tree.pack_sequence_as(model._inputs, fresh),
        tree.pack_sequence_as(model._outputs, outputs),
        name=model.name,
    )

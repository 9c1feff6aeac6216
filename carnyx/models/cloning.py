"""`clone_model`: the same architecture with weights of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from carnyx import tree
from carnyx._core.devices import saved_devices
from carnyx._core.node import Node, OpCall
from carnyx._core.op import record
from carnyx._core.scope import current, scoped
from carnyx._core.symbol import is_symbolic
from carnyx.errors import ArgumentError, GraphError
from carnyx.layers import InputLayer
from carnyx.layers.base import Layer
from carnyx.models.functional import Functional, _takes_own_arguments, own_arguments
from carnyx.models.graph_config import remember_asked
from carnyx.models.model import Model
from carnyx.models.sequential import Sequential
from carnyx.typing import Tensors


def clone_model(
    model: Model,
    input_tensors: Tensors = None,
    clone_function: Callable[[Layer], Any] | None = None,
    call_function: Callable[..., Any] | None = None,
    recursive: bool = False,
    cache: dict[int, Any] | None = None,
) -> Model:
    """A model of the same layers, made anew.

    Args:
        input_tensors: symbolic tensors to begin from, in place of new inputs.
        clone_function: `layer -> layer`, what stands in a layer's place.
        call_function: `(layer, *args, **kwargs) -> outputs`, how a clone is called;
            functional models only.
        cache: clones by the id of what they stand for; filled as they are made.
        recursive: whether `clone_function` sees the layers of models inside, too.

    >>> import carnyx as keras
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> clone_model(model).count_params()
    8
    """
    if not isinstance(model, Model):
        raise ArgumentError(f"clone_model got {model!r}; expected a Model.")
    options = {"clone_function": clone_function, "call_function": call_function}
    clone = _cloner(options, recursive, {} if cache is None else cache)
    if isinstance(model, Sequential):
        if call_function is not None:
            raise ArgumentError(
                f"clone_model got call_function for {model.name!r}, a Sequential; it "
                "is for functional models."
            )
        return _compiled_as(model, _clone_sequential(model, input_tensors, clone))
    asked = clone_function is not None or input_tensors is not None
    if isinstance(model, Functional) and (asked or not _makes_its_graph(type(model))):
        copy = _clone_functional(model, input_tensors, clone, call_function)
        return _compiled_as(model, copy)
    if asked or call_function is not None:
        raise ArgumentError(
            f"clone_model got {model.name!r}, whose layers are made by the code of "
            f"{type(model).__name__}; input_tensors, clone_function and call_function "
            "are for Sequential and functional models."
        )
    return _compiled_as(model, _copy(model))


def _copy(layer: Any) -> Any:
    with saved_devices(tell=False):
        return type(layer).from_config(layer.get_config())


def _compiled_as(model: Model, copy: Any) -> Any:
    if model.compiled:
        copy.compile_from_config(model.get_compile_config())
    return copy


def _makes_its_graph(cls: type[Functional]) -> bool:
    return cls is not Functional and _takes_own_arguments(cls)


def _cloner(
    options: dict[str, Any], recursive: bool, cache: dict[int, Any]
) -> Callable[[Any], Any]:
    """`layer -> clone`, the same clone whenever it is the same layer."""
    function = options["clone_function"] or _copy

    def clone(layer: Any) -> Any:
        if id(layer) not in cache:
            cache[id(layer)] = make(layer)
        return cache[id(layer)]

    def make(layer: Any) -> Any:
        if recursive and isinstance(layer, Sequential):
            only = {"clone_function": function}  # its layers are not called one by one
            return clone_model(layer, recursive=True, cache=cache, **only)
        if recursive and isinstance(layer, Functional):
            return clone_model(layer, recursive=True, cache=cache, **options)
        return function(layer)

    return clone


def _clone_sequential(model: Sequential, inputs: Any, clone: Any) -> Sequential:
    layers = [clone(x) for x in model.layers]
    pairs = zip(layers, model.layers, strict=True)
    asked = {id(new): model._asked[id(x)] for new, x in pairs if id(x) in model._asked}
    devices = [model._devices.get(id(x)) for x in model.layers]
    first = model._stack[0] if model._stack else None
    if inputs is not None:
        (symbol,) = _symbols(inputs, 1)
        name = first.name if isinstance(first, InputLayer) else None
        layers = [InputLayer(input_tensor=symbol, name=name), *layers]
        devices = [None, *devices]
    elif isinstance(first, InputLayer):
        layers, devices = [_copy(first), *layers], [None, *devices]
    copy = Sequential(name=model.name, trainable=model.trainable)
    for layer, device in zip(layers, devices, strict=True):
        with _placed_as(device):
            copy.add(layer, rebuild=False)
    copy._asked = asked
    copy._rebuild()
    return copy


def _placed_as(device: Any) -> Any:
    """A device scope as around the original; the one in force where there was none."""
    return scoped(device=current().device if device is None else device)


def _symbols(tensors: Any, count: int) -> list[Any]:
    flat = tree.flatten(tensors)
    if len(flat) != count or not all(is_symbolic(t) for t in flat):
        raise GraphError(
            f"clone_model got input_tensors={tensors!r}; the model takes {count} "
            "symbolic tensors, made by carnyx.Input(shape=...)."
        )
    return flat


def _check_structure(model: Functional, inputs: Any) -> None:
    """Raises a GraphError where it is not clear which tensor is for which input."""
    paths = [
        [path for path, _ in tree.flatten_with_path(tensors)]
        for tensors in (model._inputs, inputs)
    ]
    by_place = all(isinstance(k, int) for side in paths for path in side for k in path)
    if paths[0] != paths[1] and not by_place:
        wanted, given = (
            tree.map_structure(lambda t: t.name, x) for x in (model._inputs, inputs)
        )
        raise GraphError(
            f"clone_model got input_tensors in the structure {given}; the inputs of "
            f"{model.name!r} are {wanted}. Give them in that structure."
        )


def _clone_functional(
    model: Functional, inputs: Any, clone: Any, call_function: Any
) -> Functional:
    if inputs is None:
        fresh = [_copy(t.node.operation).output for t in model.inputs]
    else:
        fresh = _symbols(inputs, len(model.inputs))
        _check_structure(model, inputs)

    def call(node: Node, args: tuple, kwargs: dict[str, Any]) -> Any:
        return remember_asked(called(node, args, kwargs), node.asked)

    def called(node: Node, args: tuple, kwargs: dict[str, Any]) -> Any:
        operation = node.operation
        if isinstance(operation, OpCall):
            with _placed_as(node.device):
                return record(OpCall(operation.fn, operation.name), args, kwargs)
        layer = clone(operation)
        with _placed_as(node.device):
            if call_function is not None:
                return call_function(layer, *args, **kwargs)
            return layer(*args, **kwargs)

    outputs = model._graph.run(fresh, call)
    cls = Functional if _makes_its_graph(type(model)) else type(model)
    same = type(model).get_config is Functional.get_config  # nothing of its own in it
    config = {"name": model.name} if same else model.get_config()
    return cls(
        inputs=tree.pack_sequence_as(model._inputs, fresh),
        outputs=tree.pack_sequence_as(model._outputs, outputs),
        **own_arguments(cls, config),
    )

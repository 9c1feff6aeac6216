"""`Functional`: a model that is a graph between symbolic tensors."""

from __future__ import annotations

import functools
from typing import Any

from carnyx import tree
from carnyx._core.graph import Graph, node_of
from carnyx._core.masks import set_mask
from carnyx._core.node import Node
from carnyx._core.operators import OPS
from carnyx._core.scope import scoped
from carnyx._core.symbol import KerasTensor, is_symbolic
from carnyx._training.stages.calls import call_on_devices
from carnyx._training.stages.partition import is_tagged
from carnyx._training.stages.placements import DevicePlacement
from carnyx.dtype_policies import check_real
from carnyx.errors import ArgumentError, GraphError, ShapeError
from carnyx.layers import Input
from carnyx.layers._call import signature_of
from carnyx.layers.base import Layer
from carnyx.layers.input_spec import InputSpec, label
from carnyx.models.given_inputs import match_inputs, warn_of_crossed_names
from carnyx.models.graph_config import (
    graph_config,
    graph_from_config,
    remember_asked,
)
from carnyx.models.host_part import HostPart
from carnyx.models.model import Model
from carnyx.typing import ShapeLike, Tensor, Tensors

_OF_GRAPH = ("layers", "input_layers", "output_layers")  # entries of a config


class Functional(Model):
    """The model that `Model(inputs, outputs)` makes.

    Args:
        inputs, outputs: symbolic tensors, alone or in lists and dicts; any two places
            of an existing graph will do, which shows what happens between them.

    >>> import carnyx as keras
    >>> x = keras.Input((8,))
    >>> hidden = keras.layers.Dense(4, name="hidden")(x)
    >>> model = keras.Model(x, keras.layers.Dense(1)(hidden))
    >>> keras.Model(model.input, model.get_layer("hidden").output).output_shape
    (None, 4)
    """

    keras_module = "keras.src.models.functional"
    keras_registered_name = "Functional"
    supports_masking = True
    _needs_tensors = False  # an optional input may be None
    _hidden_attributes = ("_inputs", "_outputs", "_owner")
    _owner: Any = None  # the Sequential whose graph this is
    saved_first = ("layers",)
    first_call_number = 1  # in configs: see graph_config

    def __init__(
        self, inputs: Tensor, outputs: Tensors, name: str | None = None, **kwargs: Any
    ) -> None:
        super(Model, self).__init__(name=name, **kwargs)
        for what, tensors in (("inputs", inputs), ("outputs", outputs)):
            _check_symbolic(what, tensors)
        warn_of_crossed_names(inputs)
        for tensor in tree.flatten(inputs):
            node_of(tensor)  # an error of one that was made by hand
        inputs, outputs = _from_inputs(inputs, outputs)
        self._inputs, self._outputs = inputs, outputs
        self._graph = Graph(tree.flatten(inputs), tree.flatten(outputs))
        self._tagged = is_tagged(self._graph)
        self.built = True
        self._path = self.name
        if not self._trainable:
            self.trainable = False

    def build(self, input_shape: ShapeLike | None = None) -> None:
        """Nothing to do: the layers of a graph are built."""
        self.built = True

    def get_build_config(self) -> dict[str, Any] | None:
        return {"input_shape": None}

    # ---- the graph ---------------------------------------------------------------

    input = property(lambda self: self._inputs)
    output = property(lambda self: self._outputs)
    inputs = property(lambda self: tree.flatten(self._inputs))
    outputs = property(lambda self: tree.flatten(self._outputs))

    @property
    def operations(self) -> list[Any]:
        """Layers and recorded ops, in order."""
        return self._graph.operations

    def _children(self) -> list[Layer]:
        in_graph = [o for o in self._graph.operations if isinstance(o, Layer)]
        known = {id(x) for x in in_graph}
        return in_graph + [x for x in super()._children() if id(x) not in known]

    @property
    def layers(self) -> list[Layer]:
        """The layers, farthest from the outputs first."""
        return self._children()

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs."""
        return [t.node.operation.name for t in self.inputs]

    @property
    def output_names(self) -> list[str]:
        """The name of the layer behind each output."""
        return [t.node.operation.name for t in self.outputs]

    # ---- calling -----------------------------------------------------------------

    def call(
        self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None
    ) -> Any:
        part = self._host_part(None)
        if part is not None and part.has_run(inputs):
            return self._packed(part.finish(inputs, _call_placed))
        values = self._in_order(inputs)
        if mask is not None:
            for value, one in zip(values, tree.flatten(mask), strict=False):
                if one is not None and value is not None:
                    set_mask(value, one)
        placement = self._graph_placement() or self._graph.pipelined()
        flat = None if placement is None else call_on_devices(placement, values)
        return self._packed(
            self._graph.run(values, _call_placed) if flat is None else flat
        )

    def _packed(self, flat: list[Any]) -> Any:
        """The outputs, flat, in the structure in which the model gives them."""
        return _unwrapped(tree.pack_sequence_as(self._outputs, flat))

    # ---- devices -----------------------------------------------------------------

    def _whole_graph(self) -> Graph:
        return self._graph

    def _calls_graph(self) -> bool:
        return type(self).call is Functional.call

    def _device_placement(self) -> Any:
        return self._graph_placement() or super()._device_placement()

    def _graph_placement(self) -> DevicePlacement | None:
        if not self._tagged:
            return None
        owner = self._owner or self
        known = self.__dict__.get("_placed_graph")
        if known is None or known.model is not owner:
            known = DevicePlacement(owner, self._graph)
            self.__dict__["_placed_graph"] = known
        return known

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor) -> Any:
        return None  # every tensor that comes out has its mask already

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        inputs = args[0] if args else kwargs["inputs"]
        given = [t.shape for t in tree.flatten(inputs) if is_symbolic(t)]
        if given == [t.shape for t in self.inputs]:
            return tree.map_structure(
                lambda t: KerasTensor(t.shape, t.dtype), _unwrapped(self._outputs)
            )
        return super().compute_output_spec(*args, **kwargs)

    def _predicted_spec(self, x: Any) -> Any:
        return _unwrapped(self._outputs)

    def _in_order(self, inputs: Any) -> list[Any]:
        """The values for the inputs, flat, cast and with the expected rank."""
        pairs = zip(self._flat_inputs(inputs), self.inputs, strict=True)
        return [self._fitted(value, symbol) for value, symbol in pairs]

    def _flat_inputs(self, inputs: Any) -> list[Any]:
        """The values for the inputs, in order."""
        told = self.__dict__.setdefault("_told", set())
        return match_inputs(self._inputs, inputs, self.input_names, label(self), told)

    def _entered(self, value: Any, symbol: KerasTensor) -> Any:
        """A value for an input as the first layers get it: cast, of the right rank."""
        ((value,), _) = self._convert((value,), {})
        return self._fitted(value, symbol)

    def _fitted(self, value: Any, symbol: KerasTensor) -> Any:
        if value is None:
            if symbol.node and not getattr(symbol.node.operation, "optional", True):
                raise ArgumentError(
                    f"{label(self)}: the input {symbol.node.operation.name!r} is not "
                    "optional, but got None. Pass data for it, or make it with "
                    "Input(..., optional=True)."
                )
            return None
        text = symbol.dtype == "string"  # an array of NumPy, of which no op knows
        rank, wanted = len(value.shape), len(symbol.shape)
        if rank == wanted + 1 and value.shape[-1] == 1:
            value = value[..., 0] if text else OPS["squeeze"](value, -1)
        elif rank == wanted - 1 and symbol.shape[-1] == 1:
            value = value[..., None] if text else OPS["expand_dims"](value, -1)
        spec = InputSpec(shape=(None, *symbol.shape[1:]) if wanted else ())
        shape = tuple(d if isinstance(d, int) else None for d in value.shape)
        problem = spec.problem(shape)
        if problem:
            name = symbol.node.operation.name if symbol.node else symbol.name
            raise ShapeError(
                f"{label(self)}, input {name!r}: {problem}."
                + (
                    " Is the batch axis missing? Add it with x[None]."
                    if rank == wanted - 1
                    else ""
                )
            )
        if text:
            return value
        if str(value.dtype) != symbol.dtype:
            name = symbol.node.operation.name if symbol.node else symbol.name
            check_real(value.dtype, symbol.dtype, f"{label(self)}: the input {name!r}")
            value = OPS["cast"](value, symbol.dtype)
        return value

    # ---- what runs on the host ---------------------------------------------------

    def _host_part(self, x: object) -> HostPart | None:
        known = self.__dict__.get("_on_host", self)
        if known is self:
            known = self.__dict__["_on_host"] = HostPart.of(self._graph)
        return known

    def _host_values(self, x: Any) -> list[Any]:
        pairs = zip(self._flat_inputs(x), self.inputs, strict=True)
        return [self._fitted(value, symbol) for value, symbol in pairs]

    # ---- configs -----------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        if type(self) is not Functional and _takes_own_arguments(type(self)):
            return Model.get_config(self)
        return {
            "name": self.name,
            "trainable": self.trainable,
            **graph_config(self._graph, self._inputs, self._outputs),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        if "layers" not in config or "input_layers" not in config:
            return cls(**config)
        inputs, outputs = graph_from_config(config, custom_objects)
        extra = {k: config[k] for k in ("name", "trainable") if k in config}
        if cls is not Functional and _takes_own_arguments(cls):
            return Functional(inputs=inputs, outputs=outputs, **extra)
        return cls(inputs=inputs, outputs=outputs, **own_arguments(cls, config))


def _unwrapped(outputs: Any) -> Any:
    """A list of one is that one, as in Keras."""
    single = isinstance(outputs, list | tuple) and len(outputs) == 1
    return outputs[0] if single else outputs


@functools.cache
def _takes_own_arguments(cls: type) -> bool:
    """Whether a subclass makes its graph itself, from other arguments.

    It does not where it takes inputs and outputs, or whatever it is given.
    """
    init = signature_of(cls.__init__)
    passes_on = init.variadic and init.keywords
    return not (passes_on or (init.takes("inputs") and init.takes("outputs")))


def own_arguments(cls: type, config: dict[str, Any]) -> dict[str, Any]:
    """What a class that is given inputs and outputs takes of a config beside them."""
    if cls is Functional:
        return {k: config[k] for k in ("name", "trainable") if k in config}
    init = signature_of(cls.__init__)
    rest = {k: v for k, v in config.items() if k not in _OF_GRAPH}
    return rest if init.keywords else {k: rest[k] for k in rest if init.takes(k)}


def _call_placed(node: Node, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Where symbolic tensors go in, the new node is placed as the old one."""
    if node.device is None:
        outputs = node.operation(*args, **kwargs)  # type: ignore[operator]
        return remember_asked(outputs, node.asked)
    with scoped(device=node.device):
        return node.operation(*args, **kwargs)  # type: ignore[operator]


def _check_symbolic(what: str, tensors: Any) -> None:
    flat = tree.flatten(tensors)
    wrong = [t for t in flat if not is_symbolic(t)]
    if wrong or not flat:
        got = type(wrong[0]).__name__ if wrong else "nothing"
        raise GraphError(
            f"Model(inputs, outputs) got {got} among the {what}; expected symbolic "
            "tensors. Start from carnyx.Input(shape=...) and call layers on it."
        )


def _from_inputs(inputs: Any, outputs: Any) -> tuple[Any, Any]:
    """The same graph, beginning with `Input`s where it begins in the middle."""
    flat = tree.flatten(inputs)
    if all(t.node is not None and t.node.is_input for t in flat):
        return inputs, outputs
    graph = Graph(flat, tree.flatten(outputs))
    fresh = [
        t
        if t.node is not None and t.node.is_input
        else Input(batch_shape=t.shape, dtype=t.dtype)
        for t in flat
    ]
    values = graph.run(fresh, _call_placed)
    return tree.pack_sequence_as(inputs, fresh), tree.pack_sequence_as(outputs, values)


Model._functional = Functional

"""`Sequential`: layers one after another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from carnyx import registry, tree
from carnyx._core.devices import saved_device, saved_devices
from carnyx._core.scope import current, scoped
from carnyx._core.symbol import is_symbolic
from carnyx._strangers import stranger
from carnyx.errors import ArgumentError, GraphError, NotBuiltError, ShapeError
from carnyx.layers import InputLayer
from carnyx.layers._call import signature_of
from carnyx.layers.base import Layer
from carnyx.models.functional import Functional
from carnyx.models.graph_config import asked_device, device_entry
from carnyx.models.model import Model
from carnyx.typing import ShapeLike, Tensor

# Attributes of the graph, which a Sequential has once it knows its input.
_OF_GRAPH = frozenset("input inputs input_shape output outputs output_shape".split())


class NoGraphError(NotBuiltError, AttributeError):
    """Inputs or outputs asked for that are not known (yet)."""


def _no_graph(model: Sequential) -> str:
    if model.built:
        return (
            f"{model.name!r} takes a structure of inputs, so it is a chain of calls "
            "without symbolic inputs and outputs. Use the functional API to have them."
        )
    return (
        f"{model.name!r} is not built, so it has no inputs and outputs yet. "
        "Begin with Input(shape), call it on data, or build(input_shape)."
    )


def _made_by(tensor: Any) -> Any:
    """The layer that made a symbolic tensor, or None."""
    return None if tensor.node is None else tensor.node.operation


class Sequential(Model):
    """A stack of layers with one input and one output.

    With an `Input` first (or `input_shape=` in the first layer) the weights exist at
    once; otherwise from the first data on.

    >>> import carnyx as keras
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> model.output_shape
    (None, 2)
    """

    keras_module = "keras"
    _hidden_attributes = ("_body",)
    saved_first = ("layers",)
    _input_dtype: str | None = None  # where it is known, and not that of numbers
    _fixed_by: str | None = None  # what keeps layers from being added and popped

    def __init__(
        self,
        layers: Sequence[Any] | None = None,
        trainable: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(layers, Iterable | None) or isinstance(trainable, Layer):
            raise ArgumentError(
                f"Sequential got {layers!r}; expected a list of layers: "
                "Sequential([layer, ...])."
            )
        super().__init__(trainable=trainable, name=name, **kwargs)
        self._stack: list[Layer] = []
        self._devices: dict[int, Any] = {}  # of layers that were added inside scopes
        self._asked: dict[int, str] = {}  # devices of a file that are not here
        self._body: Functional | None = None
        for layer in layers or []:
            self.add(layer, rebuild=False)
        self._rebuild()

    # ---- the stack ---------------------------------------------------------------

    def add(self, layer: Layer, rebuild: bool = True) -> None:
        """Put a layer at the end.

        Raises:
            ArgumentError: for what is no layer, or a name that is taken.
        """
        self._check_free("add")
        if is_symbolic(layer) and isinstance(_made_by(layer), InputLayer):
            layer = _made_by(layer)  # keras.Input(...) stands for its layer
        if callable(layer) and not isinstance(layer, Layer):
            advice = stranger(layer) or " Wrap a function in layers.Lambda."
            raise ArgumentError(
                f"Sequential.add got {layer!r}; expected a layer.{advice}"
            )
        if not isinstance(layer, Layer):
            unused = " Leave the call of it out." if is_symbolic(layer) else ""
            raise ArgumentError(
                f"Sequential.add got {layer!r}; expected a layer.{unused}"
            )
        first = not self._stack
        if isinstance(layer, InputLayer) and not first:
            raise ArgumentError(
                f"{self.name!r} has an input already; an InputLayer stands first."
            )
        if any(x.name == layer.name for x in self._stack):
            raise ArgumentError(
                f"{self.name!r} has a layer named {layer.name!r} already; names must "
                "differ. Pass name=... to one of them."
            )
        if first and not isinstance(layer, InputLayer):
            self._stack += self._input_before(layer)
        self._stack.append(layer)
        self._devices[id(layer)] = current().device
        if rebuild:
            self._rebuild()

    def _input_before(self, layer: Layer) -> list[Layer]:
        """The input that the first layer implies, if it does."""
        shape = getattr(layer, "_input_shape_arg", None)
        if shape is not None:
            return [InputLayer(batch_shape=shape, dtype=layer.compute_dtype)]
        if isinstance(layer, Functional) and len(layer.inputs) == 1:
            symbol = layer.inputs[0]
            return [InputLayer(batch_shape=symbol.shape, dtype=symbol.dtype)]
        if isinstance(layer, Sequential) and layer._body is not None:
            symbol = layer._body.inputs[0]
            return [InputLayer(batch_shape=symbol.shape, dtype=symbol.dtype)]
        return []

    def pop(self, rebuild: bool = True) -> Layer:
        """Take the last layer off."""
        self._check_free("pop")
        if not self._stack:
            raise ArgumentError(f"{self.name!r} has no layers to pop.")
        layer = self._stack.pop()
        self.built = False
        self._body = None
        if rebuild:
            self._rebuild()
        return layer

    def _check_free(self, wanted: str) -> None:
        if self._fixed_by is not None:
            raise ArgumentError(
                f"{wanted} does not go with {self.name!r}: it is of {self._fixed_by}. "
                f"Call {wanted} on the model that was given to it, then make another."
            )

    def __copy__(self) -> Any:
        """A model of the same layers; later `add` and `pop` change one of the two."""
        twin = super().__copy__()
        twin._stack, twin._devices = [*self._stack], {**self._devices}
        twin._asked = {**self._asked}
        return twin

    def _rebuild(self) -> None:
        """Make the graph anew, if the input is known."""
        self._body, self.built = None, False
        if len(self._stack) > 1 and isinstance(self._stack[0], InputLayer):
            self.build(self._stack[0].batch_shape)

    def build(self, input_shape: ShapeLike | None = None) -> None:
        """Create the weights for inputs of this shape (with the batch axis).

        For a structure of shapes, or a layer that does not say what comes out of it,
        there is no graph: the layers are called one after another.
        """
        if not self._stack:
            raise NotBuiltError(f"{self.name!r} has no layers. Add some: add(layer).")
        if self._body is not None:
            self._check_shape(input_shape)
            self.built = True
            return
        first, stack = self._stack[0], self._stack
        if isinstance(first, InputLayer):
            stack = stack[1:]
        elif input_shape is None:
            raise NotBuiltError(
                f"{self.name!r} does not know its input. Begin with Input(shape), or "
                "pass input_shape to build()."
            )
        elif not _is_one_shape(input_shape):
            super().build(input_shape)
            return
        else:
            shape = tuple(input_shape)
            dtype = self._input_dtype or self.compute_dtype
            first = InputLayer(batch_shape=shape, dtype=dtype)
        try:
            outputs = self._chained(first.output, stack)
        except NotImplementedError:
            super().build(first.batch_shape)
            return
        self._stack = [first, *stack]
        body = Functional(first.output, outputs, name=self.name)
        body._owner = self
        self._body = body
        self.built = True

    def _check_shape(self, wanted: Any) -> None:
        """Raises a ShapeError where the input is known to have another shape."""
        known = self._stack[0].batch_shape  # type: ignore[attr-defined]
        if wanted is None or not _is_one_shape(wanted):
            return
        pairs = zip(known, wanted, strict=False)
        if len(known) != len(wanted) or any(
            None not in p and p[0] != p[1] for p in pairs
        ):
            raise ShapeError(
                f"{self.name!r} takes inputs of shape {known}, so it cannot be built "
                f"for {tuple(wanted)}. Make another model for these."
            )

    def _chained(self, x: Any, stack: list[Layer]) -> Any:
        """The layers, one after another, where each was added."""
        for layer in stack:
            _check_takes_one(layer)
            with scoped(device=self._devices.get(id(layer), current().device)):
                x = layer(x)
        return x

    def _maybe_build(self, tensors: dict[str, Any]) -> None:
        if self.built:
            return
        inputs: Any = next(iter(tensors.values()))
        if isinstance(inputs, list | tuple) and len(inputs) == 1:
            (inputs,) = inputs
        if tree.is_nested(inputs):
            self._built_by_calls(tensors)
            return
        symbol: Any = inputs
        shape = [d if isinstance(d, int) else None for d in symbol.shape]
        fixed = any(getattr(x, "stateful", False) for x in self._flatten_layers())
        text = getattr(symbol.dtype, "kind", symbol.dtype) in ("string", *"OSUT")
        self._input_dtype = "string" if text else None
        self.build((shape[0] if fixed else None, *shape[1:]))
        self._after_build()

    @property
    def layers(self) -> list[Layer]:
        """The layers, without the input."""
        return [x for x in self._stack if not isinstance(x, InputLayer)]

    def _children(self) -> list[Layer]:
        known = {id(x) for x in self._stack}
        return self._stack + [x for x in super()._children() if id(x) not in known]

    # ---- calling -----------------------------------------------------------------

    supports_masking = True

    def call(
        self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None
    ) -> Any:
        if self._body is not None:
            return self._body.call(inputs, training=training, mask=mask)
        if not self.layers:
            raise GraphError(
                f"{self.name!r} has no layers, so it computes nothing; add() some."
            )
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs

    def _whole_graph(self) -> Any:
        return None if self._body is None else self._body._graph

    def _cut_into_stages(self, *args: Any) -> Any:
        self._graph_body()  # says what to do where it is not built
        return super()._cut_into_stages(*args)

    def _calls_graph(self) -> bool:
        return type(self).call is Sequential.call

    def _device_placement(self) -> Any:
        return self._graph_placement() or super()._device_placement()

    def _graph_placement(self) -> Any:
        return None if self._body is None else self._body._graph_placement()

    def _packed(self, flat: list[Any]) -> Any:
        return self._graph_body()._packed(flat)

    def _flat_inputs(self, inputs: Any) -> list[Any]:
        return self._graph_body()._flat_inputs(inputs)

    def _entered(self, value: Any, symbol: Any) -> Any:
        ((value,), _) = self._convert((value,), {})
        return self._graph_body()._fitted(value, symbol)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor) -> Any:
        return None  # what comes out of the last layer has its mask

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        if self._body is not None:
            return self._body.compute_output_spec(*args, **kwargs)
        return super().compute_output_spec(*args, **kwargs)

    def _predicted_spec(self, x: Any) -> Any:
        if self._body is None:
            return super()._predicted_spec(x)
        return self._body.output

    def _host_part(self, x: object) -> Any:
        if self._body is None and x is not None and not self.built:
            first = next((v for v in tree.flatten(x) if hasattr(v, "shape")), None)
            if first is not None and any(layer.runs_on_host for layer in self._stack):
                self._maybe_build({"inputs": np.asarray(first)})
        return None if self._body is None else self._body._host_part(x)

    def _host_values(self, x: Any) -> list[Any]:
        return self._graph_body()._host_values(x)

    def _graph_body(self) -> Functional:
        if self._body is None:
            raise NoGraphError(_no_graph(self))
        return self._body

    def __getattr__(self, name: str) -> Any:
        if name in _OF_GRAPH and "_body" in self.__dict__:  # a property raised
            raise NoGraphError(_no_graph(self))
        return super().__getattr__(name)

    input = property(lambda self: self._graph_body().input)
    output = property(lambda self: self._graph_body().output)
    inputs = property(lambda self: self._graph_body().inputs)
    outputs = property(lambda self: self._graph_body().outputs)
    input_names = property(lambda self: self._graph_body().input_names)

    @property
    def output_names(self) -> list[str] | None:
        """The name of the last layer, once it is built."""
        return None if self._body is None else self._body.output_names

    # ---- configs -----------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        config = Layer.get_config(self)
        config["layers"] = [
            registry.serialize_keras_object(x)
            | device_entry(self._devices.get(id(x)), self._asked.get(id(x)))
            for x in self._stack
        ]
        if self._body is not None:
            config["build_input_shape"] = list(self._stack[0].batch_shape)  # type: ignore[attr-defined]
        return config

    def get_build_config(self) -> dict[str, Any] | None:
        if self._body is None:
            return super().get_build_config()
        return {"input_shape": list(self._stack[0].batch_shape)}  # type: ignore[attr-defined]

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        extra = {k: config[k] for k in ("name", "trainable", "dtype") if k in config}
        model = cls(**extra)
        with registry.custom_object_scope(custom_objects), saved_devices():
            for record in config["layers"]:
                layer = registry.deserialize_keras_object(record, family="layers")
                device = saved_device(record.get("device"))
                with scoped(device=device):
                    model.add(layer, rebuild=False)
                asked = asked_device(record.get("device"), device)
                model._asked |= {} if asked is None else {id(layer): asked}
        model._rebuild()
        shape = config.get("build_input_shape")
        if model._body is None and shape:
            model.build(tuple(shape))
        return model


def _check_takes_one(layer: Layer) -> None:
    """Each layer is given what the one before it returns, and nothing else."""
    others = signature_of(type(layer).call).required[1:]
    if others:
        raise ArgumentError(
            f"{layer.name!r} cannot stand in a Sequential: {type(layer).__name__}.call "
            f"needs {', '.join(others)} as well, and layers there are called with one "
            "argument. Give the others defaults, or write a Model that passes them."
        )


def _is_one_shape(shape: Any) -> bool:
    """Whether it is a shape, not a structure of shapes."""
    return isinstance(shape, list | tuple) and all(
        size is None or isinstance(size, int) for size in shape
    )

"""The layers that most models are made of: dense ones, and the plumbing between."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from carnyx import (
    activations,
    constraints,
    initializers,
    ops,
    registry,
    regularizers,
    tree,
)
from carnyx._core.symbol import KerasTensor
from carnyx._strangers import stranger
from carnyx.configurable import derived, field, positive
from carnyx.errors import ArgumentError, ShapeError, UnsafeModelError
from carnyx.layers._output_masks import tell_of_dropped_mask
from carnyx.layers._sizes import known_size
from carnyx.layers.base import Layer
from carnyx.layers.input_spec import InputSpec, label
from carnyx.typing import Shape, ShapeLike, Tensor


class Dense(Layer):
    """activation(x @ kernel + bias), on the last axis.

    Shapes: (batch, …, features) -> (batch, …, units)
    Weights: kernel (features, units), bias (units,)

    >>> import numpy as np
    >>> Dense(4, "relu")(np.ones((2, 3))).shape
    (2, 4)
    """

    units: int = field(check=positive)
    activation: Any = field(None, activations.get)
    use_bias: bool = field(True)
    kernel_initializer: Any = field("glorot_uniform", initializers.get)
    bias_initializer: Any = field("zeros", initializers.get)
    kernel_regularizer: Any = field(None, regularizers.get)
    bias_regularizer: Any = field(None, regularizers.get)
    activity_regularizer: Any = field(None, regularizers.get, config=False)
    kernel_constraint: Any = field(None, constraints.get)
    bias_constraint: Any = field(None, constraints.get)

    supports_masking = True

    def __post_init__(self) -> None:
        self.input_spec = InputSpec(min_ndim=2)

    def build(self, input_shape: Shape) -> None:
        features = known_size(input_shape, -1, self)
        self.kernel = self.weight("kernel", (features, self.units))
        self.bias = self.weight("bias", (self.units,)) if self.use_bias else None
        self.input_spec = InputSpec(min_ndim=2, axes={-1: features})

    def call(self, inputs: Tensor) -> Tensor:
        y = ops.matmul(inputs, self.kernel)
        return self.activation(y if self.bias is None else y + self.bias)


class EinsumDense(Layer):
    """activation(einsum(equation, x, kernel) + bias).

    Shapes: as the equation says; `...` stands for any leading or trailing axes
    Weights: kernel and bias, of the axes that the equation and `bias_axes` name

    Args:
        output_shape: without the batch axis and those of an ellipsis; None for an
            axis that is the input's.

    >>> import numpy as np
    >>> layer = EinsumDense("...d,dhk->...hk", (2, 4), bias_axes="hk")
    >>> layer(np.ones((5, 7, 3))).shape, layer.kernel.shape, layer.bias.shape
    ((5, 7, 2, 4), (3, 2, 4), (2, 4))
    """

    equation: str = field()
    output_shape: Any = field(
        convert=lambda s: (s,) if isinstance(s, int) else tuple(s)
    )
    activation: Any = field(None, activations.get)
    bias_axes: str | None = field(None)
    kernel_initializer: Any = field("glorot_uniform", initializers.get)
    bias_initializer: Any = field("zeros", initializers.get)
    kernel_regularizer: Any = field(None, regularizers.get)
    bias_regularizer: Any = field(None, regularizers.get)
    kernel_constraint: Any = field(None, constraints.get)
    bias_constraint: Any = field(None, constraints.get)
    activity_regularizer: Any = field(None, regularizers.get, kw_only=True)

    def build(self, input_shape: Shape) -> None:
        inputs, kernel, outputs = self._letters(input_shape)
        size = self._sizes(input_shape, inputs, outputs)
        open_letters = [c for c in kernel + (self.bias_axes or "") if not size.get(c)]
        if open_letters:
            raise ShapeError(
                f"{label(self)} got shape {input_shape}; the equation "
                f"{self.equation!r} leaves the size of {open_letters[0]!r} open. Say "
                f"it in output_shape={self.output_shape}."
            )
        self.kernel = self.weight(
            "kernel",
            [size[c] for c in kernel],
            initializer=self._initializer(kernel, outputs),
        )
        self.bias = None
        if self.bias_axes is not None:
            last = outputs[min(outputs.index(c) for c in self.bias_axes) :]
            shape = [size[c] if c in self.bias_axes else 1 for c in last]
            self.bias = self.weight("bias", shape)
        self.input_spec = InputSpec(ndim=len(input_shape))

    def _letters(self, shape: Shape) -> tuple[str, str, str]:
        """The letters of input, kernel and output, the ellipsis spelled out."""
        operands, arrow, outputs = self.equation.replace(" ", "").partition("->")
        inputs, comma, kernel = operands.partition(",")
        elided = len(shape) - len(inputs.replace("...", ""))
        fits = ("..." in inputs) == ("..." in outputs) and "." not in kernel
        if not (arrow and comma and fits):
            raise ArgumentError(
                f"{label(self)} got equation={self.equation!r}; expected the form "
                "'ab,bc->ac', '...b,bc->...c' or 'ab...,bc->ac...'."
            )
        if elided < 0 or (elided and "..." not in inputs):
            raise ShapeError(
                f"{label(self)} got shape {shape}; the input of its equation "
                f"{self.equation!r} is {inputs!r}."
            )
        spare = [c for c in map(chr, range(65, 123)) if c.isalpha()]
        rest = "".join([c for c in spare if c not in self.equation][:elided])
        return inputs.replace("...", rest), kernel, outputs.replace("...", rest)

    def _sizes(self, shape: Shape, inputs: str, outputs: str) -> dict[str, Any]:
        """The size of each letter, of the input's axes first."""
        size: dict[str, Any] = dict(zip(inputs, shape))
        elided = [c for c in outputs if c not in self.equation]
        said = outputs[0 if outputs[0] in elided else 1 :]  # the batch axis is not
        given = zip((c for c in said if c not in elided), self.output_shape)
        for letter, wanted in given:
            if size.get(letter) is None:
                size[letter] = wanted
            elif wanted is not None and wanted != size[letter]:
                raise ShapeError(
                    f"{label(self)} got shape {shape}, in which {letter!r} of "
                    f"{self.equation!r} is {size[letter]}; output_shape="
                    f"{self.output_shape} makes it {wanted}."
                )
        return size

    def _initializer(self, kernel: str, outputs: str) -> Any:
        """Fans follow the equation: the axes of the output are its units."""
        scaled = self.kernel_initializer
        if getattr(scaled, "input_axes", ()) is not None:
            return scaled
        axes = range(len(kernel))
        fans = {
            "seed": scaled.seed,
            "input_axes": [i for i in axes if kernel[i] not in outputs],
            "output_axes": [i for i in axes if kernel[i] in outputs],
        }
        return type(scaled).from_config(scaled.get_config() | fans)

    def call(self, inputs: Tensor) -> Tensor:
        y = ops.einsum(self.equation, inputs, self.kernel)
        return self.activation(y if self.bias is None else y + self.bias)


class Identity(Layer):
    """What it is given."""

    supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        return inputs


def _revived(value: Any) -> Any:
    """What a config holds of an object, or the object itself."""
    if registry.is_serialized(value):
        return registry.deserialize_keras_object(value)
    return value


class Masking(Layer):
    """Steps all of whose features equal `mask_value` are set to 0 and masked.

    Shapes: (batch, time, features) -> (batch, time, features)

    >>> import numpy as np
    >>> Masking(9.0)(np.array([[[1.0, 9.0], [9.0, 9.0]]])).tolist()
    [[[1.0, 9.0], [0.0, 0.0]]]
    """

    mask_value: Any = field(0.0, _revived)

    supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        return ops.where(self._counts(inputs, keepdims=True), inputs, 0)

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        return self._counts(inputs)

    def _counts(self, inputs: Tensor, keepdims: bool = False) -> Tensor:
        return ops.any(ops.not_equal(inputs, self.mask_value), -1, keepdims)


class Wrapper(Layer):
    """Base of layers around another `layer`."""

    layer: Any = field(convert=_revived)

    def __post_init__(self) -> None:
        if not isinstance(self.layer, Layer):
            raise ArgumentError(
                f"{type(self).__name__} got layer={self.layer!r}; expected a layer."
                f"{stranger(self.layer)}"
            )

    def build(self, input_shape: ShapeLike | None = None) -> None:
        if not self.layer.built:
            self.layer.build(input_shape)
            self.layer.built = True


class Lambda(Layer):
    """function(x, **arguments).

    A file names the function; it never holds its code. To load a model, register a
    named function with `@register_keras_serializable()`, or pass any function in
    `custom_objects`, under the function's name, a Python lambda under the layer's.

    Args:
        output_shape: of one sample, or a function of the input's shape; only where
            tracing the function does not tell.
        mask: the mask of the output, or a function `(inputs, mask) -> mask`.

    >>> import numpy as np
    >>> Lambda(lambda x, n: x * n, arguments={"n": 3})(np.ones(2)).tolist()
    [3.0, 3.0]
    """

    function: Any = field()
    output_shape: Any = field(None)
    mask: Any = field(None)
    arguments: dict[str, Any] = field(None, lambda a: dict(a or {}))

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ArgumentError(
                f"Lambda got function={self.function!r}; expected a function."
            )

    supports_masking = derived(lambda self: self.mask is not None)

    def call(
        self, inputs: Tensor, mask: Tensor | None = None, training: bool | None = None
    ) -> Tensor:
        handed = {"mask": mask, "training": training}
        takes = inspect.getfullargspec(self.function).args
        extra = {name: value for name, value in handed.items() if name in takes}
        return self.function(inputs, **self.arguments, **extra)

    def _code(self) -> Callable[..., Any]:
        return self.function

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def _mask_outputs(self, outputs: Any, call: Any, kwargs: Any) -> None:
        super()._mask_outputs(outputs, call, kwargs)
        if not self.supports_masking:
            tell_of_dropped_mask(self, call.first, outputs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        if self.output_shape is None:
            return super().compute_output_spec(*args, **kwargs)
        inputs = args[0] if args else kwargs["inputs"]
        if callable(self.output_shape):
            shapes = self.output_shape(tree.map_structure(lambda t: t.shape, inputs))
        else:
            batch = tree.flatten(inputs)[0].shape[0]
            shapes = tree.map_shape_structure(
                lambda shape: (batch, *shape), self.output_shape
            )
        return tree.map_shape_structure(
            lambda shape: KerasTensor(shape, self.compute_dtype), shapes
        )

    def get_config(self) -> dict[str, Any]:
        own = {"function": self.function, "arguments": self.arguments}
        own |= {
            name: getattr(self, name)
            for name in ("output_shape", "mask")
            if getattr(self, name) is not None
        }
        config = registry.serialize_dict(own)
        if isinstance(config["function"], str):  # one of ours: Keras wants a record
            config["function"] = {
                "module": "builtins",
                "class_name": "function",
                "config": config["function"],
                "registered_name": "function",
            }
        return super().get_config() | config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Lambda:
        config = dict(config)
        for name in ("function", "output_shape", "mask"):
            if name in config:
                config[name] = _function(config[name], config.get("name"), name)
        config["arguments"] = _revived(config.get("arguments"))
        return cls(**config)


def _function(value: Any, layer: Any, argument: str) -> Any:
    """The function that a Lambda's config names, or that the caller passed for it."""
    code = isinstance(value, dict) and value.get("class_name") == "__lambda__"
    if code or (argument == "function" and isinstance(value, list)):  # Keras 2's form
        passed = registry.get_registered_object(layer) if layer else None
        if passed is None or argument != "function":
            raise UnsafeModelError(
                f"Lambda {layer!r} was saved with {argument} as a Python lambda, whose "
                "bytecode Carnyx never runs. Pass the function when loading: "
                f"custom_objects={{{layer!r}: lambda x: ...}}."
            )
        return passed
    if argument == "function" and isinstance(value, str):
        return registry.find_function(value)
    value = _revived(value)
    return tuple(value) if isinstance(value, list) else value


__all__ = ["Dense", "EinsumDense", "Identity", "Lambda", "Masking", "Wrapper"]

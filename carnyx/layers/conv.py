"""Convolutions over 1, 2 or 3 spatial axes; the rank is data."""

from __future__ import annotations

from typing import Any

from carnyx import activations, constraints, initializers, ops, regularizers
from carnyx.config import standardize_data_format
from carnyx.configurable import field, one_of, positive
from carnyx.errors import ArgumentError, ShapeError
from carnyx.layers._sizes import known_size, sizes
from carnyx.layers.base import Layer
from carnyx.layers.input_spec import InputSpec, label
from carnyx.typing import Shape, Tensor


def _lower(padding: Any) -> Any:
    return padding.lower() if isinstance(padding, str) else padding


class _AnyConv(Layer):
    """What all convolutions share: sizes for each axis, channels, bias, activation."""

    rank = 0
    causal = True  # whether padding="causal" exists, in one dimension

    kernel_size: Any = field()
    strides: Any = field(1)
    padding: str = field("valid", _lower)
    data_format: Any = field(None, standardize_data_format)
    dilation_rate: Any = field(1)
    activation: Any = field(None, activations.get)
    use_bias: bool = field(True)
    bias_initializer: Any = field("zeros", initializers.get)
    bias_regularizer: Any = field(None, regularizers.get)
    activity_regularizer: Any = field(None, regularizers.get)
    bias_constraint: Any = field(None, constraints.get)

    field_order = (
        "filters", "kernel_size", "strides", "padding", "output_padding",
        "data_format", "dilation_rate", "depth_multiplier", "groups", "activation",
        "use_bias", "kernel_initializer", "depthwise_initializer",
        "pointwise_initializer", "bias_initializer", "kernel_regularizer",
        "depthwise_regularizer", "pointwise_regularizer", "bias_regularizer",
        "activity_regularizer", "kernel_constraint", "depthwise_constraint",
        "pointwise_constraint", "bias_constraint",
    )  # fmt: skip

    def __init_subclass__(cls, rank: int = 0, **keywords: Any) -> None:
        cls.rank = rank or cls.rank
        super().__init_subclass__(**keywords)

    def __post_init__(self) -> None:
        for name in ("kernel_size", "strides", "dilation_rate"):
            setattr(self, name, sizes(getattr(self, name), self.rank, name))
        causal = ("causal",) if self.causal and self.rank == 1 else ()
        wrong = one_of("valid", "same", *causal)(self.padding)
        if wrong:
            raise ArgumentError(
                f"{type(self).__name__} got padding={self.padding!r}; expected {wrong}."
            )
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ArgumentError(
                f"{type(self).__name__} got strides={self.strides} and dilation_rate="
                f"{self.dilation_rate}; expected one of them to be 1."
            )
        self.input_spec = InputSpec(ndim=self.rank + 2)

    @property
    def channel_axis(self) -> int:
        return -1 if self.data_format == "channels_last" else 1

    def _channels(self, input_shape: Shape) -> int:
        """The input's channels, which from now on it must have."""
        channels = known_size(input_shape, self.channel_axis, self)
        self.input_spec = InputSpec(
            ndim=self.rank + 2, axes={self.channel_axis: channels}
        )
        return channels

    def _make_bias(self, channels: int) -> None:
        self.bias = self.weight("bias", (channels,)) if self.use_bias else None

    def _finish(self, y: Tensor) -> Tensor:
        """activation(y + bias)"""
        if self.bias is not None:
            spread = (1,) * (0 if self.channel_axis == -1 else self.rank)
            y = y + self.bias.value.reshape(-1, *spread)
        return self.activation(y)

    def _how(self, inputs: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """The input and the arguments of the op; causal padding is put on by hand."""
        padding = self.padding
        if padding == "causal":
            time = 1 if self.channel_axis == -1 else 2
            pads = [(0, 0)] * 3
            pads[time] = ((self.kernel_size[0] - 1) * self.dilation_rate[0], 0)
            inputs, padding = ops.pad(inputs, pads), "valid"
        return inputs, {
            "strides": self.strides,
            "padding": padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
        }


class _KernelConv(_AnyConv):
    """Those with one kernel."""

    filters: int = field(check=positive)
    kernel_initializer: Any = field("glorot_uniform", initializers.get)
    kernel_regularizer: Any = field(None, regularizers.get)
    kernel_constraint: Any = field(None, constraints.get)


class _Conv(_KernelConv):
    groups: int = field(1, check=positive)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.filters % self.groups:
            raise ArgumentError(
                f"{type(self).__name__} got filters={self.filters}, groups="
                f"{self.groups}; expected filters to be a multiple of groups."
            )

    def build(self, input_shape: Shape) -> None:
        channels = self._channels(input_shape)
        if channels % self.groups:
            raise ShapeError(
                f"{label(self)} got {channels} channels (shape {input_shape}); "
                f"expected a multiple of groups={self.groups}."
            )
        shape = (*self.kernel_size, channels // self.groups, self.filters)
        self.kernel = self.weight("kernel", shape)
        self._make_bias(self.filters)

    def call(self, inputs: Tensor) -> Tensor:
        x, how = self._how(inputs)
        return self._finish(ops.conv(x, self.kernel, **how))


class Conv1D(_Conv, rank=1):
    """activation(conv(x, kernel) + bias) over time.

    Shapes: (batch, time, channels) -> (batch, time', filters)
    Weights: kernel (size, channels / groups, filters), bias (filters,)

    Args:
        padding: `"valid"`, `"same"`, or `"causal"`: step t sees no later one.

    >>> import numpy as np
    >>> Conv1D(4, 3, padding="causal", dilation_rate=2)(np.ones((1, 9, 2))).shape
    (1, 9, 4)
    """


class Conv2D(_Conv, rank=2):
    """activation(conv(x, kernel) + bias) over images.

    Shapes: (batch, height, width, channels) -> (batch, height', width', filters)
    Weights: kernel (height, width, channels / groups, filters), bias (filters,)

    >>> import numpy as np
    >>> Conv2D(8, 3, activation="relu")(np.ones((1, 28, 28, 1))).shape
    (1, 26, 26, 8)
    """


class Conv3D(_Conv, rank=3):
    """activation(conv(x, kernel) + bias) over volumes.

    Shapes: (batch, depth, height, width, channels) -> (batch, …', filters)
    Weights: kernel (depth, height, width, channels / groups, filters), bias (filters,)
    """


class _DepthwiseConv(_AnyConv):
    depth_multiplier: int = field(1, check=positive)
    depthwise_initializer: Any = field("glorot_uniform", initializers.get)
    depthwise_regularizer: Any = field(None, regularizers.get)
    depthwise_constraint: Any = field(None, constraints.get)

    field_order = (
        "kernel_size", "strides", "padding", "depth_multiplier",
        *_AnyConv.field_order,
    )  # fmt: skip
    causal = False

    def build(self, input_shape: Shape) -> None:
        channels = self._channels(input_shape)
        self.kernel = self.weight(
            "kernel",
            (*self.kernel_size, channels, self.depth_multiplier),
            initializer=self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
        )
        self._make_bias(channels * self.depth_multiplier)

    def call(self, inputs: Tensor) -> Tensor:
        x, how = self._how(inputs)
        return self._finish(ops.depthwise_conv(x, self.kernel, **how))


class DepthwiseConv1D(_DepthwiseConv, rank=1):
    """Convolution over time of each channel by itself, with `depth_multiplier` kernels.

    Shapes: (batch, time, channels) -> (batch, time', channels · depth_multiplier)
    """


class DepthwiseConv2D(_DepthwiseConv, rank=2):
    """Convolution of each channel by itself, with `depth_multiplier` kernels.

    Shapes: (batch, h, w, channels) -> (batch, h', w', channels · depth_multiplier)
    """


class _SeparableConv(_AnyConv):
    filters: int = field(check=positive)
    depth_multiplier: int = field(1, check=positive)
    depthwise_initializer: Any = field("glorot_uniform", initializers.get)
    pointwise_initializer: Any = field("glorot_uniform", initializers.get)
    depthwise_regularizer: Any = field(None, regularizers.get)
    pointwise_regularizer: Any = field(None, regularizers.get)
    depthwise_constraint: Any = field(None, constraints.get)
    pointwise_constraint: Any = field(None, constraints.get)

    causal = False

    def build(self, input_shape: Shape) -> None:
        channels = self._channels(input_shape)
        for part, shape in (
            ("depthwise", (*self.kernel_size, channels, self.depth_multiplier)),
            (
                "pointwise",
                (*[1] * self.rank, channels * self.depth_multiplier, self.filters),
            ),
        ):
            name = f"{part}_kernel"
            given = {
                option: getattr(self, f"{part}_{option}")
                for option in ("initializer", "regularizer", "constraint")
            }
            setattr(self, name, self.weight(name, shape, **given))
        self._make_bias(self.filters)

    def call(self, inputs: Tensor) -> Tensor:
        x, how = self._how(inputs)
        kernels = self.depthwise_kernel, self.pointwise_kernel
        return self._finish(ops.separable_conv(x, *kernels, **how))


class SeparableConv1D(_SeparableConv, rank=1):
    """A depthwise convolution over time, then a mixture of the channels.

    Shapes: (batch, time, channels) -> (batch, time', filters)
    References: arXiv:1610.02357
    """


class SeparableConv2D(_SeparableConv, rank=2):
    """A depthwise convolution, then a mixture of the channels.

    Shapes: (batch, height, width, channels) -> (batch, height', width', filters)
    References: arXiv:1610.02357
    """


class _ConvTranspose(_KernelConv):
    output_padding: Any = field(None)

    causal = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.output_padding is None:
            return
        extra = sizes(self.output_padding, self.rank, "output_padding", least=0)
        if any(e >= s for e, s in zip(extra, self.strides)):
            raise ArgumentError(
                f"{type(self).__name__} got output_padding={extra}, strides="
                f"{self.strides}; expected each padding to be below its stride."
            )
        self.output_padding = extra

    def build(self, input_shape: Shape) -> None:
        channels = self._channels(input_shape)
        self.kernel = self.weight("kernel", (*self.kernel_size, self.filters, channels))
        self._make_bias(self.filters)

    def call(self, inputs: Tensor) -> Tensor:
        x, how = self._how(inputs)
        y = ops.conv_transpose(
            x, self.kernel, output_padding=self.output_padding, **how
        )
        return self._finish(y)


class Conv1DTranspose(_ConvTranspose, rank=1):
    """The transpose of a convolution over time: it upsamples by its strides.

    Shapes: (batch, time, channels) -> (batch, time · stride, filters) for "same"
    Weights: kernel (size, filters, channels), bias (filters,)
    References: arXiv:1603.07285
    """


class Conv2DTranspose(_ConvTranspose, rank=2):
    """The transpose of a convolution: it upsamples by its strides.

    Shapes: (batch, h, w, channels) -> (batch, h · stride, w · stride, filters)
    Weights: kernel (height, width, filters, channels), bias (filters,)
    References: arXiv:1603.07285
    """


class Conv3DTranspose(_ConvTranspose, rank=3):
    """The transpose of a convolution over volumes: it upsamples by its strides.

    Shapes: (batch, d, h, w, channels) -> (batch, …space · stride, filters)
    Weights: kernel (depth, height, width, filters, channels), bias (filters,)
    References: arXiv:1603.07285
    """

    field_order = (  # Keras has these two the other way round for one and two axes
        "filters", "kernel_size", "strides", "padding", "data_format",
        "output_padding", ...,
    )  # fmt: skip


__all__ = [
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
]

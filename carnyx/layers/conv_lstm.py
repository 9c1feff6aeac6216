"""LSTM over images, volumes or lines: its products are convolutions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from carnyx import ops
from carnyx.config import standardize_data_format
from carnyx.configurable import derived, field, one_of, positive
from carnyx.errors import ArgumentError, ShapeError
from carnyx.layers._sizes import known_size, sizes
from carnyx.layers.input_spec import label
from carnyx.layers.rnn import RNN
from carnyx.layers.rnn_cells import LSTMGates
from carnyx.typing import Shape, Tensor


class ConvLSTMCell(LSTMGates):
    """An LSTM's step whose gates come from convolutions of input and state.

    Shapes: (batch, space…, channels), [h, c] -> (batch, space'…, filters), [h, c]
    Weights: kernel (size…, channels, 4 filters), recurrent_kernel (size…, filters,
    4 filters), bias (4 filters,)

    References: Shi et al. 2015, arXiv:1506.04214
    """

    field_order = (
        "filters", "kernel_size", "strides", "padding", "data_format",
        "dilation_rate", *LSTMGates.field_order,
    )  # fmt: skip

    filters: int = field(check=positive)
    kernel_size: tuple[int, ...] = field()
    strides: Any = field(1)
    padding: str = field("valid", str.lower)
    data_format: Any = field(None, standardize_data_format)
    dilation_rate: Any = field(1)

    masks_each_gate = True
    units = derived(lambda self: self.filters)
    channel_axis = derived(
        lambda self: -1 if self.data_format == "channels_last" else 1
    )

    def __post_init__(self) -> None:
        wrong = one_of("valid", "same")(self.padding)
        if wrong:
            raise ArgumentError(
                f"{type(self).__name__} got padding={self.padding!r}; expected {wrong}."
            )
        self.rank = len(self.kernel_size)
        super().__post_init__()

    def build(self, input_shape: Shape) -> None:
        channels = known_size(input_shape, self.channel_axis, self)
        if None in input_shape[1:]:
            raise ShapeError(
                f"{label(self)} got shape {input_shape}; its states need known sizes "
                "of space. Give them in Input(shape=...)."
            )
        self._one_step, self._channels = input_shape[1:], channels
        width = 4 * self.filters
        self._make_weights(
            (*self.kernel_size, channels, width),
            (*self.kernel_size, self.filters, width),
            (width,),
        )

    def get_initial_state(self, batch_size: int | None = None) -> list[Tensor]:
        """Zeros, of the size that convolving one step gives."""
        kernel = (*self.kernel_size, self._channels, self.filters)
        shapes = (batch_size, *self._one_step), kernel
        like = (jax.ShapeDtypeStruct(s, self.compute_dtype) for s in shapes)
        shape = jax.eval_shape(self._conv_x, *like).shape
        return [jnp.zeros(shape, self.compute_dtype) for _ in "hc"]

    def _conv_x(self, x: Tensor, kernel: Tensor) -> Tensor:
        return ops.conv(
            x, kernel, self.strides, self.padding, self.data_format, self.dilation_rate
        )

    def _conv_h(self, h: Tensor, kernel: Tensor) -> Tensor:
        return ops.conv(h, kernel, 1, "same", self.data_format)

    def _from_x(self, x: Tensor, masks: Any) -> Tensor:
        y = self._product(x, self.kernel, masks, self._conv_x)
        if self.bias is None:
            return y
        spread = (1,) * (0 if self.channel_axis == -1 else self.rank)
        return y + self.bias.value.reshape(-1, *spread)

    def _from_h(self, h: Tensor, masks: Any) -> Tensor:
        return self._product(h, self.recurrent_kernel, masks, self._conv_h)


class ConvLSTM(RNN, cell=ConvLSTMCell):
    """`RNN` over `ConvLSTMCell`."""

    unroll: bool = field(False, kw_only=True)

    rank = 0

    def __init_subclass__(cls, rank: int = 0, **keywords: Any) -> None:
        cls.rank = rank or cls.rank
        cls.input_rank = cls.rank + 3
        super().__init_subclass__(**keywords)

    def __post_init__(self) -> None:
        for name in ("kernel_size", "strides", "dilation_rate"):
            setattr(self, name, sizes(getattr(self, name), self.rank, name))
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ArgumentError(
                f"{type(self).__name__} got strides={self.strides} and dilation_rate="
                f"{self.dilation_rate}; expected one of them to be 1."
            )
        super().__post_init__()


class ConvLSTM1D(ConvLSTM, rank=1):
    """Convolutional LSTM over lines.

    Shapes: (batch, time, width, channels) -> (batch, width', filters), with
    `return_sequences` (batch, time, width', filters)

    References: Shi et al. 2015, arXiv:1506.04214
    """


class ConvLSTM2D(ConvLSTM, rank=2):
    """Convolutional LSTM over images.

    Shapes: (batch, time, height, width, channels) -> (batch, height', width',
    filters), with `return_sequences` (batch, time, height', width', filters)

    References: Shi et al. 2015, arXiv:1506.04214

    >>> import numpy as np
    >>> ConvLSTM2D(4, 3, padding="same")(np.ones((1, 2, 5, 5, 3))).shape
    (1, 5, 5, 4)
    """


class ConvLSTM3D(ConvLSTM, rank=3):
    """Convolutional LSTM over volumes; as `ConvLSTM2D` with one more axis of space.

    References: Shi et al. 2015, arXiv:1506.04214
    """


__all__ = ["ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"]

"""What convolution, pooling and image ops share: layouts, padding, sliding windows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from carnyx._core.scope import platform
from carnyx._numbers import integers
from carnyx.config import standardize_data_format
from carnyx.errors import ArgumentError, ShapeError

Sizes = int | Sequence[int]


def on_cpu() -> bool:
    """Whether to take the lowering that is fast on a CPU; asked while tracing."""
    return platform() == "cpu"


def known(x: jax.Array) -> bool:
    """Whether every size is a number, not a symbol of shape inference."""
    return all(isinstance(n, int) for n in x.shape)


def per_axis(value: Sizes, rank: int, name: str, least: int = 1) -> tuple[int, ...]:
    """One number for each of `rank` axes; a single one counts for all."""
    return integers(value, rank, name, least)


def check_fits(
    what: str, shape: Sequence[Any], spans: Sequence[int], padding: str
) -> None:
    """Raise ShapeError where a window is larger than what it slides over."""
    if padding_name(padding) == "SAME":
        return
    if any(isinstance(n, int) and n < span for n, span in zip(shape, spans)):
        raise ShapeError(
            f"{what} got a window of size {tuple(spans)} for an input of size "
            f"{tuple(shape)}, in which it does not fit. Use a smaller window, "
            "padding='same', or fewer or smaller strides before."
        )


def channels_last(data_format: str | None) -> bool:
    return standardize_data_format(data_format) == "channels_last"


class Window(NamedTuple):
    """How a window slides over an array.

    `inflation` zeros stand between the inputs, as the transpose of a stride needs.
    """

    size: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[tuple[Any, Any], ...]
    dilation: tuple[int, ...]
    inflation: tuple[int, ...]
    axis: int  # the first spatial axis

    @property
    def spans(self) -> list[int]:
        """Inputs from one edge of the window to the other, dilation included."""
        pairs = zip(self.size, self.dilation, strict=True)
        return [(k - 1) * d + 1 for k, d in pairs]

    @property
    def axes(self) -> tuple[int, ...]:
        return tuple(range(self.axis, self.axis + len(self.size)))

    @property
    def offsets(self) -> list[tuple[int, ...]]:
        return list(itertools.product(*map(range, self.size)))

    def views(self, x: jax.Array, fill: object = 0) -> list[jax.Array]:
        """What the window sees: one array for each place inside it.

        Slices, so XLA fuses whatever is done with them into one loop.
        """
        pads = [(0, 0, 0)] * x.ndim
        for i, axis in enumerate(self.axes):
            pads[axis] = (*self.pads[i], self.inflation[i])
        if any(p != (0, 0, 0) for p in pads):
            x = lax.pad(x, jnp.asarray(fill, x.dtype), pads)
        starts, limits, steps = [0] * x.ndim, list(x.shape), [1] * x.ndim
        out = []
        for offset in self.offsets:
            for i, axis in enumerate(self.axes):
                room, stride = x.shape[axis] - self.spans[i], self.strides[i]
                starts[axis], steps[axis] = offset[i] * self.dilation[i], stride
                limits[axis] = starts[axis] + room // stride * stride + 1
            out.append(lax.slice(x, starts, limits, steps))
        return out

    def transposed(self, inputs: Sequence[int], outputs: Sequence[int]) -> Window:
        """The window whose sliding over outputs leads back to the inputs."""
        pads = []
        for n, m, span, (low, _), stride, gap in zip(
            inputs, outputs, self.spans, self.pads, self.strides, self.inflation,
            strict=True,
        ):  # fmt: skip
            before = span - 1 - low
            reach = (n - 1) * (gap + 1) + span
            pads.append((before, reach - before - (m - 1) * stride - 1))
        return self._replace(
            strides=tuple(gap + 1 for gap in self.inflation),
            inflation=tuple(s - 1 for s in self.strides),
            pads=tuple(pads),
        )


def window(
    x: jax.Array, size: Sizes, strides: Sizes | None, padding: str,
    dilation: Sizes = 1, last: bool = True, what: str = "The window",
) -> Window:  # fmt: skip
    """The window that slides over the spatial axes of (batch, …, channels)."""
    rank, axis = x.ndim - 2, 1 if last else 2
    sizes = per_axis(size, rank, "window size")
    steps = per_axis(sizes if strides is None else strides, rank, "strides")
    spread = per_axis(dilation, rank, "dilation_rate")
    plain = Window(sizes, steps, ((0, 0),) * rank, spread, (0,) * rank, axis)
    shape = x.shape[axis : axis + rank]
    check_fits(what, shape, plain.spans, padding)
    return plain._replace(pads=explicit_padding(padding, shape, plain.spans, steps))


def padding_name(padding: str) -> str:
    """`"VALID"` or `"SAME"`, as JAX spells them."""
    name = padding.upper() if isinstance(padding, str) else padding
    if name not in ("VALID", "SAME"):
        raise ArgumentError(f"padding got {padding!r}; expected 'valid' or 'same'.")
    return name


def explicit_padding(
    padding: str, shape: Sequence[int], spans: Sequence[int], strides: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """`"valid"` or `"same"` as (before, after) for each axis."""
    if padding_name(padding) == "VALID":
        return ((0, 0),) * len(shape)
    out = []
    for n, span, stride in zip(shape, spans, strides, strict=True):
        total = (-(-n // stride) - 1) * stride + span - n
        total = max(total, 0)
        out.append((total // 2, total - total // 2))
    return tuple(out)


def images_axes(images: jax.Array, data_format: str | None) -> tuple[int, int, int]:
    """The axes of height, width and channels, counted from the end."""
    if images.ndim not in (3, 4):
        raise ShapeError(
            f"images got shape {images.shape}; expected rank 3 (one image) or rank 4 "
            "(a batch)."
        )
    return (-3, -2, -1) if channels_last(data_format) else (-2, -1, -3)


def volume(sizes: Sequence[int]) -> int:
    """How many places a window of these sizes has."""
    return math.prod(sizes)

"""Fourier transforms; complex numbers are pairs of real and imaginary part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from carnyx._core.op import op
from carnyx._numbers import integer
from carnyx.errors import ArgumentError, DTypeError, ShapeError
from carnyx.ops._dtypes import tensor, to_float
from carnyx.typing import Tensor

# fmt: off
__all__ = [
    "extract_sequences", "fft", "fft2", "ifft2", "irfft", "istft", "polar", "rfft",
    "stft", "view_as_complex", "view_as_real",
]
# fmt: on

TensorPair = tuple[Tensor, Tensor]


def _complex(x: Sequence[Tensor]) -> jax.Array:
    if not isinstance(x, tuple | list) or len(x) != 2:
        raise ArgumentError(f"Got {x!r}; expected a pair of real and imaginary part.")
    real, imag = tensor(x[0]), tensor(x[1])
    if real.shape != imag.shape:
        raise ShapeError(
            f"Got a real part {real.shape} and an imaginary part {imag.shape}; "
            "expected one shape."
        )
    if not all(jnp.issubdtype(a.dtype, jnp.floating) for a in (real, imag)):
        raise ArgumentError(
            f"Got parts of dtypes {real.dtype} and {imag.dtype}; expected floats."
        )
    return lax.complex(real, imag)


def _pair(z: jax.Array) -> TensorPair:
    return z.real, z.imag


@op
def fft(x: TensorPair) -> TensorPair:
    """The discrete Fourier transform over the last axis."""
    return _pair(jnp.fft.fft(_complex(x)))


@op
def fft2(x: TensorPair) -> TensorPair:
    """The Fourier transform over the last two axes."""
    return _pair(jnp.fft.fft2(_complex(x)))


@op
def ifft2(x: TensorPair) -> TensorPair:
    """The inverse of `fft2`."""
    return _pair(jnp.fft.ifft2(_complex(x)))


@op
def rfft(x: Tensor, fft_length: int | None = None) -> TensorPair:
    """The Fourier transform of real numbers: frequencies 0 to n / 2."""
    return _pair(jnp.fft.rfft(to_float(x), fft_length))


@op
def irfft(x: TensorPair, fft_length: int | None = None) -> Tensor:
    """The inverse of `rfft`."""
    return jnp.fft.irfft(_complex(x), fft_length)


def _window(window: Any, length: int, fft_length: int, dtype: Any) -> jax.Array:
    """Weights of a frame, centred in `fft_length`."""
    if window is None:
        return jnp.ones(fft_length, dtype)
    if isinstance(window, str):
        ends = {"hann": 0.5, "hamming": 0.54}
        if window not in ends:
            raise ArgumentError(
                f"window got {window!r}; expected 'hann', 'hamming' or an array."
            )
        # Periodic, as a sum of cosines: a - (1 - a) cos(2 pi t / n).
        wave = np.cos(2 * np.pi * np.arange(length) / length)
        window = ends[window] - (1 - ends[window]) * wave
    weights = jnp.asarray(window, dtype)
    if weights.shape != (length,):
        raise ShapeError(f"window got shape {weights.shape}; expected ({length},).")
    before = (fft_length - length) // 2
    return jnp.pad(weights, (before, fft_length - length - before))


def _check_frames(what: str, length: Any, stride: Any, fft_length: Any = 1) -> None:
    integer(length, f"{what}: sequence_length", 1)
    integer(stride, f"{what}: sequence_stride", 1)
    integer(fft_length, f"{what}: fft_length", 1)


def _frames(x: jax.Array, length: int, stride: int, what: str) -> jax.Array:
    size = x.shape[-1]
    if isinstance(size, int) and size < length:
        raise ShapeError(f"{what} got {size} steps; expected a frame, {length}.")
    starts = jnp.arange((x.shape[-1] - length) // stride + 1) * stride
    return jnp.take(x, starts[:, None] + jnp.arange(length), -1)


@op
def extract_sequences(x: Tensor, sequence_length: int, sequence_stride: int) -> Tensor:
    """Overlapping parts of the last axis.

    Shapes: (…, n) -> (…, 1 + (n - length) / stride, length)

    >>> extract_sequences([1, 2, 3, 4], 2, 2).tolist()
    [[1, 2], [3, 4]]
    """
    _check_frames("extract_sequences", sequence_length, sequence_stride)
    return _frames(tensor(x), sequence_length, sequence_stride, "extract_sequences")


@op
def stft(
    x: Tensor,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: object = "hann",
    center: bool = True,
) -> TensorPair:
    """Fourier transforms of windowed, overlapping frames.

    Shapes: (…, n) -> (…, frames, fft_length / 2 + 1), twice

    Args:
        window: "hann", "hamming", an array of `sequence_length`, or None.
        center: pads by reflection so that frame t is centred on t · stride.
    """
    _check_frames("stft", sequence_length, sequence_stride, fft_length)
    x = tensor(x)
    if x.dtype not in (jnp.float32, jnp.float64):
        raise DTypeError(f"stft got {x.dtype}; expected float32 or float64.")
    if fft_length < sequence_length:
        raise ArgumentError(
            f"stft got fft_length={fft_length} < sequence_length={sequence_length}."
        )
    weights = _window(window, sequence_length, fft_length, x.dtype)
    if center:
        half = fft_length // 2
        x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(half, half)], "reflect")
    frames = _frames(x, fft_length, sequence_stride, "stft")
    return _pair(jnp.fft.rfft(frames * weights))


@op
def istft(
    x: TensorPair,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: object = "hann",
    center: bool = True,
) -> Tensor:
    """The inverse of `stft`: frames added up where they overlap, over their weights.

    References: Griffin & Lim 1984, doi:10.1109/TASSP.1984.1164317
    """
    _check_frames("istft", sequence_length, sequence_stride, fft_length)
    z = _complex(x)
    if z.ndim < 2:
        raise ShapeError(f"istft got rank {z.ndim}; expected (…, frames, frequencies).")
    frames = jnp.fft.irfft(z, fft_length)
    weights = _window(window, sequence_length, fft_length, frames.dtype)
    count, stride = frames.shape[-2], sequence_stride
    total = fft_length + stride * (count - 1)
    places = jnp.arange(count)[:, None] * stride + jnp.arange(fft_length)
    zeros = jnp.zeros((*frames.shape[:-2], total), frames.dtype)
    signal = zeros.at[..., places].add(frames * weights)
    power = jnp.zeros(total, frames.dtype).at[places].add(weights**2)
    signal = signal / jnp.where(power > 1e-10, power, 1)
    start = fft_length // 2 if center else 0
    end = total - start if length is None else start + length
    return signal[..., start:end]


@op
def view_as_complex(x: Tensor) -> Tensor:
    """Complex numbers from their parts on the last axis.

    Shapes: (…, 2) -> (…)
    """
    x = tensor(x)
    if x.ndim < 1 or x.shape[-1] != 2:
        raise ShapeError(f"view_as_complex got shape {x.shape}; expected (…, 2).")
    return lax.complex(x[..., 0].astype("float32"), x[..., 1].astype("float32"))


@op
def view_as_real(x: Tensor) -> Tensor:
    """The parts of complex numbers on a new last axis."""
    x = tensor(x)
    return jnp.stack([x.real, x.imag], -1)


@op
def polar(abs_: Tensor, angle: Tensor) -> Tensor:
    """The complex numbers abs (cos(angle) + i sin(angle))."""
    size, angle = to_float(abs_), to_float(angle)
    return _complex((size * jnp.cos(angle), size * jnp.sin(angle)))

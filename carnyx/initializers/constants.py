"""Initializers whose values are known: constants, the identity, waves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from carnyx import registry
from carnyx._core.memory import ensure_room
from carnyx.configurable import field, one_of
from carnyx.errors import ArgumentError, ShapeError
from carnyx.initializers.base import Initializer, filled, on_device
from carnyx.typing import DTypeLike, Tensor


class Zeros(Initializer):
    """0 everywhere."""

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        return filled(False, shape, dtype)


class Ones(Initializer):
    """1 everywhere."""

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        return filled(True, shape, dtype)


class Constant(Initializer):
    """`value`, a number or what broadcasts to the shape, everywhere.

    >>> Constant([1, 2])((2, 2)).tolist()
    [[1.0, 2.0], [1.0, 2.0]]
    """

    value: Any = field(0.0, registry.deserialize_keras_object)

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        return filled(self.value, shape, dtype)


class Identity(Initializer):
    """`gain` times the identity matrix.

    Shapes: (rows, columns)
    """

    gain: float = field(1.0)

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        if len(shape) != 2:
            raise ShapeError(f"Identity got shape {tuple(shape)}; expected a matrix's.")
        ensure_room(shape, "float64", "The initial value")
        return on_device(self.gain * np.eye(shape[0], shape[1]), dtype)


class STFT(Initializer):
    """Cosines (or sines) that make a convolution a short-time Fourier transform.

    Shapes: (frame_length, 1, fft_length // 2 + 1)

    Args:
        side: "real" or "imag".
        window: a name known to `scipy.signal.get_window`, an array, or None.
        scaling: "density", "spectrum" or None.
        periodic: whether the window is periodic.
    """

    side: str = field("real", check=one_of("real", "imag"))
    window: Any = field("hann", registry.deserialize_keras_object)
    scaling: str | None = field("density", check=one_of("density", "spectrum"))
    periodic: bool = field(False)

    def __post_init__(self) -> None:
        if isinstance(self.window, str):
            try:
                self._window(2)
            except ValueError as error:
                raise ArgumentError(
                    f"STFT got window={self.window!r}; expected a name known to "
                    "scipy.signal.get_window, an array, or None."
                ) from error

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        frame, _, frequencies = shape
        time = np.arange(frame)[:, None, None]
        turns = time * np.arange(frequencies) / (2 * (frequencies - 1))
        angle = -2 * np.pi * turns
        kernel = np.cos(angle) if self.side == "real" else np.sin(angle)
        if self.window is not None:
            window = self._window(frame)[:, None, None]
            density = self.scaling == "density"
            norm = np.sqrt((window**2).sum()) if density else np.abs(window).sum()
            kernel = kernel * window / (norm if self.scaling else 1)
        return filled(kernel, shape, dtype)

    def _window(self, size: int) -> np.ndarray:
        if isinstance(self.window, str):
            from scipy.signal import get_window

            return np.asarray(get_window(self.window, size, self.periodic))
        window = np.asarray(self.window)
        if window.shape != (size,):
            raise ShapeError(
                f"STFT got a window of shape {window.shape}; expected ({size},), the "
                "first size of the kernel."
            )
        return window

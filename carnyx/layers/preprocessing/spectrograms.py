"""Sound as pictures: which frequencies it has, over time."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from carnyx import config, initializers, ops
from carnyx.config import standardize_data_format
from carnyx.configurable import derived, field, one_of, positive
from carnyx.dtype_policies import is_float
from carnyx.errors import ArgumentError, DTypeError
from carnyx.layers.base import Layer
from carnyx.layers.input_spec import InputSpec, label
from carnyx.layers.preprocessing._pipelines import InPipelines
from carnyx.typing import Shape, Tensor


class MelSpectrogram(InPipelines, Layer):
    """The power of sound in bands as wide as they are to the ear.

    10 log10(max(|STFT(x)|^mag_exp @ bands, min_power) / ref_power), and no more than
    `top_db` below the largest value of the batch.

    Shapes: (…, samples) -> (…, num_mel_bins, time)

    Args:
        sequence_stride: samples from one frame to the next.
        sequence_length: samples of a frame; None is `fft_length`.
        window: `"hann"`, `"hamming"`, an array of `sequence_length`, or None.
        max_freq: in Hz, as `min_freq`; None is half of `sampling_rate`.
        mag_exp: 1 for magnitude, 2 for power.

    References: S. S. Stevens, J. Volkmann, E. B. Newman, "A scale for the measurement
        of the psychological magnitude pitch" (1937), doi:10.1121/1.1915893

    >>> import numpy as np
    >>> layer = MelSpectrogram(num_mel_bins=64, sampling_rate=8000, sequence_stride=256)
    >>> layer(np.zeros((2, 16000))).shape
    (2, 64, 63)
    """

    fft_length: int = field(2048, check=positive)
    sequence_stride: int = field(512, check=positive)
    sequence_length: int | None = field(None, check=positive)
    window: Any = field("hann")
    sampling_rate: Any = field(16000)
    num_mel_bins: int = field(128, check=positive)
    min_freq: float = field(20.0)
    max_freq: float | None = field(None)
    power_to_db: bool = field(True)
    top_db: float = field(80.0)
    mag_exp: float = field(2.0)
    min_power: float = field(1e-10)
    ref_power: float = field(1.0)

    def __post_init__(self) -> None:
        self.sequence_length = self.sequence_length or self.fft_length
        self.max_freq = self.max_freq or int(self.sampling_rate / 2)
        if self.fft_length < self.sequence_length:
            raise ArgumentError(
                f"MelSpectrogram got sequence_length={self.sequence_length}; expected "
                f"at most fft_length={self.fft_length}."
            )

    def call(self, inputs: Tensor) -> Tensor:
        wide = "float64" if self.compute_dtype == "float64" else "float32"
        signal = ops.cast(inputs, wide)
        real, imaginary = ops.stft(
            signal, self.sequence_length, self.sequence_stride, self.fft_length,
            self.window,
        )  # fmt: skip
        power = ops.sqrt(real**2 + imaginary**2) ** self.mag_exp
        bands = self.linear_to_mel_weight_matrix(
            self.num_mel_bins, self.fft_length // 2 + 1, self.sampling_rate,
            self.min_freq, self.max_freq,
        )  # fmt: skip
        mel = ops.matmul(power, ops.cast(bands, wide))
        if self.power_to_db:
            mel = self._in_decibels(mel)
        return ops.cast(ops.swapaxes(mel, -1, -2), self.compute_dtype)

    def _in_decibels(self, power: Tensor) -> Tensor:
        reference = max(abs(self.ref_power), self.min_power)
        decibels = 10 * ops.log10(ops.maximum(power, self.min_power))
        decibels = decibels - 10 * math.log10(reference)
        return ops.maximum(decibels, ops.max(decibels) - self.top_db)

    def linear_to_mel_weight_matrix(
        self,
        num_mel_bins: int = 20,
        num_spectrogram_bins: int = 129,
        sampling_rate: float = 8000,
        lower_edge_hertz: float = 125.0,
        upper_edge_hertz: float | None = 3800.0,
        dtype: str = "float32",
    ) -> np.ndarray:
        """How much of each frequency belongs to each band: triangles in mel.

        Shapes: (num_spectrogram_bins, num_mel_bins)
        """
        frequencies = np.linspace(0, sampling_rate / 2, num_spectrogram_bins)[1:, None]
        first, last = _mel(lower_edge_hertz), _mel(upper_edge_hertz)
        edges = np.linspace(first, last, num_mel_bins + 2)
        lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
        rising = (_mel(frequencies) - lower) / (centre - lower)
        falling = (upper - _mel(frequencies)) / (upper - centre)
        triangles = np.maximum(0, np.minimum(rising, falling))
        return np.pad(triangles, ((1, 0), (0, 0))).astype(dtype)


def _mel(hertz: Any) -> Any:
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)


MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")


class STFTSpectrogram(InPipelines, Layer):
    """Short-time Fourier transforms as convolutions, whose kernels may be trained.

    Shapes: (batch, time, channels) -> (batch, time', channels · frequencies); with
        `expand_dims` (batch, time', frequencies, channels). With `"channels_first"`
        (batch, channels, time) -> (batch, channels · frequencies, time'), or (batch,
        channels, time', frequencies).
    Weights: real_kernel and imag_kernel (frame_length, 1, frequencies), as far as the
        mode needs them

    Args:
        mode: `"log"`, `"magnitude"`, `"psd"` (power, with that of negative
            frequencies), `"real"`, `"imag"`, `"angle"`, or `"stft"`: both parts.
        frame_step: None is half of `frame_length`.
        fft_length: None is the next power of 2.
        window: a name known to `scipy.signal.get_window`, an array, or None.
        periodic: whether the window is.
        scaling: `"density"`, `"spectrum"` or None.

    >>> import numpy as np
    >>> STFTSpectrogram("magnitude", 64)(np.zeros((2, 256, 1))).shape
    (2, 7, 33)
    """

    mode: str = field("log", check=one_of(*MODES))
    frame_length: int = field(256, check=positive)
    frame_step: int | None = field(None, check=positive)
    fft_length: int | None = field(None, check=positive)
    window: Any = field("hann")
    periodic: bool = field(False)
    scaling: str | None = field("density", check=one_of("density", "spectrum"))
    padding: str = field("valid", check=one_of("valid", "same"))
    expand_dims: bool = field(False)
    data_format: Any = field(None, standardize_data_format)

    _step = derived(lambda self: self.frame_step or self.frame_length // 2)

    def __post_init__(self) -> None:
        frame, size = self.frame_length, self.fft_length
        if self.frame_step is not None and self.frame_step > frame:
            raise ArgumentError(
                f"STFTSpectrogram got frame_step={self.frame_step}; expected at most "
                f"frame_length={frame}."
            )
        if size is not None and size < frame:
            raise ArgumentError(
                f"STFTSpectrogram got fft_length={size}; expected at least frame_length"
                f"={frame}."
            )
        if size is not None and size & (size - 1):
            warnings.warn(
                f"STFTSpectrogram got fft_length={size}; a power of 2 is faster.",
                stacklevel=3,
            )
        self._kernel("real")  # refuses a window that is none
        self.input_spec = InputSpec(ndim=3)

    def _kernel(self, side: str) -> Any:
        return initializers.STFT(side, self.window, self.scaling, self.periodic)

    @property
    def _frequencies(self) -> int:
        size = self.fft_length or 2 ** math.ceil(math.log2(self.frame_length))
        return size // 2 + 1

    def build(self, input_shape: Shape) -> None:
        shape = (self.frame_length, 1, self._frequencies)
        if self.mode != "imag":
            self.real_kernel = self.add_weight(
                shape, self._kernel("real"), name="real_kernel"
            )
        if self.mode != "real":
            self.imag_kernel = self.add_weight(
                shape, self._kernel("imag"), name="imag_kernel"
            )

    def call(self, inputs: Tensor) -> Tensor:
        if not is_float(inputs.dtype):
            raise DTypeError(f"{label(self)} got {inputs.dtype}; expected floats.")
        if self.data_format == "channels_last":
            inputs = ops.swapaxes(inputs, 1, 2)
        if self.mode in ("real", "imag"):
            kernel = self.real_kernel if self.mode == "real" else self.imag_kernel
            return self._arranged(self._filtered(inputs, kernel))
        real = self._filtered(inputs, self.real_kernel)
        imaginary = self._filtered(inputs, self.imag_kernel)
        return self._arranged(self._spectrum(real, imaginary))

    def _filtered(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """(batch, channels, time) -> (batch, channels, time', frequencies)"""
        batch, channels, time = ops.shape(inputs)
        rows = ops.reshape(inputs, (-1, time, 1))
        kernel = ops.cast(kernel, inputs.dtype)
        out = ops.conv(rows, kernel, self._step, self.padding, "channels_last")
        return ops.reshape(out, (-1, channels, out.shape[1], out.shape[2]))

    def _spectrum(self, real: Tensor, imaginary: Tensor) -> Tensor:
        if self.mode == "stft":
            return ops.concatenate([real, imaginary], -1)
        if self.mode == "angle":
            return ops.arctan2(imaginary, real)
        power = ops.square(real) + ops.square(imaginary)
        if self.mode == "psd":
            both = ops.pad(power[..., 1:-1], [(0, 0)] * 3 + [(1, 1)])
            return power + both
        magnitude = ops.sqrt(ops.maximum(power, config.epsilon()))
        if self.mode == "magnitude":
            return magnitude
        return ops.log(ops.maximum(magnitude, config.epsilon()))

    def _arranged(self, outputs: Tensor) -> Tensor:
        """(batch, channels, time, frequencies) in the form that is asked for."""
        first = self.data_format == "channels_first"
        if self.expand_dims:
            return outputs if first else ops.transpose(outputs, (0, 2, 3, 1))
        sizes: Any = ops.shape(outputs)
        _, channels, time, frequencies = sizes
        rows = ops.transpose(outputs, (0, 1, 3, 2))
        rows = ops.reshape(rows, (-1, channels * frequencies, time))
        return rows if first else ops.swapaxes(rows, 1, 2)


__all__ = ["MelSpectrogram", "STFTSpectrogram"]

"""First values of weights.

What an initializer gives is cut on the host from what few compiled programs made: a
program a shape would take longer than the first epoch of a small model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from carnyx import registry
from carnyx._core.devices import ensure_device
from carnyx._core.memory import ensure_room
from carnyx._core.scope import is_tracer
from carnyx._core.seed import SeedGenerator, draw_seed, make_default_seed
from carnyx.configurable import Configurable, above_zero, at_least, field, one_of
from carnyx.dtype_policies import standardize_dtype
from carnyx.errors import ArgumentError, ShapeError
from carnyx.typing import Config, DTypeLike, Tensor

C = TypeVar("C", bound=type)

# ---- Sampling


def _draw(kind: str, key: Any, shape: tuple[int, ...], dtype: str, a: Any, b: Any):
    if kind == "uniform":
        return jax.random.uniform(key, shape, dtype, a, b)
    if kind == "truncated_normal":
        return jax.random.truncated_normal(key, -2.0, 2.0, shape, dtype) * b + a
    return jax.random.normal(key, shape, dtype) * b + a


_draw_compiled = jax.jit(_draw, static_argnums=(0, 2, 3))


_SHARED = 1 << 14, 1 << 20  # the sizes between which programs are shared


def _sample(
    kind: str, shape: Sequence[int], dtype: DTypeLike, seed: Any, a: float, b: float
) -> jax.Array:
    """The numbers of `jax.random` for that key and shape.

    A random bit of JAX depends on the key and its place in the flat array only (where
    `jax_threefry_partitionable` is on, as it is by default), so a longer array begins
    with the same numbers.
    """
    shape, dtype = tuple(shape), standardize_dtype(dtype)
    ensure_room(shape, dtype, "The initial value", RandomInitializer.copies_made)
    ensure_device()
    with jax.ensure_compile_time_eval():
        key = draw_seed(seed)
        size = math.prod(shape)
        stable = jax.config.jax_threefry_partitionable
        if is_tracer(key) or not stable or not 0 < size <= _SHARED[1]:
            return _draw_compiled(kind, key, shape, dtype, a, b)
        padded = max(_SHARED[0], 1 << (size - 1).bit_length())
        flat = _draw_compiled(kind, key, (padded,), dtype, a, b)
        return jax.device_put(np.asarray(flat)[:size].reshape(shape).copy())


def _on_device(values: Any, dtype: DTypeLike) -> jax.Array:
    ensure_device()
    with jax.ensure_compile_time_eval():  # and jnp.array would compile a copy
        return jax.device_put(np.array(values, jnp.dtype(standardize_dtype(dtype))))


# ---- Bases


class Initializer(Configurable):
    """Base of initializers: `initializer(shape, dtype)` is an array.

    >>> class Halves(Initializer):
    ...     def __call__(self, shape, dtype=None):
    ...         return 0.5 * Ones()(shape, dtype)
    >>> Halves()((2,)).tolist()
    [0.5, 0.5]
    """

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        """An array of that shape; `floatx` if no dtype is given."""
        raise NotImplementedError(
            f"{type(self).__name__} needs a method __call__(self, shape, dtype=None)."
        )

    def clone(self) -> Initializer:
        """An initializer of the same config."""
        return type(self).from_config(self.get_config())


def _seed_field() -> Any:
    return field(None, registry.deserialize_keras_object, config=False)


class RandomInitializer(Initializer):
    """Base of random initializers.

    Args:
        seed: an integer gives the same values at every call, and so does the seed that
            is drawn for None; a `SeedGenerator` gives others each time.
    """

    copies_made = 5  # of the array in memory while it is made, bits included

    seed: Any = _seed_field()

    def __post_init__(self) -> None:
        self._given_seed = self.seed
        if self.seed is None:
            self.seed = make_default_seed()
        elif not isinstance(self.seed, int | np.integer | SeedGenerator):
            raise ArgumentError(
                f"{type(self).__name__} got seed={self.seed!r}; expected None, an "
                "integer or a SeedGenerator."
            )

    def get_config(self) -> dict[str, Any]:
        return {"seed": registry.serialize_keras_object(self._given_seed)}


# ---- Constants


class Zeros(Initializer):
    """0 everywhere."""

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        ensure_room(shape, standardize_dtype(dtype), "The initial value")
        return _on_device(np.zeros(shape, bool), dtype)


class Ones(Initializer):
    """1 everywhere."""

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        ensure_room(shape, standardize_dtype(dtype), "The initial value")
        return _on_device(np.ones(shape, bool), dtype)


class Constant(Initializer):
    """`value`, a number or what broadcasts to the shape, everywhere.

    >>> Constant([1, 2])((2, 2)).tolist()
    [[1.0, 2.0], [1.0, 2.0]]
    """

    value: Any = field(0.0, registry.deserialize_keras_object)

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        ensure_room(shape, standardize_dtype(dtype), "The initial value")
        return _on_device(np.broadcast_to(np.asarray(self.value), tuple(shape)), dtype)


class Identity(Initializer):
    """`gain` times the identity matrix.

    Shapes: (rows, columns)
    """

    gain: float = field(1.0)

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        if len(shape) != 2:
            raise ShapeError(f"Identity got shape {tuple(shape)}; expected a matrix's.")
        ensure_room(shape, "float64", "The initial value")
        return _on_device(self.gain * np.eye(shape[0], shape[1]), dtype)


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
        ensure_room(shape, standardize_dtype(dtype), "The initial value")
        return _on_device(np.broadcast_to(kernel, shape), dtype)

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


# ---- Random


class RandomNormal(RandomInitializer):
    """A normal distribution."""

    mean: float = field(0.0)
    stddev: float = field(0.05, check=at_least(0))
    seed: Any = _seed_field()

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        return _sample("normal", shape, dtype, self.seed, self.mean, self.stddev)


class TruncatedNormal(RandomNormal):
    """A normal distribution cut off at two standard deviations."""

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        moments = self.mean, self.stddev
        return _sample("truncated_normal", shape, dtype, self.seed, *moments)


class RandomUniform(RandomInitializer):
    """The uniform distribution on [minval, maxval)."""

    minval: float = field(-0.05)
    maxval: float = field(0.05)
    seed: Any = _seed_field()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.minval <= self.maxval:
            raise ArgumentError(
                f"RandomUniform got minval={self.minval} and maxval={self.maxval}; "
                "expected the first not to be greater."
            )

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        return _sample("uniform", shape, dtype, self.seed, self.minval, self.maxval)


def compute_fans(
    shape: Sequence[int],
    input_axes: Sequence[int] | None = None,
    output_axes: Sequence[int] | None = None,
) -> tuple[int, int]:
    """How many inputs and outputs each entry of a kernel sees.

    Args:
        input_axes, output_axes: where the kernel is not (*window, inputs, outputs).

    >>> compute_fans((784, 10)), compute_fans((3, 3, 32, 64))
    ((784, 10), (288, 576))
    """
    if input_axes is not None and output_axes is not None:
        sizes = ([shape[i] for i in axes] for axes in (input_axes, output_axes))
        fan_in, fan_out = (math.prod(s) for s in sizes)
        return fan_in, fan_out
    if len(shape) < 2:
        return math.prod(shape), math.prod(shape)
    *window, inputs, outputs = shape
    return math.prod(window) * inputs, math.prod(window) * outputs


class _Scaled(RandomInitializer):
    """Variance `scale` / fan, so that signals keep their size from layer to layer."""

    input_axes: Sequence[int] | None = field(None)
    output_axes: Sequence[int] | None = field(None)

    scale = 1.0
    mode = "fan_in"
    distribution = "truncated_normal"

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        mean = (fan_in + fan_out) / 2
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": mean}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return _sample("uniform", shape, dtype, self.seed, -limit, limit)
        stddev = math.sqrt(variance)
        if self.distribution == "untruncated_normal":
            return _sample("normal", shape, dtype, self.seed, 0.0, stddev)
        # The standard deviation of a normal one cut off at 2.
        stddev /= 0.87962566103423978
        return _sample("truncated_normal", shape, dtype, self.seed, 0.0, stddev)


def _distribution(name: str) -> str:
    name = name.lower()
    return "truncated_normal" if name == "normal" else name


class VarianceScaling(_Scaled):
    """A distribution of mean 0 and variance `scale` / fan.

    Args:
        mode: "fan_in", "fan_out" or "fan_avg"; see `compute_fans`.
        distribution: "truncated_normal", "untruncated_normal" or "uniform".
    """

    scale: float = field(1.0, check=above_zero)
    mode: str = field("fan_in", check=one_of("fan_in", "fan_out", "fan_avg"))
    distribution: str = field("truncated_normal", _distribution)
    seed: Any = _seed_field()
    input_axes: Sequence[int] | None = field(None)
    output_axes: Sequence[int] | None = field(None)

    def __post_init__(self) -> None:
        super().__post_init__()
        known = ("uniform", "truncated_normal", "untruncated_normal")
        if self.distribution not in known:
            raise ArgumentError(
                f"VarianceScaling got distribution={self.distribution!r}; expected one "
                f"of {', '.join(known)}."
            )


class GlorotUniform(_Scaled):
    """Uniform on ±sqrt(6 / (fan_in + fan_out)).

    References: Glorot & Bengio 2010, proceedings.mlr.press/v9/glorot10a

    >>> same = GlorotUniform(seed=1)
    >>> bool((same((2, 3)) == same((2, 3))).all())
    True
    """

    mode, distribution = "fan_avg", "uniform"


class GlorotNormal(_Scaled):
    """Truncated normal of variance 2 / (fan_in + fan_out).

    References: Glorot & Bengio 2010, proceedings.mlr.press/v9/glorot10a
    """

    mode = "fan_avg"


class LecunNormal(_Scaled):
    """Truncated normal of variance 1 / fan_in.

    References: Klambauer et al. 2017, arXiv:1706.02515
    """


class LecunUniform(_Scaled):
    """Uniform on ±sqrt(3 / fan_in).

    References: LeCun et al. 1998, "Efficient BackProp"
    """

    distribution = "uniform"


class HeNormal(_Scaled):
    """Truncated normal of variance 2 / fan_in.

    References: He et al. 2015, arXiv:1502.01852
    """

    scale = 2.0


class HeUniform(_Scaled):
    """Uniform on ±sqrt(6 / fan_in).

    References: He et al. 2015, arXiv:1502.01852
    """

    scale, distribution = 2.0, "uniform"


class Orthogonal(RandomInitializer):
    """`gain` times a random matrix with orthonormal rows or columns.

    Shapes: (…, columns), taken as a matrix of that many columns

    References: Saxe, McClelland & Ganguli 2014, arXiv:1312.6120
    """

    gain: float = field(1.0)
    seed: Any = _seed_field()

    def __call__(self, shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        if len(shape) < 2:
            raise ShapeError(
                f"Orthogonal got shape {tuple(shape)}; expected two axes or more."
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = (max(rows, columns), min(rows, columns))
        a = _sample("normal", tall, "float32", self.seed, 0.0, 1.0)
        xp = jnp if is_tracer(a) else np  # NumPy compiles nothing
        q, r = xp.linalg.qr(xp.asarray(a))
        q = q * xp.sign(xp.diag(r))
        q = (q.T if rows < columns else q).reshape(shape)
        put = jnp.asarray if xp is jnp else _on_device
        return put(self.gain * q, standardize_dtype(dtype))


# ---- By name


def _known(cls: C, *names: str) -> C:
    for name in names:
        registry.add_builtin(cls, "initializers", name)
    return cls


constant = _known(Constant, "constant")
glorot_normal = _known(GlorotNormal, "glorot_normal")
glorot_uniform = _known(GlorotUniform, "glorot_uniform")
he_normal = _known(HeNormal, "he_normal")
he_uniform = _known(HeUniform, "he_uniform")
IdentityInitializer = identity = _known(Identity, "IdentityInitializer", "identity")
lecun_normal = _known(LecunNormal, "lecun_normal")
lecun_uniform = _known(LecunUniform, "lecun_uniform")
ones = _known(Ones, "ones", "one")
OrthogonalInitializer = orthogonal = _known(
    Orthogonal, "OrthogonalInitializer", "orthogonal"
)
random_normal = _known(RandomNormal, "random_normal", "normal")
random_uniform = _known(RandomUniform, "random_uniform", "uniform")
STFTInitializer = stft = _known(STFT, "STFTInitializer", "stft")
truncated_normal = _known(TruncatedNormal, "truncated_normal")
variance_scaling = _known(VarianceScaling, "variance_scaling")
zeros = _known(Zeros, "zeros", "zero")


InitializerLike: TypeAlias = str | Mapping[str, Any] | Callable[..., Any] | Initializer
"""An initializer by its name or config, a function of shape and dtype, or itself."""


def get(identifier: object) -> Any:
    """An initializer from its name, config, class, values or itself; None stays None.

    >>> type(get("he_normal")).__name__, get(np.ones(2))((2,)).tolist()
    ('HeNormal', [1.0, 1.0])
    """
    if isinstance(identifier, np.ndarray | np.generic | jax.Array):
        return _values(identifier)
    return registry.lookup_callable(identifier, "initializers", kind="initializer")


def _values(values: Any) -> Callable[..., Any]:
    def give(shape: Sequence[int], dtype: DTypeLike = None) -> Tensor:
        if tuple(shape) != tuple(values.shape):
            raise ShapeError(
                f"The initial values have shape {tuple(values.shape)}; the weight has "
                f"{tuple(shape)}."
            )
        return _on_device(values, dtype)

    return give


def serialize(initializer: object) -> Any:
    """An initializer as plain data."""
    return registry.serialize_keras_object(initializer)


def deserialize(config: Config, custom_objects: dict[str, Any] | None = None) -> Any:
    """The inverse of `serialize`."""
    with registry.custom_object_scope(custom_objects):
        return get(config)

"""Arrays from sizes, ranges and other arrays."""

from __future__ import annotations

import math
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np
from jax import export

from carnyx import config
from carnyx._core.devices import ensure_device
from carnyx._core.memory import ensure_room
from carnyx._core.op import op
from carnyx._numbers import check_narrow, integer
from carnyx.config import standardize_dtype
from carnyx.errors import ArgumentError, DTypeError, ShapeError
from carnyx.ops._dtypes import as_dtype, given_dtype, result_type, tensor
from carnyx.ops._thin import named
from carnyx.typing import ArrayLike, DTypeLike, ShapeLike, Tensor

# fmt: off
__all__ = [
    "arange", "array", "bartlett", "blackman", "empty", "empty_like", "eye", "full",
    "full_like", "geomspace", "hamming", "hanning", "identity", "kaiser", "linspace",
    "logspace", "meshgrid", "ones", "ones_like", "tri", "vander", "zeros", "zeros_like",
]
# fmt: on


def zeros(shape: ShapeLike | int, dtype: DTypeLike = None) -> Tensor:
    """Zeros in `dtype`, or floatx."""
    return jnp.zeros(*_checked(shape, dtype))


def ones(shape: ShapeLike | int, dtype: DTypeLike = None) -> Tensor:
    """Ones in `dtype`, or floatx."""
    return jnp.ones(*_checked(shape, dtype))


def empty(shape: ShapeLike | int, dtype: DTypeLike = None) -> Tensor:
    """Values yet to be written in `dtype`, or floatx; under JAX they are zeros."""
    return jnp.empty(*_checked(shape, dtype))


def _checked(shape: Any, dtype: DTypeLike) -> tuple[Any, str]:
    """A shape that there is room for, and the dtype."""
    ensure_device()  # these may be the first arrays of all
    dtype = standardize_dtype(dtype)
    ensure_room(shape, dtype, "An array")
    return tuple(shape) if isinstance(shape, list) else shape, dtype


@op
def full(shape: ShapeLike | int, fill_value: Tensor, dtype: DTypeLike = None) -> Tensor:
    """`fill_value` everywhere, in `dtype` or floatx."""
    sizes, dtype = _checked(shape, dtype)
    return jnp.full(sizes, as_dtype(fill_value, dtype), dtype)


@op
def zeros_like(x: Tensor, dtype: DTypeLike = None) -> Tensor:
    """Zeros in the shape of x, and its dtype unless one is given."""
    return jnp.zeros_like(tensor(x), given_dtype(dtype))


@op
def ones_like(x: Tensor, dtype: DTypeLike = None) -> Tensor:
    """Ones in the shape of x, and its dtype unless one is given."""
    return jnp.ones_like(tensor(x), given_dtype(dtype))


@op
def empty_like(x: Tensor, dtype: DTypeLike = None) -> Tensor:
    """`empty` in the shape of x, and its dtype unless one is given."""
    return jnp.empty_like(tensor(x), given_dtype(dtype))


@op
def full_like(x: Tensor, fill_value: Tensor, dtype: DTypeLike = None) -> Tensor:
    """`fill_value` in the shape of x, and its dtype unless one is given."""
    x = tensor(x)
    dtype = given_dtype(dtype) or x.dtype.name
    return jnp.full_like(x, as_dtype(fill_value, dtype), dtype)


@op
def array(x: Tensor, dtype: DTypeLike = None) -> Tensor:
    """A new array of the values of x."""
    return jnp.array(tensor(x) if dtype is None else as_dtype(x, dtype))


def eye(N: int, M: int | None = None, k: int = 0, dtype: DTypeLike = None) -> Tensor:
    """Ones on the k-th diagonal of an N by M (None: N by N) matrix of zeros.

    >>> eye(2, 3, k=1).tolist()
    [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    for size in (N, M):
        if jnp.issubdtype(getattr(size, "dtype", type(size)), jnp.floating):
            raise DTypeError(f"eye got the size {size!r}; sizes are integers.")
    dtype = _checked((N, N if M is None else M), dtype)[1]
    return jnp.eye(N, M, k, dtype)


def identity(n: int, dtype: DTypeLike = None) -> Tensor:
    """The n by n identity matrix."""
    return jnp.identity(n, _checked((n, n), dtype)[1])


def tri(N: int, M: int | None = None, k: int = 0, dtype: DTypeLike = None) -> Tensor:
    """Ones on and below the k-th diagonal of an N by M (None: N by N) matrix."""
    return jnp.tri(N, M, k, _checked((N, N if M is None else M), dtype)[1])


@op
def arange(
    start: Tensor,
    stop: Tensor = None,
    step: Tensor = None,
    dtype: DTypeLike = None,
) -> Tensor:
    """start, start + step, … up to but without stop (`arange(n)`: 0 to n - 1).

    >>> arange(3).tolist(), arange(0, 1, 0.25).tolist()
    ([0, 1, 2], [0.0, 0.25, 0.5, 0.75])
    """
    if isinstance(step, int | float) and step == 0:
        raise ArgumentError("arange got step=0; expected one that leads somewhere.")
    if dtype is None:
        ends: list[Any] = [x for x in (start, stop, step) if x is not None]
        # a size unknown while a graph is traced counts as the integer that it will be
        dtype = result_type(*(int if export.is_symbolic_dim(x) else x for x in ends))
    dtype = standardize_dtype(dtype)
    _ensure_range(start, stop, step, dtype)
    if "int" in dtype:
        for end in (start, stop):
            if isinstance(end, int):
                check_narrow(np.asarray(end), "arange")
    return jnp.arange(start, stop, step, dtype)


def _ensure_range(start: Any, stop: Any, step: Any, dtype: str) -> None:
    """Room for a range whose ends are known."""
    first, last = (0, start) if stop is None else (start, stop)
    ends = first, last, 1 if step is None else step
    if all(isinstance(x, int | float | np.number) for x in ends) and ends[2]:
        count = (ends[1] - ends[0]) / ends[2]
        if math.isfinite(count):
            ensure_room(max(math.ceil(count), 0), dtype, "A range")


def _ensure_between(num: Any, start: Tensor, stop: Tensor, dtype: Any) -> None:
    """Room for `num` values between two."""
    shape = np.broadcast_shapes(start.shape, stop.shape)
    ensure_room((num, *shape), dtype or config.floatx(), "A range")


@op
def linspace(
    start: Tensor,
    stop: Tensor,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: DTypeLike = None,
    axis: int = 0,
) -> Any:
    """`num` values evenly from start to stop (`endpoint`: that one too).

    With `retstep` also the step, as a tuple.
    """
    start, stop, dtype = tensor(start), tensor(stop), given_dtype(dtype)
    _ensure_between(num, start, stop, dtype)
    return jnp.linspace(start, stop, num, endpoint, retstep, dtype, axis)


@op
def logspace(
    start: Tensor,
    stop: Tensor,
    num: int = 50,
    endpoint: bool = True,
    base: ArrayLike = 10,
    dtype: DTypeLike = None,
    axis: int = 0,
) -> Tensor:
    """base ** linspace(start, stop, num)."""
    start, stop, dtype = tensor(start), tensor(stop), given_dtype(dtype)
    _ensure_between(num, start, stop, dtype)
    return jnp.logspace(start, stop, num, endpoint, base, dtype, axis)


@op
def geomspace(
    start: Tensor,
    stop: Tensor,
    num: int = 50,
    endpoint: bool = True,
    dtype: DTypeLike = None,
    axis: int = 0,
) -> Tensor:
    """`num` values from start to stop in a constant ratio."""
    start, stop, dtype = tensor(start), tensor(stop), given_dtype(dtype)
    _ensure_between(num, start, stop, dtype)
    return jnp.geomspace(start, stop, num, endpoint, dtype, axis)


@op
def meshgrid(*x: Tensor, indexing: str = "xy") -> list[Tensor]:
    """The coordinates of the grid whose axes are the given vectors.

    Shapes: (n,), (m,) -> two of (m, n), or of (n, m) with `indexing="ij"`
    """
    return list(jnp.meshgrid(*map(tensor, x), indexing=indexing))


@op
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """Vandermonde's matrix: the powers of each x, the highest first.

    Shapes: (n,) -> (n, N), N = n by default
    """
    x = tensor(x)
    if x.ndim != 1:
        raise ShapeError(f"vander got x of shape {x.shape}; expected a vector.")
    if x.dtype == bool:
        raise DTypeError("vander got booleans, which have no powers; cast them.")
    if N is not None:
        N = integer(N, "vander: N", 0)
        ensure_room((*x.shape, N), x.dtype, "A matrix")
    exponents = np.arange(x.shape[0] if N is None else N)
    # Integers: of 0 ** 0.0 JAX's gradient is NaN.
    powers = jnp.power(x[:, None], exponents if increasing else exponents[::-1])
    return powers.astype(x.dtype)


class _Window(Protocol):
    def __call__(self, x: Tensor) -> Tensor: ...


def _window(fn: Any, doc: str) -> _Window:
    def apply(x: Tensor) -> Tensor:
        ensure_room(int(x), config.floatx(), "A window")
        return fn(int(x)).astype(config.floatx())  # x is a size: it must be known

    return named(apply, fn.__name__, doc)


bartlett = _window(jnp.bartlett, "The triangular window of x points.")
blackman = _window(jnp.blackman, "Blackman's three-term cosine window of x points.")
hamming = _window(jnp.hamming, "0.54 - 0.46 cos, as a window of x points.")
hanning = _window(jnp.hanning, "0.5 - 0.5 cos, as a window of x points.")


@op
def kaiser(x: Tensor, beta: Tensor) -> Tensor:
    """Kaiser's window of x points; a greater `beta` makes it narrower."""
    ensure_room(int(x), config.floatx(), "A window")
    return jnp.kaiser(int(x), beta).astype(config.floatx())

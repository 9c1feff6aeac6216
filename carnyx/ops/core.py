"""Control flow, conversions, and reading and writing parts of arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from carnyx._core.infer import some_size
from carnyx._core.op import op
from carnyx._core.scope import in_symbolic_scope, is_tracer
from carnyx._core.symbol import KerasTensor
from carnyx._core.variable import Variable
from carnyx._numbers import integer
from carnyx.config import standardize_dtype
from carnyx.errors import ArgumentError, ShapeError
from carnyx.ops._dtypes import as_dtype, given_dtype, tensor, to_float
from carnyx.ops._dtypes import indices as as_indices
from carnyx.typing import DTypeLike, ShapeLike, Tensor, Tensors

# fmt: off
__all__ = [
    "associative_scan", "cast", "cond", "convert_to_numpy", "convert_to_tensor",
    "custom_gradient", "dtype", "fori_loop", "grad", "is_tensor", "map",
    "saturate_cast", "scan", "scatter", "scatter_update", "shape", "slice",
    "slice_update", "stop_gradient", "switch", "unstack", "vectorized_map",
    "while_loop",
]
# fmt: on


def grad(
    f: Callable[..., Tensor], argnums: int | Sequence[int] = 0
) -> Callable[..., Any]:
    """The function that gives the gradient of `f` (of its sum, if it is no scalar).

    Args:
        argnums: which arguments to differentiate by. An integer gives their one
            gradient, several a tuple. An argument may be a nested structure; integers
            in it count as floats.

    >>> slope = grad(lambda x, scale: scale * x**2)
    >>> float(slope(3.0, 2.0))
    12.0
    """
    numbers = argnums if isinstance(argnums, int) else tuple(argnums)

    def total(*args: Any, **kwargs: Any) -> jax.Array:
        return jnp.sum(tensor(f(*args, **kwargs)))

    @functools.wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        wanted = {n % len(args) for n in np.atleast_1d(argnums).tolist()}
        arrays = [
            jax.tree.map(to_float, a) if i in wanted else a for i, a in enumerate(args)
        ]
        return jax.grad(total, numbers)(*arrays, **kwargs)

    return gradient


# --- control flow ------------------------------------------------------------------


@op
def map(f: Callable[[Tensor], Tensors], xs: Tensor) -> Any:
    """f of each part along the first axis, one after another, stacked."""
    return lax.map(f, xs)


@op
def vectorized_map(function: Callable[..., Any], elements: Tensors) -> Any:
    """`function` of each part along the first axis, all at once, stacked.

    >>> vectorized_map(lambda row: row.sum(), jnp.ones((2, 3))).tolist()
    [3.0, 3.0]
    """
    return jax.vmap(function)(elements)


@op
def scan(
    f: Callable[[Tensors, Tensors], tuple[Tensors, Tensors]],
    init: Tensors,
    xs: Tensor | None = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> tuple[Any, Any]:
    """`carry, y = f(carry, x)` for every x along the first axis.

    Returns the last carry, and all y stacked.

    >>> total, sums = scan(lambda s, x: (s + x, s + x), 0, jnp.arange(4))
    >>> int(total), sums.tolist()
    (6, [0, 1, 3, 6])
    """
    unroll = unroll if isinstance(unroll, bool) else integer(unroll, "scan: unroll", 1)
    return lax.scan(f, init, xs, length, reverse, unroll)


@op
def associative_scan(
    f: Callable[[Tensors, Tensors], Tensors],
    elems: Tensors,
    reverse: bool = False,
    axis: int = 0,
) -> Any:
    """All partial results of the associative `f` along `axis`, in parallel.

    References: Blelloch 1990, Prefix sums and their applications, CMU-CS-90-190
    """
    return lax.associative_scan(f, jax.tree.map(jnp.asarray, elems), reverse, axis)


@op
def while_loop(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    loop_vars: Tensors,
    maximum_iterations: int | None = None,
) -> Any:
    """`loop_vars = body(*loop_vars)` as long as `cond(*loop_vars)`."""
    many = isinstance(loop_vars, list | tuple)
    start = tuple(loop_vars) if many else (loop_vars,)

    def goes_on(state):
        count, values = state
        again = cond(*values)
        return again if maximum_iterations is None else again & (
            count < maximum_iterations
        )  # fmt: skip

    def step(state):
        count, values = state
        out = body(*values)
        return count + 1, tuple(out) if many else (out,)

    _, values = lax.while_loop(goes_on, step, (0, start))
    return values if many else values[0]


@op
def fori_loop(
    lower: int, upper: int, body_fun: Callable[..., Any], init_val: Tensors
) -> Any:
    """`val = body_fun(i, val)` for i from `lower` to `upper` - 1."""
    return lax.fori_loop(lower, upper, body_fun, init_val)


@op
def cond(
    pred: Tensor, true_fn: Callable[[], Tensors], false_fn: Callable[[], Tensors]
) -> Any:
    """`true_fn()` where `pred`, else `false_fn()`; one of them runs."""
    return lax.cond(pred, true_fn, false_fn)


@op
def switch(
    index: Tensor, branches: Sequence[Callable[..., Tensors]], *operands: Tensors
) -> Any:
    """`branches[index](*operands)`, the index clamped to what there is."""
    return lax.switch(as_indices(index), branches, *operands)


def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose gradient is given: `f(*args)` is (value, gradient function).

    >>> import jax
    >>> @custom_gradient
    ... def clipped(x): return x, lambda g: jnp.clip(g, -1, 1)
    >>> float(jax.grad(lambda x: 5 * clipped(x))(2.0))
    1.0
    """
    ruled = jax.custom_gradient(f)

    def call(*args: Any, **kwargs: Any) -> Any:
        return ruled(*args, **kwargs)

    # A name of its own: a user's function may be called `add`.
    return op(call, name=f"custom_gradient/{getattr(f, '__name__', 'f')}")


@op
def stop_gradient(variable: Tensor) -> Tensor:
    """The value as a constant to differentiation."""
    return lax.stop_gradient(variable)


# --- conversions ---------------------------------------------------------------------


@op
def convert_to_tensor(
    x: Tensor,
    dtype: DTypeLike = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
) -> Tensor:
    """`x` as a `jax.Array`, of `dtype` if given; an array that is one stays itself."""
    if sparse or ragged:
        raise ArgumentError(
            f"convert_to_tensor got sparse={sparse}, ragged={ragged}; Carnyx has dense "
            "tensors only."
        )
    dtype = given_dtype(dtype)
    if dtype is None:
        return tensor(x)
    return x if is_tensor(x) and x.dtype == dtype else as_dtype(x, dtype)


def convert_to_numpy(x: Tensor) -> np.ndarray:
    """A copy of `x` as a NumPy array."""
    if isinstance(x, KerasTensor):
        raise ArgumentError(f"convert_to_numpy got {x}, which has no value yet.")
    return np.array(x.value if isinstance(x, Variable) else x)


def is_tensor(x: Tensor) -> bool:
    """Whether x is a `jax.Array`."""
    return isinstance(x, jax.Array)


def shape(x: Tensor) -> tuple[int | None, ...]:
    """The sizes of x; None for one that is not known yet."""
    return x.shape if hasattr(x, "shape") else np.shape(x)


def dtype(x: Tensor) -> str:
    """The name of the dtype of x.

    >>> dtype(jnp.ones(2))
    'float32'
    """
    return standardize_dtype(x.dtype)


@op
def cast(x: Tensor, dtype: DTypeLike) -> Tensor:
    """x in another dtype."""
    return as_dtype(x, standardize_dtype(dtype))


def _range(dtype: str) -> tuple[float, float]:
    if dtype == "bool":
        return 0, 1
    if "int" in dtype:
        return int(jnp.iinfo(dtype).min), int(jnp.iinfo(dtype).max)
    return float(jnp.finfo(dtype).min), float(jnp.finfo(dtype).max)


@op
def saturate_cast(x: Tensor, dtype: DTypeLike) -> Tensor:
    """x in another dtype, with values outside its range at the end of it.

    >>> saturate_cast(jnp.array([-1.0, 300.0]), "uint8").tolist()
    [0, 255]
    """
    x, dtype = tensor(x), standardize_dtype(dtype)
    own = np.dtype("uint8") if x.dtype == bool else x.dtype
    (low, high), (least, most) = _range(dtype), _range(own.name)
    low, high = max(low, least), min(high, most)
    x = jnp.clip(x.astype(own), own.type(low), own.type(high))
    return x.astype(dtype)  # an end that rounds outwards, JAX's conversion clamps


# --- parts of arrays -----------------------------------------------------------------


@op
def scatter(indices: Tensor, values: Tensor, shape: ShapeLike) -> Tensor:
    """Zeros of `shape`, plus each value at its index; what meets is added.

    Shapes: (n, k), (n, …) -> shape, k being how many axes an index names
    """
    values = tensor(values)
    place = tuple(jnp.moveaxis(as_indices(indices), -1, 0))
    return jnp.zeros(tuple(shape), values.dtype).at[place].add(values)


_REDUCTIONS = {None: "set", "add": "add", "max": "max", "min": "min", "mul": "multiply"}


@op
def scatter_update(
    inputs: Tensor, indices: Tensor, updates: Tensor, reduction: str | None = None
) -> Tensor:
    """`inputs` with `updates` at `indices`.

    Shapes: inputs, (n, k), (n, …) -> as inputs

    Args:
        reduction: how an update meets what is there: None (replaces it), "add",
            "max", "min" or "mul".
    """
    if reduction not in _REDUCTIONS:
        raise ArgumentError(
            f"scatter_update got reduction={reduction!r}; expected one of "
            f"{list(_REDUCTIONS)}."
        )
    inputs = tensor(inputs)
    at = inputs.at[tuple(jnp.moveaxis(as_indices(indices), -1, 0))]
    return getattr(at, _REDUCTIONS[reduction])(tensor(updates).astype(inputs.dtype))


@op
def slice(
    inputs: Tensor, start_indices: Sequence[int | Tensor], shape: ShapeLike
) -> Tensor:
    """The block of `shape` that begins at `start_indices`; -1: up to the end."""
    x, starts = tensor(inputs), _starts(start_indices)
    open_ended = [axis for axis, n in enumerate(shape) if n == -1]
    sizes: list[Any] = list(shape)
    for axis in open_ended:
        sizes[axis] = _left(x.shape[axis], starts[axis], axis)
    if any(is_tracer(starts[axis]) for axis in open_ended):
        return jnp.zeros(sizes, x.dtype)  # for its shape alone
    return lax.dynamic_slice(x, starts, sizes)


def _starts(given: Any) -> list[Any]:
    return list(as_indices(given) if hasattr(given, "shape") else given)


def _left(size: Any, start: Any, axis: int) -> Any:
    """How much of an axis follows `start`."""
    if not is_tracer(start):
        return size - start
    if in_symbolic_scope():
        return some_size()
    raise ShapeError(
        f"slice got -1 for axis {axis}, whose start is computed: while a function is "
        "compiled the size that is left is not known. Give the size, or the start as a "
        "number."
    )


@op
def slice_update(
    inputs: Tensor, start_indices: Sequence[int | Tensor], updates: Tensor
) -> Tensor:
    """`inputs` with the block `updates` written at `start_indices`."""
    x = tensor(inputs)
    return lax.dynamic_update_slice(
        x, tensor(updates).astype(x.dtype), _starts(start_indices)
    )


@op
def unstack(x: Tensor, num: int | None = None, axis: int = 0) -> list[Tensor]:
    """The parts of x along `axis`, each without it."""
    x = tensor(x)
    if num is None and not isinstance(x.shape[axis], int):
        raise ArgumentError(
            f"unstack got x of shape {x.shape}, whose axis {axis} has a size that is "
            "not known yet; say with num= how many parts there are."
        )
    if num is not None and num != x.shape[axis]:
        raise ArgumentError(
            f"unstack got num={num}; axis {axis} of {x.shape} has {x.shape[axis]}."
        )
    return [lax.index_in_dim(x, i, axis, keepdims=False) for i in range(x.shape[axis])]

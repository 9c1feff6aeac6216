"""Values, dtypes and gradients of `carnyx.ops.numpy` against Keras 3.15 on JAX.

A row is one call: (name, arguments, keyword arguments). Arrays of floats among the
arguments are differentiated too, unless the name is listed as flat.
"""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import carnyx.ops.numpy as ours

rng = np.random.default_rng(0)
A = rng.uniform(0.2, 0.9, (3, 4)).astype("float32")  # inside every function's domain
B = rng.uniform(1.1, 2.9, (3, 4)).astype("float32")
S = (A - 0.55) * 7  # both signs
V, W = A[0], B[0]
SQ = rng.normal(size=(3, 3)).astype("float32")
C = (A + 1j * B).astype("complex64")
N, J = np.array([[5, 3, 8], [2, 9, 4]], "int32"), np.array([[1, 2, 3]], "int32")
T = rng.normal(size=(2, 3, 4)).astype("float32")
NAN = np.where(S > 1, np.nan, S).astype("float32")
ODD = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1.5], "float32")
COUNTS = np.array([0, 3, 1, 3, 3], "int32")
BOOLS = S > 0

UNARY = """abs absolute arcsin arcsinh arctan arctanh arccos cbrt ceil conj conjugate
copy cos cosh deg2rad exp exp2 expm1 fabs floor i0 log log10 log1p log2 negative rad2deg
reciprocal real round sign sin sinc sinh sqrt square tan tanh trunc""".split()
ODD_UNARY = """isfinite isinf isnan isneginf isposinf isreal signbit nan_to_num sign
logical_not angle imag""".split()
BINARY = """add arctan2 divide divide_no_nan equal floor_divide fmax fmin fmod greater
greater_equal heaviside hypot less less_equal logaddexp logaddexp2 maximum minimum mod
multiply not_equal power subtract true_divide nextafter logical_and logical_or
logical_xor""".split()
BITWISE = """bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift
left_shift right_shift""".split()
REDUCE = """all any amax amin max mean median min prod ptp std sum var""".split()
NAN_REDUCE = "nanmax nanmean nanmedian nanmin nanprod nanstd nansum nanvar".split()
FLAT = """floor_divide heaviside nextafter ceil floor round trunc sign unique
argmax argmin""".split()

ROWS = [
    *[(name, (A,), {}) for name in UNARY],
    *[(name, (ODD,), {}) for name in ODD_UNARY],
    *[(name, (C,), {}) for name in "angle conj imag real isreal absolute".split()],
    *[(name, (S, B), {}) for name in BINARY if name != "power"],
    *[(name, (A, 2), {}) for name in BINARY if name not in ("nextafter",)],
    *[(name, (N, J), {}) for name in [*BITWISE, "gcd", "lcm"]],
    *[(name, (N,), {}) for name in ("bitwise_invert", "bitwise_not")],
    *[(name, (S,), {}) for name in REDUCE],
    *[(name, (T,), dict(axis=(0, -1), keepdims=True)) for name in REDUCE],
    *[(name, (T,), dict(axis=[1])) for name in ("sum", "mean", "max", "any", "var")],
    *[(name, (NAN,), {}) for name in NAN_REDUCE],
    *[(name, (NAN,), dict(axis=1, keepdims=True)) for name in NAN_REDUCE],
    *[(n, (NAN,), dict(axis=0)) for n in "nancumprod nancumsum nanargmax".split()],
    *[(n, (S,), dict(axis=1, keepdims=True)) for n in ("argmax", "argmin")],
    *[(n, (S,), {}) for n in "argmax argmin cumsum cumprod count_nonzero".split()],
    *[(n, (S,), dict(axis=1)) for n in "cumsum cumprod count_nonzero sort".split()],
    ("argsort", (S,), dict(axis=0)),
    *[(n, (9,), {}) for n in "bartlett blackman hamming hanning".split()],
    *[(n, (T,), {}) for n in "ndim size ravel fliplr flipud flip transpose".split()],
    *[(n, ([V, W],), {}) for n in "hstack vstack dstack stack concatenate".split()],
    *[(n, (SQ,), dict(k=1)) for n in "diag diagflat tril triu".split()],
    *[(n, (SQ, A), {}) for n in "dot matmul".split()],
    *[(n, (V, W), {}) for n in "dot inner outer vdot kron append correlate".split()],
    *[(n, (S, [0.2, 0.7]), dict(axis=1)) for n in ("quantile", "nanquantile")],
    *[(n, (S, 30), dict(method="nearest")) for n in ("percentile", "nanpercentile")],
    ("allclose", (A, A + 1e-7), {}),
    ("append", (A, B), dict(axis=0)),
    ("arange", (5,), {}),
    ("arange", (1, 2.5, 0.5), {}),
    ("arange", (0, 5, 2), dict(dtype="float32")),
    ("arccosh", (B,), {}),
    ("argpartition", (V, 2), {}),
    ("argpartition", (A, 1), dict(axis=None)),
    ("argsort", (np.float32(3.0),), {}),
    ("array", (A,), dict(dtype="int32")),
    ("array_split", (np.arange(7.0, dtype="float32"), 3), {}),
    ("average", (A,), dict(axis=1, weights=W)),
    ("average", (N,), dict(weights=N)),
    ("average", (N,), {}),
    ("bincount", (COUNTS,), {}),
    ("bincount", (COUNTS,), dict(minlength=7)),
    ("bincount", (COUNTS,), dict(weights=np.arange(5, dtype="float32"))),
    ("bincount", (np.stack([COUNTS, COUNTS]),), dict(minlength=3)),
    ("broadcast_to", (V, (2, 4)), {}),
    ("clip", (S, -1, 1), {}),
    ("clip", (BOOLS, 0, 1), {}),
    ("concatenate", ([A, B],), dict(axis=-1)),
    ("concatenate", ([A, N[:, :1].repeat(4, 1)],), {}),
    ("corrcoef", (A,), {}),
    ("correlate", (V, W), dict(mode="full")),
    ("correlate", (V, W), dict(mode="same")),
    ("cross", (SQ, SQ[::-1]), {}),
    ("cross", (SQ, SQ[::-1]), dict(axis=0)),
    ("cumsum", (N,), dict(axis=0, dtype="float32")),
    ("diag", (V,), dict(k=-1)),
    ("diagonal", (T,), dict(offset=1, axis1=1, axis2=2)),
    ("diff", (A,), dict(n=2)),
    ("digitize", (S, [-1.0, 0.0, 1.0]), {}),
    ("divide", (N, 2), {}),
    ("divide_no_nan", (A, BOOLS.astype("float32")), {}),
    ("dsplit", (T, 2), {}),
    ("einsum", ("ij,kj->ik", A, B), {}),
    ("einsum", ("i,i", N[0].astype("int8") * 30, N[0].astype("int8")), {}),
    ("empty", ((2, 3),), {}),
    ("empty_like", (N,), dict(dtype="float16")),
    ("expand_dims", (A, (0, -1)), {}),
    ("expand_dims", (A, 1), {}),
    ("eye", (3,), {}),
    ("eye", (2,), dict(M=4, k=1, dtype="int32")),
    ("flip", (T,), dict(axis=[0, 1])),
    ("full", ((2, 2), 3), {}),
    ("full", (2, 3.5), dict(dtype="int32")),
    ("full_like", (A, 7), {}),
    ("geomspace", (1.0, 100.0), dict(num=5)),
    ("get_item", (T, (0, slice(1, None), None)), {}),
    ("histogram", (V,), dict(bins=3)),
    ("histogram", (V,), dict(bins=3, range=(0.0, 1.0))),
    ("hsplit", (A, 2), {}),
    ("identity", (3,), {}),
    ("isclose", (A, A + 1e-7), {}),
    ("isclose", (ODD, ODD), dict(equal_nan=True)),
    ("isin", (N, [3, 4]), {}),
    ("isin", (N, [3, 4]), dict(invert=True)),
    ("kaiser", (8, 14.0), {}),
    ("ldexp", (A, N[0, :1]), {}),
    ("linspace", (0, 10), dict(num=5)),
    ("linspace", (V, W), dict(num=3, endpoint=False, axis=1)),
    ("linspace", (0.0, 1.0), dict(num=5, retstep=True)),
    ("logspace", (0, 2), dict(num=4, base=2)),
    ("matmul", (T, A.T), {}),
    ("matmul", (T[:, :, :0], A.T[:0]), {}),
    ("matmul", (V, T.transpose(0, 2, 1)), {}),
    ("matmul", (T, T.transpose(0, 2, 1)), {}),
    ("matmul", (N.astype("int8") * 30, N.T.astype("int8")), {}),
    ("max", (A,), dict(initial=5.0)),
    ("mean", (N,), {}),
    ("meshgrid", (V, W[:2]), {}),
    ("meshgrid", (V, W[:2]), dict(indexing="ij")),
    ("min", (A,), dict(axis=1, initial=0.1)),
    ("moveaxis", (T, [0, 1], [-1, 0]), {}),
    ("nan_to_num", (ODD,), dict(nan=1.0, posinf=2.0, neginf=-3.0)),
    ("nanargmin", (NAN,), {}),
    ("nonzero", (N > 3,), {}),
    ("ones", ([2, 3],), {}),
    ("ones_like", (N,), {}),
    ("outer", (A, B), {}),
    ("pad", (A, 1), {}),
    ("pad", (A, (1, 2)), dict(constant_values=3.0)),
    ("pad", (A, ((0, 1), (2, 0))), dict(mode="reflect")),
    ("power", (A, B), {}),
    ("power", (N, 2), {}),
    ("prod", (N,), dict(axis=0, dtype="float32")),
    ("ravel", ([[1, 2], [3, 4]],), {}),
    ("repeat", (A, 2), {}),
    ("repeat", (A, np.array([1, 0, 2])), dict(axis=0)),
    ("reshape", (T, (4, -1)), {}),
    ("reshape", (T, 24), {}),
    ("roll", (T, 2), {}),
    ("roll", (T, (1, 2)), dict(axis=(0, 1))),
    ("rot90", (A,), {}),
    ("rot90", (T,), dict(k=3, axes=(1, 2))),
    ("round", (S,), dict(decimals=1)),
    ("round", (N * 100,), dict(decimals=-3)),
    ("searchsorted", ([1.0, 2.0, 3.0], S), {}),
    ("searchsorted", (np.array([1, 2, 3]), np.array([2, 5])), dict(side="right")),
    ("select", ([S > 1, S > 0], [A, B]), dict(default=-1.0)),
    ("slogdet", (SQ,), {}),
    ("slogdet", (np.stack([SQ, -SQ]),), {}),
    ("split", (A, 2), dict(axis=1)),
    ("split", (A, [1, 3]), dict(axis=1)),
    ("square", (BOOLS,), {}),
    ("squeeze", (T[:, :1],), {}),
    ("squeeze", (T[:, :1],), dict(axis=1)),
    ("stack", ([A, B],), dict(axis=-1)),
    ("sum", ([[True, False], [True, True]],), {}),
    ("swapaxes", (T, 0, 2), {}),
    ("take", (A, [[0, -1], [2, 9]]), dict(axis=1)),
    ("take", (A, 2), {}),
    ("take_along_axis", (A, np.argsort(A, 1)), dict(axis=1)),
    ("tensordot", (T, T), dict(axes=[[0, 2], [0, 2]])),
    ("tensordot", (A, B.T), dict(axes=1)),
    ("tile", (A, (2, 1, 3)), {}),
    ("trace", (T,), dict(offset=1, axis1=1, axis2=2)),
    ("transpose", (T, (1, 2, 0)), {}),
    ("trapezoid", (A,), {}),
    ("trapezoid", (A,), dict(x=W, axis=1)),
    ("trapezoid", (A,), dict(dx=0.1, axis=0)),
    ("tri", (3,), dict(M=4, k=-1)),
    ("trunc", (N,), {}),
    ("unique", (N % 3,), {}),
    ("unique", (ODD,), dict(return_counts=True, size=5, fill_value=-1.0)),
    ("unique", (N % 3,), dict(return_index=True, return_inverse=True)),
    ("unique", (np.array([[1, 2], [1, 2], [0, 1]]),), dict(axis=0)),
    ("unravel_index", ([5, 7], (2, 4)), {}),
    ("vander", (V,), {}),
    ("vander", (V,), dict(N=2, increasing=True)),
    ("view", (A,), dict(dtype="int32")),
    ("view", (A,), {}),
    ("vsplit", (T, 2), {}),
    ("where", (BOOLS, A, B), {}),
    ("where", (BOOLS, A, 0), {}),
    ("where", (BOOLS,), {}),
    ("zeros", (3,), dict(dtype="bool")),
    ("zeros_like", (A,), dict(dtype="int32")),
]


# Ops whose gradient is 0 at 0, where that of Keras is NaN.
ZERO_NOT_NAN = {"angle", "nanstd"}


def check_same(mine, theirs):
    mine, theirs = jax.tree.leaves(mine), jax.tree.leaves(theirs)
    assert len(mine) == len(theirs)
    for a, b in zip(mine, theirs, strict=True):
        assert jnp.asarray(a).dtype == jnp.asarray(b).dtype
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def is_float(x):
    return getattr(x, "dtype", None) == np.float32


def total_of_floats(function, args, kwargs):
    """The sum of the float outputs as a function of the float arrays in `args`."""
    leaves, treedef = jax.tree.flatten(args)
    places = [i for i, x in enumerate(leaves) if is_float(x)]

    def total(floats):
        filled = list(leaves)
        for i, x in zip(places, floats, strict=True):
            filled[i] = x
        outputs = function(*jax.tree.unflatten(treedef, filled), **kwargs)
        return sum(jnp.sum(y) for y in jax.tree.leaves(outputs) if is_float(y))

    return total, [leaves[i] for i in places]


def label(row):
    return f"{row[0]}-{','.join(row[2]) or len(row[1])}"


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_values_dtypes_and_gradients_are_those_of_keras(row):
    name, args, kwargs = row
    mine, theirs = getattr(ours, name), getattr(keras.ops, name)
    expected = theirs(*args, **kwargs)
    check_same(mine(*args, **kwargs), expected)
    outputs = [y for y in jax.tree.leaves(expected) if is_float(y)]
    inputs = [x for x in jax.tree.leaves(args) if is_float(x)]
    if outputs and inputs and name not in FLAT:
        my_total, floats = total_of_floats(mine, args, kwargs)
        their_total, _ = total_of_floats(theirs, args, kwargs)
        both = jax.jit(lambda x: (jax.grad(my_total)(x), jax.grad(their_total)(x)))
        mine, theirs = both(floats)
        if name in ZERO_NOT_NAN:
            theirs = [
                jnp.where(jnp.isnan(g) & (m == 0), 0, g) for m, g in zip(mine, theirs)
            ]
        check_same(mine, theirs)


def test_every_name_has_a_row():
    shared = {name for name in ours.__all__ if hasattr(keras.ops, name)}
    assert shared - {row[0] for row in ROWS} == {"vectorize"}


def test_vectorize_lifts_a_function_of_single_entries():
    function = ours.vectorize(lambda x, y: jnp.where(x > y, x - y, x + y))
    np.testing.assert_array_equal(function(jnp.arange(4), 2), [2, 3, 4, 1])
    dots = ours.vectorize(jnp.dot, signature="(n,m),(m)->(n)")
    np.testing.assert_allclose(dots(T, A[0]), T @ A[0], rtol=1e-5)
    once = ours.vectorize(lambda n, x: x * n, excluded={0})
    np.testing.assert_array_equal(once(3, jnp.arange(3)), [0, 3, 6])


def test_bincount_can_be_sparse_and_counts_rows_to_one_length():
    sparse = ours.bincount(COUNTS, sparse=True)
    np.testing.assert_array_equal(sparse.todense(), np.bincount(COUNTS))
    rows = ours.bincount([[0, 1], [4, 4]])
    np.testing.assert_array_equal(rows, [[1, 1, 0, 0, 0], [0, 0, 0, 0, 2]])


def test_half_precision_moments_do_not_overflow():
    x = jnp.array([300.0, -300.0] * 200, "float16")
    assert ours.var(x) == np.inf  # 90,000 is beyond float16, but
    assert ours.std(x) == 300  # its root is not
    assert ours.mean(np.full((70_000,), 2.0, "float16")) == 2


def test_the_gradient_of_divide_no_nan_is_zero_where_it_divides_by_zero():
    gradient = jax.grad(lambda x, y: ours.divide_no_nan(x, y).sum(), (0, 1))
    numerator, denominator = gradient(jnp.ones(2), jnp.array([0.0, 2.0]))
    np.testing.assert_array_equal(numerator, [0, 0.5])
    np.testing.assert_array_equal(denominator, [0, -0.25])


@pytest.mark.parametrize("sizes", [(2, 2), (2, 3), (3, 2), (3, 3)])
@pytest.mark.parametrize("axis", [-1, 0])
def test_cross_takes_vectors_of_two_entries(sizes, axis):
    x, y = (np.random.default_rng(n).normal(size=(4, n)) for n in sizes)
    y = y[::-1]
    space = [np.pad(v, ((0, 0), (0, 3 - v.shape[1]))) for v in (x, y)]
    expected = np.cross(*space)
    expected = expected[:, 2] if sizes == (2, 2) else np.moveaxis(expected, -1, axis)
    x, y = np.moveaxis(x, -1, axis), np.moveaxis(y, -1, axis)
    np.testing.assert_allclose(ours.cross(x, y, axis=axis), expected, atol=1e-6)


def test_lists_and_numbers_are_arrays_too():
    assert ours.amax([[1, 5], [2, 3]], axis=[1]).tolist() == [5, 3]
    assert ours.repeat([1, 2, 3], [1, 0, 2]).tolist() == [1, 3, 3]
    assert ours.where([True, False], [1, 2], 0).tolist() == [1, 0]


ERRORS = [
    (ValueError, "expected a vector", "vander", (A,), {}),
    (ValueError, "N got -1", "vander", (V,), dict(N=-1)),
    (TypeError, "fabs got complex64", "fabs", (C,), {}),
    (TypeError, "expected an integer dtype", "ldexp", (A, A), {}),
    (TypeError, "sizes are integers", "eye", (2.5,), {}),
    (ValueError, "expected sizes >= 0", "reshape", (A, (-1, -1)), {}),
    (ValueError, "expected sizes >= 0", "reshape", (A, (-2, 6)), {}),
    (ValueError, "two axes or more", "rot90", (V,), {}),
    (ValueError, "two different ones", "rot90", (A,), dict(axes=(1, 1))),
    (ValueError, "3 pairs of widths", "pad", (A, [(1, 1)] * 3), {}),
    (ValueError, "drop one", "pad", (A, 1, "edge", 2.0), {}),
    (ValueError, "an integer of at least 1", "array_split", (A, 0), {}),
    (ValueError, "both or neither", "where", (BOOLS, A), {}),
    (ValueError, "got ndarray and list", "select", (BOOLS, [A]), {}),
    (ValueError, "empty list", "select", ([], []), {}),
    (ValueError, "expected a vector", "searchsorted", (A, V), {}),
    (ValueError, "expected a vector", "histogram", (A,), {}),
    (ValueError, "bins got -1", "histogram", (V, -1), {}),
    (ValueError, "range=", "histogram", (V, 3, (1, 0)), {}),
    (ValueError, "expected a function", "vectorize", (3,), {}),
]


@pytest.mark.parametrize("row", ERRORS, ids=lambda row: f"{row[2]}: {row[1]}")
def test_errors_say_what_they_got_and_what_is_expected(row):
    error, text, name, args, kwargs = row
    with pytest.raises(error, match=text):
        getattr(ours, name)(*args, **kwargs)

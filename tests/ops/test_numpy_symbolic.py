"""Static shapes and dtypes of ops on symbolic tensors against Keras 3.15.

A row is one call in which `K(...)` stands for a `KerasTensor`, of either library.
"""

import jax
import keras
import numpy as np
import pytest

import carnyx.ops.numpy as ours
from carnyx._core.infer import infer
from carnyx._core.symbol import KerasTensor
from carnyx._core.variable import Variable


class K:
    """A symbolic tensor yet to be made."""

    def __init__(self, *shape, dtype="float32"):
        self.shape, self.dtype = shape, dtype


X, Y, ROW, CUBE = K(None, 4), K(None, 4), K(4), K(None, 3, 4)
INTS, OTHER, MATRIX = K(None, 4, dtype="int32"), K(4, dtype="int32"), K(3, 3)
COMPLEX = K(None, 4, dtype="complex64")

UNARY = """abs absolute angle arccos arccosh arcsin arcsinh arctan arctanh argmax
argmin argsort array average bitwise_invert bitwise_not cbrt ceil conj
conjugate copy cos cosh count_nonzero cumprod cumsum deg2rad diff exp exp2
expm1 expand_dims fabs flip fliplr flipud floor i0 imag isfinite isinf isnan
isneginf isposinf isreal log log10 log1p log2 logical_not nan_to_num
nancumprod nancumsum nanargmax nanargmin negative ones_like rad2deg ravel
real reciprocal round sign signbit sin sinc sinh sort sqrt square tan tanh
transpose trapezoid tril triu trunc zeros_like empty_like rot90 trace""".split()
INTEGER = ["bitwise_invert", "bitwise_not"]
REDUCE = """all any amax amin max mean median min prod ptp std sum var nanmax nanmean
nanmedian nanmin nanprod nanstd nansum nanvar""".split()
BINARY = """add arctan2 divide divide_no_nan equal floor_divide fmax fmin fmod greater
greater_equal heaviside hypot isclose allclose less less_equal logaddexp logaddexp2
logical_and logical_or logical_xor maximum minimum mod multiply nextafter not_equal
power subtract true_divide""".split()
UNWEAK = "nextafter isclose allclose heaviside hypot".split()  # fail in Keras
BITWISE = """bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift
left_shift right_shift gcd lcm""".split()

ROWS = [
    *[
        (n, (INTS if n in INTEGER else X,), dict(axis=1) if n == "expand_dims" else {})
        for n in UNARY
    ],
    *[(n, (CUBE,), {}) for n in REDUCE],
    *[(n, (CUBE,), dict(axis=0)) for n in REDUCE],
    *[(n, (CUBE,), dict(axis=(1, 2), keepdims=True)) for n in REDUCE],
    *[(n, (X, Y), {}) for n in BINARY],
    *[(n, (X, ROW), {}) for n in BINARY],
    *[(n, (X, 2), {}) for n in BINARY if n not in UNWEAK],
    *[(n, (INTS, OTHER), {}) for n in BITWISE],
    *[(n, ([X, Y],), {}) for n in "hstack vstack dstack stack concatenate".split()],
    *[(n, (MATRIX,), {}) for n in "diag diagflat slogdet".split()],
    *[(n, (CUBE, [0.1, 0.9]), dict(axis=1)) for n in ("quantile", "percentile")],
    *[(n, (CUBE, 0.5), dict(keepdims=True)) for n in ("nanquantile", "nanpercentile")],
    ("append", (X, Y), {}),
    ("append", (X, Y), dict(axis=1)),
    ("argpartition", (X, 1), {}),
    ("array_split", (X, 3), dict(axis=1)),
    ("average", (CUBE,), dict(axis=1, weights=K(3))),
    ("broadcast_to", (ROW, (2, 4)), {}),
    ("clip", (X, 0, 1), {}),
    ("concatenate", ([X, K(None, 2)],), dict(axis=1)),
    ("correlate", (ROW, K(3)), dict(mode="full")),
    ("cross", (K(None, 3), K(None, 3)), {}),
    ("cumsum", (X,), dict(axis=1, dtype="int32")),
    ("diag", (ROW,), dict(k=1)),
    ("diagonal", (CUBE,), dict(axis1=1, axis2=2)),
    ("digitize", (X, np.arange(3.0, dtype="float32")), {}),
    ("dot", (X, K(4, 5)), {}),
    ("dsplit", (CUBE, 2), {}),
    ("einsum", ("bij,bjk->bik", CUBE, K(None, 4, 5)), {}),
    ("einsum", ("...i,ij->...j", CUBE, K(4, 5)), {}),
    ("expand_dims", (X,), dict(axis=(0, -1))),
    ("full", ((2, 4), ROW), {}),
    ("full_like", (X, 2), {}),
    ("get_item", (CUBE, (slice(None), 1)), {}),
    ("get_item", (CUBE, (Ellipsis, None, slice(0, 2))), {}),
    ("geomspace", (ROW, K(4)), dict(num=3)),
    ("histogram", (K(None),), {}),
    ("hsplit", (X, 2), {}),
    ("inner", (X, ROW), {}),
    ("isin", (X, ROW), {}),
    ("kron", (X, K(2, 2)), {}),
    ("ldexp", (X, OTHER), {}),
    ("linspace", (ROW, K(4)), dict(num=3, axis=-1)),
    ("logspace", (ROW, K(4)), dict(num=3)),
    ("matmul", (CUBE, K(4, 5)), {}),
    ("matmul", (K(None, None, 4), K(4, 5)), {}),
    ("matmul", (K(None, None, 4), K(None, 4, 5)), {}),
    ("max", (X,), dict(axis=-1, initial=0.0)),
    ("meshgrid", (ROW, K(3)), {}),
    ("moveaxis", (CUBE, 0, -1), {}),
    ("outer", (X, ROW), {}),
    ("pad", (X, ((0, 0), (1, 2))), {}),
    ("pad", (X, 1), dict(mode="reflect")),
    ("ravel", (K(2, 3),), {}),
    ("repeat", (X, 2), dict(axis=1)),
    ("repeat", (X, 2), dict(axis=0)),
    ("reshape", (CUBE, (-1, 12)), {}),
    ("reshape", (CUBE, (-1, 2, 6)), {}),
    ("reshape", (CUBE, (-1,)), {}),
    ("roll", (X, 1), dict(axis=1)),
    ("searchsorted", (ROW, X), {}),
    ("select", ([K(None, 4, dtype="bool")], [X]), dict(default=0.0)),
    ("size", (X,), {}),
    ("split", (X, 2), dict(axis=1)),
    ("split", (X, [1, 3]), dict(axis=1)),
    ("split", (X, 2), {}),
    ("squeeze", (K(None, 1, 4),), dict(axis=1)),
    ("squeeze", (K(None, 1, 4),), {}),
    ("stack", ([X, Y],), dict(axis=1)),
    ("swapaxes", (CUBE, 0, 1), {}),
    ("take", (CUBE, [0, 2]), dict(axis=1)),
    ("take", (X, K(None, dtype="int32")), dict(axis=1)),
    ("take_along_axis", (X, INTS), dict(axis=1)),
    ("tensordot", (CUBE, K(4, 5)), dict(axes=1)),
    ("tile", (X, (2, 1)), {}),
    ("tile", (X, (1, 3)), {}),
    ("transpose", (CUBE, (0, 2, 1)), {}),
    ("unique", (X,), dict(size=3)),
    ("unravel_index", (INTS, (2, 3)), {}),
    ("vander", (ROW,), dict(N=2)),
    ("vdot", (X, Y), {}),
    ("view", (X,), dict(dtype="int32")),
    ("vsplit", (K(4, None), 2), {}),
    ("where", (K(None, 4, dtype="bool"), X, 0.0), {}),
]

# Where Keras's shape code and its computation disagree, what is computed counts.
OURS = [
    ("corrcoef", (X,), {}, [((None, None), "float32")]),
    ("heaviside", (X, 1), {}, [((None, 4), "float32")]),
    ("hypot", (X, 1), {}, [((None, 4), "float32")]),
    ("real", (COMPLEX,), {}, [((None, 4), "float32")]),
    ("angle", (COMPLEX,), {}, [((None, 4), "float32")]),
    ("append", (X, Y), dict(axis=0), [((None, 4), "float32")]),
    ("column_stack", ([X, K(None, 2)],), {}, [((None, 6), "float32")]),
    ("copysign", (X, 2), {}, [((None, 4), "float32")]),
    ("cov", (X,), {}, [((None, None), "float32")]),
    ("float_power", (INTS, OTHER), {}, [((None, 4), "float32")]),
    (
        "linspace",
        (ROW, K(4)),
        dict(num=3, retstep=True),
        [((3, 4), "float32"), ((4,), "float32")],
    ),
]
# Their sizes depend on values, or they take sizes and make the first array.
NOT_SYMBOLIC = """arange bartlett bincount blackman empty eye hamming hanning identity
kaiser nonzero ones tri vectorize zeros""".split()


def symbolic(structure, make):
    if isinstance(structure, K):
        return make(structure.shape, structure.dtype)
    if isinstance(structure, list):
        return [symbolic(s, make) for s in structure]
    return structure


def specs(function, make, args, kwargs):
    args = [symbolic(a, make) for a in args]
    kwargs = {k: symbolic(v, make) for k, v in kwargs.items()}
    leaves = jax.tree.leaves(function(*args, **kwargs))
    return [(tuple(y.shape), str(y.dtype)) for y in leaves]


def label(row):
    kinds = [a.shape if isinstance(a, K) else type(a).__name__ for a in row[1]]
    return f"{row[0]}-{kinds}-{','.join(row[2])}"


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_static_shapes_are_those_of_keras(row):
    name, args, kwargs = row
    expected = specs(getattr(keras.ops, name), keras.KerasTensor, args, kwargs)
    assert specs(getattr(ours, name), KerasTensor, args, kwargs) == expected


@pytest.mark.parametrize("row", OURS, ids=label)
def test_static_shapes_are_those_computed(row):
    name, args, kwargs, expected = row
    assert specs(getattr(ours, name), KerasTensor, args, kwargs) == expected


def test_ndim_is_a_number_also_of_a_symbolic_tensor():
    assert ours.ndim(KerasTensor((None, 4))) == ours.ndim([[1]]) == 2


def test_every_name_has_a_row():
    missing = set(ours.__all__) - {row[0] for row in [*ROWS, *OURS]}
    assert missing == {"ndim", *NOT_SYMBOLIC}


@pytest.mark.parametrize("name", ["where", "nonzero", "unique", "bincount"])
def test_sizes_that_depend_on_values_are_refused_with_a_way_out(name):
    x = KerasTensor((None,), "int32")
    with pytest.raises(ValueError, match=f"{name} got a traced array.*(Use|Give|Sum) "):
        getattr(ours, name)(x)


def test_shapes_may_speak_of_unknown_sizes_while_a_layer_is_traced():
    def call(x):
        n, d = x.shape[0], x.shape[-1]
        y = ours.reshape(x, (n, -1)) + ours.zeros((n, 3 * d))
        y = ours.broadcast_to(ours.reshape(y, [n, 3, d]), (2, n, 3, d))
        return ours.tile(y, (1, 1, 1, 2)), ours.arange(n), ours.full((n, 1), 2)

    outputs = infer(call, KerasTensor((None, 3, 4)))
    shapes = [y.shape for y in outputs]
    assert shapes == [(2, None, 3, 8), (None,), (None, 1)]
    assert [y.dtype for y in outputs] == ["float32", "int32", "float32"]


def test_variables_and_arrays_may_be_shapes_and_arguments():
    x = Variable(np.arange(6.0, dtype="float32"))
    assert ours.reshape(x, jax.numpy.array([2, 3])).shape == (2, 3)
    assert ours.concatenate([x, x]).shape == (12,)
    assert float(ours.sum(x=x)) == 15

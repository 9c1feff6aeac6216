"""Activations against Keras: values, gradients, dtypes, names, configs."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import carnyx
from carnyx import activations
from carnyx.errors import ArgumentError, UnknownNameError

X = np.array([[-7.0, -3.2, -1.1, -0.4], [0.3, 1.2, 2.6, 8.0]], "float32")

ARGUMENTS = {
    "celu": [{}, {"alpha": 0.5}],
    "elu": [{}, {"alpha": 0.5}],
    "gelu": [{}, {"approximate": True}],
    "glu": [{}, {"axis": 0}],
    "hard_shrink": [{}, {"threshold": 2.0}],
    "leaky_relu": [{}, {"negative_slope": 0.4}],
    "log_softmax": [{}, {"axis": 0}],
    "relu": [
        {},
        {"max_value": 6},
        {"negative_slope": 0.3},
        {"threshold": 1.0},
        {"threshold": -2.0},
        {"negative_slope": 0.3, "max_value": 2.0},
        {"negative_slope": 0.3, "max_value": 2.0, "threshold": 1.0},
    ],
    "soft_shrink": [{}, {"threshold": 2.0}],
    "softmax": [{}, {"axis": 0}],
    "sparsemax": [{}, {"axis": 0}],
    "squareplus": [{}, {"b": 2}],
    "threshold": [{"threshold": 0.5, "default_value": -2.0}],
}
NAMES = [
    *("celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu").split(),
    *("hard_tanh leaky_relu linear log_sigmoid log_softmax mish relu relu6").split(),
    *("selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus").split(),
    *("sparse_sigmoid sparsemax squareplus tanh tanh_shrink threshold").split(),
]
KERAS_IS_WRONG = {"sparsemax"}  # it gives 1.4 in all where 1 is right; see below
HELPERS = {"get", "serialize", "deserialize"}


@pytest.mark.parametrize("name", [n for n in NAMES if n not in KERAS_IS_WRONG])
def test_values_and_gradients_are_those_of_keras(keras_oracle, name):
    def results(module):
        fn = getattr(module, name)

        def run(x):
            out = []
            for arguments in ARGUMENTS.get(name, [{}]):
                value, pull = jax.vjp(lambda x, a=arguments: fn(x, **a), x)
                out += [value, pull(jnp.ones_like(value))[0]]
                out.append(fn(x.astype("bfloat16"), **arguments))
            return out

        return jax.jit(run)(X)

    rows = results(activations), results(keras_oracle.activations)
    for ours, theirs in zip(*rows, strict=True):
        assert ours.dtype == theirs.dtype
        tolerance = 1e-6 if ours.dtype == "float32" else 1e-2
        ours, theirs = (np.asarray(r, "float32") for r in (ours, theirs))
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_sparsemax_is_the_nearest_point_of_the_simplex():
    p = np.asarray(activations.sparsemax(X), "float64")
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-6)
    # Nearest: the gradient x - p is the same wherever p > 0, and no larger elsewhere.
    gap = np.where(p > 0, X - p, np.nan)
    level = np.nanmax(gap, -1, keepdims=True)
    np.testing.assert_allclose(np.nanmin(gap, -1, keepdims=True), level, atol=1e-6)
    assert (X <= level + 1e-6)[p == 0].all() and (p == 0).any()


@pytest.mark.parametrize("name", NAMES)
def test_names_configs_and_symbols(keras_oracle, name):
    fn = activations.get(name)
    assert fn is getattr(activations, name) and activations.get(fn) is fn
    assert activations.serialize(fn) == name
    assert activations.deserialize(name) is fn
    theirs = keras_oracle.activations.get(name)
    assert keras_oracle.activations.serialize(theirs) == name
    signatures = [
        [(p.name, p.default) for p in inspect.signature(f).parameters.values()]
        for f in (fn, theirs)
    ]
    assert signatures[0] == signatures[1]
    for arguments in ARGUMENTS.get(name, [{}]):
        if arguments.get("axis") != 0:
            y = fn(carnyx.KerasTensor((None, 4)), **arguments)
            assert y.shape == ((None, 2) if name == "glu" else (None, 4))


def test_every_activation_of_keras_has_a_row(keras_oracle):
    theirs = {n for n in vars(keras_oracle.activations) if not n.startswith("_")}
    assert theirs - HELPERS - {"swish", "hard_swish"} == set(NAMES)
    assert theirs <= set(vars(activations))


def test_other_names_and_lists():
    assert activations.get("swish") is activations.silu
    assert activations.serialize(activations.hard_swish) == "hard_silu"
    assert activations.get(None) is activations.linear
    for name in ("relu", "mish", "softmax", "tanh"):
        assert activations.get(name)([[0.0, 1.0]]).shape == (1, 2)


def test_a_users_function_round_trips():
    def cube(x):
        return x**3

    record = activations.serialize(cube)
    assert activations.deserialize(record, custom_objects={"cube": cube}) is cube
    with pytest.raises(UnknownNameError, match="'cube'.*not known"):
        activations.deserialize(record)


def test_errors():
    with pytest.raises(
        UnknownNameError, match="activation 'rleu'. Did you mean 'relu'"
    ):
        activations.get("rleu")
    with pytest.raises(ArgumentError, match="Got 3 as activation; expected a name"):
        activations.get(3)

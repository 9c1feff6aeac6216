"""Kind: numbers that are taken unseen.

An argument was checked where somebody had thought of it. So `Dense(None)` and
`ReLU(negative_slope=None)` failed far from where they were written, `Adam("0.1")` in
NumPy, and NumPy's own numbers were refused as none, or reached JSON. Now what a field's
annotation says is checked and made plain when it is given, in one place for all.
"""

import json

import numpy as np
import pytest

import carnyx as keras
from carnyx.configurable import Configurable
from carnyx.errors import ArgumentError
from tests.layers.test_contract import CASES

MODULES = [
    keras.layers, keras.optimizers, keras.optimizers.schedules, keras.losses,
    keras.metrics, keras.initializers, keras.regularizers, keras.constraints,
    keras.callbacks,
]  # fmt: skip
CLASSES = {
    value
    for module in MODULES
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, Configurable)
}
FIELDS = [
    (cls, field)
    for cls in sorted(CLASSES, key=lambda c: (c.__qualname__, c.__module__))
    for field in cls._fields.values()
    if field.number is not None
]
WRONG = ["0.1", True, object(), [1], {}, np.ones(2), 1j]


def test_there_are_many_numbers():
    assert len(FIELDS) > 200


@pytest.mark.parametrize(
    ("cls", "field"), FIELDS, ids=lambda x: getattr(x, "__name__", None) or x.name
)
def test_what_is_no_number_is_refused_where_it_is_given(cls, field):
    wrong = [*WRONG] if "None" in field.number.words else [*WRONG, None]
    wrong += [2.5] if "integer" in field.number.words else []
    for value in wrong:
        with pytest.raises(ValueError, match=f"{field.name}=.*; expected "):
            field.settled(object.__new__(cls), value)


def numpied(value):
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return np.int64(value)
    if isinstance(value, float):
        return np.float64(value)
    if isinstance(value, list | tuple):
        return type(value)(numpied(v) for v in value)
    return value


ROWS = [c for c in CASES if not callable(c.arguments)]


@pytest.mark.parametrize("case", ROWS, ids=str)
def test_numbers_of_numpy_are_numbers_to_every_layer(case):
    cls = getattr(keras.layers, case.name)
    plain = cls(**case.arguments, name="x").get_config()
    given = {k: numpied(v) for k, v in case.arguments.items()}
    config = cls(**given, name="x").get_config()
    assert json.dumps(config) == json.dumps(plain)


@pytest.mark.parametrize(
    "make",
    [
        lambda i, f: keras.optimizers.Adam(f(1e-3), beta_1=f(0.8), weight_decay=f(0.1)),
        lambda i, f: keras.optimizers.SGD(f(0.1), gradient_accumulation_steps=i(2)),
        lambda i, f: keras.optimizers.schedules.ExponentialDecay(f(0.5), i(3), f(0.5)),
        lambda i, f: keras.regularizers.L2(f(0.25)),
        lambda i, f: keras.regularizers.L1L2(f(0.25), f(0.5)),
        lambda i, f: keras.constraints.MaxNorm(i(3), axis=i(0)),
        lambda i, f: keras.initializers.RandomNormal(f(0.25), f(0.5), seed=i(1)),
        lambda i, f: keras.losses.Huber(f(0.5)),
        lambda i, f: keras.losses.Tversky(f(0.5), f(0.25), axis=(i(1), i(2))),
        lambda i, f: keras.metrics.FBetaScore(beta=f(0.5)),
        lambda i, f: keras.metrics.Precision(thresholds=[f(0.5)], top_k=i(2)),
        lambda i, f: keras.metrics.MeanIoU(i(3)),
        lambda i, f: keras.random.SeedGenerator(i(3)),
    ],
)
def test_numbers_of_numpy_are_numbers_elsewhere(make):
    plain = json.dumps(make(int, float).get_config() | {"name": ""})
    for i, f in ((np.int32, np.float32), (np.uint8, np.float64)):
        config = make(i, lambda x, f=f: f(x)).get_config() | {"name": ""}
        rounded = json.loads(
            json.dumps(config), parse_float=lambda t: round(float(t), 6)
        )
        assert rounded == json.loads(plain, parse_float=lambda t: round(float(t), 6))


def test_kernel_sizes_may_be_arrays():
    layer = keras.layers.Conv2D(np.int64(2), np.array([3, 3]), strides=np.int32(2))
    assert layer(np.ones((1, 7, 7, 2))).shape == (1, 3, 3, 2)
    assert json.dumps(layer.get_config())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: keras.layers.Dense(None), "Dense got units=None; expected an integer"),
        (lambda: keras.layers.Dense(2.5), "units=2.5; expected an integer above 0"),
        (lambda: keras.layers.ReLU(negative_slope=None), "negative_slope=None"),
        (lambda: keras.layers.ReLU(threshold=None), "threshold=None; expected a numb"),
        (lambda: keras.layers.LeakyReLU(None), "negative_slope=None"),
        (lambda: keras.metrics.FBetaScore(beta=None), "beta=None; expected a number"),
        (lambda: keras.optimizers.Adam("0.1"), "learning_rate='0.1'; expected a numb"),
        (lambda: keras.optimizers.Adam(None), "learning_rate=None"),
        (
            lambda: keras.layers.MultiHeadAttention(2, 2, output_shape=8.0),
            "output_shape=8.0; expected an integer or several",
        ),
        (lambda: keras.random.SeedGenerator(sead=3), "'sead'. Did you mean 'seed'?"),
        (lambda: keras.random.SeedGenerator(2.5), "seed got 2.5; expected an integer"),
        (lambda: keras.name_scope(4), "name_scope got 4; expected text"),
        (lambda: keras.config.set_dtype_policy(None), "set_dtype_policy got None"),
        (lambda: keras.layers.AdditiveAttention()(np.ones((2, 3, 4))), "a list"),
    ],
)
def test_wrong_arguments_say_what_was_expected(make, words):
    with pytest.raises(ValueError, match=words.replace("?", r"\?")):
        make()


X = np.arange(4.0)
OF_OPS = {
    "normalize": lambda n: keras.ops.normalize(X, order=n),
    "vander": lambda n: keras.ops.vander(X, N=n),
    "histogram": lambda n: keras.ops.histogram(X, bins=n)[1],
    "scan": lambda n: keras.ops.scan(lambda c, x: (c + x, c), 0.0, X, unroll=n)[1],
    "array_split": lambda n: keras.ops.array_split(X, n)[0],
}


@pytest.mark.parametrize("name", OF_OPS)
def test_ops_take_numbers_of_numpy_too_and_say_what_they_expected(name):
    call = OF_OPS[name]
    np.testing.assert_array_equal(call(np.int64(2)), call(2))
    for wrong in (2.5, "2", -1):
        with pytest.raises(ArgumentError, match=f"^{name}.*expected an integer"):
            call(wrong)

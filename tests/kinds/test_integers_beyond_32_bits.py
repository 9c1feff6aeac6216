"""Kind: narrowing without looking.

JAX keeps 32 bits of an integer. NumPy's 64-bit ones were cut on the way in, so that
2^40 + 7 trained as 7. What becomes a float does so on the host; what stays an integer
and does not fit is an error that names the value, and the input where it has a name.
"""

import jax
import numpy as np
import pytest

import carnyx as keras
from carnyx import layers, ops

BIG = 2**40 + 7
VALUES = [np.array([1, BIG]), np.array([-BIG, 1]), np.array([1, BIG], "uint64")]


@pytest.mark.parametrize("x", VALUES, ids=str)
def test_to_float_goes_by_the_host(x):
    expected = x.astype("float32")
    for made in (ops.cast(x, "float32"), ops.convert_to_tensor(x, "float32")):
        np.testing.assert_array_equal(made, expected)
    half = ops.cast(np.array([300]), "bfloat16")
    assert (half.dtype, float(half[0])) == ("bfloat16", 300.0)


@pytest.mark.parametrize("x", VALUES, ids=str)
@pytest.mark.parametrize(
    "take",
    [
        ops.convert_to_tensor,
        ops.array,
        keras.Variable,
        keras.Variable([1, 2]).assign,
        lambda x: ops.cast(x, "int32"),
        lambda x: ops.add(x, 1),
        lambda x: ops.max(x),
        lambda x: layers.Embedding(3, 2)(x[None]),
        lambda x: keras.losses.MeanSquaredError()(x, x.astype("float32")),
    ],
)
def test_an_integer_that_does_not_fit_is_named(take, x):
    with pytest.raises(ValueError, match=f"holds -?{BIG}, which does not fit u?int32"):
        take(x)


@pytest.mark.parametrize(
    "take",
    [
        lambda: ops.convert_to_tensor([1, BIG]),
        lambda: ops.full((2,), BIG, "int32"),
        lambda: ops.cast(BIG, "int32"),
        lambda: ops.arange(BIG, BIG + 2),
        lambda: keras.Variable([1, BIG], dtype="int32"),
    ],
)
def test_numbers_of_python_that_do_not_fit_are_named(take):
    with pytest.raises(ValueError, match=f"{BIG}.* int32"):
        take()
    assert ops.arange(BIG, BIG + 2**20, 2**18, dtype="float32").size == 4


TO_FLOAT = {
    "cast": lambda n: ops.cast(n, "float32"),
    "cast of a list": lambda n: ops.cast([n, 1], "float32")[0],
    "cast of lists": lambda n: ops.cast([[1.5, n]], "float32")[0, 1],
    "array": lambda n: ops.array([n], dtype="float32")[0],
    "convert_to_tensor": lambda n: ops.convert_to_tensor(n, "float32"),
    "full": lambda n: ops.full((2,), n)[0],
    "full_like": lambda n: ops.full_like(ops.ones(2), n)[0],
    "Mean": lambda n: keras.metrics.Mean()(n),
    "Sum": lambda n: keras.metrics.Sum()([n, 0]),
    "Rescaling": lambda n: layers.Rescaling(n)(np.ones((1, 1)))[0, 0],
    "Constant": lambda n: keras.initializers.Constant(n)((2,))[0],
}


@pytest.mark.parametrize("n", [BIG, -BIG, 2**63, 2**70])
@pytest.mark.parametrize("way", TO_FLOAT)
def test_numbers_of_python_become_floats_by_the_host(way, n):
    assert float(TO_FLOAT[way](n)) == float(np.float32(n))


def test_where_jax_keeps_64_bits_they_fit():
    with jax.enable_x64(True):
        given = layers.Identity(dtype="float64")(VALUES[0])
        kept = keras.Variable(VALUES[0]).numpy()
    assert np.asarray(given).tolist() == kept.tolist() == [1, BIG]


def test_data_says_which_array_holds_it():
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = np.ones((2, 1), "float32"), np.array([[1], [BIG]])
    with pytest.raises(ValueError, match=f"y.* holds {BIG}"):
        model.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match=f"x.* holds {BIG}"):
        model.predict(y, verbose=0)
    model.fit(x, y % 5, verbose=0)  # small ones of 64 bits are as they were


def mapped(x, folder):
    np.save(folder / "x.npy", x)
    return np.load(folder / "x.npy", mmap_mode="r")


def lazy(x, folder):
    file = pytest.importorskip("h5py").File(folder / "x.h5", "w")
    return file.create_dataset("x", data=x)


@pytest.mark.parametrize("read", [mapped, lazy], ids=["mapped", "hdf5"])
def test_data_that_is_read_by_the_batch_is_looked_at(read, tmp_path):
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    y = read(np.array([[1], [BIG]]), tmp_path)
    with pytest.raises(ValueError, match=f"y.* holds {BIG}"):
        model.fit(np.ones((2, 1)), y, verbose=0, shuffle=False)


@pytest.mark.parametrize("name", ["x", "y"])
@pytest.mark.parametrize("generator", [False, True])
def test_ids_and_labels_of_any_source_are_looked_at(generator, name):
    given = {"x": np.array([[1], [2]]), "y": np.array([0, 1])}
    given[name][-1] = BIG
    model = keras.Sequential([layers.Embedding(4, 2), layers.Flatten()])
    model.compile("sgd", "sparse_categorical_crossentropy")
    source = (iter([tuple(given.values())]),) if generator else tuple(given.values())
    with pytest.raises(ValueError, match=f"{name}.* holds {BIG}"):
        model.fit(*source, verbose=0)


def test_small_ones_are_as_before():
    assert ops.convert_to_tensor(np.array([1, 2**31 - 1])).dtype == "int32"
    assert ops.cast(np.array([2.5]), "int32").tolist() == [2]


def test_wide_integers_asked_for_are_those_that_there_are_without_a_word():
    model = keras.Sequential(
        [keras.Input((1,), dtype="int64"), keras.layers.Embedding(5, 2)]
    )
    assert model.predict(np.ones((2, 1), "int64"), verbose=0).shape == (2, 1, 2)


@pytest.mark.parametrize("where", ["call", "predict", "fit x", "fit y"])
def test_an_imaginary_part_is_not_dropped(where):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y, imaginary = np.ones((4, 2)), np.ones((4, 1)), 1j
    calls = {
        "call": lambda: model(x * imaginary),
        "predict": lambda: model.predict(x * imaginary, verbose=0),
        "fit x": lambda: model.fit(x * imaginary, y, verbose=0),
        "fit y": lambda: model.fit(x, y * imaginary, verbose=0),
    }
    with pytest.raises(
        TypeError, match="is complex .complex(64|128).; expected float32"
    ):
        calls[where]()

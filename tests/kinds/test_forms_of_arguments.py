"""Arguments in each of the forms that Keras takes.

The kind: a helper knows one form of its argument (a number, NumPy's arrays, a dtype as
an object, a source that has a length) and fails on the others, or gives another kind of
result back.
"""

import itertools

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import carnyx
from carnyx.utils import PyDataset, pad_sequences, to_categorical

ROWS = [["1"], ["1", "2"]]


@pytest.mark.parametrize(
    "value", [[0.0, 1.0], (0.0, 1.0), np.array([0.0, 1.0]), jnp.array([0.0, 1.0]), 0.5]
)
def test_a_bar_shows_the_mean_of_what_it_is_given(value, capsys):
    bar = carnyx.utils.Progbar(2)
    bar.update(1, [("v", value)])
    bar.update(2, [("v", value)], finalize=True)
    assert "v: 0.5000" in capsys.readouterr().out


def test_a_source_without_a_length_has_no_end():
    class Endless(PyDataset):
        def __getitem__(self, index):
            return index

    assert list(itertools.islice(Endless(), 4)) == [0, 1, 2, 3]


@pytest.mark.parametrize("shape", [(3,), (3, 1), (2, 2)])
@pytest.mark.parametrize("make", [np.array, jnp.array])
@pytest.mark.parametrize("count", [None, 7])
def test_one_hot_rows_are_of_the_kind_of_the_labels(shape, make, count):
    labels = make(np.arange(np.prod(shape)).reshape(shape))
    ours = to_categorical(labels, count)
    rows = count or int(labels.max()) + 1
    theirs = keras.utils.to_categorical(labels, rows)
    assert type(ours) is type(theirs) and ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


def test_one_hot_rows_in_a_program():
    labels = jnp.array([[0], [2]])
    compiled = jax.jit(lambda x: to_categorical(x, 3))(labels)
    np.testing.assert_array_equal(compiled, to_categorical(labels, 3))
    assert to_categorical(carnyx.Input((1,), dtype="int32"), 3).shape == (None, 3)
    with pytest.raises(ValueError, match="needs num_classes"):
        jax.jit(to_categorical)(labels)


@pytest.mark.parametrize("dtype", ["<U3", np.dtype("<U3"), object, "object"])
def test_padding_with_text(dtype):
    padded = pad_sequences(ROWS, maxlen=3, value="pad", dtype=dtype)
    assert padded.tolist() == [["pad", "pad", "1"], ["pad", "1", "2"]]
    assert padded.dtype == np.dtype(dtype)


@pytest.mark.parametrize("dtype", ["str", str, np.str_, "U"])
def test_text_of_no_given_length_is_not_cut(dtype):
    padded = pad_sequences([["long text"], []], value="pad", dtype=dtype)
    assert padded.tolist() == [["long text"], ["pad"]]


@pytest.mark.parametrize("dtype", ["int32", np.float32, "bool"])
def test_text_among_numbers_is_refused(dtype):
    with pytest.raises(ValueError, match="value='pad' for dtype"):
        pad_sequences([[1], [1, 2]], value="pad", dtype=dtype)


@pytest.mark.filterwarnings("ignore:rms_scaling=True divides")
@pytest.mark.parametrize("more", [{}, {"scale": False}, {"center": False}])
def test_weights_of_a_scaling_by_the_root_mean_square(more):
    made = [
        k.layers.LayerNormalization(rms_scaling=True, name="it", **more)
        for k in (carnyx, keras)
    ]
    x = np.array([[1.0, 3.0, -2.0]], "float32")
    np.testing.assert_allclose(made[0](x), made[1](x), rtol=1e-6)
    assert [w.name for w in made[0].weights] == [w.name for w in made[1].weights]

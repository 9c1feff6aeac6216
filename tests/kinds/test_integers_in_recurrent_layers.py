"""Kind: layers that loop over time, on integers and booleans.

States took the dtype of the steps, so that a state of integers met one of floats after
the first step. Every recurrent layer, whichever way it runs, makes floats of them.
"""

import numpy as np
import pytest

import carnyx as keras
from carnyx import layers

LAYERS = {
    "simple": lambda: layers.SimpleRNN(2),
    "lstm": lambda: layers.LSTM(2),
    "lstm_in_half": lambda: layers.LSTM(2, dtype="mixed_bfloat16"),
    "gru": lambda: layers.GRU(2),
    "gru_reset_before": lambda: layers.GRU(2, reset_after=False),
    "unrolled": lambda: layers.LSTM(2, unroll=True),
    "by_steps": lambda: layers.LSTM(2, use_cudnn=False),
    "rnn": lambda: layers.RNN(layers.LSTMCell(2)),
    "stacked": lambda: layers.RNN([layers.GRUCell(3), layers.SimpleRNNCell(2)]),
    "bidirectional": lambda: layers.Bidirectional(layers.LSTM(1)),
}


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
@pytest.mark.parametrize("name", LAYERS)
def test_integers_and_booleans_are_as_floats(name, dtype):
    layer = LAYERS[name]()
    x = np.arange(24).reshape(2, 3, 4) % 3
    expected = layer(x.astype(dtype).astype("float32"))
    got = layer(x.astype(dtype))
    assert got.dtype == expected.dtype == layer.compute_dtype
    np.testing.assert_allclose(got.astype("float32"), expected.astype("float32"), 1e-6)
    assert layer(keras.Input((3, 4), dtype=dtype)).dtype == got.dtype


@pytest.mark.parametrize("cls", [layers.LSTMCell, layers.GRUCell, layers.SimpleRNNCell])
def test_so_do_cells(cls):
    cell = cls(2)
    states = cell.get_initial_state(2)
    assert cell(np.ones((2, 4), "int32"), states)[0].dtype == "float32"


@pytest.mark.parametrize("cls", [layers.LSTM, layers.GRU])
def test_scripts_and_files_of_old_say_an_implementation(cls):
    assert cls(2, implementation=1)(np.ones((1, 2, 3))).shape == (1, 2)
    made = cls.from_config({**cls(2).get_config(), "implementation": 2})
    assert "implementation" not in made.get_config()
    with pytest.raises(ValueError, match="implementation=3; expected one of 0, 1, 2"):
        cls(2, implementation=3)
    with pytest.raises(TypeError, match="implementation"):
        layers.SimpleRNN(2, implementation=1)


@pytest.mark.parametrize(
    "layer",
    [layers.MultiHeadAttention(2, 2), layers.GroupedQueryAttention(2, 4, 2)],
)
def test_shapes_of_what_is_not_given_may_be_none(layer):
    assert layer.compute_output_shape((7, 5, 3), (7, 6, 3), None) == (7, 5, 3)

"""A formula that stands in two places comes apart.

An LSTM's step stood in its cell and in the function for whole sequences, and what is
mended in the one stays wrong in the other. So a formula has one home, which all that
compute it call: what is put in its place is what all of them give.
"""

import numpy as np
import pytest

from carnyx import layers, ops
from carnyx.layers import attention
from carnyx.ops import _attention, recurrent

X = np.ones((2, 3, 4), np.float32)
IMAGES = np.ones((1, 2, 3, 3, 1), np.float32)


def lstm(z, h, c, **how):
    return 0 * h + 5, c


def gru(z, h, **how):
    return (0 * h + 5,)


def gru_before(x, h, *products, **how):
    return 0 * h + 5


@pytest.mark.parametrize("form", ["sequence", "steps", "cell"])
@pytest.mark.parametrize(
    ("name", "step", "made", "of_cell", "options"),
    [
        ("lstm_step", lstm, layers.LSTM, layers.LSTMCell, {}),
        ("gru_step", gru, layers.GRU, layers.GRUCell, {}),
        (
            "gru_step_reset_before", gru_before, layers.GRU, layers.GRUCell,
            {"reset_after": False},
        ),
    ],
)  # fmt: skip
def test_a_cell_and_whole_sequences_take_one_step(
    monkeypatch, form, name, step, made, of_cell, options
):
    monkeypatch.setattr(recurrent, name, step)
    if form == "cell":
        layer = layers.RNN(of_cell(2, **options))
    else:
        layer = made(2, unroll=form == "steps", **options)
    np.testing.assert_array_equal(layer(X), np.full((2, 2), 5.0))


def test_a_convolutional_cell_takes_the_step_of_an_lstm(monkeypatch):
    monkeypatch.setattr(recurrent, "lstm_step", lstm)
    outputs = layers.ConvLSTM2D(2, 3, padding="same")(IMAGES)
    np.testing.assert_array_equal(outputs, np.full((1, 3, 3, 2), 5.0))


def _even(scores, mask):
    return np.full(scores.shape, 0.25, np.float32)


Q = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
MASK = np.array([[True, True, False, False]] * 2)


def of_layer():
    return layers.Attention()([Q, Q], mask=[MASK, MASK], use_causal_mask=True)


def of_op():
    q = Q[:, :, None]
    return ops.dot_product_attention(q, q, q, mask=MASK[:, None, None])[:, :, 0]


@pytest.mark.parametrize("attend", [of_layer, of_op])
def test_what_masks_do_to_scores_is_said_in_the_op(monkeypatch, attend):
    monkeypatch.setattr(_attention, "softmax_where", _even)
    monkeypatch.setattr(attention, "softmax_where", _even)
    expected = np.broadcast_to(Q.mean(1, keepdims=True), Q.shape)
    if attend is of_layer:
        expected = expected * MASK[..., None]
    np.testing.assert_allclose(attend(), expected, 1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_a_query_without_any_key_has_the_even_mean(dtype):
    query = np.full((1, 2, 3), -60.0)
    layer = layers.Attention(dtype=dtype)
    mask = [np.array([[True, True]]), np.zeros((1, 2), bool)]
    value = np.array([[[1.0], [3.0]]])
    outputs = layer([query, value, -query], mask=mask)
    np.testing.assert_array_equal(np.float32(outputs), np.full((1, 2, 1), 2.0))

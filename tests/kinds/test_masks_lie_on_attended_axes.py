"""Kind: an axis taken for granted.

Causal masks, sliding windows and the masks of steps lay on axis 1, whichever axis was
attended. Attention over one axis is attention of each slice along the other ones: a
loop over these gives the expected values.
"""

import numpy as np
import pytest

import carnyx as keras
from carnyx import layers

RNG = np.random.default_rng(0)
SHAPE = 2, 3, 4, 6  # batch, rows, columns, features
X = RNG.normal(size=SHAPE).astype("float32")
VALID = RNG.random(SHAPE[:-1]) < 0.7


def attention(axes, rank, **options):
    layer = layers.MultiHeadAttention(2, 3, attention_axes=axes, **options)
    keras.utils.set_random_seed(1)
    layer.build((None,) * (rank - 1) + (6,), (None,) * (rank - 1) + (6,))
    return layer


def both(axes, slice_rank, **options):
    """The layer over `axes`, and one over slices with the same weights."""
    whole, part = attention(axes, 4, **options), attention(None, slice_rank, **options)
    part.set_weights(whole.get_weights())
    return whole, part


CALLS = {
    "causal": ({}, {"use_causal_mask": True}),
    "window": ({"sliding_window": 2}, {}),
    "causal_window": ({"sliding_window": 2}, {"use_causal_mask": True}),
    "masks": ({}, {"query_mask": VALID, "value_mask": VALID, "key_mask": VALID}),
    "all": ({}, {"value_mask": VALID, "use_causal_mask": True}),
}


@pytest.mark.parametrize("axis", [1, 2, -2, -3])
@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_one_axis_is_a_loop_over_the_other(name, scores, axis):
    options, how = CALLS[name]
    whole, part = both((axis,), 3, **options)
    got = whole(X, X, return_attention_scores=scores, **how)
    got = np.asarray(got[0] if scores else got)
    other = 3 - axis % 4
    for i in range(SHAPE[other]):
        sliced = {
            k: np.take(v, i, other) if isinstance(v, np.ndarray) else v
            for k, v in how.items()
        }
        x = np.take(X, i, other)
        # With scores, so that rows without any key go the same way.
        expected, _ = part(x, x, return_attention_scores=True, **sliced)
        np.testing.assert_allclose(
            np.take(got, i, other), expected, rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("name", CALLS)
def test_several_axes_are_read_row_by_row(name):
    options, how = CALLS[name]
    whole, part = both((1, 2), 3, **options)
    flat = X.reshape(2, 12, 6)
    how_flat = {
        k: v.reshape(2, 12) if isinstance(v, np.ndarray) else v for k, v in how.items()
    }
    got = np.asarray(whole(X, X, **how)).reshape(2, 12, 6)
    expected, _ = part(flat, flat, return_attention_scores=True, **how_flat)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_a_mask_of_all_scores_meets_masks_of_steps():
    whole, _ = both((2,), 3)
    pairs = RNG.random((2, 4, 4)) < 0.7  # for every row the same
    both_masks = whole(X, X, attention_mask=pairs, value_mask=VALID)
    joined = pairs[:, None] & VALID[:, :, None, :]
    np.testing.assert_allclose(
        both_masks, whole(X, X, attention_mask=joined), rtol=1e-6, atol=1e-6
    )


def test_grouped_queries_have_the_same_masks():
    layer = layers.GroupedQueryAttention(3, 4, 2, sliding_window=2)
    x = X[:, 0]
    out, scores = layer(x, x, use_causal_mask=True, return_attention_scores=True)
    ahead = np.arange(4)[:, None] - np.arange(4)
    seen = (ahead >= 0) & (ahead < 2)
    assert out.shape == x.shape
    expected = np.broadcast_to(seen, scores.shape)
    np.testing.assert_array_equal(scores > 1e-6, expected)


@pytest.mark.parametrize("scores", [False, True])
def test_a_causal_mask_joins_the_one_given(scores: bool) -> None:
    layer = layers.MultiHeadAttention(2, 4)
    layer.build((1, 5, 8), (1, 5, 8))
    query, key, value = np.random.default_rng(0).normal(size=(3, 1, 5, 2, 4))
    extra = np.ones((1, 5, 5), bool)
    extra[:, 3, 1] = False
    ask = {"return_attention_scores": scores}
    both, _ = layer._compute_attention(
        query, key, value, attention_mask=extra, use_causal_mask=True, **ask
    )
    causal = extra & np.tril(np.ones((5, 5), bool))
    one, _ = layer._compute_attention(query, key, value, attention_mask=causal, **ask)
    np.testing.assert_allclose(both, one, atol=1e-5)

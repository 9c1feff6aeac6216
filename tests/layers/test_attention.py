"""Attention layers against Keras: every argument, masks, gradients."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

import carnyx
from carnyx import layers, registry
from carnyx.errors import ArgumentError, ShapeError
from tests.layers.pairs import OURS, arrays, assert_close, gradients, keras, pair

QUERY, VALUE = (2, 4, 5), (2, 6, 3)
# Each query sees something: what a row without any key gives differs by path.
QUERY_MASK = np.array([[1, 1, 1, 1], [1, 1, 1, 0]], bool)
VALUE_MASK = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 0, 1, 1, 1]], bool)
BOTH = np.array([[[1, 1, 1, 0, 0, 0]] * 4, [[1, 0, 0, 0, 1, 1]] * 4], bool)


def heads(**more):
    return lambda k: k.layers.MultiHeadAttention(2, 3, name="it", **more)


def groups(**more):
    return lambda k: k.layers.GroupQueryAttention(3, 4, 2, name="it", **more)


MAKES = {
    "heads": heads(),
    "value_dim": heads(value_dim=4, use_bias=False),
    "output_shape": heads(output_shape=(2, 3)),
    "gate": heads(use_gate=True, value_dim=2),
    "window": heads(sliding_window=2),
    "dropout": heads(dropout=0.3, seed=1),
    "groups": groups(),
    "groups gate window": groups(use_gate=True, sliding_window=3),
}
MASKS = {
    "none": {},
    "causal": {"use_causal_mask": True},
    "value": {"value_mask": VALUE_MASK},
    "all": {"attention_mask": BOTH, "value_mask": VALUE_MASK, "use_causal_mask": True},
}


@pytest.mark.parametrize("name", MAKES)
def test_outputs_scores_and_masks(name):
    query, value = arrays(QUERY, VALUE)
    scores = {"return_attention_scores": True}
    ours, theirs = pair(MAKES[name], query, value, **scores)
    for masks in MASKS.values():
        mine = ours(query, value, **scores, **masks)
        assert_close(mine, theirs(query, value, **scores, **masks))
        without = ours(query, value, **masks)
        if name not in ("value_dim", "gate"):  # Keras on JAX fails for such sizes
            assert_close(without, theirs(query, value, **masks))
        if "window" not in name:  # a row that sees nothing differs, as in Keras
            assert_close(without, mine[0])


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_config_and_shapes(make):
    ours, theirs = make(OURS), make(keras)
    plain = [json.loads(json.dumps(k.get_config())) for k in (ours, theirs)]
    assert plain[0] == plain[1]
    assert type(ours).from_config(plain[0]).get_config() == ours.get_config()
    record = json.loads(json.dumps(registry.serialize_keras_object(ours)))
    assert keras.layers.deserialize(record).get_config() == theirs.get_config()
    record = json.loads(json.dumps(keras.layers.serialize(theirs)))
    assert registry.deserialize_keras_object(record).get_config() == ours.get_config()
    query, value = layers.Input((None, 5)), layers.Input((6, 5))
    output, scores = ours(query, value, return_attention_scores=True)
    assert output.shape == theirs.compute_output_shape((None, None, 5), (None, 6, 5))
    assert scores.shape[0] is None and scores.shape[2:] == (None, 6)
    shapes = (None, 4, 5), (None, 6, 5)
    assert ours.compute_output_shape(*shapes) == theirs.compute_output_shape(*shapes)


@pytest.mark.parametrize(
    "make", [heads(), groups(use_gate=True)], ids=["heads", "groups"]
)
def test_gradients(make):
    query, value, key = arrays(QUERY, VALUE, (2, 6, 7))
    ours, theirs = pair(make, query, value, key)
    masks = {"attention_mask": jnp.asarray(BOTH), "use_causal_mask": True}
    mine, wanted = (gradients(k, query, value, key, **masks) for k in (ours, theirs))
    assert_close(mine, wanted, 1e-4)


def test_implicit_masks_of_queries_and_values():
    query, value = arrays(QUERY, VALUE)
    query[1, 3] = 0
    value[0, 4:] = 0
    ours, theirs = pair(heads(), query, value)

    def run(k, layer):
        return layer(k.layers.Masking()(query), k.layers.Masking()(value))

    mine, wanted = run(OURS, ours), run(keras, theirs)
    assert_close(mine, wanted)
    assert mine.shape == QUERY
    given = ours(query, value, query_mask=QUERY_MASK, value_mask=np.any(value != 0, -1))
    assert_close(given, mine)
    masked = OURS.layers.Masking()(query)
    out, _ = ours(masked, value, return_attention_scores=True)
    assert carnyx.ops.shape(out) == QUERY


@pytest.mark.parametrize("axes", [(2,), (1, 2), (-2,), 1])
def test_attention_axes(axes):
    query, value = arrays((2, 3, 4, 5), (2, 3, 4, 3))
    ours, theirs = pair(heads(attention_axes=axes), query, value)
    assert_close(
        ours(query, value, return_attention_scores=True),
        theirs(query, value, return_attention_scores=True),
    )
    assert list(ours.get_config()["attention_axes"]) == list(
        theirs.get_config()["attention_axes"]
    )
    if axes == (1, 2):
        mask = np.tril(np.ones((2, 12, 12), bool)).reshape(2, 3, 4, 3, 4)
        given = {"attention_mask": mask}
        assert_close(ours(query, value, **given), theirs(query, value, **given))


def test_dropout_draws_the_numbers_of_keras():
    query, value = arrays(QUERY, VALUE)
    ours, theirs = pair(heads(dropout=0.5, seed=2), query, value)
    for layer in (ours, theirs):
        layer._dropout_layer.seed_generator.state.assign([2, 0])
    assert_close(ours(query, value, training=True), theirs(query, value, training=True))


def test_an_overridden_attention_gets_its_causal_mask():
    class Mean(layers.MultiHeadAttention):
        def _compute_attention(self, q, k, v, attention_mask=None, *rest, **more):
            assert attention_mask.shape == (1, 4, 4) and not more
            return q, None

    x = arrays(QUERY)[0]
    assert Mean(2, 3)(x, x, use_causal_mask=True).shape == QUERY


@pytest.mark.parametrize("kind", ["Attention", "AdditiveAttention"])
def test_plain_attention_with_masks(kind):
    query, value = arrays((2, 4, 3), VALUE)
    ours, theirs = pair(lambda k: getattr(k.layers, kind)(name="it"), [query, value])
    masks = [jnp.asarray(QUERY_MASK), jnp.asarray(VALUE_MASK)]
    for more in (
        {"mask": masks},
        {"mask": [None, masks[1]], "use_causal_mask": True},
        {"mask": [masks[0], None], "return_attention_scores": True},
    ):
        if more["mask"][1] is None and kind == "AdditiveAttention":
            continue
        mine, wanted = ours([query, value], **more), theirs([query, value], **more)
        assert_close(mine, wanted)


def test_in_a_model_that_trains():
    x = layers.Input((None,), dtype="int32")
    h = layers.Embedding(20, 8, mask_zero=True)(x)
    h = layers.Add()([h, layers.MultiHeadAttention(2, 4, dropout=0.1)(h, h)])
    y = layers.Dense(1)(layers.GlobalAveragePooling1D()(h))
    model = carnyx.Model(x, y)
    model.compile("adam", "mse")
    ids = np.random.default_rng(0).integers(0, 20, (16, 5)).astype("int32")
    history = model.fit(ids, np.ones((16, 1)), epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0]


def test_mixed_precision_computes_in_half():
    query, value = arrays(QUERY, VALUE)
    for more in ({}, {"return_attention_scores": True}):
        layer = layers.MultiHeadAttention(2, 3, dtype="mixed_bfloat16")
        out = layer(query, value, value_mask=VALUE_MASK, **more)
        assert {str(t.dtype) for t in (out if more else [out])} == {"bfloat16"}
        assert layer.query_dense.kernel.dtype == "float32"


def test_errors_say_what_to_do():
    with pytest.raises(ArgumentError, match="num_query_heads=3, num_key_value_heads=2"):
        layers.GroupQueryAttention(4, 3, 2)
    with pytest.raises(ArgumentError, match="num_heads=0; expected an integer above 0"):
        layers.MultiHeadAttention(0, 2)
    with pytest.raises(ArgumentError, match="dropout=0.1 with flash attention"):
        layers.MultiHeadAttention(1, 2, dropout=0.1, flash_attention=True)
    x = np.ones(QUERY, "float32")
    with pytest.raises(ArgumentError, match="whose kernel has no scores"):
        layer = layers.MultiHeadAttention(1, 2, flash_attention=True)
        layer(x, x, return_attention_scores=True)
    with pytest.raises(ShapeError, match="expected the same sizes, but for the last"):
        layers.MultiHeadAttention(1, 2)(x, x, x[:, :2])
    with pytest.raises(ArgumentError, match=r"expected a list \[query, value\]"):
        layers.Attention()(x)
    with pytest.raises(ArgumentError, match="score_mode='cosine'; expected one of"):
        layers.Attention(score_mode="cosine")


def test_files_go_both_ways(tmp_path):
    def model(k):
        x = k.Input((4, 5))
        h = k.layers.MultiHeadAttention(2, 3, use_gate=True)(x, x)
        h = k.layers.GroupQueryAttention(2, 4, 2)(h, h)
        return k.Model(x, k.layers.Bidirectional(k.layers.LSTM(2))(h))

    (x,) = arrays((2, 4, 5))
    ours, theirs = model(carnyx), model(keras)
    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    assert_close(keras.models.load_model(tmp_path / "ours.keras")(x), ours(x))
    assert_close(carnyx.models.load_model(tmp_path / "theirs.keras")(x), theirs(x))

"""What the contract table does not say of TimeDistributed and Bidirectional."""

import jax
import numpy as np
import pytest

import carnyx
from carnyx import layers
from carnyx.errors import ArgumentError, ShapeError
from tests.layers.pairs import arrays, assert_close, gradients, keras, pair


@pytest.mark.parametrize("mode", ["concat", "sum", "mul", "ave", None])
@pytest.mark.parametrize("sequences", [False, True])
def test_merge_modes_and_states(mode, sequences):
    x, *states = arrays((2, 5, 3), *[(2, 4)] * 4)
    mask = np.array([[1, 1, 1, 0, 0], [0, 0, 1, 1, 1]], bool)

    def make(k):
        inner = k.layers.LSTM(
            4, return_sequences=sequences, return_state=True, name="in"
        )
        return k.layers.Bidirectional(inner, merge_mode=mode)

    ours, theirs = pair(make, x)
    assert_close(ours(x, mask=mask), theirs(x, mask=mask))
    assert_close(ours(x, initial_state=states), theirs(x, initial_state=states))


def test_names_are_keras_s():
    layer = layers.Bidirectional(layers.GRU(2, name="steps"), name="both")
    layer.build((None, None, 3))
    paths = [w.path for w in layer.weights]
    assert paths[0] == "both/forward_steps/gru_cell/kernel"
    assert paths[-1] == "both/backward_steps/gru_cell/bias"


def test_first_values_are_split():
    one = layers.GRU(2)
    one.build((None, None, 3))
    first = [w + i for i, w in enumerate(one.get_weights() * 2)]
    layer = layers.Bidirectional(one, weights=first)
    layer.build((None, None, 3))
    assert_close(layer.get_weights(), first)
    assert layer.forward_layer is not one


def test_a_stateful_pair_is_reset():
    x = arrays((2, 4, 3))[0]
    layer = layers.Bidirectional(layers.LSTM(2, stateful=True))
    first = layer(x)
    assert len(layer.states) == 4 and not np.allclose(layer(x), first)
    layer.reset_state()
    assert_close(layer(x), first)


def test_round_trip_and_kernel_choice():
    layer = layers.Bidirectional(layers.LSTM(2, use_cudnn=False), merge_mode="ave")
    assert layer.backward_layer.use_cudnn is False
    config = layer.get_config()
    again = layers.Bidirectional.from_config(config)
    assert again.get_config() == config
    assert keras.layers.Bidirectional.from_config(config).merge_mode == "ave"


def test_each_step_draws_anew():
    layer = layers.TimeDistributed(layers.Dropout(0.5, seed=1))
    x = np.ones((1, 6, 9), "float32")
    out = np.asarray(layer(x, training=True))
    assert len({tuple(step) for step in out[0]}) > 3
    assert not np.array_equal(out, layer(x, training=True)), "nor twice the same"
    assert_close(layer(x), x)


def test_any_layer_at_any_time():
    x = arrays((2, 3, 6, 6, 2))[0]

    def make(k):
        conv = k.layers.Conv2D(3, 3, name="conv")
        return k.layers.TimeDistributed(conv)

    ours, theirs = pair(make, x)
    assert_close(gradients(ours, x), gradients(theirs, x), 1e-4)
    symbol = layers.Input((None, 6, 6, 2))
    assert ours(symbol).shape == (None, None, 4, 4, 3)
    steps = np.swapaxes([ours.layer(x[:, t]) for t in range(3)], 0, 1)
    assert_close(ours(x), steps)


def test_a_model_inside_whose_batch_matters():
    class Centred(layers.Layer):
        def call(self, x):
            return x - x.mean(0, keepdims=True)

    (x,) = arrays((4, 3, 2))
    out = layers.TimeDistributed(Centred())(x)
    assert_close(out, x - x.mean(0, keepdims=True))


def test_masks_reach_the_layer_and_go_on():
    (x,) = arrays((2, 3, 4, 2))
    x[:, :, -1] = 0
    x[0, -1] = 0
    mask = np.any(x != 0, -1)
    ours, theirs = pair(
        lambda k: k.layers.TimeDistributed(k.layers.GRU(3, name="g")), x
    )
    assert_close(ours(x, mask=mask), theirs(x, mask=mask))
    with pytest.raises(
        ShapeError, match=r"mask of shape \(2,\).*expected \(batch, time"
    ):
        ours(x, mask=np.ones(2, bool))


def test_losses_of_all_steps_are_summed():
    inner = layers.Dense(2, activity_regularizer=lambda y: (y**2).sum())
    layer = layers.TimeDistributed(inner)
    y = layer(arrays((2, 3, 4))[0])
    np.testing.assert_allclose(float(sum(layer.losses)), float((y**2).sum() / 2), 1e-5)


def test_statistics_follow_each_step_under_jit():
    x = arrays((4, 3, 2))[0] + 3
    ours, theirs = pair(
        lambda k: k.layers.TimeDistributed(k.layers.BatchNormalization(name="n")), x
    )
    for layer in (ours, theirs):
        layer.set_weights([np.ones(2), np.zeros(2), np.zeros(2), np.ones(2)])
    assert_close(ours(x, training=True), theirs(x, training=True), 1e-4)
    assert_close(ours.get_weights(), theirs.get_weights(), 1e-4)
    values = [[v.value for v in vs] for vs in (ours.weights[:2], ours.weights[2:])]
    run = jax.jit(lambda w, s, x: ours.stateless_call(w, s, x, training=True))
    _, state = run(*values, x)
    assert not np.allclose(state[0], values[1][0])


def test_in_a_model():
    x = layers.Input((None, 8))
    h = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x)
    y = layers.TimeDistributed(layers.Dense(2))(h)
    model = carnyx.Model(x, y)
    assert model.output_shape == (None, None, 2)
    assert model.predict(np.ones((3, 5, 8)), verbose=0).shape == (3, 5, 2)


def test_errors_say_what_to_do():
    with pytest.raises(ArgumentError, match="layer=3; expected a layer"):
        layers.Bidirectional(3)
    with pytest.raises(
        ArgumentError, match="merge_mode='max'; expected one of 'concat'"
    ):
        layers.Bidirectional(layers.GRU(2), merge_mode="max")
    with pytest.raises(ArgumentError, match="go_backwards=False and False"):
        layers.Bidirectional(layers.GRU(2), backward_layer=layers.GRU(2))
    with pytest.raises(
        ArgumentError, match="return_state=True and False; expected equal"
    ):
        layers.Bidirectional(
            layers.GRU(2, return_state=True),
            backward_layer=layers.GRU(2, go_backwards=True),
        )
    with pytest.raises(ShapeError, match="expected .batch, time, …., rank 3"):
        layers.TimeDistributed(layers.Dense(2))(np.ones((2, 3)))

"""What the contract table does not say of recurrent layers and cells."""

import inspect
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import carnyx
from carnyx import layers
from carnyx._core.scope import scoped
from carnyx.errors import ArgumentError, ShapeError
from tests.layers.pairs import OURS, arrays, assert_close, gradients, keras, pair

MASK = np.array(
    [
        [1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1],
        [0, 1, 0, 1, 0, 1], [0, 0, 0, 0, 0, 0],
    ],
    bool,
)  # fmt: skip
FLAGS = [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 1)]


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
@pytest.mark.parametrize("flags", FLAGS, ids=str)
def test_masks_in_every_direction(kind, flags):
    names = "go_backwards", "zero_output_for_mask", "return_sequences"
    more = dict(zip(names, map(bool, flags)), return_state=True)
    (x,) = arrays((6, 6, 2))
    ours, theirs = pair(lambda k: getattr(k.layers, kind)(3, **more), x)
    out = ours(x, mask=MASK)
    assert_close(out, theirs(x, mask=MASK))
    ours.use_cudnn = False
    assert_close(ours(x, mask=MASK), out)


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
@pytest.mark.parametrize("fast", [False, True])
def test_gradients_with_masks(kind, fast):
    (x,) = arrays((6, 6, 2))
    make = lambda k: getattr(k.layers, kind)(3, return_sequences=True)  # noqa: E731
    ours, theirs = pair(make, x)
    mask = jnp.asarray(MASK)
    with scoped(fast_gradients=fast):
        mine = gradients(ours, x, mask=mask)
    assert_close(mine, gradients(theirs, x, mask=mask), 1e-4)


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("SimpleRNN", {"recurrent_dropout": 0.3}),
        ("LSTM", {}),
        ("LSTM", {"recurrent_dropout": 0.3}),
        ("GRU", {}),
        ("GRU", {"recurrent_dropout": 0.3}),
        ("GRU", {"recurrent_dropout": 0.3, "reset_after": False}),
    ],
)
def test_dropout_draws_the_numbers_of_keras(kind, more):
    (x,) = arrays((3, 6, 2))
    make = lambda k: getattr(k.layers, kind)(4, dropout=0.4, seed=3, **more)  # noqa: E731
    ours, theirs = pair(make, x)
    for layer in (ours, theirs):
        layer.cell.seed_generator.state.assign([3, 0])
    assert_close(ours(x, training=True), theirs(x, training=True))
    again = ours(x, training=True)
    assert not np.allclose(again, theirs(x)), "each batch drops other ones"
    assert_close(ours(x), theirs(x))


def test_dropout_of_stacked_cells_and_convolutions():
    def stacked(k):
        cells = [k.layers.LSTMCell(3, dropout=0.3, seed=1), k.layers.GRUCell(2, seed=2)]
        return k.layers.RNN(cells)

    def conv(k):
        return k.layers.ConvLSTM1D(2, 2, dropout=0.3, recurrent_dropout=0.3, seed=1)

    for make, shape in ((stacked, (2, 4, 3)), (conv, (2, 4, 5, 3))):
        (x,) = arrays(shape)
        ours, theirs = pair(make, x)
        for layer in (ours, theirs):
            cell = getattr(layer.cell, "cells", [layer.cell])[0]
            cell.seed_generator.state.assign([1, 0])
        assert_close(ours(x, training=True), theirs(x, training=True))


def test_stateful_over_three_batches():
    def make(k):
        return k.layers.GRU(3, stateful=True, return_sequences=True)

    batches = arrays((2, 4, 3), (2, 4, 3), (2, 4, 3))
    ours, theirs = pair(make, batches[0])
    for layer in (ours, theirs):
        layer.reset_state()
    first = ours(batches[0])
    assert_close(first, theirs(batches[0]))
    for x in batches[1:]:
        assert_close(ours(x), theirs(x))
    assert not np.allclose(ours(batches[0]), first), "it goes on from the last batch"
    ours.reset_states()
    assert_close(ours(batches[0]), first)
    with pytest.raises(ShapeError, match="got a batch of 3.*built for batches of 2"):
        ours(np.ones((3, 4, 3)))


def test_stateful_in_a_model():
    (x,) = arrays((4, 3, 2))
    symbol = layers.Input((3, 2), batch_size=2)
    steps = layers.LSTM(3, stateful=True)
    model = carnyx.Model(symbol, steps(symbol))
    first = model.predict(x, batch_size=2, verbose=0)
    again = layers.LSTM(3)
    again.build(x.shape)
    again.set_weights(steps.get_weights())
    joined = again(np.concatenate([x[:2], x[2:]], 1))
    assert_close(first[2:], joined, 1e-4)
    assert not np.allclose(model.predict(x[:2], verbose=0), first[:2])
    steps.reset_state()
    assert_close(model.predict(x[:2], verbose=0), first[:2])


def test_states_of_a_run_are_carried_but_are_no_weights():
    layer = layers.RNN([layers.LSTMCell(2), layers.GRUCell(3)], stateful=True)
    layer(np.ones((2, 4, 3)))
    assert [v.name for v in layer.non_trainable_variables].count("rnn_state") == 3
    assert len(layer.weights) == 6
    before = [v.numpy() for v in layer.non_trainable_variables]
    values = [v.value for v in layer.trainable_variables]
    _, state = jax.jit(layer.stateless_call)(values, before, np.ones((2, 4, 3)))
    changed = [not np.allclose(a, b) for a, b in zip(before, state)]
    assert sum(changed) == 3
    after = [v.numpy() for v in layer.non_trainable_variables]
    assert all((a == b).all() for a, b in zip(before, after))


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_initial_state_as_arrays_and_as_inputs(kind):
    count = 2 if kind == "LSTM" else 1
    x, *states = arrays((2, 5, 3), *[(2, 4)] * count)
    make = lambda k: getattr(k.layers, kind)(4, return_state=True)  # noqa: E731
    ours, theirs = pair(make, x)
    for given in (states, tuple(states)) if count > 1 else (states, states[0]):
        out = ours(x, initial_state=given)
        assert_close(out, theirs(x, initial_state=given))
    symbols = [layers.Input(a.shape[1:]) for a in (x, *states)]
    y = ours(symbols[0], initial_state=symbols[1:])
    assert [t.shape for t in y] == [(None, 4)] * (count + 1)


def test_nested_states_come_back_nested():
    (x,) = arrays((2, 4, 3))

    def make(k):
        cells = [k.layers.LSTMCell(3, name="a"), k.layers.GRUCell(2, name="b")]
        cells = k.layers.StackedRNNCells(cells, name="both")
        return k.layers.RNN(cells, return_state=True, return_sequences=True)

    ours, theirs = pair(make, x)
    out, *states = ours(x)
    assert_close([out, *states], theirs(x))
    assert [len(s) for s in states] == [2, 1]
    assert_close(ours(x, initial_state=states), theirs(x, initial_state=states))


def minimal_cell(k):
    class MinimalCell(k.Layer):
        """As in Keras's guide, with noise and a loss of its own."""

        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = self.state_size = units

        def build(self, input_shape):
            shape = input_shape[-1], self.units
            self.kernel = self.add_weight(shape=shape, name="kernel")
            square = self.units, self.units
            self.recurrent = self.add_weight(shape=square, name="recurrent")

        def call(self, inputs, states):
            h = inputs @ self.kernel + states[0] @ self.recurrent
            return h, [h]

    return MinimalCell


def test_a_users_cell():
    (x,) = arrays((2, 5, 3))
    make = lambda k: k.layers.RNN(minimal_cell(k)(4), return_sequences=True)  # noqa: E731
    ours, theirs = pair(make, x)
    mask = jnp.asarray(MASK[3:5, :5])
    assert_close(ours(x, mask=mask), theirs(x, mask=mask))
    assert_close(gradients(ours, x, mask=mask), gradients(theirs, x, mask=mask), 1e-4)
    config = ours.get_config()
    with pytest.raises(ValueError, match="MinimalCell"):
        layers.RNN.from_config(config)


def test_what_a_users_cell_changes_goes_round():
    class Noisy(layers.Layer):
        state_size = 2

        def __init__(self):
            super().__init__()
            self.drop = layers.Dropout(0.5, seed=1)
            self.steps = self.add_weight((), "zeros", trainable=False, name="steps")

        def call(self, x, states, training=False):
            self.steps.assign_add(1.0)
            self.add_loss(jnp.mean(x))
            return self.drop(jnp.ones_like(x), training=training), states

    layer = layers.RNN(Noisy(), return_sequences=True)
    out = np.asarray(layer(np.ones((1, 8, 2)), training=True))
    assert float(layer.cell.steps) == 8
    assert len({tuple(step) for step in out[0]}) > 1, "each step draws anew"
    assert [float(x) for x in layer.losses] == [8.0]
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        layer.cell.other  # noqa: B018


def test_a_cell_need_not_be_a_layer():
    class Count:
        state_size = [1, 2]

        def call(self, x, states):
            return x, [states[0] + 1, states[1] + x]

    layer = layers.RNN(Count(), return_state=True)
    _, count, total = layer(np.ones((1, 5, 2)))
    assert count.tolist() == [[5.0]] and total.tolist() == [[5.0, 5.0]]


@pytest.mark.parametrize("kind", ["SimpleRNNCell", "LSTMCell", "GRUCell"])
def test_cells_by_themselves(kind):
    x, h, c = arrays((2, 3), (2, 4), (2, 4))
    states = [h, c] if kind == "LSTMCell" else [h]
    make = lambda k: getattr(k.layers, kind)(4, name="it", seed=1)  # noqa: E731
    ours, theirs = pair(make, x, states)
    assert_close(ours(x, states), theirs(x, states))
    assert ours.get_config() == json.loads(json.dumps(theirs.get_config()))
    same = type(ours).from_config(ours.get_config())
    assert same.get_config() == ours.get_config()
    zeros = ours.get_initial_state(batch_size=2)
    assert_close(ours(x, zeros), theirs(x, theirs.get_initial_state(batch_size=2)))


def test_stacked_cells_by_themselves():
    (x,) = arrays((2, 3))

    def make(k):
        cells = [k.layers.LSTMCell(3, name="a"), k.layers.SimpleRNNCell(2, name="b")]
        return k.layers.StackedRNNCells(cells, name="it")

    ours, theirs = make(OURS), make(keras)
    for layer in (ours, theirs):
        layer.build((2, 3))
    theirs.set_weights(ours.get_weights())
    mine, wanted = (k(x, k.get_initial_state(batch_size=2)) for k in (ours, theirs))
    assert_close(mine, wanted)
    assert ours.state_size == theirs.state_size and ours.output_size == 2


ORDERED = """
    RNN SimpleRNN LSTM GRU SimpleRNNCell LSTMCell GRUCell StackedRNNCells ConvLSTM1D
    ConvLSTM2D ConvLSTM3D Bidirectional TimeDistributed MultiHeadAttention
    GroupedQueryAttention Attention AdditiveAttention
""".split()


@pytest.mark.parametrize("name", ORDERED)
def test_positional_order_is_keras_s(name):
    def places(cls):
        kinds = inspect.signature(cls).parameters.values()
        plain = [p for p in kinds if p.kind is p.POSITIONAL_OR_KEYWORD]
        return [(p.name, p.default) for p in plain]

    theirs = places(getattr(keras.layers, name.replace("Grouped", "Group")))
    assert places(getattr(layers, name)) == theirs != []


def test_a_subclass_of_a_library_layer():
    class Mine(layers.LSTM):
        def __init__(self, units, extra=2, **kwargs):
            super().__init__(units, **kwargs)
            self.extra = extra

    layer = Mine(3, extra=5, return_sequences=True, name="mine")
    again = Mine.from_config(layer.get_config())
    assert (again.extra, again.units, again.return_sequences) == (5, 3, True)


def test_a_changed_cell_is_not_bypassed():
    class Silent(layers.LSTMCell):
        def call(self, inputs, states, training=False):
            return jnp.zeros_like(states[0]), states

    assert not np.any(layers.RNN(Silent(3))(np.ones((2, 4, 3))))


def test_mixed_precision_computes_in_half():
    layer = layers.GRU(3, dtype="mixed_bfloat16", return_state=True)
    out = layer(np.ones((2, 4, 3), "float32"), mask=np.ones((2, 4), bool))
    assert {str(t.dtype) for t in out} == {"bfloat16"}
    assert layer.cell.kernel.dtype == "float32"


def test_errors_say_what_to_do():
    with pytest.raises(ArgumentError, match="has no 'state_size'"):
        layers.RNN(layers.Dense(2))
    with pytest.raises(ShapeError, match="unroll=True needs a known number of steps"):
        layers.LSTM(2, unroll=True)(layers.Input((None, 3)))
    with pytest.raises(ShapeError, match="stateful=True needs a known batch size"):
        layers.LSTM(2, stateful=True)(layers.Input((4, 3)))
    with pytest.raises(ArgumentError, match="got 1 initial states; its cell has 2"):
        layers.LSTM(2)(np.ones((1, 2, 3)), initial_state=[np.ones((1, 2))])
    with pytest.raises(ArgumentError, match="use_cudnn=True, but unroll"):
        layers.LSTM(2, unroll=True, use_cudnn=True)(np.ones((1, 2, 3)))
    with pytest.raises(ArgumentError, match="dropout=2; expected a number from 0 to 1"):
        layers.LSTM(2, dropout=2)
    with pytest.raises(ShapeError, match="got size 4 on axis -1"):
        layer = layers.LSTM(2)
        layer(np.ones((1, 2, 3)))
        layer(np.ones((1, 2, 4)))
    with pytest.raises(ArgumentError, match="padding='full'; expected one of"):
        layers.ConvLSTM1D(2, 2, padding="full")

"""Kind: a field that is set after its layer was made.

Why it happened: what a constructor made of its arguments (pairs of sizes, keys of its
own) was not made again. A layer whose field is set later works as one that was made
with that value.
"""

import numpy as np
import pytest

import carnyx as keras

L = keras.layers
IMAGE = np.arange(192.0, dtype="float32").reshape(1, 8, 8, 3)
STEPS = IMAGE.reshape(1, 64, 3)
ROWS = [
    (L.Conv2D, {"filters": 2, "kernel_size": 3}, "strides", 2, IMAGE),
    (L.Conv2D, {"filters": 2, "kernel_size": 3}, "dilation_rate", 2, IMAGE),
    (L.Conv2D, {"filters": 2, "kernel_size": 3}, "padding", "same", IMAGE),
    (L.Conv1D, {"filters": 2, "kernel_size": 3}, "strides", 2, STEPS),
    (L.MaxPooling2D, {"strides": 2}, "pool_size", 4, IMAGE),
    (L.MaxPooling2D, {}, "strides", 1, IMAGE),
    (L.AveragePooling1D, {"strides": 2}, "pool_size", 4, STEPS),
    (L.ZeroPadding1D, {}, "padding", 2, STEPS),
    (L.ZeroPadding2D, {}, "padding", 2, IMAGE),
    (L.Cropping1D, {}, "cropping", 2, STEPS),
    (L.Cropping2D, {"cropping": 1}, "cropping", ((1, 0), 2), IMAGE),
    (L.UpSampling2D, {}, "size", 3, IMAGE),
    (L.Dense, {"units": 2}, "activation", "relu", STEPS),
    (L.LeakyReLU, {}, "negative_slope", 0.5, IMAGE - 90),
    (L.LSTM, {"units": 2}, "activation", "relu", STEPS),
    (L.GRU, {"units": 2}, "recurrent_activation", "hard_sigmoid", STEPS),
    (L.Lambda, {"function": np.negative}, "function", np.abs, STEPS),
]


@pytest.mark.parametrize(
    ("cls", "arguments", "name", "value", "x"),
    ROWS,
    ids=[f"{row[0].__name__}.{row[2]}" for row in ROWS],
)
def test_it_works_as_given_to_the_constructor(cls, arguments, name, value, x):
    layer = cls(**arguments)
    layer(x)
    setattr(layer, name, value)
    made = cls(**arguments | {name: value})
    made.build(x.shape)
    made.set_weights(layer.get_weights())
    np.testing.assert_array_equal(layer(x), made(x))


UNBUILT = [
    (L.MultiHeadAttention, {"num_heads": 2, "key_dim": 2}, "num_heads", 3),
    (
        L.MultiHeadAttention,
        {"num_heads": 2, "key_dim": 2, "value_dim": 2},
        "key_dim",
        3,
    ),
    (L.MultiHeadAttention, {"num_heads": 2, "key_dim": 2}, "value_dim", 3),
    (
        L.GroupedQueryAttention,
        {"head_dim": 2, "num_query_heads": 2, "num_key_value_heads": 2},
        "num_query_heads",
        4,
    ),
    (L.LSTM, {"units": 2}, "units", 3),
    (L.GRU, {"units": 2}, "units", 3),
    (L.SimpleRNN, {"units": 2}, "units", 3),
    (L.LSTMCell, {"units": 2}, "units", 3),
    (L.ConvLSTM1D, {"filters": 2, "kernel_size": 1}, "filters", 3),
    (L.Embedding, {"input_dim": 200, "output_dim": 2}, "output_dim", 3),
]


@pytest.mark.parametrize(
    ("cls", "arguments", "name", "value"),
    UNBUILT,
    ids=[f"{row[0].__name__}.{row[2]}" for row in UNBUILT],
)
def test_before_it_is_built_sizes_follow(cls, arguments, name, value):
    x = IMAGE if "Conv" in cls.__name__ else STEPS
    inputs = {
        "LSTMCell": lambda cell: (x[0], cell.get_initial_state(64)),
        "MultiHeadAttention": lambda _: (x, x),
        "GroupedQueryAttention": lambda _: (x, x),
        "Embedding": lambda _: (x[..., 0],),
    }.get(cls.__name__, lambda _: (x,))
    layer, made = cls(**arguments), cls(**arguments | {name: value})
    setattr(layer, name, value)
    said, right = (
        keras.tree.flatten(made_of(*inputs(made_of))) for made_of in (layer, made)
    )
    assert [w.shape for w in layer.weights] == [w.shape for w in made.weights]
    assert [a.shape for a in said] == [a.shape for a in right]
    assert getattr(layer, "state_size", 0) == getattr(made, "state_size", 0)


def test_masks_and_penalties_follow():
    embedding = L.Embedding(9, 2)
    embedding.mask_zero = True
    assert embedding.supports_masking
    own = L.Lambda(np.negative)
    own.mask = lambda inputs, mask: mask
    assert own.supports_masking
    penalty = L.ActivityRegularization()
    penalty.l2 = 0.5
    penalty(np.ones((2, 3), "float32"))
    assert float(penalty.losses[0]) == 1.5
    assert L.ActivityRegularization.from_config(penalty.get_config()).l2 == 0.5


def test_a_subclass_may_say_its_own_state_size():
    class Peephole(L.LSTMCell):
        def __init__(self, units):
            super().__init__(units)
            self.state_size = [units, units, 1]

    assert Peephole(2).state_size == [2, 2, 1]


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (L.Dropout, "rate"),
        (L.SpatialDropout1D, "rate"),
        (L.AlphaDropout, "rate"),
        (L.GaussianDropout, "rate"),
        (L.GaussianNoise, "stddev"),
    ],
)
def test_noise_that_was_none_is_some(cls, name):
    layer = cls(0.0)
    model = keras.Sequential([keras.Input((64, 3)), layer])
    assert np.array_equal(model(STEPS, training=True), STEPS)
    setattr(layer, name, 0.5)
    first, second = (model(STEPS + 1, training=True) for _ in range(2))
    assert not np.array_equal(first, STEPS + 1) and not np.array_equal(first, second)


OPTIMIZERS = [
    (keras.optimizers.SGD, "momentum", 0.9),
    (keras.optimizers.RMSprop, "momentum", 0.9),
    (keras.optimizers.RMSprop, "centered", True),
    (keras.optimizers.Adam, "amsgrad", True),
    (keras.optimizers.SGD, "use_ema", True),
    (keras.optimizers.Adam, "gradient_accumulation_steps", 2),
]


@pytest.mark.parametrize(("kind", "name", "value"), OPTIMIZERS)
def test_an_optimizer_refuses_what_needs_variables_that_were_not_made(
    kind, name, value
):
    optimizer, w = kind(0.1), keras.Variable(1.0)
    before = getattr(optimizer, name)
    setattr(optimizer, name, value)  # not built yet
    setattr(optimizer, name, before)
    optimizer.build([w])
    with pytest.raises(ValueError, match=f"built with {name}=.*Make a new optimizer"):
        setattr(optimizer, name, value)
    assert getattr(optimizer, name) == before
    optimizer.apply([np.float32(1.0)], [w])
    other = kind(0.1, **{name: value})
    other.build([keras.Variable(1.0)])
    setattr(other, name, before)  # what is kept and not needed stays
    setattr(other, name, value)

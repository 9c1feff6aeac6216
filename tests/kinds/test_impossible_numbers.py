"""Kind: sizes, strides and ranks that cannot be.

A size of 0 or -2 gave an empty array or an error from deep inside, and a window larger
than its input did, too: each op checked what its author had thought of. Sizes of
windows are now read in one place, and a window that does not fit is one error that
names the op, the layer, the window and the size.
"""

import numpy as np
import pytest

import carnyx as keras
from carnyx import layers, ops

IMAGE, SIGNAL = (4, 4, 12), (20,)
SPECTRUM = np.ones((1, 3, 3), "float32")


def istft(x, length, stride, size):
    return ops.istft((x, x), length, stride, size)


IMPOSSIBLE = [
    (lambda x: ops.image.resize(x, (-2, 5)), IMAGE),
    (lambda x: ops.image.resize(x, (0, 5)), IMAGE),
    (lambda x: ops.image.resize(x, (2.5, 5)), IMAGE),
    (lambda x: ops.stft(x, 2, 0, 4), SIGNAL),
    (lambda x: ops.stft(x, 2, -1, 4), SIGNAL),
    (lambda x: ops.stft(x, 2, 1.5, 4), SIGNAL),
    (lambda x: ops.stft(x, 0, 1, 4), SIGNAL),
    (lambda x: istft(x, 2, 0, 4), (5, 3)),
    (lambda x: istft(x, 2, -1, 4), (5, 3)),
    (lambda x: istft(x, 2, 1.5, 4), (5, 3)),
    (lambda x: ops.extract_sequences(x, 0, 1), SIGNAL),
    (lambda x: ops.extract_sequences(x, 4, 0), SIGNAL),
    (lambda x: ops.extract_sequences(x, 21, 1), SIGNAL),
    (lambda x: ops.stft(x, 16, 4, 32, center=False), SIGNAL),
    (lambda x: ops.image.crop_images(x, 2, 0, 2, 4), IMAGE),
    (lambda x: ops.image.crop_images(x, 0, 0, None, None, 0, 2), IMAGE),
    (lambda x: ops.depth_to_space(x, 0), IMAGE),
    (lambda x: ops.depth_to_space(x, 1), IMAGE),
    (lambda x: ops.depth_to_space(x, 5), IMAGE),
    (lambda x: ops.space_to_depth(x, -1), IMAGE),
    (lambda x: ops.space_to_depth(x, 3), IMAGE),
    (lambda x: ops.fold(x, (2, 2), (1, 1)), (2, 2, 2)),
    (lambda x: ops.fold(x, (0, 2), (1, 1)), (2, 1)),
    (lambda x: ops.unfold(x, 0), (2, 4, 4)),
    (lambda x: ops.unfold(x, 2, stride=0), (2, 4, 4)),
    (lambda x: ops.unfold(x, 5), (2, 4, 4)),
    (lambda x: ops.max_pool(x, 2, 0), (4, 2)),
    (lambda x: ops.max_pool(x, 0), (4, 2)),
    (lambda x: ops.average_pool(x, -1), (4, 2)),
    (lambda x: ops.adaptive_max_pool(x, 0), (4, 2)),
    (lambda x: ops.adaptive_average_pool(x, -1), (4, 2)),
    (lambda x: ops.conv(x, np.ones((2, 2, 3)), 0), (4, 2)),
    (lambda x: ops.conv(x, np.ones((2, 2, 3)), dilation_rate=0), (4, 2)),
    (lambda x: ops.conv_transpose(x, np.ones((2, 3, 2)), 0), (4, 2)),
    (lambda x: ops.depthwise_conv(x, np.ones((2, 2, 12, 1)), 0), IMAGE),
    (lambda x: ops.image.extract_patches(x, 0), IMAGE),
    (lambda x: ops.image.extract_patches(x, 2, 0), IMAGE),
    (lambda x: ops.image.gaussian_blur(x, (0, 3)), IMAGE),
    (lambda x: ops.image.gaussian_blur(x, (3, 3), (0.0, 1.0)), IMAGE),
    (lambda x: ops.split(x, 0), (4,)),
    (lambda x: ops.tile(x, -1), (4,)),
    (lambda x: keras.random.categorical(x, 5), (5, 2)),
    (lambda x: keras.random.categorical(x, -1), (5,)),
]


@pytest.mark.parametrize("index", range(len(IMPOSSIBLE)))
@pytest.mark.parametrize("symbolic", [False, True])
def test_impossible_numbers_are_refused_by_ops(index, symbolic):
    fn, shape = IMPOSSIBLE[index]
    x = keras.Input(shape) if symbolic else np.ones((1, *shape), "float32")
    with pytest.raises(ValueError, match=" got ") as raised:
        fn(x)
    assert isinstance(raised.value, keras.errors.CarnyxError)


@pytest.mark.parametrize(
    "fn",
    [
        lambda: keras.random.normal((-2,)),
        lambda: keras.random.uniform((1.5,)),
        lambda: ops.arange(0, 5, 0),
        lambda: keras.initializers.STFT("real", window="unknown"),
        lambda: keras.random.randint((2,), 5, 2),
        lambda: keras.random.randint((2,), 2, 2),
        lambda: keras.random.uniform((2,), 3, 1),
        lambda: keras.random.uniform((2,), float("nan"), 1),
        lambda: keras.random.normal((2,), stddev=-1.0),
        lambda: keras.random.truncated_normal((2,), stddev=-1.0),
        lambda: keras.random.gamma((2,), -1.0),
        lambda: keras.random.beta((2,), -1.0, 1.0),
        lambda: keras.random.beta((2,), 1.0, float("nan")),
        lambda: keras.random.binomial((2,), -1, 0.5),
        lambda: keras.random.binomial((2,), 3, 2.0),
        lambda: keras.random.dropout(np.ones(2), float("nan")),
        lambda: keras.random.dropout(np.ones(2), 1.5),
        lambda: keras.initializers.RandomNormal(stddev=-1.0),
        lambda: keras.initializers.TruncatedNormal(stddev=float("nan")),
        lambda: keras.initializers.RandomUniform(3, 1),
        lambda: keras.constraints.MaxNorm(-1),
        lambda: keras.constraints.MinMaxNorm(3, 1),
        lambda: keras.constraints.MinMaxNorm(rate=2.0),
    ],
)
def test_impossible_numbers_are_refused_elsewhere(fn):
    with pytest.raises(ValueError, match="ot .*expected"):
        fn()


OPTIMIZERS = {
    value
    for value in vars(keras.optimizers).values()
    if isinstance(value, type) and "beta_1" in getattr(value, "_fields", {})
} | {keras.optimizers.SGD, keras.optimizers.RMSprop, keras.optimizers.Adadelta}
BOUNDED = {
    "beta_1": (-1.0, 2.0), "beta_2": (-1.0, 2.0), "rho": (-1.0, 2.0),
    "momentum": (-1.0, 2.0), "epsilon": (-1.0,), "clipnorm": (-1.0,),
    "clipvalue": (-1.0,), "global_clipnorm": (-1.0,), "weight_decay": (-1.0,),
    "loss_scale_factor": (-1.0, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("cls", sorted(OPTIMIZERS, key=str))
def test_rates_of_optimizers_are_bounded(cls):
    for name in BOUNDED.keys() & cls._fields.keys():
        for value in (*BOUNDED[name], float("nan")):
            with pytest.raises(ValueError, match=f"{name}=.*; expected a number"):
                cls(**{name: value})
    assert cls(-0.1).learning_rate == -0.1  # uphill, as in Keras


def windows():
    for rank in (1, 2, 3):
        for kind in ("MaxPooling", "AveragePooling"):
            yield f"{kind}{rank}D", {"pool_size": 3}, rank
        yield f"Conv{rank}D", {"filters": 2, "kernel_size": 3}, rank
        dilated = {"filters": 2, "kernel_size": 2, "dilation_rate": 2}
        yield f"Conv{rank}D", dilated, rank
        recurrent = {"filters": 2, "kernel_size": 3}
        yield f"ConvLSTM{rank}D", recurrent, rank
    for rank in (1, 2):
        yield f"DepthwiseConv{rank}D", {"kernel_size": 3}, rank
        yield f"SeparableConv{rank}D", {"filters": 2, "kernel_size": 3}, rank


@pytest.mark.parametrize(
    ("name", "arguments", "rank"),
    list(windows()),
    ids=lambda x: x if str(x) == x else None,
)
@pytest.mark.parametrize("symbolic", [False, True])
def test_a_window_larger_than_its_input_is_one_error(name, arguments, rank, symbolic):
    layer = getattr(layers, name)(**arguments, name="mine")
    steps = (2,) if name.startswith("ConvLSTM") else ()
    shape = (*steps, *(2,) * rank, 2)
    x = keras.Input(shape) if symbolic else np.ones((1, *shape), "float32")
    window = f"window of size {(3,) * rank} for an input of size {(2,) * rank}"
    with pytest.raises(keras.errors.ShapeError) as raised:
        layer(x)
    assert window in str(raised.value)
    assert any(f"{name} 'mine'" in note for note in raised.value.__notes__)

"""Models that Keras and Carnyx build from the same lines."""

import numpy as np

BUILDERS = {}


def model(shape, dtype="float32"):
    def add(build):
        BUILDERS[build.__name__] = build, shape, dtype
        return build

    return add


def inputs_for(name, batch=4):
    _, shape, dtype = BUILDERS[name]
    rng = np.random.default_rng(0)
    if dtype == "int32":
        return rng.integers(1, 9, (batch, *shape)).astype("int32")
    return rng.normal(size=(batch, *shape)).astype("float32")


@model((4,))
def sequential(k):
    layers = [
        k.layers.Dense(3, "relu", kernel_regularizer=k.regularizers.L2(0.01)),
        k.layers.BatchNormalization(momentum=0.8),
        k.layers.Dense(3, kernel_constraint=k.constraints.MaxNorm(1.0)),
        k.layers.Dense(2),
    ]
    net = k.Sequential([k.Input((4,)), *layers])
    net.compile(k.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return net


@model((4,))
def functional(k):
    x = k.Input((4,), name="x")
    shared = k.layers.Dense(4, "tanh", name="shared")
    a = shared(x)
    b = shared(a)
    joined = k.layers.Concatenate()([k.layers.Add()([a, b]), x])
    frozen = k.layers.Dense(5, trainable=False)
    out = k.layers.Dense(2, "softmax")(frozen(joined))
    net = k.Model(x, out)
    schedule = k.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    optimizer = k.optimizers.SGD(schedule, momentum=0.9, nesterov=True)
    net.compile(optimizer, k.losses.CategoricalCrossentropy(label_smoothing=0.1))
    return net


@model((4,))
def recorded_ops(k):
    x = k.Input((4,))
    y = k.ops.concatenate([k.layers.Dense(3)(x) * 0.5 + 1.0, x[:, :2]], axis=-1)
    net = k.Model(x, k.ops.mean(k.layers.Dense(4)(y), axis=-1, keepdims=True))
    net.compile("adam", "mse")
    return net


@model((4,))
def nested(k):
    inner_input = k.Input((4,))
    stack = k.Sequential([k.layers.Dense(3), k.layers.Dense(3)], name="stack")
    y = k.layers.LayerNormalization()(stack(inner_input))
    inner = k.Model(inner_input, y, name="inner")
    x = k.Input((4,))
    late = k.Sequential([k.layers.Dense(2), k.layers.Dense(2)])
    net = k.Model(x, late(k.layers.Dense(3)(inner(x))))
    net.compile(k.optimizers.RMSprop(0.01), "mae")
    return net


@model((8, 8, 1))
def convolutional(k):
    layers = [
        k.layers.Conv2D(3, 3, activation="relu", padding="same"),
        k.layers.MaxPooling2D(),
        k.layers.BatchNormalization(),
        k.layers.Conv2D(2, 3, strides=2, use_bias=False),
        k.layers.Flatten(),
        k.layers.Dense(2),
    ]
    net = k.Sequential([k.Input((8, 8, 1)), *layers])
    net.compile(k.optimizers.AdamW(0.01, weight_decay=0.1), "mse")
    return net


@model((5,), "int32")
def recurrent(k):
    x = k.Input((5,), dtype="int32")
    h = k.layers.Embedding(9, 4, mask_zero=True)(x)
    h = k.layers.Bidirectional(k.layers.LSTM(3, return_sequences=True))(h)
    h = k.layers.TimeDistributed(k.layers.Dense(3))(h)
    cells = [k.layers.GRUCell(3), k.layers.LSTMCell(2)]
    h = k.layers.RNN(cells)(h)
    net = k.Model(x, k.layers.Dense(2)(h))
    net.compile(k.optimizers.Adam(0.01, use_ema=True, clipnorm=1.0), "mse")
    return net


@model((5, 4))
def attention(k):
    x = k.Input((5, 4))
    h = k.layers.LayerNormalization()(x)
    h = k.layers.MultiHeadAttention(2, 3)(h, h)
    h = k.layers.GlobalAveragePooling1D()(k.layers.Add()([x, h]))
    net = k.Model(x, k.layers.Dense(2)(h))
    net.compile(k.optimizers.Adam(0.01, amsgrad=True, global_clipnorm=1.0), "mse")
    return net


@model((4,))
def without_optimizer(k):
    return k.Sequential([k.Input((4,)), k.layers.Dense(2)])


def classes(k):
    """A layer and a model of a user's, registered."""
    register = k.saving.register_keras_serializable("own")

    @register
    class Scale(k.layers.Layer):
        def __init__(self, factor=2.0, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

        def build(self, input_shape):
            self.gain = self.add_weight(shape=(input_shape[-1],), initializer="ones")

        def call(self, x):
            return x * self.gain * self.factor

        def get_config(self):
            return super().get_config() | {"factor": self.factor}

    @register
    class Net(k.Model):
        def __init__(self, units=3, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.zeta = k.layers.Dense(units)
            self.blocks = [
                k.layers.Dense(units),
                k.layers.Dense(units),
                [k.layers.Dense(units), {"a": k.layers.Dense(units)}],
            ]
            self._hidden = k.layers.Dense(units)
            self.by_name = {"x": Scale(0.5), "b": k.layers.BatchNormalization()}
            self.pair = (k.layers.LayerNormalization(), k.layers.Dense(2))

        @property
        def hidden(self):
            return self._hidden

        def call(self, x, training=False):
            x = self.zeta(x)
            for block in self.blocks[:2]:
                x = x + block(x)
            x = self.blocks[2][1]["a"](self.blocks[2][0](x))
            x = self.by_name["b"](self.by_name["x"](self.hidden(x)), training=training)
            return self.pair[1](self.pair[0](x))

        def get_config(self):
            return super().get_config() | {"units": self.units}

    return Scale, Net


@model((4,))
def subclassed(k):
    _, net_class = classes(k)
    net = net_class()
    net(np.ones((1, 4), "float32"))
    net.compile(k.optimizers.Adam(0.01), "mse")
    return net


@model((4,))
def own_layer(k):
    scale, _ = classes(k)
    layers = [k.layers.Dense(3), scale(3.0, name="scale"), k.layers.Dense(2)]
    net = k.Sequential([k.Input((4,)), *layers])
    net.compile("sgd", "mse")
    return net


def train(net, x, steps=3):
    rng = np.random.default_rng(1)
    for _ in range(steps):
        net.train_on_batch(x, rng.uniform(size=(len(x), 2)).astype("float32"))

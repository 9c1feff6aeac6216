"""What trains without an error, and wrong, is said once, early.

Why it happened: every array of the right shape trains. A label that is no class has
loss 0, an index beyond a table gives NaN, logits in place of probabilities a number
that falls a little. The first batches, what the traced step shows, and a loss that is
not finite tell of such mistakes; nothing else may.
"""

import functools
import random
import time
import warnings

import numpy as np
import pytest

import carnyx as keras
from carnyx import layers, losses
from carnyx.errors import DataError

X = np.random.default_rng(0).random((8, 4), "float32")
Y = np.arange(8) % 3
IDS = np.arange(16).reshape(8, 2) % 5
RAW = losses.SparseCategoricalCrossentropy(from_logits=True)
SPARSE = "sparse_categorical_crossentropy"


@pytest.fixture(autouse=True)
def checks_on():
    yield
    keras.config.set_checks(True)


def dense(units=3, activation="softmax", loss=SPARSE, dtype=None, **options):
    head = layers.Dense(units, activation=activation, name="head", dtype=dtype)
    model = keras.Sequential([keras.Input((4,)), head])
    model.compile("sgd", loss, **options)
    return model


def fitted(model, x, y, **options):
    return model.fit(x, y, verbose=0, **options)


def embedded(x, last=keras.ops.softmax, own=False):
    inner = keras.Sequential([layers.Embedding(5, 3, name="words"), layers.Flatten()])

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner, self.head = inner, layers.Dense(3)

        def call(self, x):
            return last(self.head(self.inner(x)))

    if own:
        model = Own()
    else:
        i = keras.Input((2,))
        model = keras.Model(i, layers.Dense(3, activation="softmax")(inner(i)))
    model.compile("sgd", SPARSE)
    fitted(model, x, Y)


def words(compiled=False):
    inner = [layers.Embedding(5, 3, name="words"), layers.Flatten()]
    last = layers.Dense(3, activation="softmax")
    model = keras.Sequential([keras.Input((2,)), *inner, last])
    if compiled:
        model.compile("sgd", SPARSE)
    return model


def two_outputs(a, b, weight=None):
    i = keras.Input((4,))
    heads = [
        layers.Dense(3, activation="softmax", name="a")(i),
        layers.Dense(1, activation="sigmoid", name="b")(i),
    ]
    model = keras.Model(i, heads)
    model.compile("sgd", [SPARSE, "binary_crossentropy"])
    fitted(model, X, [a, b], sample_weight=weight)


def frozen(draw):
    class Noisy(layers.Layer):
        def __init__(self):
            super().__init__(name="noisy")
            self.rng = np.random.default_rng(0)

        def call(self, x):
            return draw(self, x)

    model = keras.Sequential([keras.Input((4,)), Noisy(), layers.Dense(1)])
    model.compile("sgd", "mse")
    fitted(model, X, X[:, :1])


DRAWS = np.random.default_rng(0)


class OfTheModule(layers.Layer):
    def call(self, x):
        return x * DRAWS.normal()


class OfTheClass(layers.Layer):
    rng = np.random.default_rng(1)

    def call(self, x):
        return x * self.rng.normal()


def drawing(layer):
    model = keras.Sequential([keras.Input((4,)), layer, layers.Dense(1)])
    model.compile("sgd", "mse")
    fitted(model, X, X[:, :1])


class Clock(layers.Layer):
    def call(self, x):
        return x * (time.time() % 1)


def stranger(make):
    class Own(layers.Layer):
        def call(self, x):
            return make(name="inner")(x)

    model = keras.Sequential([keras.Input((4,)), Own(), layers.Dense(1)])
    model.compile("sgd", "mse")
    fitted(model, X, X[:, :1])


def lazily():
    class Own(layers.Layer):
        inner = None

        def call(self, x):
            if self.inner is None:
                self.inner = layers.Dense(4)
            return self.inner(x)

    model = keras.Sequential([keras.Input((4,)), Own(), layers.Dense(1)])
    model.compile("sgd", "mse")
    fitted(model, X, X[:, :1])


def clock():
    model = keras.Sequential([keras.Input((4,)), Clock(), layers.Dense(1)])
    model.compile("sgd", "mse")
    fitted(model, X, X[:, :1])


def masked(layer):
    i = keras.Input((2,), dtype="int32")
    layer(layers.Embedding(5, 4, mask_zero=True)(i))


class Drops(layers.Layer):
    def call(self, x):
        return x * 2


class Named(Drops):
    function = "double"  # an attribute as a Lambda has it, and no function


class Keeps(Drops):
    supports_masking = True


class Takes(layers.Layer):
    def call(self, x, mask=None):
        return x * 2


class Around(layers.Layer):
    def __init__(self):
        super().__init__()
        self.inner = layers.GlobalAveragePooling1D()

    def call(self, x):
        return self.inner(x)


class Attends(layers.Layer):
    supports_masking = True

    def __init__(self):
        super().__init__()
        self.inner = layers.MultiHeadAttention(1, 2)

    def call(self, x):
        return x + self.inner(x, x)


def weighted(class_weight, y=Y):
    fitted(dense(), X, y, class_weight=class_weight)


def batches(x, y):
    yield x, y


ERRORS = {
    "label too large": (lambda: fitted(dense(), X, Y + 1), r"y\[2\].* is 3.*0 to 2"),
    "label far too large": (lambda: fitted(dense(), X, Y * 4), "last layer 9 units"),
    "label negative": (lambda: fitted(dense(), X, Y - 1), "ignore_class=-1"),
    "label for one unit": (lambda: fitted(dense(1, "sigmoid"), X, Y % 2), "'binary_c"),
    "fraction": (lambda: fitted(dense(), X, Y + 0.5), "whole class numbers"),
    "one-hot": (lambda: fitted(dense(), X, np.eye(3)[Y]), r"y.argmax\(-1\)"),
    "not one-hot": (
        lambda: fitted(dense(loss="categorical_crossentropy"), X, Y), "to_categorical"
    ),
    "in a generator": (
        lambda: fitted(dense(), batches(X, Y + 1), None), "of batch 0 of generator"
    ),
    "op by op": (lambda: fitted(dense(run_eagerly=True), X, Y + 1), "is 3"),
    "in evaluate": (lambda: dense().evaluate(X, Y + 1, verbose=0), "is 3"),
    "in validation": (
        lambda: fitted(dense(), X, Y, validation_data=(X, Y + 1)), "is 3"
    ),
    "single batch": (lambda: dense().train_on_batch(X, Y + 1), "is 3"),
    "one of two": (lambda: two_outputs(Y + 1, Y % 2), "output 'a'"),
    "logits": (lambda: fitted(dense(activation=None, loss=RAW), X, Y + 1), "is 3"),
    "mixed precision": (
        lambda: fitted(dense(dtype="mixed_bfloat16"), X, Y + 1), "is 3"
    ),
    "index too large": (lambda: embedded(IDS + 1), r"x\[2, 0\].* is 5.*'words'.* 4"),
    "index negative": (lambda: embedded(IDS - 1), "is -1.*'words'"),
    "index in a subclass": (lambda: embedded(IDS + 1, own=True), "'words'"),
    "index in predict": (
        lambda: words().predict(IDS + 1, verbose=0), r"x\[2, 0\].* is 5.*'words'"
    ),
    "index in predict, by batches": (
        lambda: words().predict(IDS + 1, batch_size=2), "is 5.*'words'"
    ),
    "index in predict_on_batch": (
        lambda: words().predict_on_batch(IDS + 1), "is 5.*'words'"
    ),
    "index in predict, from a source": (
        lambda: words().predict(iter([IDS, IDS + 1])), "of batch 1 of list_it"
    ),
    "index in evaluate": (
        lambda: words(True).evaluate(IDS + 1, Y, verbose=0), "is 5.*'words'"
    ),
    "balanced": (lambda: weighted("balanced"), r"class_weight=\{0: 0.889, 1: 0.889"),
    "a list": (lambda: weighted([1.0, 2.0]), r"class_weight=\{0: 1.0, 1: 2.0\}"),
}  # fmt: skip

WARNINGS = {
    "-1 and 1": (
        lambda: fitted(dense(1, "sigmoid", "binary_crossentropy"), X, Y % 2 * 2 - 1),
        r"\(y \+ 1\) / 2",
    ),
    "classes": (
        lambda: fitted(dense(1, "sigmoid", "binary_crossentropy"), X, Y), "sparse_cat"
    ),
    "images": (
        lambda: fitted(dense(1, "sigmoid", "binary_crossentropy"), X, Y * 127), "255"
    ),
    "one of two": (lambda: two_outputs(Y, Y), "output 'b'"),
    "raw": (lambda: fitted(dense(activation=None), X, Y), "from_logits=True"),
    "softplus": (lambda: fitted(dense(activation="softplus"), X, Y), "ends with 'so"),
    "raw, op by op": (
        lambda: fitted(dense(activation=None, run_eagerly=True), X, Y), "no activation"
    ),
    "raw subclass": (lambda: embedded(IDS, lambda x: x, own=True), "no activation"),
    "twice softmax": (lambda: fitted(dense(loss=RAW), X, Y), "applies another"),
    "twice, by an op": (
        lambda: fitted(
            dense(loss=RAW, activation=lambda x: keras.ops.softmax(x)), X, Y
        ),
        "applies another",
    ),
    "one softmax": (
        lambda: fitted(dense(1, loss="binary_crossentropy"), X, Y % 2), "over one unit"
    ),
    "sigmoid": (lambda: fitted(dense(activation="sigmoid"), X, Y), "do not add up"),
    "float index": (lambda: embedded(IDS * 0.9), "fraction"),
    "key of no label": (
        lambda: weighted({0: 1, 1: 2, 2: 1, 7: 1}), "no label has: 7;.*classes 0 to 2"
    ),
    "keys that begin at 1": (
        lambda: fitted(
            dense(1, "sigmoid", "binary_crossentropy"), X, Y % 2,
            class_weight={0: 1, 1: 1, 2: 3},
        ),
        "no label has: 2;.*classes 0 to 1",
    ),
    "label of no key": (lambda: weighted({0: 1, 1: 2}), "no weight for labels.*: 2"),
    "np.random": (lambda: frozen(lambda s, x: x * np.random.rand()), "numpy.random"),
    "random": (lambda: frozen(lambda s, x: x * random.random()), "'noisy'.*random"),
    "own generator": (lambda: frozen(lambda s, x: x * s.rng.normal()), "self.rng"),
    "generator of the module": (lambda: drawing(OfTheModule()), "uses DRAWS"),
    "generator of the class": (lambda: drawing(OfTheClass()), "uses self.rng"),
    "raw distribution": (
        lambda: fitted(dense(activation=None, loss="kl_divergence"), X, X[:, :3]),
        "no activation.*Use activation='softmax' in the last layer\\.",
    ),
    "time": (clock, "time.time"),
    "a layer made in call": (
        lambda: stranger(functools.partial(layers.Dense, 4)),
        "'.*inner' is called.*no part",
    ),
    "state made in call": (
        lambda: stranger(layers.BatchNormalization), "'.*inner' is called.*no part"
    ),
    "random state made in call": (
        lambda: stranger(functools.partial(layers.Dropout, 0.5)),
        "'.*inner' is called.*no part.*random numbers are the same",
    ),
} | {
    f"mask: {type(layer).__name__}": (
        lambda layer=layer: masked(layer), f"'{layer.name}' was given.* mask.*drops it"
    )
    for layer in [
        Drops(), Named(), layers.Reshape((8,)), layers.Flatten(), layers.Conv1D(2, 1),
        layers.Lambda(lambda x: x), layers.Permute((2, 1)), layers.MaxPooling1D(),
    ]
}  # fmt: skip

MEANT = {
    "labels": lambda: fitted(dense(), X, Y),
    "labels with an axis": lambda: fitted(dense(), X, Y[:, None].astype("float32")),
    "weight 0": lambda: fitted(dense(), X, Y - 1, sample_weight=(Y > 0) * 1.0),
    "weights of two": lambda: two_outputs(Y - 1, Y % 2, [(Y > 0) * 1.0, np.ones(8)]),
    "ignored": lambda: fitted(
        dense(loss=losses.SparseCategoricalCrossentropy(ignore_class=-1)), X, Y - 1
    ),
    "logits": lambda: fitted(dense(activation=None, loss=RAW), X, Y),
    "smoothed": lambda: fitted(
        dense(loss=losses.CategoricalCrossentropy(label_smoothing=0.1)), X, np.eye(3)[Y]
    ),
    "soft": lambda: fitted(dense(1, "sigmoid", "binary_crossentropy"), X, Y / 2),
    "regression": lambda: fitted(dense(1, None, "mse"), X, Y * 100 - 50.5),
    "hinge": lambda: fitted(dense(1, "tanh", "hinge"), X, Y % 2 * 2 - 1),
    "own loss": lambda: fitted(
        dense(activation=None, loss=lambda t, p: (p - t) ** 2), X, np.eye(3)[Y] * 9
    ),
    "softmax by an op": lambda: embedded(IDS, own=True),
    "some classes in a batch": lambda: dense().train_on_batch(
        X[:1], Y[:1], class_weight={0: 1, 1: 2, 2: 3}
    ),
    "all classes": lambda: weighted({0: 1, 1: 2, 2: 3}),
    "a fold without a class": lambda: weighted({0: 1, 1: 2, 2: 3}, Y % 2),
    "a fold without a class, one-hot": lambda: fitted(
        dense(loss="categorical_crossentropy"),
        X,
        np.eye(3)[Y % 2],
        class_weight={0: 1, 1: 2, 2: 3},
    ),
    "a fold with one of two": lambda: fitted(
        dense(1, "sigmoid", "binary_crossentropy"), X, Y * 0, class_weight={0: 1, 1: 9}
    ),
    "predictions": lambda: words().predict(IDS, verbose=0),
    "random layers": lambda: frozen(lambda s, x: keras.random.dropout(x, 0.5, seed=1)),
    "a layer made in the first call": lazily,
    "mask taken": lambda: masked(Takes()),
    "mask kept": lambda: masked(Keeps()),
    "mask taken inside": lambda: masked(Around()),
    "attention": lambda: masked(Attends()),
    "a stack": lambda: masked(keras.Sequential([layers.Dense(2), layers.LSTM(2)])),
}


@pytest.mark.parametrize("case", ERRORS)
def test_no_number_of_the_loss_would_mean_anything(case):
    run, text = ERRORS[case]
    with pytest.raises(DataError, match=text):
        run()


@pytest.mark.parametrize("case", WARNINGS)
def test_a_likely_mistake_is_said_once(case):
    run, text = WARNINGS[case]
    with pytest.warns(UserWarning, match=text) as said:
        run()
    assert len(said) == 1


@pytest.mark.parametrize("case", MEANT)
def test_nothing_is_said_of_what_is_meant(case):
    MEANT[case]()


@pytest.mark.parametrize("case", ["label too large", "index too large", "in evaluate"])
def test_off_in_code(case):
    keras.config.set_checks(False)
    ERRORS[case][0]()


@pytest.mark.parametrize("case", ["raw", "np.random", "label of no key", "-1 and 1"])
def test_warnings_off_in_code(case):
    keras.config.set_checks(False)
    WARNINGS[case][0]()


def test_off_from_outside(monkeypatch):
    from carnyx import _settings

    monkeypatch.setenv("CARNYX_FLAGS", "checks=off")
    _settings.forget_outside()
    try:
        assert not keras.config.checks()
        fitted(dense(), X, Y + 1)
    finally:
        monkeypatch.undo()
        _settings.forget_outside()


def test_a_second_fit_says_nothing_again():
    model = dense(activation=None)
    with pytest.warns(UserWarning, match="no activation"):
        fitted(model, X, Y)
    fitted(model, X, Y, epochs=2)
    fitted(model, X[:5], Y[:5])


# ---- a loss that is not finite


class Log(layers.Layer):
    def call(self, x):
        return keras.ops.log(x)


class Norm(layers.Layer):
    def call(self, x):
        return keras.ops.sqrt(keras.ops.sum((x - x) ** 2, -1, keepdims=True))


BAD = X.copy()
BAD[5, 2] = -1


def stack(*inner, loss="mse", rate=0.01, **options):
    model = keras.Sequential([keras.Input((4,)), *inner])
    model.compile(keras.optimizers.SGD(rate), loss, **options)
    return model


def said_of(model, x=BAD, y=X[:, :1], **options):
    """The warning, after which all is as it was without the look for a cause."""
    options = {"batch_size": 2, "shuffle": False} | options
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model.fit(x, y, verbose=0, **options)
    (only,) = said
    return str(only.message)


@pytest.mark.parametrize("eager", [False, True])
def test_the_layer_and_batch_in_which_a_loss_begins_to_be_nan(eager):
    model = stack(Log(name="ln"), layers.Dense(1), run_eagerly=eager)
    text = said_of(model)
    assert "On batch 2 of epoch 1" in text and "'sequential" in text
    assert "/ln', 1 of 8 values; its inputs are finite (-1 to" in text


def test_of_a_generator_the_first_batches():
    text = said_of(
        stack(Log(name="ln"), layers.Dense(1)),
        ((BAD[i : i + 2], X[i : i + 2, :1]) for i in (4, 0, 2)),
        None,
        batch_size=None,
    )
    assert "On batch 0 of epoch 1" in text and "/ln'" in text


def test_a_gradient_that_is_not_finite():
    text = said_of(stack(layers.Dense(2, name="before"), Norm(), layers.Dense(1)))
    assert "On batch 0" in text and "gradient of" in text and "before/kernel" in text


class OwnStep(keras.Model):
    """Trains by itself, its gradients traced."""

    measured = staticmethod(lambda t, p: keras.ops.mean((t - p) ** 2))

    def train_step(self, data):
        x, y = data
        loss, gradients = self.value_and_grad(
            lambda: self.measured(y, self(x, training=True))
        )
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": loss}


def own_step(*inner, eager=False, rate=0.01):
    model = keras.Sequential([keras.Input((4,)), *inner])
    model = OwnStep(model.inputs, model.outputs)
    model.compile(keras.optimizers.SGD(rate), run_eagerly=eager)
    return model


@pytest.mark.parametrize("eager", [False, True])
def test_the_layer_and_batch_of_a_step_of_ones_own(eager):
    text = said_of(own_step(Log(name="ln"), layers.Dense(1), eager=eager))
    assert "On batch 2 of epoch 1" in text
    assert "/ln', 1 of 8 values; its inputs are finite (-1 to" in text


def test_the_loss_of_a_step_of_ones_own():
    model = own_step(layers.Dense(1))
    model.measured = lambda t, p: keras.ops.mean(keras.ops.log(p - 100))
    text = said_of(model)
    assert "On batch 0 of epoch 1 all layers' outputs are finite" in text


def test_the_update_of_a_step_of_ones_own():
    text = said_of(own_step(layers.Dense(2, name="before"), Norm(), layers.Dense(1)))
    assert "The update on batch 0 of epoch 1 made '" in text and "before/kernel" in text
    assert "own train_step has a gradient that is not finite" in text


def test_weights_that_grow_in_a_step_of_ones_own():
    model = own_step(layers.Dense(9), layers.Dense(1), rate=1e7)
    text = said_of(model, epochs=3)
    assert "smaller learning rate" in text and "kernel' has values of" in text


def test_weights_that_grow():
    text = said_of(stack(layers.Dense(9), layers.Dense(1), rate=1e7), epochs=3)
    assert "smaller learning rate" in text and "kernel' has values of" in text


def test_weights_that_are_nan_at_the_start():
    model = stack(layers.Dense(1, name="loaded"))
    model.layers[0].kernel.assign(np.full((4, 1), np.nan))
    text = said_of(model)
    assert "Before the first step" in text and "loaded/kernel" in text


def test_the_loss_itself():
    text = said_of(stack(layers.Dense(1), loss=lambda t, p: keras.ops.log(p - 100)))
    assert "all layers' outputs are finite" in text


def test_data_that_is_nan_is_said_of_the_data():
    x = X.copy()
    x[3, 1] = np.nan
    assert "Batch 1 of epoch 1 of the data has NaN" in said_of(
        stack(layers.Dense(1)), x
    )


def test_it_ends_at_once_where_that_was_asked_for():
    model = stack(Log(), layers.Dense(1))
    said_of(model, callbacks=[keras.callbacks.TerminateOnNaN()], epochs=3)
    assert len(model.history.history["loss"]) == 1


def test_the_look_for_a_cause_changes_nothing():
    results = []
    for on in (True, False):
        keras.utils.set_random_seed(3)
        keras.config.set_checks(on)
        model = stack(layers.Dropout(0.5), layers.Dense(1), rate=1e20)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted(model, X, X[:, :1], batch_size=2)
        results.append([np.asarray(v.value) for v in model.variables])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_data_parallel_trains_and_says_the_same():
    if len(keras.distribution.list_devices("cpu")) < 1:
        pytest.skip("no device")
    with keras.distribution.DataParallel().scope():
        with pytest.raises(DataError, match="is 3"):
            fitted(dense(), X, Y + 1)
        fitted(dense(), X, Y)

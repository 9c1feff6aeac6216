"""Mistakes in code of one's own are told by the name of what was written.

Why it happened: a class whose `__init__` leaves `super().__init__()` out, an attribute
that has the name of a property, a loss or a metric that fails, a method of arrays on a
symbolic tensor: all of them failed at the first line of ours or of JAX's that noticed,
in words about that line. A name says which class, loss, metric or attribute it was.
"""

import warnings

import numpy as np
import pytest

import carnyx as keras

L, ops = keras.layers, keras.ops
X, Y = np.ones((8, 4), "float32"), np.ones((8, 1), "float32")


def without_super(base, **members):
    members.setdefault("__init__", lambda self: setattr(self, "k", 1))
    return type("Mine", (base,), members)


class OwnMetric(keras.metrics.Metric):
    def __init__(self):
        self.n = self.add_weight(name="n")


class OwnLayer(L.Layer):
    def __init__(self):
        self.w = self.add_weight(shape=(3,))


FORGOTTEN = {
    "a layer's weight": OwnLayer,
    "a layer called": lambda: without_super(L.Layer, call=lambda self, x: x)()(X),
    "a model compiled": lambda: without_super(keras.Model)().compile("sgd", "mse"),
    "a metric's weight": OwnMetric,
    "a metric's variables": lambda: without_super(keras.metrics.Mean)()(1.0),
    "an optimizer's rate": lambda: (
        without_super(keras.optimizers.Optimizer)().learning_rate
    ),
    "an optimizer applied": lambda: without_super(keras.optimizers.SGD)().apply(
        [X], [keras.Variable(X)]
    ),
}


@pytest.mark.parametrize("case", FORGOTTEN)
def test_a_forgotten_super_is_told_by_the_class(case):
    with pytest.raises(AttributeError, match=r"call super\(\).__init__\(\)"):
        FORGOTTEN[case]()


PROPERTIES = [
    (base, name)
    for base in (keras.Model, L.Layer)
    for name in dir(base)
    if isinstance(getattr(base, name), property)
    and getattr(base, name).fset is None
    and not name.startswith("_")
]


@pytest.mark.parametrize(("base", "name"), PROPERTIES)
def test_a_property_that_is_taken_says_choose_another_name(base, name):
    class Mine(base):
        def __init__(self):
            super().__init__()
            setattr(self, name, [1])

    with pytest.raises(AttributeError, match=f"property '{name}'.* 'my_{name}'"):
        Mine()


def test_what_a_property_of_ones_own_lacks_is_named():
    class Mine(L.Layer):
        @property
        def scale(self):
            return self.factor

        def call(self, x):
            return x * self.scale

    with pytest.raises(AttributeError, match="no attribute 'factor'"):
        Mine()(X)
    assert not hasattr(Mine(), "scale")


@pytest.mark.parametrize("make", [keras.metrics.Mean, keras.metrics.Sum, L.ReLU])
def test_a_name_is_text(make):
    with pytest.raises(ValueError, match="name=3; expected text"):
        make(name=3)


def compiled(**options):
    model = keras.Sequential([keras.Input((4,)), L.Dense(3, name="head")])
    model.compile(**({"optimizer": "sgd", "loss": "mse"} | options))
    return model


class FailingMetric(keras.metrics.Mean):
    def update_state(self, y_true, y_pred, sample_weight=None):
        return super().update_state(ops.matmul(y_pred, y_pred))


def broken(y, p):
    return ops.matmul(p, p)


FAILING = {
    "shapes in a loss": ({"loss": lambda y, p: y[:, :2] - p}, "loss '<lambda>'"),
    "an op in a loss": ({"loss": broken}, "loss 'broken' of output 'head'"),
    "an `if` in a loss": (
        {"loss": lambda y, p: p if ops.max(p) > 0 else -p},
        "loss '<lambda>'",
    ),
    "an own error": ({"loss": lambda y, p: {}["key"]}, "loss '<lambda>'"),
    "a metric's function": ({"metrics": [broken]}, "metric 'broken' of output 'head'"),
    "a metric's class": (
        {"metrics": [FailingMetric(name="m")]},
        "metric 'm' of output 'head'",
    ),
    "one of several": (
        {"metrics": ["mae", lambda y, p: y[:, :2] - p]},
        "metric 'lambda' of output 'head'",
    ),
}


@pytest.mark.parametrize("case", FAILING)
def test_an_error_in_a_loss_or_metric_names_it_and_what_it_got(case):
    options, words = FAILING[case]
    with pytest.raises(Exception) as caught:  # noqa: PT011
        compiled(**options).fit(X, np.ones((8, 3), "float32"), verbose=0)
    notes = "\n".join(caught.value.__notes__)
    assert words in notes
    assert "float32[8, 3]" in notes or "float32[?, 3]" in notes


def test_a_loss_without_the_right_arguments_stays_a_type_error():
    with pytest.raises(TypeError, match="takes 1 positional argument"):
        compiled(loss=lambda y: y).fit(X, np.ones((8, 3)), verbose=0)


@pytest.mark.parametrize("options", [{"class_weight": {1: 2.0}}, {"sample_weight": 1}])
def test_one_number_for_a_batch_cannot_be_weighed(options):
    if "sample_weight" in options:
        options = {"sample_weight": np.ones(8)}
    model = keras.Sequential([keras.Input((4,)), L.Dense(1, activation="sigmoid")])
    model.compile("sgd", lambda y, p: ops.mean((y - p) ** 2))
    with pytest.raises(ValueError, match=r"one number for the whole batch.*axis=-1"):
        model.fit(X, np.ones(8, int), verbose=0, **options)


SYMBOL = {
    "numpy": lambda x: x.numpy(),
    "item": lambda x: x.item(),
    "mean": lambda x: x.mean(),
    "astype": lambda x: x.astype("int32"),
    "T": lambda x: x.T,
    "at": lambda x: x.at[0].set(1),
}


@pytest.mark.parametrize("name", SYMBOL)
def test_methods_of_arrays_on_a_symbolic_tensor_say_what_to_use(name):
    way_out = "call the model on an array" if name in ("numpy", "item") else "Use ops."
    with pytest.raises(AttributeError, match=f"'{name}'.*{way_out}"):
        SYMBOL[name](keras.Input((3,)))
    assert not hasattr(keras.Input((3,)), "no_such_thing")


def test_a_symbolic_tensor_is_not_changed_in_place():
    with pytest.raises(TypeError, match=r"in place.*ops\.slice_update"):
        keras.Input((3,))[0] = 1


def test_a_sequential_takes_layers_not_what_they_return():
    with pytest.raises(ValueError, match="Leave the call of it out"):
        keras.Sequential([keras.Input((3,)), L.Dense(2)(keras.Input((3,)))])


@pytest.mark.parametrize("given", ["inputs", "outputs"])
def test_a_model_of_half_a_graph_says_what_is_missing(given):
    with pytest.raises(ValueError, match=f"got {given} and no"):
        keras.Model(**{given: keras.Input((3,))})


@pytest.mark.parametrize("label", [None, np.nan])
def test_a_missing_label_is_called_missing(label):
    model = compiled(loss="sparse_categorical_crossentropy")
    labels = np.array([0, label] * 4, dtype=object)
    with pytest.raises(ValueError, match="a label is missing"):
        model.fit(X, labels, verbose=0)


def test_a_watched_name_that_is_not_there_is_compared_with_those_that_are():
    model = compiled(metrics=["accuracy"])
    stop = keras.callbacks.EarlyStopping("val_acuracy", mode="max")
    y = np.eye(3, dtype="float32")[np.arange(8) % 3]
    with pytest.warns(UserWarning, match="Did you mean 'val_accuracy'"):
        model.fit(X, y, validation_data=(X, y), verbose=0, callbacks=[stop])


ITERATORS = {
    "generator": lambda: (row for row in X),
    "map": lambda: map(np.asarray, X),
    "iter": lambda: iter([X]),
}


@pytest.mark.parametrize("kind", ITERATORS)
def test_an_iterator_in_a_structure_is_a_leaf_without_a_warning_of_jax(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = ITERATORS[kind]()
        assert keras.tree.flatten({"a": one, "b": [None]}) == [one, None]
        assert keras.tree.map_structure(type, [one]) == [type(one)]
        with pytest.raises(ValueError, match="validation_split needs arrays"):
            compiled().fit(ITERATORS[kind](), validation_split=0.5, verbose=0)


TAKEN = {
    "alpha": (lambda: L.LeakyReLU(alpha=0.1), {"negative_slope": 0.1}),
    "input_length": (lambda: L.Embedding(3, 2, input_length=7), {"output_dim": 2}),
}


@pytest.mark.parametrize("name", TAKEN)
def test_older_names_that_keras_3_takes_are_taken_with_a_warning(name):
    make, config = TAKEN[name]
    with pytest.warns(DeprecationWarning, match=f"{name}=.* of older versions"):
        layer = make()
    assert config.items() <= layer.get_config().items()
    type(layer).from_config(layer.get_config())


def test_metrics_of_compile_are_updated_purely_as_in_the_guide_of_own_steps():
    import jax

    class Own(keras.Model):
        def train_step(self, state, data):
            trainable, buffers, slots, values = state
            x, y = data

            def loss_of(trainable, buffers):
                p, buffers = self.stateless_call(trainable, buffers, x, training=True)
                return self.compute_loss(x, y, p), (p, buffers)

            (loss, (p, buffers)), g = jax.value_and_grad(loss_of, has_aux=True)(
                trainable, buffers
            )
            trainable, slots = self.optimizer.stateless_apply(slots, g, trainable)
            new, logs = [], {}
            for metric in self.metrics:
                own = values[len(new) : len(new) + len(metric.variables)]
                given = (loss,) if metric.name == "loss" else (y, p)
                own = metric.stateless_update_state(own, *given)
                logs[metric.name] = metric.stateless_result(own)
                new += own
            return logs, (trainable, buffers, slots, new)

    inputs = keras.Input((4,))
    model = Own(inputs, L.Dense(1, kernel_initializer="zeros")(inputs))
    model.compile(keras.optimizers.SGD(0.0), "mse", metrics=["mae"])
    assert all(isinstance(m, keras.metrics.Metric) for m in model.metrics)
    history = model.fit(X, 2 * Y, epochs=2, verbose=0).history
    assert history == {"loss": [4.0, 4.0], "mae": [2.0, 2.0]}

"""Models placed by device scopes give the numbers of one device."""

from __future__ import annotations

import contextlib
import pickle
import random
import tempfile
import warnings
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import carnyx as keras
from benchmarks.device_scopes import _overlap, _runs
from carnyx.errors import ArgumentError

layers, optimizers = keras.layers, keras.optimizers
Scope = Callable[[str | None], Any]
RANDOM = np.random.default_rng(0)
TWEETS = list(RANDOM.normal(size=(2, 50, 6, 5)).astype("float32"))
X = RANDOM.normal(size=(40, 8)).astype("float32")
LABELS = (RANDOM.random((50, 1)) > 0.5).astype("float32")
WEIGHTS = np.linspace(0.1, 2.0, 50, dtype="float32")


def nowhere(_: str | None) -> Any:
    return contextlib.nullcontext()


def both(make: Callable[[Scope], Any]) -> list[Any]:
    """A model without and with device scopes, from one seed."""
    models = []
    for scope in (nowhere, keras.device):
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(1)
        models.append(make(scope))
    return models


def check_same(got: Any, expected: Any, tolerance: float = 1e-5) -> None:
    """Equal as a whole, relative to the norm."""
    got, expected = (
        np.concatenate([np.ravel(np.asarray(v, "float64")) for v in leaves])
        for leaves in map(jax.tree_util.tree_leaves, (got, expected))
    )
    assert got.shape == expected.shape
    assert np.linalg.norm(got - expected) <= tolerance * np.linalg.norm(expected)


def train(model: Any, x: Any, y: Any, size: int, **fit: Any) -> dict[str, Any]:
    """What is seen of some epochs, an evaluation and a prediction."""
    keras.utils.set_random_seed(5)
    history = model.fit(x, y, batch_size=size, verbose=0, **fit).history
    return {
        "history": history,
        "evaluate": model.evaluate(x, y, batch_size=size, verbose=0),
        "predict": model.predict(x, batch_size=size, verbose=0),
        "weights": model.get_weights(),
    }


def check_trained(
    models: list[Any],
    x: Any,
    y: Any,
    size: int = 20,
    tolerance: float = 1e-5,
    **fit: Any,
) -> None:
    one, many = (train(model, x, y, size, **fit) for model in models)
    assert list(one["history"]) == list(many["history"])
    for key, value in one.items():
        check_same(many[key], value, tolerance)


def home(variable: Any) -> str:
    (device,) = variable.value.devices()
    return f"{device.platform}:{device.id}"


# ---- the example of the documentation, with all that a layer can do ----------------


def two_tweets(scope: Scope) -> Any:
    first, second = keras.Input((6, 5)), keras.Input((6, 5))
    shared = layers.LSTM(6, name="shared")
    with scope("/cpu:1"):
        a = shared(first)
    with scope("/device:CPU:2"):
        b = layers.Dropout(0.3)(layers.BatchNormalization(name="norm")(shared(second)))
    with scope("cpu:3"):
        x = layers.concatenate([a, b], axis=-1)
        x = layers.Dense(
            5, "relu", kernel_regularizer="l2", activity_regularizer="l2", name="dense"
        )(x)
    return keras.Model(
        [first, second], layers.Dense(1, activation="sigmoid", name="last")(x)
    )


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "momentum": lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "clipped averages": lambda: optimizers.AdamW(
        0.01, global_clipnorm=0.1, use_ema=True, ema_overwrite_frequency=3
    ),
    "accumulated and scaled": lambda: optimizers.LossScaleOptimizer(
        optimizers.SGD(0.05, gradient_accumulation_steps=4, global_clipnorm=0.05)
    ),
    "one for each": lambda: optimizers.MultiOptimizer(
        optimizers.OptimizerMap(
            optimizers.SGD(0.05), {".*shared.*": optimizers.Nadam(0.01)}
        )
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_numbers_of_one_device(name: str) -> None:
    models = both(two_tweets)
    uneven = name == "momentum"  # three steps an epoch, and a smaller one
    for model in models:
        metrics = ["accuracy", "auc"] if uneven else None
        model.compile(OPTIMIZERS[name](), "binary_crossentropy", metrics=metrics)
    size, epochs = (18, 7) if uneven else (25, 10)
    check_trained(models, TWEETS, LABELS, size, sample_weight=WEIGHTS, epochs=epochs)


def test_weights_live_once_and_slots_beside_them() -> None:
    _, model = both(two_tweets)
    model.compile(optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    model.fit(TWEETS, LABELS, batch_size=25, epochs=1, verbose=0)
    compiled = model.train_program().compilations()
    model.fit(TWEETS, LABELS, batch_size=25, epochs=2, verbose=0)
    assert model.train_program().compilations() == compiled
    homes = {"shared": "cpu:1", "norm": "cpu:2", "dense": "cpu:3", "last": "cpu:3"}
    for layer, device in homes.items():
        assert {home(v) for v in model.get_layer(layer).weights} == {device}
    slots = [v for v in model.optimizer.variables if v.like is not None]
    assert len(slots) == 2 * len(model.trainable_variables)
    assert [home(v) for v in slots] == [home(v.like) for v in slots]
    assert {home(v) for v in model.metrics_variables} == {"cpu:3"}

    rows = {row.name.split()[0]: row for row in model.placement().layers}
    assert rows["shared"].computed_on == ["cpu:1", "cpu:2"]
    assert rows["shared"].kept_on == ["cpu:1"]
    assert rows["last"].computed_on == ["cpu:3"]  # as what comes before it
    size = sum(v.nbytes for v in model.get_layer("shared").weights)
    devices = model.placement().devices
    assert devices["cpu:1"] == (size, 2 * size)
    assert sum(d.parameters for d in devices.values()) == sum(
        v.nbytes for v in model.weights
    )
    lines: list[str] = []
    model.summary(120, print_fn=lines.append, show_devices=True)
    (row,) = (line for line in lines[0].splitlines() if "shared (LSTM)" in line)
    assert "cpu:1–2" in row


def test_a_step_is_handed_over_and_branches_overlap() -> None:
    def wide(scope: Scope) -> Any:
        inputs = keras.Input((60, 32))
        ends = []
        for number in (1, 2):
            with scope(f"cpu:{number}"):
                ends.append(layers.LSTM(64)(inputs))
        model = keras.Model(inputs, layers.Dense(1)(layers.concatenate(ends)))
        model.compile("sgd", "mse")
        return model

    x, y = np.ones((32, 60, 32), "float32"), np.ones((32, 1), "float32")
    shares = []
    for model in both(wide):
        model.train_on_batch(x, y)
        program = model.train_program()
        with tempfile.TemporaryDirectory() as folder:
            with jax.profiler.trace(folder):
                for _ in range(5):
                    logs = program((x, y))
                    jax.block_until_ready((logs, program.held.store.values))
            (file,) = Path(folder).rglob("*.xplane.pb")
            data = jax.profiler.ProfileData.from_file(str(file))
            shares.append(_overlap(list(_runs(data))))
    assert shares[0] == 0
    assert shares[1] > 0.1


# ---- graphs of other forms -------------------------------------------------------


class Noted(layers.Layer):
    """Adds a loss and keeps a metric."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.mean = keras.metrics.Mean(name="noted")

    def call(self, x: Any) -> Any:
        self.add_loss(0.1 * keras.ops.mean(x**2))
        self.mean.update_state(keras.ops.mean(x))
        return x


def test_names_masks_added_losses_and_outputs_on_two_devices() -> None:
    def make(scope: Scope) -> Any:
        numbers = keras.Input((8,), name="numbers")
        words = keras.Input((7,), dtype="int32", name="words")
        with scope("cpu:1"):
            x = layers.Embedding(9, 4, mask_zero=True)(words)
            x = layers.LSTM(5, return_sequences=True)(x)
        with scope("cpu:2"):
            read = layers.GRU(3)(x)  # the mask comes along
            noted = Noted()(layers.Dense(3)(numbers))
        shared = layers.BatchNormalization()
        with scope("cpu:0"):
            value = layers.Dense(1, name="value")(shared(layers.add([read, noted])))
        with scope("cpu:3"):
            kind = layers.Dense(2, activation="softmax", name="kind")(shared(noted))
        model = keras.Model(
            {"numbers": numbers, "words": words}, {"value": value, "kind": kind}
        )
        model.compile(
            optimizers.SGD(0.05, momentum=0.9),
            {"value": "mse", "kind": "sparse_categorical_crossentropy"},
            metrics={"value": ["mae"], "kind": ["accuracy"]},
        )
        return model

    words = RANDOM.integers(0, 9, (40, 7))
    x = {"numbers": X, "words": words}
    y = {"value": LABELS[:40], "kind": LABELS[:40, 0].astype(int)}
    models = both(make)
    one, many = (
        [
            m.fit(x, y, batch_size=20, epochs=4, verbose=0, shuffle=False).history,
            m.get_weights(),
        ]
        for m in models
    )
    assert {"noted", "value_mae", "kind_loss"} <= set(one[0])
    check_same(many, one)


def nested(scope: Scope) -> Any:
    inside = keras.Input((8,))
    with scope("cpu:1"):
        x = layers.Dense(5, "relu")(inside)
    with scope("cpu:2"):
        y = layers.Dense(5)(x)
    inner = keras.Model(inside, [x, y])
    inputs = keras.Input((8,))
    with scope("cpu:3"):
        ends = [*inner(layers.Dense(8)(inputs)), *inner(inputs)]
        return keras.Model(inputs, layers.Dense(1)(layers.concatenate(ends)))


def frozen(scope: Scope) -> Any:
    inputs = keras.Input((8,))
    with scope("cpu:1"):
        first = layers.Dense(6)
        x = layers.Dense(5)(first(inputs))
    first.trainable = False
    with scope("cpu:2"):
        return keras.Model(inputs, layers.Dense(1)(x))


def stack(scope: Scope) -> Any:
    model = keras.Sequential([keras.Input((8,))])
    with scope("cpu:1"):
        model.add(layers.Dense(5))
    with scope("cpu:2"):
        model.add(layers.Dropout(0.3))
        model.add(layers.Dense(3, "tanh"))
    model.add(layers.Dense(1))
    return model


def all_on_one(scope: Scope) -> Any:
    with scope("cpu:5"):
        return keras.Sequential([keras.Input((8,)), layers.Dense(5), layers.Dense(1)])


class Around(keras.Model):
    """Calls a placed model."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.last = inner, layers.Dense(1)

    def call(self, x: Any) -> Any:
        return self.last(self.inner(x))


FORMS: dict[str, tuple[Callable[[Scope], Any], set[str]]] = {
    "nested": (nested, {"cpu:1", "cpu:2", "cpu:3"}),
    "frozen": (frozen, {"cpu:1", "cpu:2"}),
    "stack": (stack, {"cpu:1", "cpu:2"}),
    "all on one": (all_on_one, {"cpu:5"}),
    "called by a class": (
        lambda scope: Around(stack(scope)),
        {"cpu:0", "cpu:1", "cpu:2"},
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_graphs(name: str) -> None:
    make, devices = FORMS[name]
    models = both(make)
    for model in models:
        model.compile(optimizers.SGD(0.05, momentum=0.9), "mse", metrics=["mae"])
    check_trained(models, X, LABELS[:40], epochs=3)
    assert {home(v) for v in models[1].weights} == devices
    check_same(models[1](X), models[0](X))


@pytest.mark.parametrize("scaled", [False, True])
def test_a_model_with_nothing_to_train(scaled: bool) -> None:
    piped = keras.distribution.Pipeline(both(frozen)[0], stages=2)
    models = [*both(frozen), piped]
    logs = []
    for model in models:
        for layer in model.layers:
            layer.trainable = False
        optimizer: Any = optimizers.SGD(0.1, global_clipnorm=1.0)
        if scaled:
            optimizer = optimizers.LossScaleOptimizer(optimizer)
        model.compile(optimizer, "mse")
        logs.append(model.fit(X, LABELS[:40], batch_size=20, verbose=0).history)
        assert int(model.optimizer.iterations) == 0
    check_same(logs[1:], [logs[0]] * 2)


def drawn(scope: Scope, seed: int) -> Any:
    """A graph of layers that are used again and again, on devices by chance."""
    draw = random.Random(seed)
    first, second = keras.Input((4, 6)), keras.Input((4, 6))
    tensors = [first, second]
    pool = [
        layers.Dense(6, "tanh", kernel_regularizer="l2", activity_regularizer="l1"),
        layers.Dense(6, "relu"),
        layers.LayerNormalization(),
        layers.BatchNormalization(),
        layers.Dropout(0.3),
        layers.LSTM(6, return_sequences=True),
        layers.MultiHeadAttention(2, 3),
    ]
    for _ in range(8):
        layer, a, b = draw.choice(pool), draw.choice(tensors), draw.choice(tensors)
        with scope(draw.choice(["cpu:0", "cpu:1", "cpu:2", "cpu:3", None])):
            if draw.random() < 0.3:
                out = keras.ops.tanh(a) + b
            else:
                out = layer(a, b) if layer is pool[-1] else layer(a)
            tensors.append(out)
    with scope("cpu:4"):
        value = layers.Dense(1)(layers.Flatten()(tensors[-1]))
    with scope("cpu:5"):
        other = layers.Dense(1)(layers.Flatten()(tensors[-2]))
    return keras.Model([first, second], [value, other])


@pytest.mark.parametrize("seed", [2])
def test_graphs_by_chance(seed: int) -> None:
    models = both(lambda scope: drawn(scope, seed))
    for model in models:
        model.compile(optimizers.SGD(0.05, momentum=0.9, global_clipnorm=1.0), "mse")
    assert len(models[1].train_program().executor.stages) > 4
    x = list(RANDOM.normal(size=(2, 12, 4, 6)).astype("float32"))
    y = list(RANDOM.normal(size=(2, 12, 1)).astype("float32"))
    check_trained(models, x, y, 6, epochs=2)


# ---- steps of one's own -------------------------------------------------------------


def small(scope: Scope, cls: type = keras.Model) -> Any:
    inputs = keras.Input((8,))
    with scope("cpu:1"):
        a = layers.Dense(6, "relu")(inputs)
    with scope("cpu:2"):
        b = layers.Dropout(0.2)(layers.Dense(6, "tanh")(a))
    with scope("cpu:0"):
        x = layers.add([a, b])
        return cls(inputs, layers.Dense(1, kernel_regularizer="l2")(x))


class ByState(keras.Model):
    def train_step(self, state: Any, data: Any) -> Any:
        x, y = data[:2]
        trainable, buffers, slots, metrics = state

        def loss_of(trainable: Any) -> Any:
            out, after = self.stateless_call(trainable, buffers, x, training=True)
            return keras.ops.mean((out - y) ** 2), after

        (loss, buffers), gradients = jax.value_and_grad(loss_of, has_aux=True)(
            trainable
        )
        trainable, slots = self.optimizer.stateless_apply(slots, gradients, trainable)
        return {"loss": loss}, (trainable, buffers, slots, metrics)


class ByData(keras.Model):
    def train_step(self, data: Any) -> Any:  # type: ignore[override]
        x, y = data[:2]
        loss, gradients = self.value_and_grad(
            lambda: self.compute_loss(x, y, self(x, training=True))
        )
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": loss}

    def predict_step(self, data: Any) -> Any:  # type: ignore[override]
        return 2 * self(data[0], training=False)


class ByLoss(keras.Model):
    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ) -> Any:
        total = super().compute_loss(x, y, y_pred, sample_weight, training)
        first = self.trainable_variables[0]  # which lives elsewhere
        return total + 0.01 * keras.ops.mean(x**2) * keras.ops.sum(first**2)


@pytest.mark.parametrize("cls", [ByState, ByData, ByLoss])
def test_steps_of_a_class(cls: type) -> None:
    models = both(lambda scope: small(scope, cls))
    for model in models:
        model.compile(optimizers.Adam(0.01, global_clipnorm=0.5), "mse")
    check_trained(models, X[:20], LABELS[:20], 5, epochs=1, validation_split=0.5)
    slots = [v for v in models[1].optimizer.variables if v.like is not None]
    assert {home(v) for v in slots} == {"cpu:0", "cpu:1", "cpu:2"}


@pytest.mark.parametrize(
    "options", [{"run_eagerly": True}, {"steps_per_execution": 3}], ids=str
)
def test_options_of_compile(options: dict[str, Any]) -> None:
    models = both(small)
    for model in models:
        model.compile(optimizers.SGD(0.05, momentum=0.9), "mse", **options)
    weights = {0: 1.0, 1: 3.0}
    check_trained(models, X[:20], LABELS[:20], 5, epochs=1, class_weight=weights)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    try:
        models = both(small)
    finally:
        keras.config.set_dtype_policy("float32")
    for model in models:
        model.compile(optimizers.SGD(0.05), "mse")
    # a compiler keeps more digits between two layers than bfloat16 has, where it sees
    # both; between two devices they are bfloat16
    tolerance = 1e-2 if policy == "mixed_bfloat16" else 2e-3
    check_trained(models, X, LABELS[:40], 20, tolerance, epochs=2)
    assert all(v.dtype == "float32" for v in models[1].trainable_variables)


def test_a_run_that_stopped_goes_on_exactly(tmp_path: Path) -> None:
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 2:
                raise KeyboardInterrupt

    results = []
    for stops in ([], [Stop()]):
        (_, model) = both(small)
        model.compile(optimizers.Adam(0.01), "mse")
        folder = tmp_path / str(len(results))
        backup: Any = keras.callbacks.BackupAndRestore
        backups = backup(folder, save_freq=1)
        fit = {"batch_size": 10, "epochs": 2, "verbose": 0}
        keras.utils.set_random_seed(8)
        if stops:
            with pytest.raises(KeyboardInterrupt):
                model.fit(X, LABELS[:40], callbacks=[backups, *stops], **fit)
            (_, model) = both(small)
            model.compile(optimizers.Adam(0.01), "mse")
        history = model.fit(X, LABELS[:40], callbacks=[backups], **fit).history
        results.append([history["loss"][-1], *model.get_weights()])
        assert {home(v) for v in model.weights} == {"cpu:0", "cpu:1", "cpu:2"}
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


# ---- files and copies ----------------------------------------------------------------


def placed_layers(model: Any) -> dict[str, list[str]]:
    return {row.name: row.computed_on for row in model.placement().layers}


@pytest.mark.parametrize("make", [nested, stack, two_tweets])
def test_files_configs_and_clones_keep_the_placement(
    make: Callable[[Scope], Any], tmp_path: Path
) -> None:
    _, model = both(make)
    x = [t[:4] for t in TWEETS] if make is two_tweets else X[:4]
    model.compile(optimizers.Adam(0.01), "mse")
    model.train_on_batch(x, LABELS[:4])
    expected = model.predict(x, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        copies = [keras.models.clone_model(model)]
        copies.append(type(model).from_config(model.get_config()))
        for suffix in (".keras", ".h5"):
            model.save(tmp_path / f"model{suffix}")
            copies.append(
                keras.models.load_model(tmp_path / f"model{suffix}", devices="strict")
            )
    for copy in copies:
        assert placed_layers(copy) == placed_layers(model)
    for copy in copies[2:]:
        check_same(copy.predict(x, verbose=0), expected)
    if make is nested:  # the others have dropout
        model.reset_metrics()
        losses = [m.train_on_batch(x, LABELS[:4]) for m in (model, *copies[2:])]
        check_same(losses[1:], [losses[0]] * 2)


@pytest.mark.parametrize("how", ["scopes", "scopes in a stack", "pipeline"])
@pytest.mark.parametrize("copied", [deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_pickles(how: str, copied: Callable[[Any], Any]) -> None:
    make = stack if how == "scopes in a stack" else nested
    model = both(make)[how != "pipeline"]
    model.compile(optimizers.Adam(0.01), "mse")
    model.train_on_batch(X, LABELS[:40])
    if how == "pipeline":
        pipeline = keras.distribution.Pipeline(model, stages=3)
        pipeline.compile(optimizers.Adam(0.01), "mse")
        pipeline.fit(X, LABELS[:40], verbose=0)
    expected, before = model.predict(X, verbose=0), model.get_weights()
    twin = copied(model)
    if how != "pipeline":
        assert placed_layers(twin) == placed_layers(model)
    check_same(twin.predict(X, verbose=0), expected)
    if how != "pipeline":
        assert [home(v) for v in twin.weights] == [home(v) for v in model.weights]
    logs = twin.fit(X, LABELS[:40], verbose=0, shuffle=False).history
    check_same(model.get_weights(), before, 0.0)
    check_same(model.fit(X, LABELS[:40], verbose=0, shuffle=False).history, logs)
    check_same(twin.get_weights(), model.get_weights())


# ---- scopes -----------------------------------------------------------------------


def test_scopes_nest_and_place_arrays() -> None:
    x = keras.Input((3,))
    with keras.device("cpu:1"):
        array = keras.ops.ones((2,))
        with keras.device(jax.devices()[4]) as inner:
            variable = keras.Variable(1.0)
            a = layers.Dense(2)(x)
        with keras.device(None):
            b = layers.Dense(2)(a)
        c = layers.Dense(2)(b)
    assert inner.id == 4
    assert [t.node.device and t.node.device.id for t in (a, b, c)] == [4, None, 1]
    assert home(variable) == "cpu:4"
    assert {d.id for d in array.devices()} == {1}
    model = keras.Model(x, c)
    with keras.device("cpu:6"):
        out = model(np.ones((2, 3), "float32"))
    assert {d.id for d in out.devices()} == {6}
    assert model.placement().layers[2].computed_on == ["cpu:4"]  # after the first


def test_gradients_go_through_a_call_outside_of_a_step() -> None:
    one, many = both(small)

    def gradients(model: Any) -> Any:
        values = [v.value for v in model.trainable_variables]
        others = [v.value for v in model.non_trainable_variables]

        def loss(values: Any) -> Any:
            return model.stateless_call(values, others, X, training=False)[0].sum()

        return jax.grad(loss)(values)

    check_same(gradients(many), gradients(one))
    assert [home_of(g) for g in gradients(many)] == [
        home(v) for v in many.trainable_variables
    ]
    check_same(jax.jit(many)(X), one(X))  # a program is for one device


STEPS: dict[str, Callable[[], Any]] = {
    "plain": lambda: optimizers.Adam(0.1),
    "norm": lambda: optimizers.SGD(0.1, global_clipnorm=0.1),
    "scaled": lambda: optimizers.LossScaleOptimizer(optimizers.Nadam(0.1)),
    "sums": lambda: optimizers.Lion(0.1, gradient_accumulation_steps=2, use_ema=True),
}


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("name", STEPS)
def test_an_optimizer_steps_outside_of_fit(name: str, trained: bool) -> None:
    models = both(frozen)
    for model in models:
        model.compile(STEPS[name](), "mse")
        if trained:
            model.train_on_batch(X, LABELS[:40])
        variables = model.trainable_variables
        homes = [home(v) for v in variables]
        for i in range(3):
            grads = [v.value * 0 + 1.0 + i for v in variables]
            model.optimizer.apply(grads, variables)
        assert [home(v) for v in variables] == homes
    check_same(models[1].get_weights(), models[0].get_weights())


def home_of(array: Any) -> str:
    (device,) = array.devices()
    return f"{device.platform}:{device.id}"


def test_a_layer_moves_between_placed_and_other_models() -> None:
    _, placed = both(small)
    first = placed.layers[1]
    inputs = keras.Input((8,))
    plain = keras.Sequential([inputs, first, layers.Dense(1)])
    losses = []
    for model in (placed, plain):
        model.compile(optimizers.SGD(0.01), "mse")
    for model, device in ((placed, "cpu:1"), (plain, "cpu:0")) * 2:
        losses.append(model.train_on_batch(X, LABELS[:40]))
        assert home(first.kernel) == device
    assert np.isfinite(losses).all()


def test_what_cannot_be() -> None:
    with pytest.raises(keras.errors.DeviceError, match="'/gpu:0' is not there.*cpu:7"):
        with keras.device("/gpu:0"):
            pass
    with pytest.raises(keras.errors.DeviceError, match="expected a name"):
        with keras.device(3):
            pass
    _, model = both(small)
    with keras.distribution.DataParallel().scope():
        model.compile("sgd", "mse")
    with pytest.raises(ArgumentError, match="device scopes, and is to run under Data"):
        model.fit(X, LABELS[:40], verbose=0)


@pytest.mark.parametrize("cls", [keras.Model, ByState, ByData, ByLoss])
def test_no_estimate_of_one_device_for_several(cls: type) -> None:
    model = small(keras.device, cls)
    model.compile("sgd", "mse")
    with pytest.raises(ArgumentError, match="whose layers are placed on devices"):
        keras.distribution.estimate(model, (X, LABELS[:40]))

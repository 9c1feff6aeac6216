"""Callbacks and feeds at work in `fit`, `evaluate` and `predict`."""

import numpy as np
import pytest

from carnyx import callbacks, layers, models

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(70, 4)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")
WEIGHTS = [RANDOM.normal(size=(4, 1)).astype("float32"), np.zeros(1, "float32")]


@pytest.fixture(scope="module")
def compiled():
    model = models.Sequential([layers.Input((4,)), layers.Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture
def model(compiled):
    compiled.set_weights(WEIGHTS)
    compiled.optimizer.learning_rate = 0.5
    return compiled


def final(model, *arguments, **more):
    model.set_weights(WEIGHTS)
    history = model.fit(*arguments, **({"epochs": 3, "verbose": 0} | more))
    return history.history["loss"], model.get_weights()


class Batches:
    def __len__(self):
        return 5

    def __getitem__(self, i):
        return X[16 * i : 16 * i + 16], Y[16 * i : 16 * i + 16]


class Loader:
    def __iter__(self):
        return (Batches()[i] for i in range(5))


SOURCES = {
    "generator": lambda: (
        (Batches()[i % 5] for i in range(15)),
        {"steps_per_epoch": 5},
    ),
    "sequence": lambda: (Batches(), {"shuffle": False}),
    "loader": lambda: (Loader(), {}),
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_trains_to_the_same_weights(model, source):
    losses, weights = final(model, X, Y, batch_size=16, shuffle=False)
    x, more = SOURCES[source]()
    again, others = final(model, x, **more)
    np.testing.assert_allclose(losses, again, rtol=1e-6)
    for a, b in zip(weights, others, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_watching_every_batch_changes_nothing(model):
    seen = []
    watch = callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append((batch, logs["loss"])),
        on_test_batch_end=lambda batch, logs: seen.append(batch),
    )
    fit = {"batch_size": 16, "shuffle": False, "validation_data": (X, Y)}
    losses, weights = final(model, X, Y, **fit)
    watched, others = final(model, X, Y, callbacks=[watch], **fit)
    np.testing.assert_allclose(losses, watched, rtol=1e-6)
    np.testing.assert_allclose(weights[0], others[0], rtol=1e-6)
    first = seen[: 5 + 3]
    assert [s[0] for s in first[:5]] == [0, 1, 2, 3, 4] and first[5:] == [0, 1, 2]
    assert first[4][1] == pytest.approx(losses[0], rel=1e-6)


def test_a_job_with_everything(model, tmp_path):
    path = tmp_path / "best.keras"
    several = [
        callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True),
        callbacks.ModelCheckpoint(path, "val_loss", save_best_only=True),
        callbacks.CSVLogger(tmp_path / "history.csv"),
        callbacks.ReduceLROnPlateau("val_loss", patience=0, factor=0.1),
        callbacks.TerminateOnNaN(),
    ]
    history = model.fit(
        X, Y, validation_split=0.2, epochs=4, callbacks=several, verbose=0
    )
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 5
    assert len(history.history["learning_rate"]) == 4
    np.testing.assert_allclose(
        models.load_model(path).predict(X, verbose=0), model.predict(X, verbose=0),
        rtol=1e-6,
    )  # fmt: skip


def test_stopping_within_an_epoch(model):
    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    seen = []
    watch = callbacks.LambdaCallback(on_batch_end=lambda batch, _: seen.append(batch))
    model.fit(X, Y, batch_size=16, epochs=3, verbose=0, callbacks=[Stop(), watch])
    assert seen == [0, 1]


def test_the_rate_of_a_schedule_reaches_the_steps(model):
    schedule = callbacks.LearningRateScheduler(lambda epoch, rate: 0.0)
    _, weights = final(model, X, Y, callbacks=[schedule])
    np.testing.assert_array_equal(weights[0], WEIGHTS[0])


def test_class_weights_are_sample_weights(model):
    weights = np.where(Y[:, 0] > 0, 3.0, 0.5)
    by_class = final(model, X, Y, shuffle=False, class_weight={0: 0.5, 1: 3.0})
    by_sample = final(model, X, Y, shuffle=False, sample_weight=weights)
    assert by_class[0] == pytest.approx(by_sample[0], rel=1e-6)


def test_an_error_in_a_callback_comes_out(model):
    def fail(epoch, logs):
        raise RuntimeError("mine")

    failing = callbacks.LambdaCallback(on_epoch_end=fail)
    with pytest.raises(RuntimeError, match="mine"):
        model.fit(X, Y, verbose=0, callbacks=[failing])
    assert np.isfinite(model.predict(X, verbose=0)).all()

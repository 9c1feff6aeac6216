"""The same events through Keras's callbacks and ours: the same decisions."""

import inspect
import json
import math

import numpy as np
import pytest

import carnyx.callbacks as ours
from tests.callbacks import fakes

LOSSES = [
    [1.0, 0.8, 0.9, 0.85, 0.7, 0.7, 0.71, 0.6, 0.65, 0.66, 0.67, 0.68],
    [1.0, 0.99, 0.98, 0.97, 0.96, 0.95],
    [0.5, 0.6, 0.4, math.nan, 0.3, 0.35, 0.31, 0.305],
    [math.nan, 0.5, 0.4, 0.45],
    [0.2, 0.2, 0.2, 0.2, 0.2],
    *np.round(np.random.default_rng(0).random((6, 12)), 2).tolist(),
]

STOPPING = [
    {},
    {"patience": 2},
    {"patience": 1, "min_delta": 0.05},
    {"patience": 2, "baseline": 0.5},
    {"patience": 1, "restore_best_weights": True},
    {"patience": 3, "restore_best_weights": True, "baseline": 0.1},
    {"patience": 1, "start_from_epoch": 3, "restore_best_weights": True},
    {"patience": 2, "mode": "max", "restore_best_weights": True},
    {"monitor": "val_loss", "patience": 2},
    {"monitor": "loss", "patience": 1, "mode": "min", "min_delta": -0.1},
]


def logs_of(losses):
    return [{"loss": v, "val_loss": v * 2, "accuracy": 1 - v} for v in losses]


def both(keras, name, logs, rate=0.5, batches=0, **arguments):
    """(callback, model, rates) of Keras and of ours after the same job."""
    results = []
    for library in (keras.callbacks, ours):
        callback, model = getattr(library, name)(**arguments), fakes.FakeModel(rate)
        rates = fakes.train(library.CallbackList([callback]), model, logs, batches)
        results.append((callback, model, rates))
    return results


@pytest.mark.parametrize("arguments", STOPPING, ids=str)
def test_early_stopping(keras_oracle, arguments):
    arguments = {"monitor": "loss"} | arguments
    for losses in LOSSES:
        (theirs, m1, r1), (mine, m2, r2) = both(
            keras_oracle, "EarlyStopping", logs_of(losses), **arguments
        )
        for name in ("wait", "stopped_epoch", "best"):
            assert getattr(theirs, name) == pytest.approx(
                getattr(mine, name), nan_ok=True
            )
        assert (m1.weights, len(r1)) == (m2.weights, len(r2))
        if arguments.get("restore_best_weights"):
            assert theirs.best_epoch == mine.best_epoch


@pytest.mark.parametrize(
    "arguments",
    [
        {"patience": 0},
        {"patience": 1, "factor": 0.5},
        {"patience": 1, "cooldown": 2},
        {"patience": 2, "factor": 0.2, "min_lr": 0.1},
        {"patience": 1, "mode": "max", "min_delta": 0.1},
    ],
    ids=str,
)
def test_reduce_on_plateau(keras_oracle, arguments):
    for losses in LOSSES:
        (theirs, _, r1), (mine, _, r2) = both(
            keras_oracle,
            "ReduceLROnPlateau",
            logs_of(losses),
            monitor="loss",
            **arguments,
        )
        assert r1 == pytest.approx(r2)
        assert (theirs.wait, theirs.cooldown_counter) == (
            mine.wait,
            mine.cooldown_counter,
        )


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"save_best_only": True, "monitor": "loss"},
        {"save_best_only": True, "monitor": "accuracy", "mode": "max"},
        {"save_best_only": True, "monitor": "loss", "initial_value_threshold": 0.5},
        {
            "filepath": "w{epoch:03d}-{val_loss:.2f}.weights.h5",
            "save_weights_only": True,
        },
        {"filepath": "{epoch}-{batch}.h5", "save_freq": 3},
    ],
    ids=str,
)
def test_checkpoint(keras_oracle, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = {"filepath": "runs/{epoch}.keras"} | arguments
    seen = []
    for losses in LOSSES[:4]:
        (_, theirs, _), (_, mine, _) = both(
            keras_oracle, "ModelCheckpoint", logs_of(losses), batches=5, **arguments
        )
        assert theirs.saved == mine.saved
        seen += mine.saved
    assert seen


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize(
    "logs",
    [
        [
            {"loss": 0.5, "accuracy": 0.25},
            {"loss": 0.4, "val_loss": 0.5, "accuracy": 1},
        ],
        [{"loss": 0.5, "val_loss": 1.5, "each": np.array([1.0, 2.0])}] * 2,
    ],
)
def test_csv_logger(keras_oracle, logs, separator, tmp_path):
    texts = []
    for library in (keras_oracle.callbacks, ours):
        path = tmp_path / library.__name__
        for append in (False, True, True):
            logger = library.CSVLogger(path, separator=separator, append=append)
            fakes.train(library.CallbackList([logger]), fakes.FakeModel(), logs)
        texts.append(path.read_text())
    assert texts[0] == texts[1] and texts[0].count("epoch") == 1


@pytest.mark.parametrize(
    "schedule",
    [lambda epoch: 0.1 / (epoch + 1), lambda epoch, rate: rate * 0.5],
    ids=["epoch", "epoch and rate"],
)
def test_learning_rate_scheduler(keras_oracle, schedule):
    (_, _, r1), (_, _, r2) = both(
        keras_oracle, "LearningRateScheduler", logs_of(LOSSES[0]), schedule=schedule
    )
    assert r1 == r2


@pytest.mark.parametrize("name", ["LearningRateScheduler", "ReduceLROnPlateau"])
def test_the_learning_rate_is_in_the_history(keras_oracle, name):
    more = {"schedule": lambda epoch: 0.25} if "Scheduler" in name else {}
    histories = []
    for library in (keras_oracle.callbacks, ours):
        history = library.History()
        callbacks = library.CallbackList([getattr(library, name)(**more), history])
        fakes.train(callbacks, fakes.FakeModel(), logs_of(LOSSES[1]))
        histories.append(history.history)
    assert histories[0] == histories[1] and "learning_rate" in histories[0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_terminate_on_nan(keras_oracle, bad):
    logs = logs_of([0.5, bad, 0.5])
    (_, m1, r1), (_, m2, r2) = both(keras_oracle, "TerminateOnNaN", logs, batches=2)
    assert m1.stop_training and m2.stop_training and len(r1) == len(r2) == 2
    with pytest.raises(RuntimeError, match="after batch 0"):
        callbacks = ours.CallbackList([ours.TerminateOnNaN(raise_error=True)])
        fakes.train(callbacks, fakes.FakeModel(), logs, batches=2)


def test_signatures_are_those_of_keras(keras_oracle):
    for name in sorted(set(dir(ours)) & set(dir(keras_oracle.callbacks))):
        if isinstance(mine := getattr(ours, name), type):
            theirs = getattr(keras_oracle.callbacks, name)
            rows = [
                [
                    (p.name, p.default)
                    for p in inspect.signature(library).parameters.values()
                    # what is ours alone can only be given by its name
                    if p.kind not in (p.VAR_KEYWORD, p.KEYWORD_ONLY)
                ]
                for library in (mine, theirs)
            ]
            if name == "ProgbarLogger":  # has the arguments of Keras 2
                rows[0] = rows[0][2:]
            assert rows[0] == rows[1], name


@pytest.mark.parametrize("name", ["EarlyStopping", "ReduceLROnPlateau"])
@pytest.mark.parametrize("cut", [1, 3, 5])
def test_state_goes_on_where_it_stopped(name, cut):
    logs = logs_of(LOSSES[0])
    whole, model = getattr(ours, name)("loss", patience=3), fakes.FakeModel()
    rates = fakes.train(ours.CallbackList([whole]), model, logs)
    first, model = getattr(ours, name)("loss", patience=3), fakes.FakeModel()
    early = fakes.train(ours.CallbackList([first]), model, logs[:cut])
    state = json.loads(json.dumps(first.state()))

    second = getattr(ours, name)("loss", patience=3)
    callbacks = ours.CallbackList([second], model=model)
    callbacks.on_train_begin()
    second.restore(state)
    for epoch in range(cut, len(rates)):
        callbacks.on_epoch_begin(epoch)
        early.append(float(model.optimizer.learning_rate))
        callbacks.on_epoch_end(epoch, logs[epoch])
    assert early == rates and second.state() == whole.state()

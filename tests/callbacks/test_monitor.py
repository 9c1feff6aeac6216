"""Which way is better, and what is said when it cannot be known."""

from types import SimpleNamespace

import pytest

from carnyx import callbacks, metrics
from carnyx.errors import ArgumentError, FileError
from tests.callbacks.fakes import FakeModel


def stopping(monitor, compiled=(), **arguments):
    callback = callbacks.EarlyStopping(monitor, **arguments)
    model = FakeModel()
    model.metrics = [SimpleNamespace(name="loss"), SimpleNamespace(metrics=compiled)]
    callback.set_model(model)
    return callback


@pytest.mark.parametrize(
    "monitor, compiled, higher",
    [
        ("loss", [], False),
        ("val_loss", [], False),
        ("val_first_output_loss", [], False),
        ("val_accuracy", [metrics.BinaryAccuracy(name="accuracy")], True),
        ("dense_accuracy", [metrics.BinaryAccuracy(name="accuracy")], True),
        ("val_acc", [], True),
        ("mine", [metrics.AUC(name="mine")], True),
        ("val_mine", [metrics.MeanSquaredError(name="mine")], False),
        ("auc", [metrics.AUC(name="auc")], True),
    ],
)
def test_better_by_name(monitor, compiled, higher):
    callback = stopping(monitor, compiled)
    assert callback.improved(2.0, 1.0) is higher
    assert callback.improved(1.0, 2.0) is not higher


def test_what_cannot_be_known_is_asked_for():
    with pytest.raises(ArgumentError, match="more or less of 'something' is better"):
        stopping("something").improved(1.0, 2.0)
    assert stopping("something", mode="max").improved(2.0, 1.0)


def test_an_unknown_mode_is_told():
    with pytest.warns(UserWarning, match="mode got 'best'"):
        assert callbacks.EarlyStopping(mode="best").mode == "auto"


def test_a_missing_quantity_is_told():
    with pytest.warns(UserWarning, match="watches 'val_loss', but the logs have loss"):
        stopping("val_loss").on_epoch_end(0, {"loss": 1.0})


def test_what_checkpoints_refuse(tmp_path):
    for arguments, message in [
        ({"filepath": "a.txt"}, r"ends in .keras or .h5"),
        ({"filepath": "a.h5", "save_weights_only": True}, r"ends in .weights.h5"),
        ({"filepath": "a.keras", "save_freq": 0}, "expected 'epoch' or a number"),
        ({"filepath": "a.keras", "save_freq": "batch"}, "expected 'epoch' or a number"),
    ]:
        with pytest.raises(ArgumentError, match=message):
            callbacks.ModelCheckpoint(**arguments)
    unknown = callbacks.ModelCheckpoint("{accuracy}.keras")
    with pytest.raises(ArgumentError, match="no 'accuracy'. There are epoch, loss"):
        unknown.on_epoch_end(0, {"loss": 1.0})
    (tmp_path / "a.keras").mkdir()
    folder = callbacks.ModelCheckpoint(tmp_path / "a.keras")
    with pytest.raises(FileError, match="it is a folder"):
        folder.on_epoch_end(0, {})


def test_messages(capsys, tmp_path):
    model = FakeModel()
    path = str(tmp_path / "a.keras")
    several = [
        callbacks.ModelCheckpoint(path, "loss", 1, True),
        callbacks.EarlyStopping("loss", verbose=1, restore_best_weights=True),
        callbacks.ReduceLROnPlateau("loss", patience=1, factor=0.5, verbose=1),
        callbacks.LearningRateScheduler(lambda epoch: 0.25, verbose=1),
    ]
    events = callbacks.CallbackList(several, model=model)
    events.on_train_begin()
    for epoch, loss in enumerate([0.5, 0.75]):
        events.on_epoch_begin(epoch)
        events.on_epoch_end(epoch, {"loss": loss})
    events.on_train_end()
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert lines == [
        "Epoch 1: learning rate set to 0.25.",
        f"Epoch 1: loss improved from None to 0.50000, saving model to {path}",
        "Epoch 2: learning rate set to 0.25.",
        "Epoch 2: loss did not improve from 0.50000",
        "Epoch 2: reducing learning rate to 0.125.",
        "Epoch 2: early stopping",
        "Restoring the weights of the best epoch, 1",
    ]


def test_several_optimizers_each_have_a_rate():
    model = FakeModel()
    both = [SimpleNamespace(name=n, learning_rate=0.5) for n in ("adam", "sgd")]
    model.optimizer = SimpleNamespace(optimizers=both)
    history = callbacks.History()
    halve = callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    events = callbacks.CallbackList([halve, history], model=model)
    events.on_epoch_begin(0)
    events.on_epoch_end(0, {})
    assert history.history == {
        "learning_rate_adam": [0.25],
        "learning_rate_sgd": [0.25],
    }


@pytest.mark.parametrize("rate", [None, "0.1", True, [0.1]])
def test_a_schedule_that_gives_no_number_is_told(rate):
    callback = callbacks.LearningRateScheduler(lambda epoch: rate)
    callback.set_model(FakeModel())
    with pytest.raises(ArgumentError, match="expected a float"):
        callback.on_epoch_begin(0)


def test_a_factor_of_one_is_refused():
    with pytest.raises(ArgumentError, match="a factor below 1"):
        callbacks.ReduceLROnPlateau(factor=1.0)

"""`CallbackList`: who is called, with what; logs that are read late."""

import copy
import json
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carnyx import callbacks
from carnyx.callbacks.dispatch import HOOKS
from carnyx.callbacks.logs import Logs
from carnyx.errors import ArgumentError
from tests.callbacks.fakes import FakeModel

NUMBERED = [name for name in HOOKS if "batch" in name or "epoch" in name]


def recorder(*names):
    """A callback that has these hooks and writes down their calls."""
    calls = []

    def hook(name):
        return lambda self, *arguments: calls.append((name, *arguments))

    kind = type("Recorder", (callbacks.Callback,), {name: hook(name) for name in names})
    callback = kind()
    callback.calls = calls
    return callback


@pytest.mark.parametrize("name", HOOKS)
def test_every_event_reaches_its_hook_with_its_logs(name):
    callback = recorder(name)
    event = getattr(callbacks.CallbackList([[callback], None]), name)
    arguments = (3,) if name in NUMBERED else ()
    event(*arguments, {"loss": jnp.float32(0.5)})
    event(*arguments, logs={"loss": 0.25})
    event(*arguments)
    assert callback.calls == [
        (name, *arguments, logs) for logs in ({"loss": 0.5}, {"loss": 0.25}, {})
    ]


def test_older_names_are_called_for_training_batches():
    callback = recorder("on_batch_begin", "on_batch_end")
    events = callbacks.CallbackList(callback)
    events.on_train_batch_begin(0)
    events.on_train_batch_end(0)
    events.on_test_batch_end(0)
    assert [call[0] for call in callback.calls] == ["on_batch_begin", "on_batch_end"]


def test_callbacks_of_keras_itself_are_called_for_what_they_override(keras_oracle):
    seen = []

    class Theirs(keras_oracle.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((epoch, logs, self.model, self.params))

    model = FakeModel()
    events = callbacks.CallbackList([Theirs()], model=model, epochs=2)
    assert not events.wants_batches
    events.on_train_batch_end(0, {})
    events.on_epoch_end(1, {"loss": 1})
    assert seen == [(1, {"loss": 1.0}, model, {"epochs": 2})]


@pytest.mark.parametrize(
    "make, wanted",
    [
        (lambda: [], {}),
        (lambda: [callbacks.ProgbarLogger(), callbacks.History()], {}),
        (lambda: [callbacks.EarlyStopping(), callbacks.ReduceLROnPlateau()], {}),
        (lambda: [callbacks.ModelCheckpoint("a.keras")], {}),
        (lambda: [callbacks.ModelCheckpoint("a.keras", save_freq=5)], {"train"}),
        (lambda: [callbacks.TerminateOnNaN()], {"train"}),
        (lambda: [recorder("on_train_batch_end")], {"train"}),
        (lambda: [recorder("on_batch_begin")], {"train"}),
        (lambda: [recorder("on_test_batch_end")], {"test"}),
        (lambda: [recorder("on_predict_batch_begin")], {"predict"}),
        (lambda: [callbacks.LambdaCallback(on_train_batch_end=print)], {"train"}),
        (lambda: [callbacks.LambdaCallback(on_epoch_end=print)], {}),
        (
            lambda: [
                type(
                    "Mine",
                    (callbacks.ModelCheckpoint,),
                    {"on_train_batch_end": lambda self, batch, logs=None: None},
                )("a.keras")
            ],
            {"train"},
        ),
    ],
)
def test_who_wants_to_see_every_step(make, wanted):
    events = callbacks.CallbackList(make(), add_progbar=True, epochs=1, verbose=0)
    events.callbacks[-1].verbose = 0
    for phase in ("train", "test", "predict"):
        getattr(events, f"on_{phase}_begin")()
        assert events.wants_batches is (phase in wanted), phase
        getattr(events, f"on_{phase}_end")()
        assert events.wants_batches is ("train" in wanted)


def test_history_and_bar_are_added_once():
    model, history = FakeModel(), callbacks.History()
    bar = callbacks.ProgbarLogger()
    events = callbacks.CallbackList([bar, history], True, True, model)
    assert events.callbacks == [bar, history] and model.history is history
    events = callbacks.CallbackList(None, True, True, model)
    kinds = [type(c).__name__ for c in events.callbacks]
    assert kinds == ["History", "ProgbarLogger"] and events.callbacks[0].model is model


def test_an_appended_callback_is_like_the_others():
    events = callbacks.CallbackList(model=FakeModel(), epochs=3)
    late = recorder("on_epoch_begin")
    events.append(late)
    events.on_epoch_begin(0)
    assert late.model is events.model and late.params == {"epochs": 3} and late.calls


@pytest.mark.parametrize("wrong", [callbacks.EarlyStopping, print, "EarlyStopping"])
def test_what_is_no_callback_is_refused(wrong):
    with pytest.raises(ArgumentError, match="expected objects of Callback classes"):
        callbacks.CallbackList([wrong])


def test_a_wrong_hook_name_is_refused():
    with pytest.raises(ArgumentError, match="no such hook"):
        callbacks.LambdaCallback(on_epoch_ended=print)


def test_logs_stay_on_the_device_until_read(monkeypatch):
    fetched = []
    get = jax.device_get
    monkeypatch.setattr(jax, "device_get", lambda x: fetched.append(x) or get(x))
    value = jnp.float32(0.5)
    blind = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    callbacks.CallbackList([blind]).on_train_batch_end(0, {"loss": value})
    assert not fetched
    reader = callbacks.LambdaCallback(on_train_batch_end=lambda b, logs: logs["loss"])
    events = callbacks.CallbackList([reader, reader, blind])
    events.on_train_batch_end(0, {"loss": value, "accuracy": value})
    assert len(fetched) == 1 and set(fetched[0]) == {"accuracy", "loss"}


@pytest.mark.parametrize(
    "read",
    [
        dict,
        copy.copy,
        copy.deepcopy,
        lambda logs: logs.copy(),
        lambda logs: {**logs},
        lambda logs: logs | {},
        lambda logs: {} | logs,
        lambda logs: dict(logs.items()),
        lambda logs: dict(zip(logs, logs.values())),
        lambda logs: {k: logs.get(k) for k in logs},
        lambda logs: {k: logs.pop(k) for k in list(logs)},
        lambda logs: (lambda **kwargs: kwargs)(**logs),
        lambda logs: json.loads(json.dumps(logs)),
        lambda logs: pickle.loads(pickle.dumps(logs)),
        lambda logs: eval(repr(logs)),
    ],
)
def test_however_logs_are_read_they_are_floats(read):
    values = read(Logs({"b": jnp.float32(0.5), "a": {"c": np.int64(3)}, "d": 1}))
    assert values == {"b": 0.5, "c": 3.0, "d": 1.0}
    assert all(type(value) is float for value in values.values())


def test_what_is_no_scalar_stays_in_logs():
    array, nested = jnp.ones(3), [jnp.float32(1)]
    logs = Logs({"outputs": nested, "matrix": array, "name": "x"})
    assert logs["outputs"] is nested and logs["matrix"] is array
    assert list(Logs({"b": 1, "a": 2})) == ["a", "b"]


def test_what_a_callback_adds_the_later_ones_see():
    def add(epoch, logs):
        logs["mine"] = 7

    history = callbacks.History()
    adder = callbacks.LambdaCallback(on_epoch_end=add)
    given = {"loss": 1.0}
    callbacks.CallbackList([adder, history], model=FakeModel()).on_epoch_end(0, given)
    assert history.history == {"loss": [1.0], "mine": [7]} and given == {"loss": 1.0}

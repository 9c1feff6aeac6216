"""Kind: how many steps run at once, and who hears of them.

Where a user asks for `steps_per_execution=N`, callbacks hear of N batches at once, by
the numbers of the first and the last; that the library itself fuses steps is seen by
nobody. Both were one setting (any look at batches undid the fusing), so that callbacks
heard of every batch, and what they did there cost as much as without it.
"""

import numpy as np
import pytest

import carnyx as keras
from carnyx._training.programs import StepProgram

SIZES = [4, 4, 4, 4, 4, 4, 2]
X = np.arange(26 * 3, dtype="float32").reshape(26, 3) / 78
Y = np.ones((26, 1), "float32")


class Watcher(keras.callbacks.Callback):
    """Writes down what the hooks of batches are told."""

    def __init__(self):
        super().__init__()
        self.begins, self.ends, self.logs = [], [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.begins.append(batch)

    def on_train_batch_end(self, batch, logs=None):
        self.ends.append(batch)
        self.logs.append(dict(logs))

    on_test_batch_begin = on_predict_batch_begin = on_train_batch_begin
    on_test_batch_end = on_predict_batch_end = on_train_batch_end


def _model(steps, eager=False):
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="ones")]
    )
    model.compile("sgd", "mse", steps_per_execution=steps, run_eagerly=eager)
    return model


def _data(source, targets):
    if source == "arrays":
        return {"x": X, "batch_size": 4} | ({"y": Y} if targets else {})
    rows = [slice(i, i + 4) for i in range(0, 26, 4)]
    return {"x": iter([(X[r], Y[r]) if targets else (X[r],) for r in rows])}


def _run(model, method, source, **options):
    watcher = Watcher()
    data = _data(source, targets=method != "predict")
    options |= {"shuffle": False} if method == "fit" else {}
    result = getattr(model, method)(**data, verbose=0, callbacks=[watcher], **options)
    return watcher, result


@pytest.mark.parametrize("source", ["arrays", "generator"])
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
@pytest.mark.parametrize("steps, eager", [(1, False), (3, False), (3, True), (9, True)])
def test_callbacks_hear_of_groups(source, method, steps, eager):
    watcher, _ = _run(_model(steps, eager), method, source)
    firsts = list(range(0, 7, steps))
    assert watcher.begins == firsts
    assert watcher.ends == [first + steps - 1 for first in firsts]
    if method == "predict":
        rows = [sum(SIZES[first : first + steps]) for first in firsts]
        assert [logs["outputs"].shape for logs in watcher.logs] == [
            (n, 1) for n in rows
        ]


@pytest.mark.parametrize("source", ["arrays", "generator"])
@pytest.mark.parametrize("watched", [True, False])
def test_groups_train_as_single_steps_do(source, watched):
    weights = []
    for steps in (1, 3):
        model = _model(steps)
        if watched:
            _run(model, "fit", source)
        else:
            model.fit(**_data(source, True), shuffle=False, verbose=0)
        weights.append(model.get_weights())
        assert int(model.optimizer.iterations) == 7
    for one, three in zip(*weights, strict=True):
        np.testing.assert_allclose(one, three, rtol=1e-5)


def test_a_group_is_one_dispatch(monkeypatch):
    starts = []
    usual = StepProgram.start

    def start(self, batches, *places):
        starts.append(places[1] - places[0] if len(places) == 2 else 1)
        return usual(self, batches, *places)

    monkeypatch.setattr(StepProgram, "start", start)
    _run(_model(3), "fit", "arrays")
    assert starts == [3, 3, 1]


def test_a_bar_ends_with_the_data(capsys):
    _model(4).fit(X, Y, batch_size=4, verbose=1, callbacks=[Watcher()])
    assert "8/7" not in capsys.readouterr().out


def test_outputs_are_told_in_their_structure():
    given = keras.Input((3,))
    model = keras.Model(given, {"a": given + 1.0, "b": given * 2.0})
    watcher = Watcher()
    model.predict(X[:4], batch_size=2, verbose=0, callbacks=[watcher])
    assert [sorted(logs["outputs"]) for logs in watcher.logs] == [["a", "b"]] * 2

"""Averages swapped in, NaN undone, logs sent, Keras 2's arguments, other trackers."""

from __future__ import annotations

import io
import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import carnyx as keras
from carnyx import callbacks

X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
Y = X[:, :1] - X[:, 2:3]


def build(optimizer: Any = "sgd") -> Any:
    init = keras.initializers.GlorotUniform(seed=1)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(1, kernel_initializer=init)]
    )
    model.compile(optimizer, "mse")
    return model


def hooks(**functions: Any) -> Any:
    return callbacks.LambdaCallback(**functions)


# ---- averaged weights


def averaging() -> Any:
    return keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.8)


def wrapped() -> Any:
    model = keras.optimizers.LossScaleOptimizer(averaging(), initial_scale=2.0)
    return model


@pytest.mark.parametrize("make", [averaging, wrapped])
def test_evaluation_sees_the_averages_and_training_does_not(make: Any) -> None:
    model, seen = build(make()), []
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    watch = hooks(
        on_test_end=lambda logs: seen.append((model.get_weights()[0], logs["loss"]))
    )
    swap = callbacks.SwapEMAWeights()
    options: Any = {"batch_size": 16, "verbose": 0, "shuffle": False}
    model.fit(X, Y, callbacks=[watch, swap], validation_data=(X, Y), **options)
    average = optimizer.averages[0].numpy()
    np.testing.assert_allclose(seen[0][0], average, 1e-6)
    model.set_weights([average, optimizer.averages[1].numpy()])
    np.testing.assert_allclose(model.evaluate(X, Y, verbose=0), seen[0][1], 1e-5)

    plain = build(make())
    plain.fit(X, Y, epochs=3, **options)
    swapped = build(make())
    swapped.fit(X, Y, epochs=3, callbacks=[callbacks.SwapEMAWeights()], **options)
    for a, b in zip(plain.get_weights(), swapped.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, 1e-6)


@pytest.mark.parametrize("stop", [False, True])
def test_averages_between_epochs_are_what_is_saved(tmp_path: Path, stop: bool) -> None:
    model = build(averaging())
    path = tmp_path / "{epoch}.weights.h5"
    several = [
        callbacks.SwapEMAWeights(swap_on_epoch=True),
        callbacks.ModelCheckpoint(path, save_weights_only=True),
        hooks(
            on_epoch_end=lambda e, _: setattr(model, "stop_training", stop and e == 1)
        ),
    ]
    model.fit(X, Y, batch_size=16, epochs=4, verbose=0, callbacks=several)
    saved = build(averaging())
    saved.load_weights(tmp_path / f"{2 if stop else 4}.weights.h5")
    for a, average in zip(saved.get_weights(), model.optimizer.averages, strict=True):
        np.testing.assert_allclose(a, average.numpy(), 1e-6)
    for a, b in zip(saved.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, 1e-6)


def test_swapping_goes_on_after_a_resume(tmp_path: Path) -> None:
    def fit(model: Any, *more: Any) -> Any:
        several = [callbacks.SwapEMAWeights(swap_on_epoch=True), *more]
        return model.fit(
            X, Y, batch_size=16, epochs=4, verbose=0, callbacks=several, shuffle=False,
            resume=tmp_path if more else None,
        )  # fmt: skip

    def stop(epoch: int, logs: Any) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    whole, again = build(averaging()), build(averaging())
    expected = fit(whole).history
    with pytest.raises(KeyboardInterrupt):
        fit(build(averaging()), hooks(on_epoch_begin=stop))
    assert fit(again, hooks()).history == expected
    for a, b in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_averages_to_swap() -> None:
    with pytest.raises(ValueError, match="Make it with use_ema=True"):
        build().fit(
            X, Y, verbose=0, validation_data=(X, Y),
            callbacks=[callbacks.SwapEMAWeights()],
        )  # fmt: skip


# ---- a loss that is no number


def broken() -> Any:
    """The 3rd batch of the 2nd epoch, of four, has a NaN."""

    class Data(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                self.y[40] = np.nan

    data = Data()
    data.y = Y.copy()
    return data


class Rows:
    """Batches that see the array as it is when they are asked for."""

    def __init__(self, y: Any) -> None:
        self.y = y

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> Any:
        part = slice(16 * i, 16 * (i + 1))
        return X[part], self.y[part]


@pytest.mark.filterwarnings("ignore:The loss became nan")
@pytest.mark.parametrize("restore", [True, False])
def test_the_last_good_state_comes_back(restore: bool, capsys: Any) -> None:
    model, data, good = build("adam"), broken(), []
    keep = hooks(on_epoch_end=lambda e, _: good.append(model.get_weights()))
    model.fit(
        Rows(data.y), epochs=5, verbose=0, shuffle=False,
        callbacks=[data, callbacks.TerminateOnNaN(restore=restore), keep],
    )  # fmt: skip
    text = capsys.readouterr().out
    assert "after batch 2 of epoch 2 (step 7)" in text and len(good) == 2
    assert ("The state is that of the end of epoch 1" in text) is restore
    assert np.isfinite(model.get_weights()[0]).all() == restore
    if restore:
        np.testing.assert_array_equal(model.get_weights()[0], good[0][0])
        assert int(model.optimizer.iterations) == 4


def test_back_to_the_beginning_and_an_error() -> None:
    model = build()
    before = model.get_weights()
    stop = callbacks.TerminateOnNaN(True, restore=True)
    with pytest.raises(RuntimeError, match=r"step 1\).*state is that of the beginning"):
        model.fit(X * np.nan, Y, verbose=0, callbacks=[stop])
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


# ---- logs sent away


class Server(HTTPServer):
    def __init__(self) -> None:
        self.requests: list[tuple[str, Any, str]] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.requests.append((self.path, self.headers, body))  # type: ignore
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Any:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("as_json", [False, True])
def test_logs_reach_a_server(server: Any, as_json: bool) -> None:
    send = callbacks.RemoteMonitor(
        f"http://127.0.0.1:{server.server_port}", headers={"X-Key": "k"},
        send_as_json=as_json,
    )  # fmt: skip
    history = build().fit(X, Y, epochs=2, verbose=0, callbacks=[send]).history
    path, headers, body = server.requests[1]
    text = body if as_json else urllib.parse.parse_qs(body)["data"][0]
    assert json.loads(text) == {"epoch": 1, "loss": history["loss"][1]}
    assert path == "/publish/epoch/end/" and headers["X-Key"] == "k"
    assert ("json" in headers["Content-Type"]) is as_json


def test_a_server_that_is_away_is_only_warned_about() -> None:
    send = callbacks.RemoteMonitor("http://127.0.0.1:9")
    with pytest.warns(UserWarning, match="could not reach 'http://127.0.0.1:9/publish"):
        build().fit(X, Y, verbose=0, callbacks=[send])


# ---- what Keras 2 had


def test_period_saves_every_so_many_epochs(tmp_path: Path) -> None:
    save = callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras", period=2)
    build().fit(X, Y, epochs=5, verbose=0, callbacks=[save])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["2.keras", "4.keras"]


def test_base_logger_averages_a_loop_of_ones_own() -> None:
    history = callbacks.History()
    loop = callbacks.CallbackList([callbacks.BaseLogger({"last"}), history])
    loop.set_params({"epochs": 1})
    loop.on_train_begin()
    loop.on_epoch_begin(0)
    for batch, (size, loss) in enumerate([(3, 1.0), (1, 3.0)]):
        loop.on_batch_end(
            batch, {"batch": batch, "size": size, "loss": loss, "last": loss}
        )
    loop.on_epoch_end(0, {"val_loss": 2.0})
    assert history.history == {"last": [3.0], "loss": [1.5], "val_loss": [2.0]}


def test_base_logger_leaves_the_means_of_fit_alone() -> None:
    options: Any = {"batch_size": 16, "verbose": 0, "shuffle": False}
    plain = build().fit(X, Y, **options).history
    logged = build().fit(X, Y, callbacks=[callbacks.BaseLogger()], **options).history
    assert plain == logged


def test_the_bar_can_count_samples(capsys: Any) -> None:
    bar = callbacks.ProgbarLogger(count_mode="samples")
    build().fit(X, Y, batch_size=24, callbacks=[bar], verbose=2)
    assert "64/64" in capsys.readouterr().out
    build().fit(X, Y, batch_size=24, callbacks=[callbacks.ProgbarLogger()], verbose=2)
    assert "3/3" in capsys.readouterr().out
    with pytest.raises(ValueError, match="expected 'steps' or 'samples'"):
        callbacks.ProgbarLogger("batches")


def test_the_bar_averages_the_logs_of_single_batches(capsys: Any) -> None:
    loop = callbacks.CallbackList(
        [callbacks.ProgbarLogger(stateful_metrics=["last"])],
        verbose=2,
        epochs=1,
        steps=2,
    )
    loop.on_epoch_begin(0)
    loop.on_train_batch_end(0, {"loss": 1.0, "last": 1.0})
    loop.on_train_batch_end(1, {"loss": 3.0, "last": 3.0})
    loop.on_epoch_end(0, {})
    text = capsys.readouterr().out
    assert "last: 3.0000" in text and "loss: 2.0000" in text


# ---- callbacks that other libraries wrote for Keras


def test_a_tracker_written_for_keras_runs(keras_oracle: Any, tmp_path: Path) -> None:
    """What MLflow's and Weights & Biases' callbacks ask of a model."""
    told: dict[str, Any] = {"epochs": [], "batches": 0, "tests": 0}

    class Tracker(keras_oracle.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            told["optimizer"] = self.model.optimizer.get_config()
            lines = io.StringIO()
            self.model.summary(print_fn=lambda line: lines.write(line + "\n"))
            told["summary"], told["params"] = lines.getvalue(), self.params

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            told["batches"] += 1

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            rate = float(self.model.optimizer.learning_rate.numpy().item())
            told["epochs"].append({**logs, "rate": rate})
            self.model.save(tmp_path / "kept.keras")

        def on_test_end(self, logs: Any = None) -> None:
            told["tests"] += 1

    model = build(keras.optimizers.Adam(0.1))
    history = model.fit(
        X, Y, batch_size=16, epochs=2, validation_data=(X, Y), verbose=0,
        callbacks=[Tracker()], resume=tmp_path / "backups",
    ).history  # fmt: skip
    assert told["optimizer"]["beta_1"] == 0.9 and "Dense" in told["summary"]
    assert told["batches"] == 8 and told["tests"] == 2 and told["params"]["epochs"] == 2
    assert [e["val_loss"] for e in told["epochs"]] == history["val_loss"]
    assert told["epochs"][0]["rate"] == np.float32(0.1)
    assert (tmp_path / "kept.keras").is_file()


def test_orbax_is_named_where_it_is_missing(monkeypatch: Any) -> None:
    monkeypatch.setitem(__import__("sys").modules, "orbax.checkpoint", None)
    with pytest.raises(ImportError, match="pip install orbax-checkpoint"):
        callbacks.OrbaxCheckpoint("folder")

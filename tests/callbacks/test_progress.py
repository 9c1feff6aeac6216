"""The bar as a terminal, a notebook and a log show it."""

import io
import re
import sys
from types import SimpleNamespace

import jax.numpy as jnp
import pytest

from carnyx import callbacks, config
from carnyx.callbacks import progress
from carnyx.errors import ArgumentError


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """Time that passes a tenth of a second with every step."""

    def __init__(self, monkeypatch, step=0.1):
        self.now, self.step = 100.0, step
        monkeypatch.setattr(progress, "time", SimpleNamespace(time=lambda: self.now))

    def tick(self):
        self.now += self.step


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("PYCHARM_HOSTED", raising=False)
    return Clock(monkeypatch)


def run(monkeypatch, clock, out, params, steps=10, chunk=1, epochs=1):
    monkeypatch.setattr(sys, "stdout", out)
    params = {"verbose": 1, "epochs": epochs, "steps": steps} | params
    events = callbacks.CallbackList([callbacks.ProgbarLogger()], **params)
    events.on_train_begin()
    for epoch in range(epochs):
        events.on_epoch_begin(epoch)
        for step in range(chunk - 1, steps, chunk):
            clock.tick()
            events.on_train_batch_end(step, {"loss": jnp.float32(1 / (step + 1))})
        events.on_test_begin()
        events.on_test_batch_end(0, {"loss": 9.0})
        events.on_test_end({"loss": 9.0})
        events.on_epoch_end(epoch, {"loss": 0.25, "val_loss": 0.00025})
    events.on_train_end()
    return out.getvalue()


def frames(text):
    """What stood on the line after each drawing, without colours."""
    return [re.sub(r"\x1b\[\d*m", "", f) for f in re.split(r"[\r\n]", text) if f]


def test_a_terminal_sees_a_growing_bar(monkeypatch, clock):
    shown = frames(run(monkeypatch, clock, Terminal(), {}))
    assert len(shown) == 11
    assert shown[4].startswith(" 5/10 " + "━" * 20 + " 0s 100ms/step - loss: 0.2000")
    assert shown[-1].startswith("10/10 " + "━" * 20 + " 1s 100ms/step - loss: 0.2500")
    assert shown[-1].endswith("- val_loss: 2.5000e-04") and "9.0" not in "".join(shown)


def test_the_bar_is_green_as_far_as_it_got(monkeypatch, clock):
    text = run(monkeypatch, clock, Terminal(), {})
    drawn = re.findall(r"\x1b\[32m(━*)\x1b\[37m(━*)", text)
    assert [len(done) for done, _ in drawn] == [2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 20]
    assert all(len(done) + len(rest) == 20 for done, rest in drawn)


def test_a_narrow_terminal_is_never_filled(monkeypatch, clock):
    monkeypatch.setenv("COLUMNS", "42")
    shown = frames(run(monkeypatch, clock, Terminal(), {}))
    assert max(len(frame) for frame in shown[:-1]) == 41
    assert "val_loss" in shown[-1]  # the last may wrap: it is not drawn again


def test_a_shorter_line_covers_the_longer_one(monkeypatch, clock):
    monkeypatch.setattr(sys, "stdout", out := Terminal())
    bar = progress.Progbar(5, stateless_metrics=())
    bar.update(1, [("note", "a long text")])
    clock.tick()
    bar.update(2, [("note", "x")])
    first, second = frames(out.getvalue())
    assert len(first) == len(second) and second.endswith(" ")


def test_a_log_gets_one_line_an_epoch(monkeypatch, clock):
    for verbose in (1, 2, "auto"):
        text = run(monkeypatch, clock, io.StringIO(), {"verbose": verbose}, epochs=2)
        line = "10/10 - 1s 100ms/step - loss: 0.2500 - val_loss: 2.5000e-04\n"
        assert text == f"Epoch 1/2 - {line}Epoch 2/2 - {line}"


def test_a_terminal_gets_lines_if_asked(monkeypatch, clock):
    text = run(monkeypatch, clock, Terminal(), {"verbose": 2})
    assert text.count("\n") == 1 and "\r" not in text
    config.disable_interactive_logging()
    try:
        assert run(monkeypatch, clock, Terminal(), {"verbose": "auto"}) == text
    finally:
        config.enable_interactive_logging()


def test_a_notebook_is_known_without_importing_it(monkeypatch, clock):
    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace())
    assert len(frames(run(monkeypatch, clock, io.StringIO(), {}))) == 11


def test_silence(monkeypatch, clock):
    assert run(monkeypatch, clock, Terminal(), {"verbose": 0}) == ""


def test_quick_steps_are_neither_drawn_nor_fetched(monkeypatch, clock):
    clock.step = 0.001
    fetches = []
    from carnyx.callbacks.logs import Logs

    fetch = Logs.fetch
    monkeypatch.setattr(Logs, "fetch", lambda self: fetches.append(0) or fetch(self))
    shown = frames(run(monkeypatch, clock, Terminal(), {}, steps=1000))
    assert len(shown) <= 2 + 1000 * 0.001 / 0.05
    assert len(fetches) < 3 * len(shown)
    fetches.clear()
    run(monkeypatch, clock, io.StringIO(), {}, steps=1000)
    assert len(fetches) < 8


def test_chunks_are_many_steps(monkeypatch, clock):
    shown = frames(run(monkeypatch, clock, Terminal(), {}, steps=64, chunk=16))
    assert [frame.split("/")[0] for frame in shown] == ["16", "32", "48", "64", "64"]
    assert "6ms/step" in shown[-1]


def test_an_unknown_number_of_steps_is_known_after_an_epoch(monkeypatch, clock):
    text = run(monkeypatch, clock, Terminal(), {"steps": None}, epochs=2)
    shown = frames(text)
    assert "3/Unknown" in shown[3]
    assert "10/10" in text and any(frame.startswith(" 3/10") for frame in shown)


def test_evaluation_and_prediction(monkeypatch, clock):
    monkeypatch.setattr(sys, "stdout", out := io.StringIO())
    for phase in ("test", "predict"):
        events = callbacks.CallbackList(
            None, add_progbar=True, verbose=1, epochs=1, steps=2
        )
        getattr(events, f"on_{phase}_begin")()
        for step in range(2):
            logs = {"outputs": [jnp.ones(2)]} if phase == "predict" else {"loss": 0.5}
            getattr(events, f"on_{phase}_batch_end")(step, logs)
        getattr(events, f"on_{phase}_end")({} if phase == "predict" else logs)
    first, second = out.getvalue().splitlines()
    assert first.endswith("loss: 0.5000") and first.startswith("2/2 - ")
    assert second.startswith("2/2 - 0s")


@pytest.mark.parametrize(
    "seconds, text",
    [(0, "0s"), (59.6, "59s"), (309, "5:09"), (7509, "2:05:09")],
)
def test_time_left(seconds, text):
    assert progress._clock(seconds) == text


@pytest.mark.parametrize(
    "arguments, shown",
    [
        ({}, "2.0000"),  # (1 + 2 + 3) / 3
        ({"stateful_metrics": ["m"]}, "3.0000"),
        ({"stateless_metrics": ["m"]}, "2.0000"),
        ({"stateless_metrics": []}, "3.0000"),
    ],
)
def test_averages_of_a_bar_used_alone(monkeypatch, clock, arguments, shown):
    monkeypatch.setattr(sys, "stdout", out := io.StringIO())
    bar = progress.Progbar(3, **arguments)
    for value in (1.0, 2.0, 3.0):
        bar.add(1, [("m", value)])
    assert out.getvalue().endswith(f"m: {shown}\n")


def test_characters_that_cannot_be_shown(monkeypatch, clock):
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, "ascii")
    monkeypatch.setattr(sys, "stdout", out)
    progress.write("━━ done")
    assert raw.getvalue() == b"== done"


@pytest.mark.parametrize("verbose", [3, "loud", None])
def test_a_wrong_verbose_is_told(verbose):
    with pytest.raises(ArgumentError, match="verbose got"):
        callbacks.CallbackList([callbacks.ProgbarLogger()], verbose=verbose)

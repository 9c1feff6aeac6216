"""Steps that somebody looks at one by one, their batches sent to devices in stacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import carnyx as keras
from carnyx._training.backups import Backups
from tests.distribution.shared_checks import compiled
from tests.training.networks import data_for

DataParallel = keras.distribution.DataParallel


class Watcher(keras.callbacks.Callback):
    """Sees every loss; fails once, after some steps in all."""

    def __init__(self, fails_after: int | None = None) -> None:
        super().__init__()
        self.losses: list[float] = []
        self.fails_after = fails_after

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.losses.append(logs["loss"])
        if len(self.losses) == self.fails_after:
            raise KeyboardInterrupt("enough")


@pytest.mark.parametrize("split", [False, True])
def test_watched_steps_are_to_the_bit_those_that_run_together(split: bool) -> None:
    x, y = data_for("mlp", 88)
    found = []
    for callbacks in ([], [Watcher()]):
        with DataParallel(shard_parameters=split).scope():
            model = compiled("mlp")
            history = model.fit(x, y, 8, 2, verbose=0, callbacks=callbacks).history
            program = model.train_program()
        assert program.compiled_sizes()["loop"] == 1  # one program for both
        assert program.compilations() == 1
        found.append([*history["loss"], *map(np.ravel, model.get_weights())])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(callbacks[0].losses) == 22 and len(set(callbacks[0].losses)) == 22


def test_convolutions_take_their_batches_out_of_stacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a run ended in the middle of one: resumed, it is as undisturbed."""
    write = Backups.write

    def write_at_once(*args: Any, **options: Any) -> None:
        """None is left out because another is still being written."""
        write(*args, **options | {"wait": True})

    monkeypatch.setattr(Backups, "write", write_at_once)
    x, y = data_for("convnet", 16 * 40 + 5)  # 40 full batches: a stack and a quarter

    def run(watcher: Watcher, keep: Path) -> Any:
        with DataParallel().scope():
            model = compiled("convnet")
            backup = keras.callbacks.BackupAndRestore(keep, save_freq=3)
            try:
                model.fit(x, y, 16, 2, verbose=0, callbacks=[watcher, backup])
            except KeyboardInterrupt:
                assert watcher.fails_after == len(watcher.losses)
        return model

    whole = Watcher()
    model = run(whole, tmp_path / "whole")
    sizes = model.train_program().compiled_sizes()
    assert sizes["step"] == 2  # the last batch is short
    assert len(whole.losses) == 82
    run(Watcher(52), tmp_path / "cut")
    rest = Watcher()
    resumed = run(rest, tmp_path / "cut")
    assert 82 - 52 <= len(rest.losses) <= 82 - 48
    assert rest.losses == whole.losses[-len(rest.losses) :]
    for one, other in zip(model.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)

"""A job that was killed and started again gives, to the bit, the same."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import carnyx as keras
from carnyx.saving import backup
from tests.training import resume_job

JOB = Path(resume_job.__file__)
ROOT = JOB.parents[2]


def _start(
    folder: Path, result: Path, freq: Any = 7, source: str = "arrays"
) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(JOB), str(folder), str(result), str(freq), source]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def _finish(process: subprocess.Popen) -> None:
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output.decode()[-2000:]


def _same(a: Path, b: Path) -> None:
    assert a.with_suffix(".json").read_text() == b.with_suffix(".json").read_text()
    with np.load(f"{a}.npz") as first, np.load(f"{b}.npz") as second:
        assert first.files == second.files
        for name in first.files:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    _finish(_start(folder / "backups", folder / "result"))
    return folder / "result"


# How often each kind of job is killed.
KILLS = int(os.environ.get("CARNYX_KILLS", "10"))


@pytest.mark.parametrize("source", ["arrays", "pydataset", "grain"])
def test_sigkill_at_random_moments_changes_nothing(source: str, tmp_path: Path) -> None:
    if source == "grain":
        pytest.importorskip("grain")
    whole, result, backups = tmp_path / "whole", tmp_path / "r", tmp_path / "backups"
    begun = time.monotonic()
    _finish(_start(tmp_path / "b", whole, 7, source))
    longest = time.monotonic() - begun
    rng = random.Random(4)
    killed = 0
    while killed < KILLS:
        process = _start(backups, result, rng.choice([1, 7]), source)
        until = time.monotonic() + rng.uniform(0.3, 1.1) * longest
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.005)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        output, _ = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), output.decode()[-2000:]
        if result.with_suffix(".json").exists():  # it got to its end: begin another
            _same(whole, result)
            shutil.rmtree(backups)
            result.with_suffix(".json").unlink()
    _finish(_start(backups, result, 7, source))
    _same(whole, result)


def test_sigterm_saves_and_leaves_with_its_own_code(
    undisturbed: Path, tmp_path: Path
) -> None:
    process = _start(tmp_path / "backups", tmp_path / "result", 100000)
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"epoch")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 143
    assert len(backup.list_backups(tmp_path / "backups")) == 1
    _finish(_start(tmp_path / "backups", tmp_path / "result", 100000))
    _same(undisturbed, tmp_path / "result")


class _Signal(keras.callbacks.Callback):
    """A signal when the last step is done."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def on_train_end(self, logs: Any = None) -> None:
        os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("delete", [False, True])
def test_sigterm_after_the_last_step_ends_the_script(
    delete: bool, tmp_path: Path
) -> None:
    def fit(*others: Any) -> Any:
        keep = keras.callbacks.BackupAndRestore(tmp_path, delete_checkpoint=delete)
        model = resume_job.build()
        history = model.fit(*_data(), epochs=2, verbose=0, callbacks=[*others, keep])
        return model, history

    end = _Signal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        fit(end)
    assert caught.value.code == 143
    assert backup.list_backups(tmp_path)
    weights, (model, history) = end.model.get_weights(), fit()
    assert history.epoch == [0, 1]  # it was trained, and is not again
    for mine, other in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert bool(backup.list_backups(tmp_path)) != delete


def test_ctrl_c_after_the_last_step_is_an_interrupt() -> None:
    model = resume_job.build()
    end = _Signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*_data(), verbose=0, callbacks=[end])

    class InTest(keras.callbacks.Callback):
        def on_test_end(self, logs: Any = None) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        model.evaluate(*_data(), verbose=0, callbacks=[InTest()])


class _Stop(Exception):
    pass


class _Break(keras.callbacks.Callback):
    def __init__(self, step: int) -> None:
        super().__init__()
        self.left = step

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.left -= 1
        if self.left == 0:
            raise _Stop


def _data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.normal(size=(80, 12)).astype("float32"), rng.integers(0, 4, 80)


@pytest.mark.parametrize("step", [3, 10, 11, 17])
def test_fit_with_resume_goes_on_at_any_step(step: int, tmp_path: Path) -> None:
    def run(folder: Path, callbacks: Any = None) -> Any:
        keras.utils.set_random_seed(2)
        model = resume_job.build()
        keep = keras.callbacks.BackupAndRestore(
            folder, save_freq=1, delete_checkpoint=False
        )
        history = model.fit(
            *_data(), batch_size=16, epochs=4, verbose=0, callbacks=[callbacks, keep]
        )
        return model, history

    expected, wanted = run(tmp_path / "whole")
    with pytest.raises(_Stop):
        run(tmp_path / "broken", _Break(step))
    model, history = run(tmp_path / "broken")
    assert history.history == wanted.history
    for mine, other in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_finished_job_is_not_run_again(tmp_path: Path) -> None:
    model = resume_job.build()
    model.fit(*_data(), epochs=2, verbose=0, resume=tmp_path)
    again = resume_job.build()
    history = again.fit(*_data(), epochs=2, verbose=0, resume=tmp_path)
    assert history.epoch == [0, 1]
    for mine, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def _resumed(folder: Path, epochs: int, *callbacks: Any) -> Any:
    keras.utils.set_random_seed(2)
    model = resume_job.build()
    history = model.fit(
        *_data(), epochs=epochs, verbose=2, callbacks=callbacks, resume=folder
    )
    return history.epoch, model.get_weights()


def test_a_finished_job_goes_on_for_more_epochs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _resumed(tmp_path / "a", 2)
    epochs, weights = _resumed(tmp_path / "a", 4)
    assert epochs == [0, 1, 2, 3]
    assert "Going on from epoch 3, step 0" in capsys.readouterr().out
    _, whole = _resumed(tmp_path / "b", 4)
    capsys.readouterr()
    for mine, other in zip(weights, whole, strict=True):
        np.testing.assert_array_equal(mine, other)
    for fewer in (4, 3):
        epochs, again = _resumed(tmp_path / "a", fewer)
        assert epochs == [0, 1, 2, 3]
        np.testing.assert_array_equal(again[0], weights[0])
        said = capsys.readouterr().out
        assert "was finished after 4 epochs: nothing to do" in said
        assert "Going on" not in said and "Epoch" not in said


def test_a_job_that_stopped_early_goes_on_for_more_epochs_alone(tmp_path: Path) -> None:
    class StopAtTwo(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = epoch == 1

    assert _resumed(tmp_path, 5, StopAtTwo())[0] == [0, 1]
    assert _resumed(tmp_path, 5, StopAtTwo())[0] == [0, 1]
    assert _resumed(tmp_path, 3)[0] == [0, 1]
    assert _resumed(tmp_path, 6, StopAtTwo())[0] == list(range(6))


def test_a_backup_of_another_model_is_refused(tmp_path: Path) -> None:
    resume_job.build().fit(*_data(), verbose=0, resume=tmp_path)
    other = keras.Sequential([keras.Input((12,)), keras.layers.Dense(4)])
    other.compile("sgd", "mse")
    before = other.get_weights()
    with pytest.raises(ValueError, match="of another model or optimizer"):
        other.fit(_data()[0], np.zeros((80, 4)), verbose=0, resume=tmp_path)
    np.testing.assert_array_equal(before[0], other.get_weights()[0])


def _damage(path: Path, rng: random.Random) -> str:
    """Change a file in a way that a bad disk would."""
    content = bytearray(path.read_bytes())
    kind = rng.choice(["flip", "cut", "zero", "remove", "append"])
    if kind == "remove":
        path.unlink()
        return kind
    place = rng.randrange(len(content))
    if kind == "flip":
        content[place] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del content[place:]
    elif kind == "zero":
        content[place : place + 64] = bytes(len(content[place : place + 64]))
    else:
        content += b"junk"
    path.write_bytes(content)
    return kind


def test_damage_is_harmless_or_found(tmp_path: Path) -> None:
    rng = random.Random(8)
    numbers = np.random.default_rng(3)
    arrays = {
        "00000 a": numbers.normal(size=(9, 5)).astype("float32"),
        "00001 b": numbers.integers(0, 9, 7),
    }
    found = 0
    for trial in range(200):
        root = tmp_path / str(trial)
        folder = backup.write_backup(root, 1, arrays, {"epoch": 3, "text": "ü"})
        _damage(folder / rng.choice([backup.ARRAYS, backup.MANIFEST]), rng)
        try:
            read = backup.read_backup(folder)
        except OSError as error:
            assert str(folder) in str(error)
            found += 1
            continue
        assert read.content == {"epoch": 3, "text": "ü"} and read.step == 1
        for name, array in arrays.items():
            np.testing.assert_array_equal(read.arrays[name], array)
    assert found > 150


def test_a_damaged_backup_is_passed_over_with_a_warning(tmp_path: Path) -> None:
    for step in (1, 2):
        backup.write_backup(tmp_path, step, {"00000 a": np.full(3, step)}, {})
    newest = backup.list_backups(tmp_path)[0] / backup.ARRAYS
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="step-000000000002.*damaged"):
        found = backup.newest_backup(tmp_path)
    assert found is not None and found.step == 1


def test_a_full_disk_leaves_the_old_backup_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    backup.write_backup(tmp_path, 1, {"00000 a": np.ones(3)}, {})
    monkeypatch.setattr(backup, "sync_folder", full)
    with pytest.raises(OSError, match="are free. The last good one is step-0"):
        backup.write_backup(tmp_path, 2, {"00000 a": np.ones(3)}, {})
    assert [p.name for p in tmp_path.iterdir()] == ["step-000000000001"]
    model = resume_job.build()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = model.fit(*_data(), epochs=2, verbose=0, resume=tmp_path / "new")
    assert len(history.epoch) == 2
    assert any("Training goes on" in str(w.message) for w in caught)

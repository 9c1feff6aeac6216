"""A run of `fit`: where it stands, and backups from which it goes on exactly."""

from __future__ import annotations

import contextlib
import functools
import math
import queue
import shutil
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from carnyx._core import across
from carnyx._core.seed import global_seed_generator
from carnyx._training.checks.kept import Kept
from carnyx._training.together import job_of
from carnyx.callbacks import BackupAndRestore, CallbackList, ProgbarLogger
from carnyx.distribution.job import Job, current_job, is_first
from carnyx.errors import ArgumentError, FileError, ProcessError
from carnyx.saving import backup
from carnyx.saving.shards import ShardedArrays, Share, write_shards
from carnyx.typing import Logs

_CAPTURED = "/captured "  # begins the names of such variables in a backup


class Run:
    """The position of a training run.

    Attributes:
        epoch, step: the next step to do is `step` of `epoch`.
        total: steps done since the first epoch.
        epochs: up to which epoch training was asked for.
        logs: of the last step, once they have been read.
        finished: whether the last epoch is done.
        kept: from where steps can be made again to find out about a loss.
    """

    def __init__(self, model: Any, feed: Any, callbacks: CallbackList) -> None:
        self.model, self.feed, self.callbacks = model, feed, callbacks
        self.epoch = self.step = self.total = self.epochs = 0
        self.logs: dict[str, Any] = {}
        self.finished = False
        self.kept = Kept(model)
        self.kept.look_on(feed)
        for callback in callbacks.callbacks:
            if isinstance(callback, ProgbarLogger):
                callback.note = feed.waiting

    def advance(self, last: int) -> None:
        """The steps up to `last` of this epoch are done."""
        self.total += last + 1 - self.step
        self.step = last + 1

    def next_epoch(self, logs: dict[str, Any]) -> None:
        """The epoch is done, validation and callbacks included."""
        self.epoch, self.step, self.logs = self.epoch + 1, 0, logs

    # ---- the whole state as arrays and plain data

    def capture(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arrays by name, copied on the device, and everything else as plain data."""
        variables = self._variables()
        arrays: dict[str, Any] = {}
        for i, variable in enumerate(variables):
            value = variable.peek()
            arrays[f"{i:05d} {variable.path}"] = across.copied(value)
        for i, variable in enumerate(self._captured()):
            value = variable.peek()
            arrays[f"{_CAPTURED}{i:05d} {variable.path}"] = across.copied(value)
        states = [
            {
                "class": type(c).__name__,
                "state": _without_arrays(_state_of(c), arrays, str(i)),
            }
            for i, c in enumerate(self.callbacks.callbacks)
        ]
        return arrays, {
            "epoch": self.epoch,
            "step": self.step,
            "total": self.total,
            "epochs": self.epochs,
            "logs": _without_arrays(as_floats(self.logs), arrays, "logs"),
            "finished": self.finished,
            "stopping": bool(self.model.stop_training),
            "feed": self.feed.position(self.step, self.epoch),
            "callbacks": states,
            "variables": len(variables),
        }

    def restore(self, saved: backup.Backup) -> None:
        """Go to where a backup was taken.

        Raises:
            ArgumentError: when it is of another model; nothing is changed then.
        """
        variables, content = self._variables(), saved.content
        names = sorted(n for n in saved.arrays if not n.startswith("/"))
        _check_same_model(saved, variables, names)
        for variable, name in zip(variables, names, strict=True):
            variable.assign(_placed(saved.arrays, name, variable.peek()))
        self._restore_captured(saved)
        self._restore_callbacks(saved)
        self.feed.restore(_own_position(saved))
        self.epoch, self.step = content["epoch"], content["step"]
        self.total = content["total"]
        more = self.epochs > content.get("epochs", math.inf)  # than were asked for
        self.finished = content["finished"] and not more
        self.model.stop_training = content["stopping"] and not more
        self.logs = _with_arrays(content["logs"], saved.arrays)

    def _variables(self) -> list[Any]:
        held = self.model._held()
        seed = global_seed_generator().state
        rest = [] if any(v is seed for v in held.store.variables) else [seed]
        return [*held.store.variables, *rest]

    def _captured(self) -> list[Any]:
        """Variables of nobody that the steps work with."""
        known = {id(v) for v in self._variables()}
        return [v for v in self.model.captured_variables() if id(v) not in known]

    def _restore_captured(self, saved: backup.Backup) -> None:
        """Their values; the step is looked at first, as it has not met them yet."""
        names = sorted(n for n in saved.arrays if n.startswith(_CAPTURED))
        if not names:
            return
        self.model.meet(self.feed)
        found = self._captured()
        by_path = {v.path: v for v in found}
        for index, name in enumerate(names):
            path = name.removeprefix(_CAPTURED).split(" ", 1)[1]
            variable = by_path.get(path, found[index] if index < len(found) else None)
            value = saved.arrays[name]
            if variable is not None and variable.shape == value.shape:
                variable.assign(value)

    def _restore_callbacks(self, saved: backup.Backup) -> None:
        waiting = list(saved.content["callbacks"])
        for callback in self.callbacks.callbacks:
            kind = type(callback).__name__
            found = next((s for s in waiting if s["class"] == kind), None)
            if found is None:
                warnings.warn(
                    f"{saved.folder} has no state of {kind}: the callback was not "
                    "there when the job was saved, so it begins anew.",
                    stacklevel=2,
                )
                continue
            waiting.remove(found)
            if hasattr(callback, "restore"):
                callback.restore(_with_arrays(found["state"], saved.arrays))


def _state_of(callback: Any) -> dict[str, Any]:
    """What a callback remembers; one written for Keras does not say."""
    return callback.state() if hasattr(callback, "state") else {}


def _facts(arrays: Any, name: str) -> Any:
    """An array, or its shape and dtype where it is not read as a whole."""
    return arrays.facts(name) if isinstance(arrays, ShardedArrays) else arrays[name]


def _placed(arrays: Any, name: str, now: Any) -> Any:
    """An array of a backup; where processes share it, each reads its part."""
    if not (isinstance(arrays, ShardedArrays) and across.is_shared(now)):
        return arrays[name]
    return across.made_of(
        now.shape, now.dtype, now.sharding, functools.partial(arrays.read, name)
    )


def _own_position(saved: backup.Backup) -> Any:
    """Where this process's feed was; each has its own, where each has its own data."""
    feeds, job = saved.content.get("feeds"), current_job()
    index, count = (0, 1) if job is None else (job.index, job.count)
    if feeds is None or all(feed == feeds[0] for feed in feeds):
        return saved.content["feed"]
    if len(feeds) == count:
        return feeds[index]
    warnings.warn(
        f"{saved.folder} is of {len(feeds)} processes, each with data of its own, and "
        f"the job has {count} now: the place in the data is that of process "
        f"{index % len(feeds)}, so some samples may come twice or not in this epoch.",
        stacklevel=2,
    )
    return feeds[index % len(feeds)]


def _check_same_model(
    saved: backup.Backup, variables: list[Any], names: list[str]
) -> None:
    values = [_facts(saved.arrays, name) for name in names]
    advice = "Give each job a folder of its own, or remove this one to begin anew."
    if len(variables) != len(values):
        raise ArgumentError(
            f"{saved.folder} has {len(values)} variables, the job has "
            f"{len(variables)}: it is of another model or optimizer. {advice}"
        )
    for variable, name, value in zip(variables, names, values, strict=True):
        dtype = value.dtype.name
        if variable.shape != value.shape or variable.dtype != dtype:
            raise ArgumentError(
                f"{saved.folder}: {name[6:]!r} is {dtype}{value.shape}, the "
                f"job has {variable.path!r} {variable.dtype}{variable.shape}. {advice}"
            )


def _without_arrays(value: Any, arrays: dict[str, Any], name: str) -> Any:
    """Plain data; arrays in it move to `arrays` and leave their name."""
    if isinstance(value, dict):  # not by tree, which would sort the keys
        return {k: _without_arrays(v, arrays, f"{name}/{k}") for k, v in value.items()}
    if isinstance(value, list | tuple):
        parts = enumerate(value)
        return [_without_arrays(v, arrays, f"{name}/{i}") for i, v in parts]
    if isinstance(value, np.ndarray | jax.Array) and value.ndim:
        arrays[f"/{name}"] = value
        return {"__array__": f"/{name}"}
    return value.item() if hasattr(value, "item") else value


def _with_arrays(value: Any, arrays: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        if set(value) == {"__array__"}:
            return arrays[value["__array__"]]
        return {k: _with_arrays(v, arrays) for k, v in value.items()}
    if isinstance(value, list):
        return [_with_arrays(v, arrays) for v in value]
    return value


def as_floats(logs: Logs) -> dict[str, Any]:
    """Logs on the host, in the order of their names, as Keras has them."""
    on_host = jax.device_get(dict(logs))
    return {name: _number(on_host[name]) for name in sorted(on_host)}


def _number(value: Any) -> Any:
    array = np.asarray(value)
    return array.item() if array.ndim == 0 else array


class Backups:
    """Saves a run as `BackupAndRestore` asks, from a thread of its own.

    Of several processes each saves what it holds; they compare notes over their line,
    never by programs on their devices, which the training thread has for itself.
    """

    def __init__(self, run: Run, options: BackupAndRestore | None) -> None:
        self.run, self.options = run, options
        self._since = 0
        self._queue: queue.Queue[Any] = queue.Queue(maxsize=1)
        self._writer: threading.Thread | None = None
        self._job = job_of(run.model._placed())

    @property
    def on(self) -> bool:
        """Whether backups were asked for."""
        return self.options is not None

    def find(self) -> backup.Backup | None:
        """The newest whole backup to go on from."""
        if self.options is None:
            return None
        if self._job is None:
            backup.clean(self.options.backup_dir)
            return backup.newest_backup(self.options.backup_dir)
        return self._find_together(self._job, Path(self.options.backup_dir))

    def _find_together(self, job: Job, root: Path) -> backup.Backup | None:
        """What the first process finds is read by all."""
        found = None
        if job.index == 0:
            backup.clean(root)
            found = backup.newest_backup(root)
        name = job.agree(found and found.folder.name, "finding a backup")[0]
        if name is None or found is not None:
            return found
        if not (root / name).is_dir():
            raise FileError(
                f"{root / name}, in which process 0 has a backup, is not there for "
                f"process {job.index}. The folder has to be one that all hosts share."
            )
        return backup.read_backup(root / name, check=False)

    def after_steps(self, count: int) -> None:
        """Save if it is time; called when all callbacks had their turn."""
        if self.options is None or self.options.save_freq == "epoch":
            return
        self._since += count
        if self._since < self.options.save_freq:
            return
        if self._queue.empty() or self._job is not None:  # all save the same steps
            self.save()

    def after_epoch(self) -> None:
        """Save where backups are kept by the epoch."""
        if self.options is not None and self.options.save_freq == "epoch":
            self.save()

    def save(self, wait: bool = False) -> None:
        """Copy the state now; write it in the background, or before returning."""
        if self.options is None:
            return
        self._since = 0
        key = "" if self._job is None else self._job.next("backup")
        job = (key, self.run.total, *self.run.capture())
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_all, daemon=True)
            self._writer.start()
        self._queue.put(job)
        if wait:
            self._queue.join()

    def _write_all(self) -> None:
        while True:
            job = self._queue.get()
            try:
                if job is None:
                    return
                self._write(*job)
            finally:
                self._queue.task_done()

    def _write(self, key: str, total: int, arrays: dict, content: Any) -> None:
        assert self.options is not None
        root, keep = self.options.backup_dir, self.options.keep
        try:
            if self._job is not None:
                job = self._job
                word = f"{job.word}-{key.split()[0]}"
                share = Share(
                    job.index, word, lambda v: job.exchange(key, v, "a backup")
                )
                if write_shards(root, total, arrays, content, share):
                    backup.prune(root, keep)
                return
            on_host = {name: np.asarray(value) for name, value in arrays.items()}
            backup.write_backup(root, total, on_host, content, keep)
        except ProcessError:  # the training thread hears of it, too
            return
        except FileError as error:  # training goes on; the user is told
            warnings.warn(f"{error} Training goes on.", stacklevel=2)

    def tell(self, message: str) -> None:
        """Print, unless `fit` is silent."""
        if (self.run.callbacks.params or {}).get("verbose") and is_first():
            print(message, flush=True)

    def finish(self) -> None:
        """After the last epoch: a backup that says so, or none at all."""
        if self.options is not None and not self.options.delete_checkpoint:
            self.save(wait=True)
        self.remove()

    def remove(self) -> None:
        """Where no backup is to outlive the run."""
        if self.options is None or not self.options.delete_checkpoint:
            return
        self.close()
        if self._job is not None:
            self._job.agree(None, "removing the backups")  # all have read them
            if self._job.index:
                return
        for folder in backup.list_backups(self.options.backup_dir):
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # there is none, or more is in it
            Path(self.options.backup_dir).rmdir()

    def close(self) -> None:
        """Let the writer end what it is writing."""
        if self._writer is not None:
            self._queue.put(None)
            self._writer.join()
            self._writer = None

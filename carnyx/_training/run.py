"""A run of `fit`: where it stands, as a whole in arrays and plain data."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from carnyx._core import global_arrays
from carnyx._training.checks.kept import Kept
from carnyx._training.dry_run import step_variables
from carnyx.callbacks import CallbackList, ProgbarLogger
from carnyx.distribution.job import current_job
from carnyx.errors import ArgumentError
from carnyx.saving import backup
from carnyx.saving.shards import ShardedArrays
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
            arrays[f"{i:05d} {variable.path}"] = global_arrays.copied(value)
        for i, variable in enumerate(self._captured()):
            value = variable.peek()
            arrays[f"{_CAPTURED}{i:05d} {variable.path}"] = global_arrays.copied(value)
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
        return step_variables(self.model)

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
    if not (isinstance(arrays, ShardedArrays) and global_arrays.is_shared(now)):
        return arrays[name]
    return global_arrays.made_of(
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

"""Where a run of `fit` stands, as a whole in arrays and plain data, and back."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from carnyx._core import global_arrays
from carnyx._core.variable import Variable
from carnyx._training.dry_run import step_variables
from carnyx._training.run import as_floats
from carnyx.distribution.job import current_job
from carnyx.errors import ArgumentError
from carnyx.saving import backup
from carnyx.saving.shards import ShardedArrays

_CAPTURED = "/captured "  # begins the names of such variables in a backup


def capture(run: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays by name, copied on the device, and everything else as plain data."""
    variables = step_variables(run.model)
    named = [("", variables), (_CAPTURED, _captured(run.model))]
    arrays: dict[str, Any] = {
        f"{kind}{i:05d} {variable.path}": global_arrays.copied(variable.peek())
        for kind, some in named
        for i, variable in enumerate(some)
    }
    states = [
        {
            "class": type(c).__name__,
            "state": _without_arrays(_state_of(c), arrays, str(i)),
        }
        for i, c in enumerate(run.callbacks.callbacks)
    ]
    return arrays, {
        "epoch": run.epoch,
        "step": run.step,
        "total": run.total,
        "epochs": run.epochs,
        "logs": _without_arrays(as_floats(run.logs), arrays, "logs"),
        "finished": run.finished,
        "stopping": bool(run.model.stop_training),
        "feed": run.feed.position(run.step, run.epoch),
        "callbacks": states,
        "variables": len(variables),
    }


def restore(run: Any, saved: backup.Backup) -> None:
    """Go to where a backup was taken.

    Raises:
        ArgumentError: when it is of another model; nothing is changed then.
    """
    variables, content = step_variables(run.model), saved.content
    names = sorted(n for n in saved.arrays if not n.startswith("/"))
    _check_same_model(saved, variables, names)
    for variable, name in zip(variables, names, strict=True):
        variable.assign(_placed(saved.arrays, name, variable.peek()))
    _restore_captured(run, saved)
    _restore_callbacks(run, saved)
    run.feed.restore(_own_position(saved))
    run.epoch, run.step = content["epoch"], content["step"]
    run.total = content["total"]
    more = run.epochs > content.get("epochs", math.inf)  # than were asked for
    run.finished = content["finished"] and not more
    run.model.stop_training = content["stopping"] and not more
    run.logs = _with_arrays(content["logs"], saved.arrays)


def _captured(model: Any) -> list[Variable]:
    """Variables of nobody that the steps work with."""
    known = set(step_variables(model))
    return [v for v in model.captured_variables() if v not in known]


def _restore_captured(run: Any, saved: backup.Backup) -> None:
    """Their values; the step is looked at first, as it has not met them yet."""
    names = sorted(n for n in saved.arrays if n.startswith(_CAPTURED))
    if not names:
        return
    run.model.meet(run.feed)
    found = _captured(run.model)
    by_path = {v.path: v for v in found}
    for index, name in enumerate(names):
        path = name.removeprefix(_CAPTURED).split(" ", 1)[1]
        variable = by_path.get(path, found[index] if index < len(found) else None)
        value = saved.arrays[name]
        if variable is not None and variable.shape == value.shape:
            variable.assign(value)


def _restore_callbacks(run: Any, saved: backup.Backup) -> None:
    waiting = list(saved.content["callbacks"])
    for callback in run.callbacks.callbacks:
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

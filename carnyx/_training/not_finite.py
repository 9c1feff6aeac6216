"""Where a loss that is NaN or infinite comes from: steps made once more.

The steps of the epoch run again from the state that was kept, one by one, to the first
whose loss is not finite; that one op by op, layer by layer. Afterwards everything is
as it was.
"""

from __future__ import annotations

import functools
import itertools
import time
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from carnyx import tree
from carnyx._checks.told import on
from carnyx._core.scope import scoped
from carnyx._core.watch import Watch
from carnyx._data import explain_loss, three_parts
from carnyx._training.dry_run import copied, put_back, step_variables, unchanged
from carnyx._training.kept import Kept
from carnyx._training.outputs import trimmed
from carnyx._training.stateful_steps import is_simple
from carnyx.dtype_policies import is_float
from carnyx.layers.input_spec import label

_LOOK_FOR = 10.0  # seconds
_GROWN = 1e6

_LOOK = (
    "Look there for a log or sqrt of 0 or less, a division by 0, an exp of large "
    "values; add a small number, or clip."
)
_OWN_UPDATE = (
    "Either the model's own train_step has a gradient that is not finite (a sqrt, norm "
    "or power at 0, a where() whose other branch is not), or its step is too large."
)
_SMALLER = (
    "Weights have grown without bound: use a smaller learning rate, or clipnorm=1.0 in "
    "the optimizer."
)


class Step(NamedTuple):
    """A step, with the state before it."""

    epoch: int
    index: int
    batch: Any
    before: list[tuple[Any, Any]]

    def __str__(self) -> str:
        return f"batch {self.index} of epoch {self.epoch + 1}"


def explain(run: Any) -> None:
    """Warn of where a run's loss became NaN or infinite, if that can be found out.

    What is the data's doing is said first, and of data alone.
    """
    loss, model, kept = run.logs.get("loss", 0.0), run.model, run.kept
    blamed = explain_loss(run.logs, run.feed, run.epoch)
    if blamed or kept.told or not on() or not isinstance(loss, float):
        kept.told |= blamed
        return
    if np.isfinite(loss) or kept.is_shared():
        return
    with unchanged(model):
        text = _found(run, kept)
    if text:
        kept.told = True
        warnings.warn(f"The loss became {loss}. {text}", stacklevel=2)


def _found(run: Any, kept: Kept) -> str:
    model = run.model
    before, step = _first_bad(run, kept)
    if step is None:  # a stream is watched from now on, instead
        return "" if kept.batches else _weights_only(model)
    try:
        put_back(step.before)
        return _by_update(model, before) or _by_layer(model, step)
    except Exception as error:  # training goes on, whatever op by op is impossible
        return f"It did on {step}; op by op that step fails: {error}"


def _first_bad(run: Any, kept: Kept) -> tuple[Step | None, Step | None]:
    """The first step whose loss is not finite, after the one before it."""
    last = None
    if kept.values:
        put_back(kept.values)
        for step in _steps(run, kept):
            logs = run.model.train_program()(step.batch)
            if not np.isfinite(float(logs["loss"])):
                return last, step
            last = step
    return None, None


def _steps(run: Any, kept: Kept) -> Iterator[Step]:
    """The steps from the kept state on, as far as their data can be read again."""
    until = time.monotonic() + _LOOK_FOR
    variables = step_variables(run.model)
    for epoch in range(kept.epoch, run.epoch + 1):
        run.model.reset_metrics()
        start = kept.step if epoch == kept.epoch else 0
        batches = itertools.islice(run.feed.again(epoch), start, None)
        if epoch == kept.epoch == run.epoch and kept.batches:
            batches = itertools.chain(kept.batches, itertools.islice(batches, 2, None))
        for index, batch in enumerate(batches, start):
            if time.monotonic() > until:
                return
            yield Step(epoch, index, trimmed(batch), copied(variables))


def _weights_only(model: Any) -> str:
    """Where the steps cannot be made again."""
    bad = [v.path for v in model.weights if not _finite(v.value)]
    where = f" Weights that are not finite: {_some(bad)}." if bad else ""
    return (
        "The step in which it did cannot be made again: the state before it is not "
        f"kept, or the data cannot be read twice.{where} Try a smaller learning rate "
        "or clipnorm=1.0; train_on_batch on one batch after another finds the step."
    )


def _by_update(model: Any, last: Step | None) -> str:
    """Whether the update before made weights that are not finite, and why."""
    bad = [v for v in model.weights if not _finite(v.value)]
    if not bad:
        return ""
    if last is None:
        return (
            f"Before the first step {_some([v.path for v in bad])} had values that are "
            "not finite: look at what initialized or loaded them."
        )
    names = _some([v.path for v in bad])
    put_back(last.before)
    if is_simple(model, "train_step"):
        return (
            f"The update on {last} made {names} not finite. "
            f"{_size_of_weights(model) or _OWN_UPDATE}"
        )
    x, y, weight = three_parts(_on_devices(model, last.batch))
    trained = list(model.trainable_variables)

    def loss() -> Any:
        y_pred = model(x, training=True)
        return model._loss(x, y, y_pred, weight, training=True)

    value, gradients = model.value_and_grad(loss, trained)
    wrong = [v for v, g in zip(trained, gradients, strict=True) if not _finite(g)]
    if not wrong:
        return (
            f"The optimizer's update on {last} made {names} not finite, from finite "
            f"gradients. {_SMALLER}"
        )
    return (
        f"On {last} the loss is still {float(value):g}, but the gradient of "
        f"{_some([v.path for v in wrong])} is not finite. The last of them is the "
        "nearest to where it begins: a sqrt, norm or power whose derivative at 0 is "
        f"infinite, or a where() whose other branch is. {_size_of_weights(model)}"
    )


def _by_layer(model: Any, step: Step) -> str:
    watch = _Finite(model)
    with scoped(watch=watch):
        y_pred, loss = _again(model, _on_devices(model, step.batch))
    text = watch.found()
    put_back(step.before)
    if text:
        return f"On {step}: {text} {_size_of_weights(model) or _LOOK}"
    if _finite(loss):
        return f"It did on {step}, in the compiled step alone: op by op it is finite."
    ranges = ", ".join(_range(t) for t in tree.flatten(y_pred))
    return (
        f"On {step} all layers' outputs are finite{f' ({ranges})' * bool(ranges)}, and "
        f"the loss of them is not. {_size_of_weights(model)} Look at the loss "
        "function, and at whether the last activation gives what it expects."
    )


def _again(model: Any, batch: Any) -> tuple[Any, Any]:
    """A step's predictions, where the model shows them, and its loss, op by op."""
    if is_simple(model, "train_step"):
        return (), model.train_step(batch)["loss"]
    x, y, weight = three_parts(batch)
    y_pred = model(x, training=True)
    return y_pred, model._loss(x, y, y_pred, weight, training=True)


def _on_devices(model: Any, batch: Any) -> Any:
    """A batch, whole on every device of the model's mesh."""
    placement = model._placed()
    if placement is None or placement.staged:
        return tree.map_structure(jnp.asarray, batch, none_is_leaf=False)
    return jax.device_put(batch, placement.replicated())


class _Finite(Watch):
    """Sees the layers whose outputs are not finite; within gradients too, where values
    are shown by a callback of the device's."""

    def __init__(self, model: Any) -> None:
        self.model, self._texts, self._calls = model, {}, 0

    def layer(self, layer: Any, inputs: dict[str, Any], outputs: Any) -> None:
        self._calls += 1
        see = functools.partial(self._see, self._calls, label(layer))
        values = tree.flatten(outputs), tree.flatten(list(inputs.values()))
        values = [[v for v in some if hasattr(v, "dtype")] for some in values]
        if any(isinstance(v, Tracer) for some in values for v in some):
            jax.debug.callback(see, *values)
        else:
            see(*values)

    def found(self) -> str:
        """What is to be said of the first of them; nothing, where there is none."""
        jax.effects_barrier()
        return self._texts[min(self._texts)] if self._texts else ""

    def _see(self, call: int, name: str, outputs: list[Any], inputs: list[Any]) -> None:
        bad = [t for t in outputs if not _finite(t)]
        if not bad:
            return
        many = int((~np.isfinite(_array(bad[0]))).sum())
        what = (
            f"its inputs are finite ({', '.join(map(_range, inputs))})"
            if all(map(_finite, inputs))
            else "its input has such values already"
        )
        self._texts[call] = (
            f"the first output that is not finite is that of {name}, {many} of "
            f"{bad[0].size} values; {what}."
        )


def _size_of_weights(model: Any) -> str:
    sizes = [(float(np.abs(_array(v.value)).max(initial=0)), v) for v in model.weights]
    largest, variable = max(sizes, key=lambda pair: pair[0], default=(0.0, None))
    if largest < _GROWN or variable is None:
        return ""
    return f"{_SMALLER} {variable.path!r} has values of {largest:.1e}."


def _array(x: Any) -> np.ndarray:
    return np.asarray(x, "float64") if is_float(x.dtype) else np.asarray(x)


def _finite(x: Any) -> bool:
    if not hasattr(x, "dtype") or not is_float(x.dtype):
        return True
    return bool(np.isfinite(_array(x)).all())


def _range(x: Any) -> str:
    values = _array(x)
    return f"{values.min():g} to {values.max():g}" if values.size else "empty"


def _some(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:4]))
    return shown + f" and {len(names) - 4} others" * (len(names) > 4)

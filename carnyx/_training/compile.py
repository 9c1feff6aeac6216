"""What `compile` was given, ready for a step: losses and metrics per output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from carnyx import losses as losses_lib
from carnyx import metrics as metrics_lib
from carnyx import tree
from carnyx._core.placement import current_placement
from carnyx._training.outputs import Output, list_outputs, match_targets, spread
from carnyx._training.state import HeldState
from carnyx.errors import ArgumentError
from carnyx.losses.base import LossFunctionWrapper


class CompiledLoss:
    """The total loss of all outputs, and a running mean of each output's own.

    Args:
        loss: a loss (name, function, object) for all outputs, or a list or dict.
        loss_weights: a number for each, in the same forms.
        output_names: the model's names of its outputs.
    """

    def __init__(
        self, loss: Any, loss_weights: Any = None, output_names: Any = None
    ) -> None:
        self.given, self.given_weights = loss, loss_weights
        self.output_names = output_names
        self.outputs: list[Output] = []
        self.losses: list[Any] = []
        self.weights: list[Any] = []
        self.metrics: list[Any] = []
        self.built = False

    def build(self, y_pred: Any) -> None:
        """Find the loss of each output, now that the outputs are known."""
        self.outputs = list_outputs(y_pred, self.output_names)
        given = spread(self.given, self.outputs, what="loss", is_leaf=_is_loss)
        self.losses = [
            _single(g, o.name) for g, o in zip(given, self.outputs, strict=True)
        ]
        self.weights = spread(
            self.given_weights,
            self.outputs,
            what="loss_weights",
            is_leaf=lambda w: isinstance(w, int | float),
            shared=False,
        )
        used = [o for o, loss in zip(self.outputs, self.losses, strict=True) if loss]
        if not used:
            raise ArgumentError("Every loss is None; give one output a loss at least.")
        if len(used) > 1:
            self.metrics = [metrics_lib.Mean(name=f"{o.name}_loss") for o in used]
        self.built = True

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The weighted sum of the outputs' losses; updates `metrics`."""
        if not self.built:
            self.build(y_pred)
        predictions = tree.flatten(y_pred)
        targets = match_targets(y_true, self.outputs, what="y")
        weights = match_targets(
            sample_weight, self.outputs, what="sample_weight", shared=True
        )
        trackers = iter(self.metrics)
        total: Any = 0.0
        rows = zip(
            self.outputs, self.losses, self.weights, targets, predictions, weights,
            strict=True,
        )  # fmt: skip
        for output, loss, scale, target, prediction, weight in rows:
            if loss is None:
                continue
            value = jnp.asarray(_value(loss, output, target, prediction, weight))
            if self.metrics:
                next(trackers).update_state(
                    value, sample_weight=_batch_size(prediction)
                )
            total = total + (value if scale is None else value * scale)
        return total


def _value(loss: Any, output: Output, target: Any, prediction: Any, weight: Any) -> Any:
    try:
        return loss(target, prediction, weight)
    except (AttributeError, TypeError, ValueError) as error:
        if target is not None:
            raise
        raise ArgumentError(
            f"Output {output.name!r} has the loss {loss.name!r}, and there are no "
            "targets for it: y is None. Give y to fit() or evaluate(), or compile "
            "without this loss (layers may use add_loss())."
        ) from error


def _batch_size(x: Any) -> int:
    return x.shape[0] if x.shape else 1


def _is_loss(given: Any) -> bool:
    return (
        callable(given)
        or isinstance(given, str)
        or (isinstance(given, Mapping) and "class_name" in given)
    )


def _single(given: Any, name: str) -> Any:
    """The loss object for what was given for one output."""
    if isinstance(given, list | tuple):
        if len(given) != 1:
            raise ArgumentError(
                f"Output {name!r} got {len(given)} losses {given!r}; give one function "
                "that adds them up."
            )
        given = given[0]
    loss = losses_lib.get(given)
    if loss is None or isinstance(loss, losses_lib.Loss):
        return loss
    return LossFunctionWrapper(loss, name=getattr(loss, "__name__", None))


class CompiledMetrics:
    """The metrics of all outputs, as one.

    Args:
        metrics: names, functions, objects: a list for one output (or for each of
            several), or a dict by output name.
        weighted_metrics: the same, given the sample weights too.
        output_names: the model's names of its outputs.
    """

    name = "compile_metrics"

    def __init__(
        self,
        metrics: Any = None,
        weighted_metrics: Any = None,
        output_names: Any = None,
    ) -> None:
        self.given, self.given_weighted = metrics, weighted_metrics
        self.output_names = output_names
        self.outputs: list[Output] = []
        # place of the output, name, metric, whether it takes the sample weights
        self.rows: list[tuple[int, str, Any, bool]] = []
        self.built = False

    def build(self, y_true: Any, y_pred: Any) -> None:
        """Find each output's metrics; `"accuracy"` depends on the shapes."""
        self.outputs = list_outputs(y_pred, self.output_names)
        targets = match_targets(y_true, self.outputs, what="y")
        predictions = tree.flatten(y_pred)
        taken: set[str] = set()
        for given, weighted in ((self.given, False), (self.given_weighted, True)):
            for i, entry in enumerate(self._per_output(given)):
                for one in _as_list(entry):
                    metric = _metric(one, targets[i], predictions[i])
                    if metric is None:
                        continue
                    prefix = f"{self.outputs[i].name}_" if len(self.outputs) > 1 else ""
                    name = prefix + metric.name
                    if weighted and name in taken:
                        name = f"{prefix}weighted_{metric.name}"
                    self.rows.append((i, _free(name, taken), metric, weighted))
        self.built = True

    def _per_output(self, given: Any) -> list[Any]:
        if given is None:
            return [None] * len(self.outputs)
        if isinstance(given, list | tuple) and len(self.outputs) == 1:
            return [given[0] if len(given) == 1 and _is_list(given[0]) else list(given)]
        if isinstance(given, list | tuple) and len(given) == len(self.outputs):
            return list(given)
        if isinstance(given, list | tuple) and not any(_is_list(g) for g in given):
            return [_fresh(given, i) for i in range(len(self.outputs))]
        return spread(given, self.outputs, what="metrics", is_leaf=_is_metric)

    @property
    def metrics(self) -> list[Any]:
        """The metric objects."""
        return [metric for _, _, metric, _ in self.rows]

    @property
    def variables(self) -> list[Any]:
        """The states of all metrics."""
        return [v for m in self.metrics for v in m.variables]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take a batch into account."""
        if not self.built:
            self.build(y_true, y_pred)
        targets = match_targets(y_true, self.outputs, what="y")
        predictions = tree.flatten(y_pred)
        weights = match_targets(
            sample_weight, self.outputs, what="sample_weight", shared=True
        )
        for i, _, metric, weighted in self.rows:
            if targets[i] is None:
                continue
            extra = {"sample_weight": weights[i]} if weighted else {}
            metric.update_state(targets[i], predictions[i], **extra)

    def result(self) -> dict[str, Any]:
        """The value of each metric under its name."""
        results: dict[str, Any] = {}
        for _, name, metric, _ in self.rows:
            value = metric.result()
            results |= value if isinstance(value, dict) else {name: value}
        return results

    def reset_state(self) -> None:
        """Start anew."""
        for metric in self.metrics:
            metric.reset_state()


def _free(name: str, taken: set[str]) -> str:
    """The name, numbered if another metric has it."""
    free, number = name, 0
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free)
    return free


def _is_list(x: Any) -> bool:
    return isinstance(x, list | tuple)


def _as_list(entry: Any) -> list[Any]:
    if entry is None:
        return []
    return list(entry) if _is_list(entry) else [entry]


def _is_metric(given: Any) -> bool:
    return not isinstance(given, list | tuple | dict) or (
        isinstance(given, dict) and "class_name" in given
    )


def _fresh(given: Sequence[Any], index: int) -> list[Any]:
    """A flat list given once for several outputs: each needs metrics of its own."""
    if index == 0:
        return list(given)
    return [
        type(m).from_config(m.get_config()) if isinstance(m, metrics_lib.Metric) else m
        for m in given
    ]


# What a short name means for (binary, sparse categorical, categorical) targets.
_SHORT = {
    "accuracy": ("BinaryAccuracy", "SparseCategoricalAccuracy", "CategoricalAccuracy"),
    "crossentropy": (
        "BinaryCrossentropy",
        "SparseCategoricalCrossentropy",
        "CategoricalCrossentropy",
    ),
}
_SHORT["acc"], _SHORT["ce"] = _SHORT["accuracy"], _SHORT["crossentropy"]


def _metric(given: Any, y_true: Any, y_pred: Any) -> Any:
    """The metric object for what was given; a string keeps its spelling as name."""
    if given is None or isinstance(given, metrics_lib.Metric):
        return given
    if isinstance(given, str) and given.lower() in _SHORT:
        class_name = _SHORT[given.lower()][_kind(y_true, y_pred)]
        return getattr(metrics_lib, class_name)(name=given)
    metric = metrics_lib.get(given)
    if isinstance(metric, metrics_lib.Metric):
        if isinstance(given, str):
            metric.name = given
        return metric
    name = given if isinstance(given, str) else getattr(metric, "__name__", None)
    return metrics_lib.MeanMetricWrapper(metric, name=name)


def _kind(y_true: Any, y_pred: Any) -> int:
    if y_true is None or not y_pred.shape:
        return 0
    if y_pred.shape[-1] == 1:
        return 0
    true_rank, pred_rank = len(y_true.shape), len(y_pred.shape)
    sparse = true_rank < pred_rank or (y_true.shape[-1] == 1 and y_pred.shape[-1] != 1)
    return 1 if sparse else 2


class Compiled:
    """What `compile` was given, and what belongs to it."""

    def __init__(self, given: dict[str, Any], output_names: Any) -> None:
        self.given = given
        self.loss = self.metrics = None
        if given["loss"] is not None:
            self.loss = CompiledLoss(given["loss"], given["loss_weights"], output_names)
        if given["metrics"] is not None or given["weighted_metrics"] is not None:
            self.metrics = CompiledMetrics(
                given["metrics"], given["weighted_metrics"], output_names
            )
        self.loss_tracker = metrics_lib.Mean(name="loss")
        self.programs: dict[Any, Any] = {}
        self.held: HeldState | None = None
        self.held_key: Any = None  # under which `held` is known to be right
        self.placement = current_placement()
        self.ready = False
        self.tried: set[str] = set()  # steps in the simple style that have been

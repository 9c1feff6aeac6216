"""The metrics of all outputs, as `compile` was given them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from carnyx import metrics as metrics_lib
from carnyx import tree
from carnyx._strangers import stranger
from carnyx._training.compiled_loss import CompiledLoss, free_name, target_kind
from carnyx._training.named_errors import named
from carnyx._training.outputs import Output, list_outputs, match_targets, spread
from carnyx.errors import ArgumentError
from carnyx.typing import ForOutputs, Tensor


class CompiledMetrics(metrics_lib.Metric, register=False):
    """The metrics of all outputs, as one.

    Args:
        metrics: names, functions, objects: a list for one output (or for each of
            several), or a dict by output name.
        weighted_metrics: the same, given the sample weights too.
        output_names: the model's names of its outputs.
        loss: that of the same outputs, if there is one.
    """

    def __init__(
        self,
        metrics: ForOutputs | None = None,
        weighted_metrics: ForOutputs | None = None,
        output_names: Sequence[str] | None = None,
        loss: CompiledLoss | None = None,
    ) -> None:
        super().__init__(name="compile_metrics")
        self.given, self.given_weighted = metrics, weighted_metrics
        self.output_names = output_names
        self.loss = loss  # knows which outputs need no target
        self.outputs: list[Output] = []
        # place of the output, name, metric, whether it takes the sample weights
        self.rows: list[tuple[int, str, Any, bool]] = []
        self.built = False

    def build(self, y_true: Tensor, y_pred: Any) -> None:
        """Find each output's metrics; `"accuracy"` depends on the shapes."""
        outputs = list_outputs(y_pred, self.output_names)
        known = [] if self.loss is None else self.loss.outputs
        same = [o.path for o in known] == [o.path for o in outputs]
        self.outputs = known if same else outputs  # compute_loss may have made others
        targets = match_targets(y_true, self.outputs, what="y")
        predictions = tree.flatten(y_pred)
        taken: set[str] = set()
        for given, weighted in ((self.given, False), (self.given_weighted, True)):
            for i, entry in enumerate(self._per_output(given)):
                for one in _as_list(entry):
                    metric = _metric(one, targets[i], predictions[i])
                    if metric is None:
                        continue
                    label = self.outputs[i].label
                    prefix = f"{label}_" if label and len(self.outputs) > 1 else ""
                    name = prefix + metric.name
                    if weighted and name in taken:
                        name = f"{prefix}weighted_{metric.name}"
                    self.rows.append((i, free_name(name, taken), metric, weighted))
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
        found = spread(given, self.outputs, what="metrics", is_leaf=_is_metric)
        return [found.get(o) for o in self.outputs]

    @property
    def metrics(self) -> list[Any]:
        """The metric objects."""
        return [metric for _, _, metric, _ in self.rows]

    @property
    def variables(self) -> list[Any]:
        """The states of all metrics."""
        return [v for m in self.metrics for v in m.variables]

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
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
            what = f"the metric {metric.name!r} of output {self.outputs[i].name!r}"
            with named(what, targets[i], predictions[i]):
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
    if hasattr(given, "update_state") and stranger(given):
        raise ArgumentError(f"metrics got {given!r}.{stranger(given)}")
    if isinstance(given, str) and given.lower() in _SHORT:
        class_name = _SHORT[given.lower()][target_kind(y_true, y_pred)]
        return getattr(metrics_lib, class_name)(name=given)
    metric = metrics_lib.get(given)
    if isinstance(metric, metrics_lib.Metric):
        if isinstance(given, str):
            metric.name = given
        return metric
    name = given if isinstance(given, str) else getattr(metric, "__name__", None)
    name = "lambda" if name == "<lambda>" else name
    return metrics_lib.MeanMetricWrapper(metric, name=name)

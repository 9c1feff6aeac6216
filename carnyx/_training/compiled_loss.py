"""The total loss of a batch: of each output, as `compile` was given it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from carnyx import losses as losses_lib
from carnyx import metrics as metrics_lib
from carnyx import tree
from carnyx._core.scope import current
from carnyx._numbers import REFUSED, as_number
from carnyx._strangers import has_weights_of_its_own, stranger
from carnyx._training.named_errors import named
from carnyx._training.outputs import Output, list_outputs, match_targets, spread
from carnyx._training.structure_losses import PartLoss, Path, Term, terms_of
from carnyx.errors import ArgumentError
from carnyx.losses.base import LossFunctionWrapper
from carnyx.typing import ForOutputs, Tensor, Tensors

# What "crossentropy" means for (binary, sparse categorical, categorical) targets.
_CROSSENTROPIES = (
    "binary_crossentropy",
    "sparse_categorical_crossentropy",
    "categorical_crossentropy",
)


class CompiledLoss:
    """The total loss of all outputs, and a running mean of each output's own.

    Args:
        loss: a loss (name, function, object) for all outputs, or a list or dict.
        loss_weights: a number for each, in the same forms.
        output_names: the model's names of its outputs.
    """

    def __init__(
        self,
        loss: ForOutputs | None,
        loss_weights: float | Sequence[Any] | Mapping[Any, Any] | None = None,
        output_names: Sequence[str] | None = None,
    ) -> None:
        losses = "a name, a function or an object"
        _check("loss", loss, lambda x: x is None or _is_loss(x), losses)
        _check("loss_weights", loss_weights, _is_weight, "a number")
        self.given, self.given_weights = loss, loss_weights
        self.output_names = output_names
        self.outputs: list[Output] = []
        self.losses: list[Any] = []
        self.weights: list[Any] = []
        self.parts: list[PartLoss] = []  # for several outputs at once
        self.metrics: list[Any] = []
        self.means: list[Any] = []  # the same in the order of the outputs
        self.built = False

    def build(self, y_true: Tensor, y_pred: Any) -> None:
        """Find the loss of each output, now that the outputs are known."""
        outputs = list_outputs(y_pred, self.output_names)
        terms = terms_of(self.given, self.given_weights, y_pred)
        if terms is None:
            entries, weights, order = self._for_outputs(outputs, y_pred)
        else:
            entries, weights = self._by_terms(terms, outputs)
            order = [term.path for term in terms]
        self.weights = weights
        covered = {i for part in self.parts for i in range(part.first, part.end)}
        self.outputs = [
            o._replace(has_loss=entry is not None or i in covered)
            for i, (o, entry) in enumerate(zip(outputs, entries, strict=True))
        ]
        targets = match_targets(y_true, self.outputs, what="y")
        rows = zip(entries, targets, tree.flatten(y_pred), strict=True)
        self.losses = [_one_loss(*row) for row in rows]
        self._share_weights()
        if not any(self.losses) and not self.parts:
            raise ArgumentError("Every loss is None; give one output a loss at least.")
        self._make_metrics(order)
        self.built = True

    def _for_outputs(
        self, outputs: list[Output], y_pred: Any
    ) -> tuple[list[Any], list[Any], list[Path]]:
        """A loss and a weight for each output, and the order of what is logged."""
        given = spread(self.given, outputs, what="loss", is_leaf=_is_loss)
        weights = spread(
            self.given_weights,
            outputs,
            what="loss_weights",
            is_leaf=_is_weight,
            shared=_is_loss(self.given),
        )
        order = given if isinstance(y_pred, Mapping) else outputs
        return (
            [given.get(o) for o in outputs],
            [weights.get(o) for o in outputs],
            [o.path for o in order],
        )

    def _by_terms(
        self, terms: list[Term], outputs: list[Output]
    ) -> tuple[list[Any], list[Any]]:
        """The same, where some losses are for several outputs: those are `parts`."""
        places = {o.path: i for i, o in enumerate(outputs)}
        entries: list[Any] = [None] * len(outputs)
        weights: list[Any] = [None] * len(outputs)
        for path, given, scales in terms:
            one = len(given) == 1
            if path in places:
                entries[places[path]] = given[0] if one else given
                weights[places[path]] = scales[0] if one else scales
                continue
            inside = [i for i, o in enumerate(outputs) if o.path[: len(path)] == path]
            names = path or [outputs[i].name for i in inside]
            label = ("/" if path else "_").join(map(str, names))
            loss = _one_loss(given, None, None)
            if isinstance(loss, SeveralLosses):
                loss.weights, scales = scales, [None]
            span = inside[0], inside[-1] + 1
            self.parts.append(PartLoss(path, label, loss, scales[0], *span))
        return entries, weights

    def _share_weights(self) -> None:
        """Weights for the several losses of one output go to each of them."""
        for i, (loss, weight) in enumerate(zip(self.losses, self.weights, strict=True)):
            if isinstance(weight, list | tuple):
                if not isinstance(loss, SeveralLosses) or len(weight) != len(
                    loss.losses
                ):
                    raise ArgumentError(
                        f"loss_weights has {weight!r} for the output "
                        f"{self.outputs[i].name!r}; expected a number for each loss."
                    )
                loss.weights, self.weights[i] = weight, None

    def _make_metrics(self, order: list[tuple[Any, ...]]) -> None:
        """A running mean of each of several losses; `metrics` in `order`."""
        pairs = zip(self.outputs, self.losses, strict=True)
        used = {o.path: o.label or x.name for o, x in pairs if x is not None}
        used |= {part.path: part.label for part in self.parts}
        if len(used) < 2:
            return
        taken: set[str] = set()
        means = {
            path: metrics_lib.Mean(name=free_name(f"{name}_loss", taken))
            for path, name in used.items()
        }
        self.means = list(means.values())
        self.metrics = [means[path] for path in order if path in means]

    def matched(self, y_true: Tensors, weight: Tensors) -> tuple[list[Any], list[Any]]:
        """The targets and the sample weights of each output.

        Raises:
            DataError: where they do not fit the outputs.
        """
        return (
            match_targets(y_true, self.outputs, what="y"),
            match_targets(weight, self.outputs, what="sample_weight", shared=True),
        )

    def __call__(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> Any:
        """The weighted sum of the outputs' losses; updates `metrics`."""
        if not self.built:
            self.build(y_true, y_pred)
        predictions = tree.flatten(y_pred)
        targets, weights = self.matched(y_true, sample_weight)
        total: Any = 0.0
        means, watch = iter(self.means), current().watch
        rows = zip(
            self.outputs, self.losses, self.weights, targets, predictions, weights,
            strict=True,
        )  # fmt: skip
        for output, loss, scale, target, prediction, weight in rows:
            if loss is None:
                continue
            if watch is not None:
                watch.meets(loss, output.name, prediction)
            value = jnp.asarray(_value(loss, output, target, prediction, weight))
            if self.means:
                next(means).update_state(value, sample_weight=_batch_size(prediction))
            total = total + (value if scale is None else value * scale)
        for part in self.parts:
            predicted = part.part(y_pred, predictions)
            target = part.part(y_pred, targets)
            with named(f"the loss {part.loss.name!r}", target, predicted):
                value = part.loss(target, predicted, part.weight_of(weights))
            value = jnp.asarray(value)
            if self.means:
                size = _batch_size(predictions[part.first])
                next(means).update_state(value, sample_weight=size)
            total = total + (value if part.scale is None else value * part.scale)
        return total


def _value(loss: Any, output: Output, target: Any, prediction: Any, weight: Any) -> Any:
    what = f"the loss {loss.name!r} of output {output.name!r}"
    try:
        with named(what, target, prediction):
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


def _check(what: str, given: Any, fits: Callable[[Any], bool], words: str) -> None:
    """Refuse what no output can be given, in dicts and lists too."""
    if fits(given):
        return
    if isinstance(given, Mapping | list | tuple):
        for one in given.values() if isinstance(given, Mapping) else given:
            _check(what, one, fits, words)
        return
    raise ArgumentError(
        f"compile() got {what}={given!r}; expected {words}, or a list or dict of such."
        f"{stranger(given)}"
    )


def _is_weight(given: Any) -> bool:
    return given is None or as_number(given) is not REFUSED


def _is_loss(given: Any) -> bool:
    return (
        (callable(given) and not has_weights_of_its_own(given))
        or isinstance(given, str)
        or (isinstance(given, Mapping) and "class_name" in given)
    )


class SeveralLosses(losses_lib.Loss):
    """The sum of the losses that one output was given in a list."""

    keras_family = ""  # no config names it

    def __init__(self, losses: Sequence[Any]) -> None:
        super().__init__(name="_".join(loss.name for loss in losses))
        self.losses = losses
        self.weights: Sequence[float] = [1.0] * len(losses)

    def __call__(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> Any:
        total: Any = 0.0
        for loss, weight in zip(self.losses, self.weights, strict=True):
            total = total + weight * loss(y_true, y_pred, sample_weight)
        return total


def _one_loss(given: Any, y_true: Any, y_pred: Any) -> Any:
    """The loss object for what was given for one output."""
    if isinstance(given, list | tuple):
        found = [_one_loss(g, y_true, y_pred) for g in given if g is not None]
        return found[0] if len(found) == 1 else SeveralLosses(found)
    if isinstance(given, str) and given.lower() in ("crossentropy", "ce"):
        found = losses_lib.get(_CROSSENTROPIES[target_kind(y_true, y_pred)])
    else:
        found = losses_lib.get(given)
    if found is None or isinstance(found, losses_lib.Loss):
        return found
    label: Any = given if isinstance(given, str) else getattr(found, "__name__", None)
    return LossFunctionWrapper(found, name=label)


def free_name(name: str, taken: set[str]) -> str:
    """The name, numbered if another metric has it."""
    free, number = name, 0
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free)
    return free


def target_kind(y_true: Tensor, y_pred: Tensor) -> int:
    """By shapes: 0 binary, 1 class numbers, 2 one-hot targets."""
    if y_true is None or not y_pred.shape:
        return 0
    if y_pred.shape[-1] == 1:
        return 0
    true_rank, pred_rank = len(y_true.shape), len(y_pred.shape)
    sparse = true_rank < pred_rank or (y_true.shape[-1] == 1 and y_pred.shape[-1] != 1)
    return 1 if sparse else 2

"""What comes behind the last stage of a pipeline: the loss of each microbatch, and
metrics of the whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from carnyx import config
from carnyx._core.masks import set_mask
from carnyx._core.scope import State, pure, scoped
from carnyx._training.on_devices.flow import Values
from carnyx._training.on_devices.heads import Reads
from carnyx._training.on_devices.stages import Static, device_puts, is_float
from carnyx._training.pipelines.masks_ahead import MasksAhead, shapes_of_outputs
from carnyx._training.pipelines.microbatches import Microbatches
from carnyx._training.pipelines.passage import Passage, Pipe, Turn, joined_columns
from carnyx._training.pipelines.shares import Rows, shares_of
from carnyx._training.state import HeldState


class PipelineHead:
    """Programs on the device of the last stage.

    Args:
        model: compiled; its losses and metrics are built.
        held: its variables.
        own: whether the model has a `compute_metrics` of its own.
    """

    def __init__(self, model: Any, pipe: Pipe, held: HeldState, own: bool) -> None:
        self.model, self.pipe = model, pipe
        self.metrics = held.parts.metrics_variables
        self.others = held.training_variables
        self.read: list[Any] | None = None  # of the others, by metrics
        compiled = model._compiled
        self.wants_outputs = own or compiled.metrics is not None
        self.losses = compiled.loss
        self.rows = None if compiled.loss is None else Rows(compiled.loss)
        self.scale = self._find_scale()
        self._shares: dict[Any, Any] = {}
        self._turn = jax.jit(self._turned)
        self._finish = jax.jit(self._finished, donate_argnums=0)

    def programs(self) -> list[Any]:
        """The compiled functions, so far."""
        shares = [p for p in self._shares.values() if callable(p)]
        return [self._turn, self._finish, *shares]

    def _find_scale(self) -> list[Any]:
        """What the optimizer reads to scale the loss."""
        optimizer = self.model.optimizer
        state = Reads((v, v.peek()) for v in optimizer.variables)
        with scoped(state=state):
            jax.eval_shape(lambda: optimizer.scale_loss(jnp.float32(1)))
        return [v for v in optimizer.variables if id(v) in state.seen]

    # ---- one microbatch ----------------------------------------------------------

    def turner(self, variables: Values, data: Microbatches) -> Any:
        """What turns the microbatches of a step round; see `Passage`."""
        shares = self._shares_of(variables, data)
        scale = device_puts([variables[id(v)] for v in self.scale], self.pipe.device)
        samples = sum(data.sizes)
        self.parts: list[Any] = [None] * len(data.sizes)
        self.outputs: list[Any] = [([], [])] * len(data.sizes)

        def turn(number: int, outputs: list[Any], masks: list[Any]) -> Turn:
            self.parts[number], cotangents, unit = self._turn(
                outputs, masks, data.y[number], data.weights[number], shares[number],
                data.sizes[number] / samples, scale,
            )  # fmt: skip
            if self.wants_outputs:  # of the whole batch, at the end
                self.outputs[number] = outputs, masks
            return Turn(cotangents, unit)

        return turn

    def _turned(
        self, outputs: list, masks: list, y: Any, weights: Any, shares: list,
        fraction: Any, scale: list,
    ) -> tuple[list[Any], list[Any], Any]:  # fmt: skip
        """The parts of the losses, the outputs' gradients and that of added losses."""

        def scaled(loss: Any) -> Any:
            state = State(zip(self.scale, scale, strict=True))
            with scoped(state=state):
                return self.model.optimizer.scale_loss(loss)

        def objective(floats: list[Any]) -> tuple[Any, Any]:
            pairs = zip(floats, outputs, strict=True)
            given = [x if f is None else f for f, x in pairs]
            _set_masks(given, masks)
            total, parts = self.rows.values(y, given, weights, shares)  # type: ignore[union-attr]
            return scaled(total), parts

        unit = scaled(jnp.asarray(fraction, "float32"))
        if self.rows is None:
            return [], [None for _ in outputs], unit
        floats = [x if is_float(x) else None for x in outputs]
        with scoped(fast_gradients=True, platform=self.pipe.device.platform):
            cotangents, parts = jax.grad(objective, has_aux=True)(floats)
        return parts, cotangents, unit

    # ---- shares ------------------------------------------------------------------

    def _shares_of(self, variables: Values, data: Microbatches) -> Any:
        """For each microbatch the share of each loss in the batch's."""
        if self.rows is None:
            return [[] for _ in data.sizes]
        key = jax.tree_util.tree_structure(data), tuple(data.sizes)
        key = *key, tuple(v.shape for v in jax.tree_util.tree_leaves(data))
        if key not in self._shares:
            self._shares[key] = self._make_shares(variables, data)
        known: Any = self._shares[key]
        return known(variables, data) if callable(known) else known

    def _make_shares(self, variables: Values, data: Microbatches) -> Any:
        """The shares, where they follow from sizes; else what computes them."""
        forward = [shapes_of_outputs(self.pipe, variables, x) for x in data.inputs]
        masked = any(m is not None for _, masks in forward for m in masks)
        masks = MasksAhead(self.pipe, variables, data.inputs) if masked else None

        def run(y: list, weights: list, masks: list) -> list[list[Any]]:
            masses = [
                self.rows.masses(target, _blank(specs, mask), weight)  # type: ignore[union-attr]
                for (specs, _), target, weight, mask in zip(
                    forward, y, weights, masks, strict=True
                )
            ]
            return shares_of(masses)

        def find(*arrays: Any) -> list[list[Any]]:
            found.append(run(*arrays))
            return found[-1]

        found: list[Any] = []
        none = [[None] * len(specs) for specs, _ in forward]
        jax.eval_shape(find, data.y, data.weights, [m for _, m in forward])
        known = found.pop()
        if all(isinstance(x, float) for row in known for x in row):
            return known
        program = jax.jit(run)

        def compute(variables: Values, data: Microbatches) -> list[Any]:
            found = none if masks is None else masks(variables, data.inputs)
            return program(data.y, data.weights, found)

        return compute

    # ---- the whole batch ---------------------------------------------------------

    def finish(
        self, passage: Passage, variables: Values, data: Microbatches
    ) -> tuple[dict[str, Any], list[Any]]:
        """Logs, and the new values of the metrics."""
        values = variables | passage.changed
        metrics = [values[id(v)] for v in self.metrics]
        added = [
            [loss for outcome in outcomes for loss in outcome.losses]
            for outcomes in passage.outcomes
        ]
        penalties = [p for o in passage.outcomes[0] for p in o.penalties]
        batch = self.outputs, data.y, data.weights, data.x
        given = (
            metrics, self.parts, added, penalties,
            batch if self.wants_outputs else None,
        )  # fmt: skip
        if self.read is None:
            self.read = self._find_read(variables, given, data.sizes)
        given = [variables[id(v)] for v in self.read], *given
        leaves, form = jax.tree_util.tree_flatten(given)
        leaves = device_puts(leaves, self.pipe.device)
        self.parts, self.outputs = [], []
        known, metrics, *rest = jax.tree_util.tree_unflatten(form, leaves)
        return self._finish(metrics, known, *rest, Static(data.sizes))

    def _find_read(
        self, variables: Values, given: Any, sizes: Sequence[int]
    ) -> list[Any]:
        """Which of the model's variables, or of the optimizer's, a metric reads."""
        state = Reads((v, variables[id(v)]) for v in self.others)
        metrics, *rest = given

        def run(parts: list, added: list, penalties: list, batch: Any) -> Any:
            return self._finished(
                metrics, [], parts, added, penalties, batch, Static(sizes)
            )

        with scoped(state=state):
            jax.eval_shape(run, *rest)
        return [v for v in self.others if id(v) in state.seen]

    def _finished(
        self, metrics: list, known: list, parts: list, added: list, penalties: list,
        batch: Any, sizes: Static,
    ) -> tuple[dict[str, Any], list[Any]]:  # fmt: skip
        samples = sum(sizes)
        own = [sum(column) for column in zip(*parts, strict=True)]
        total = self._total(own, added, penalties, [size / samples for size in sizes])

        def update() -> dict[str, Any]:
            for tracker, value in zip(self._trackers(), own, strict=False):
                tracker.update_state(value, sample_weight=samples)
            self.model._compiled.loss_tracker.update_state(total, sample_weight=samples)
            return self._measured(batch)

        state = State.to_read(self.read or (), known)
        with scoped(state=state, platform=self.pipe.device.platform):
            return pure(update, self.metrics)(metrics)

    def _total(
        self, own: list[Any], added: list, penalties: list, fractions: list[float]
    ) -> Any:
        """The loss of the batch."""
        dtype = config.floatx()
        total: Any = jnp.zeros((), dtype)
        for scale, value in zip(self._scales(), own, strict=True):
            total = total + (value if scale is None else value * scale)
        for losses, fraction in zip(added, fractions, strict=True):
            for loss in losses:
                total = total + jnp.sum(jnp.asarray(loss, dtype)) * fraction
        for penalty in penalties:
            total = total + jnp.asarray(penalty, dtype)
        return total

    def _measured(self, batch: Any) -> dict[str, Any]:
        """All metrics, updated with the whole batch where one looks at it."""
        if batch is None:
            return self.model.get_metrics_result()
        outputs, y, weights, x = batch
        whole = joined_columns([values for values, _ in outputs])
        _set_masks(whole, joined_columns([masks for _, masks in outputs]))
        y, weights, x = map(_joined_tree, (y, weights, x))
        return self.model.compute_metrics(x, y, self.model._packed(whole), weights)

    def _scales(self) -> list[Any]:
        if self.losses is None:
            return []
        pairs = zip(self.losses.losses, self.losses.weights, strict=True)
        return [scale for loss, scale in pairs if loss is not None]

    def _trackers(self) -> list[Any]:
        return [] if self.losses is None else self.losses.means


def _set_masks(values: Sequence[Any], masks: Sequence[Any]) -> None:
    for value, mask in zip(values, masks, strict=True):
        if mask is not None:
            set_mask(value, mask)


def _joined_tree(parts: Sequence[Any]) -> Any:
    if parts[0] is None:
        return None
    return jax.tree_util.tree_map(lambda *leaves: jnp.concatenate(leaves), *parts)


def _blank(specs: Sequence[Any], masks: Sequence[Any]) -> list[Any]:
    """Zeros in place of predictions, with their masks."""
    blank = [jnp.zeros(spec.shape, spec.dtype) for spec in specs]
    _set_masks(blank, masks)
    return blank

"""`Prepared`: a model that is made ready for data, and data that is looked at."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from carnyx._checks.first_batches import SINGLE_BATCHES, Expectations, look_at
from carnyx._checks.told import on
from carnyx._checks.watched import expectations_of, expectations_of_inputs
from carnyx._core import structure
from carnyx._core.infer import infer
from carnyx._core.scope import scoped
from carnyx._data import Feed
from carnyx._training import stateful_steps
from carnyx._training.compile import Compiled
from carnyx._training.outputs import trimmed
from carnyx._training.state import are_identical
from carnyx._training.steps import Steps
from carnyx.layers.base import Layer


class _InputsExpected:
    """What inputs to predict from should be, and for which layers that is known.

    A class of its own: what stood in a tuple would count as the model's layers.
    """

    version = -1
    layers: Sequence[Layer] = ()
    known: Expectations | None = None


class Prepared(Steps):
    """Model, losses, metrics and optimizer are built when data come, on its shapes."""

    run_eagerly = False
    _placement: Any = None  # of this model alone

    def _prepare(
        self, spec: Any, training: bool, batch_size: int | None = None
    ) -> None:
        """Build model, losses, metrics and optimizer for batches like `spec`."""
        compiled = self._need_compiled("fit" if training else "evaluate")
        with scoped(frozen=compiled.frozen):
            self._prepare_as(compiled, spec, training, batch_size)

    def _prepare_as(
        self, compiled: Compiled, spec: Any, training: bool, batch_size: int | None
    ) -> None:
        if training and batch_size and self._placement is not None:
            self._placement.check_batch(batch_size)
        name = "train_step" if training else "test_step"
        if stateful_steps.is_simple(self, name):
            if name not in compiled.tried:
                step = getattr(self, name)
                stateful_steps.prepare(self, step, trimmed(spec), batch_size)
                compiled.tried.add(name)
            return
        if not compiled.ready:
            x, y, weights = self._spec_to_build(spec, batch_size)
            y_pred = self._predicted_spec(x)
            if compiled.loss is not None and not compiled.loss.built:
                if type(self).compute_loss is Steps.compute_loss:
                    compiled.loss.build(y, y_pred)
                else:  # it may give the loss other outputs than the model has
                    loss = functools.partial(self._loss, training=training)
                    infer(loss, x, y, y_pred, weights)
            if compiled.metrics is not None and not compiled.metrics.built:
                compiled.metrics.build(y, y_pred)
                # some metrics have their state from their first batch on
                infer(compiled.metrics.update_state, y, y_pred)
            usual = type(self).compute_loss is Steps.compute_loss
            compiled.expectations = expectations_of(
                self, compiled if usual else None, x, y_pred
            )
            compiled.ready = True
        if training and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)  # type: ignore[attr-defined]

    def _look_at(self, feed: Feed, single: bool = False) -> None:
        """Let checks see the data; of single batches the first ones are enough."""
        compiled = self._need_compiled("fit")
        if single and not self.run_eagerly:
            compiled.looked += 1
            if compiled.looked > SINGLE_BATCHES:
                return
        look_at(feed, compiled.expectations, every=self.run_eagerly)

    def _expected_inputs(self, spec: Callable[[], Any]) -> Expectations | None:
        """What inputs to predict from should be; found out once for a structure.

        Args:
            spec: gives the inputs as symbolic tensors.
        """
        if not on():
            return None
        noted = self.__dict__.setdefault("_inputs_expected", _InputsExpected())
        if noted.version == structure.version():
            return noted.known
        found = self._flatten_layers()  # type: ignore[attr-defined]
        if not are_identical(found, noted.layers):
            compiled = self._compiled
            known = None if compiled is None else compiled.expectations
            known = known or expectations_of_inputs(self, spec)
            noted.known = known if known and known.indices else None
        noted.version, noted.layers = structure.version(), found
        return noted.known

    def _spec_to_build(self, spec: Any, batch_size: int | None) -> Any:
        """Symbols for a batch; with its size, where layers are still to be built that
        keep a state of every sample."""
        layers = self._flatten_layers()  # type: ignore[attr-defined]
        if self.built or not any(getattr(x, "stateful", False) for x in layers):  # type: ignore[attr-defined]
            return spec
        return stateful_steps.sized(spec, batch_size)

    def _predicted_spec(self, x: Any) -> Any:
        """Symbolic outputs for symbolic inputs; builds the model on the way."""
        return infer(lambda x: self._predictions(x, training=False), x)

"""A model's calls while a watch is kept, in `compile`'s shapes and in steps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from carnyx import tree
from carnyx._checks.first_batches import Expectations, expectations
from carnyx._checks.losses import expected_by
from carnyx._checks.predictions import judge_predictions
from carnyx._checks.python_values import PythonValues
from carnyx._checks.told import on, warn_once
from carnyx._checks.watching import CallWatch
from carnyx._core.infer import infer
from carnyx._core.masks import get_mask
from carnyx._core.scope import current, in_program, scoped
from carnyx.layers import Embedding, Masking
from carnyx.layers.base import Layer
from carnyx.layers.input_spec import label
from carnyx.typing import Tensor, Tensors


def expectations_of(
    model: Any, compiled: object, x: Tensors, y_pred: Tensor
) -> Expectations | None:
    """What a compiled model's data should be; None where checks are off."""
    return expectations(compiled, y_pred, _watched_call(model, x)) if on() else None


def expectations_of_inputs(model: Any, spec: Callable[[], Any]) -> Expectations | None:
    """What a model's inputs should be, of whose targets nothing is known.

    None where a call cannot be followed on symbols: what only looks may fail no call.
    """
    try:
        return Expectations(None, [], _watched_call(model, spec()).indices, set())
    except Exception:
        return None


def _watched_call(model: Any, x: Tensors) -> CallWatch:
    """What a call on such (symbolic) inputs shows; nothing without embeddings."""
    watch = CallWatch(model)
    layers = model._flatten_layers()
    if any(isinstance(layer, Embedding | Masking) for layer in layers):

        def call(x: Any) -> Any:
            outputs = model(x, training=False)
            watch.masked = any(get_mask(t) is not None for t in tree.flatten(outputs))
            return outputs

        with scoped(watch=watch):
            infer(call, x)
    return watch


@contextlib.contextmanager
def watched_step(model: Any, compiled: Any) -> Iterator[None]:
    """Keep a watch over the forward pass of a step, while it is traced or op by op."""
    if not on() or current().watch is not None:
        yield
        return
    drawn = PythonValues(model, compiled.told) if in_program() else None
    watch = StepWatch(model, compiled.told, drawn)
    with scoped(watch=watch):
        yield
    watch.tell_of_strangers()


class StepWatch(CallWatch):
    """What a step shows: predictions and losses that meet, and values of Python's that
    it takes."""

    def __init__(self, model: Any, told: set[str], drawn: PythonValues | None) -> None:
        super().__init__(model)
        self.told, self.drawn = told, drawn
        self._parts = set(map(id, model._flatten_layers()))
        self._held = set(model.variables)  # a view of its layers has no others
        self._strangers: dict[int, Any] = {}

    def layer(self, layer: Layer, inputs: dict[str, Any], outputs: Tensors) -> None:
        super().layer(layer, inputs, outputs)
        if id(layer) not in self._parts and not self._held.issuperset(layer.variables):
            self._strangers[id(layer)] = layer
        if self.drawn is not None:
            self.drawn.look(layer)

    def tell_of_strangers(self) -> None:
        """Of layers with state that are no part of the model; the outermost."""
        for layer in self._strangers.values():
            self._parts |= set(map(id, layer._flatten_layers(include_self=False)))
        for layer in self._strangers.values():
            if id(layer) not in self._parts:
                self._tell_of_stranger(layer)

    def _tell_of_stranger(self, layer: Layer) -> None:
        lost = "Its weights are not trained and not saved"
        if not layer.weights:
            lost = "Its random numbers are the same in every step"
        around = layer.path.rpartition("/")[0]  # its own name is another in each trace
        warn_once(
            self.told,
            f"{label(layer)} is called in {self.model.name!r} and is no part of it: it "
            "was made inside of a call(), or is kept outside of the layers. "
            f"{lost}. Make it in __init__ or build() as an attribute (self.inner = "
            "...), and only use it in call().",
            key=f"{type(layer).__name__} in {around}",
        )

    def own_draw(self, draw: Callable[[], int]) -> int:
        return draw() if self.drawn is None else self.drawn.own_draw(draw)

    def meets(self, loss: object, output: str, prediction: Tensor) -> None:
        expected = expected_by(loss, output, prediction)
        if expected is not None:
            judge_predictions(expected, self.origin(prediction), self.told)

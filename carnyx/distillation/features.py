"""What some layers of a model compute on a batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from carnyx.models import Model
from carnyx.typing import Tensors

FINAL = None  # the name under which stands what comes out of the model


class Features:
    """A model's outputs, and those of its layers that have one of `names`.

    No layer itself, so that a model that keeps one has no weights twice.
    """

    def __init__(self, model: Model, names: Iterable[str | None]) -> None:
        self.model, self.inner = model, None
        layers = {name: model.get_layer(name=name).output for name in names if name}
        if layers:
            outputs = {"layers": layers, "final": model.output}
            self.inner = Model(model.inputs, outputs, name=f"{model.name}_features")

    def all(self, x: Tensors) -> dict[str | None, Any]:
        """What the layers compute, and by `FINAL` what comes out, at inference."""
        if self.inner is None:
            return {FINAL: self.model(x, training=False)}
        found = self.inner(x, training=False)
        return {**found["layers"], FINAL: found["final"]}

    def beside(
        self, outputs: Tensors, x: Tensors, training: bool
    ) -> dict[str | None, Any]:
        """The same where the model has been called: `outputs` came out of it.

        What the layers assign (moving averages, say) has been assigned then, and is
        not assigned again.
        """
        if self.inner is None:
            return {FINAL: outputs}
        weights = [v.value for v in self.inner.trainable_variables]
        others = [v.value for v in self.inner.non_trainable_variables]
        found, _ = self.inner.stateless_call(weights, others, x, training=training)
        return {**found["layers"], FINAL: outputs}

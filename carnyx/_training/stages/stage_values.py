"""What goes into a stage, comes out of it, and is kept for its gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from carnyx._training.stages.arrays import Static, is_float


class Given(NamedTuple):
    """What a stage runs on, on its device; a tree of arrays.

    Attributes:
        trainable, buffers: in the order of the stage's variables.
        inputs, masks: in the order of its inputs; None where there is none.
    """

    trainable: list[Any]
    buffers: list[Any]
    inputs: list[Any]
    masks: list[Any]

    @property
    def flat(self) -> list[Any]:
        """All arrays."""
        return [*self.trainable, *self.buffers, *self.inputs, *self.masks]


class Outcome(NamedTuple):
    """What a stage gives; a tree of arrays.

    Attributes:
        outputs, masks: in the order of `Stage.outputs`; None where there is no mask.
        buffers: by the place in `Stage.buffers`, those that changed.
        losses: what the stage's layers added, in the order of `adders`.
        penalties: of `Stage.regularized`, what their regularizers give.
        adders: the layers that added `losses`; not an array.
    """

    outputs: list[Any]
    masks: list[Any]
    buffers: dict[int, Any]
    losses: list[Any]
    penalties: list[Any]
    adders: Static


class Cotangents(NamedTuple):
    """The gradient for each differentiable part of an `Outcome`.

    Attributes:
        outputs: for each output a tuple of arrays to be added up, which may be empty.
        losses, penalties: a scalar for each.
    """

    outputs: list[tuple[Any, ...]]
    losses: list[Any]
    penalties: list[Any]

    @classmethod
    def like(cls, outcome: Outcome, make: Callable[[Any], Any]) -> Cotangents:
        """One for each part, made of it; integers have none."""
        return cls(
            [(make(x),) if is_float(x) else () for x in outcome.outputs],
            [make(x) for x in outcome.losses],
            [make(x) for x in outcome.penalties],
        )


class Residuals(NamedTuple):
    """What a stage keeps for its gradient; a tree of arrays.

    Attributes:
        leaves: of the function that `jax.vjp` gave. What a program was given and gives
            back would be copied, weights with every microbatch: those leave the
            program as places, and are put back outside. So they must not be donated.
        form: the function's tree, and where each leaf comes from.
        outputs: for each input whether its gradient is wanted; shape, dtype and whether
            there is a gradient, for each output.
    """

    leaves: list[Any]
    form: Static
    outputs: Static

    def filled(self, given: Sequence[Any]) -> Residuals:
        """With what the program was given put back in its places."""
        definition, places = self.form
        kept = iter(self.leaves)
        leaves = [next(kept) if p is None else given[p] for p in places]
        return self._replace(leaves=leaves, form=Static((definition,)))

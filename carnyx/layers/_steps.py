"""A layer called once a step of a loop, and the loop over time.

What the layer changes goes round with the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from carnyx import tree
from carnyx._core.scope import State, scoped
from carnyx.typing import Tensor


class Loop:
    """Calls of `layer` as a pure function of what it changes.

    Attributes:
        variables: what the layer may assign: seeds, moving statistics, states.
        values: what they held when the loop was made.
        owners: the layers whose losses the last call gave.

    Use `loop(values, fn, *args) -> (fn(*args), new values, losses)` in a `lax.scan` or
    `jax.vmap`, then `loop.finish(values, losses)`.
    """

    def __init__(self, layer: Any) -> None:
        self.variables = list(getattr(layer, "non_trainable_variables", ()))
        with scoped(autocast=None):
            self.values = [v.value for v in self.variables]
        self.owners: list[Any] = []

    def __call__(
        self, values: Sequence[Any], fn: Callable[..., Any], *args: Any
    ) -> tuple[Any, list[Any], list[Any]]:
        state = State(zip(self.variables, values, strict=True))
        with scoped(state=state):
            out = fn(*args)
        self.owners = [owner for owner, _ in state.losses]
        new = [state.values[v] for v in self.variables]
        return out, new, [loss for _, loss in state.losses]

    def finish(self, values: Sequence[Any], losses: Sequence[Any] = ()) -> None:
        """Assign the last values; add the losses, summed over the steps."""
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)
        self.add_losses(losses)

    def add_losses(self, losses: Sequence[Any]) -> None:
        """Add the losses of all steps, stacked on axis 0."""
        for owner, loss in zip(self.owners, losses, strict=False):
            owner.add_loss(jnp.sum(loss))


def scan(
    step: Callable[[Any, Any, Any], tuple[Any, Any, Any, Any]],
    sequences: Tensor,
    values: Tensor,
    states: object,
    mask: Tensor | None = None,
    *,
    reverse: bool = False,
    unroll: bool = False,
    zero_output_for_mask: bool = False,
) -> tuple[Tensor, Tensor, Any, Any, Any]:
    """Run `step(values, x, states) -> (output, states, values, losses)` over axis 1.

    A sample that is masked at a step keeps its states, and its output, or has zeros.

    Returns:
        last output, outputs in the order of processing, states, values, losses.
    """
    xs = jnp.swapaxes(sequences, 0, 1)
    ms = None if mask is None else jnp.swapaxes(mask, 0, 1)
    like = jax.ShapeDtypeStruct(xs.shape[1:], xs.dtype)
    shape = jax.eval_shape(step, values, like, states)[0]
    zeros = jnp.zeros(shape.shape, shape.dtype)

    def keep(m: Tensor | None, new: Tensor, old: Tensor) -> Tensor:
        new = new.astype(old.dtype)  # so that a cell in another precision still loops
        if m is None:
            return new
        return jnp.where(m.reshape(m.shape + (1,) * (new.ndim - m.ndim)), new, old)

    def body(carry: Any, inputs: Any) -> Any:
        (values, states, output), (x, m) = carry, inputs
        out, new, values, losses = step(values, x, states)
        output = keep(m, out, zeros if zero_output_for_mask else output)
        states = tree.map_structure(lambda n, s: keep(m, n, s), new, states)
        return (values, states, output), (output, losses)

    first = values, states, zeros
    (values, states, last), (outputs, losses) = lax.scan(
        body, first, (xs, ms), reverse=reverse, unroll=unroll
    )
    outputs = jnp.flip(outputs, 0) if reverse else outputs
    return last, jnp.swapaxes(outputs, 0, 1), states, values, losses

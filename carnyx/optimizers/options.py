"""What happens in a step around the rule, in the order of `STEP`.

An option is a function `(optimizer, grads, variables, rest)`: it does its part and
calls `rest(grads, variables)`, which is what comes after it, or does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from carnyx._core.scope import is_tracer, pure
from carnyx._core.variable import Variable
from carnyx.typing import DTypeLike, Tensor

Rest = Callable[[list[Tensor], list[Variable]], None]
Option = Callable[[Any, list[Tensor], list[Variable], Rest], None]


def take_step(
    optimizer: Any,
    grads: list[Tensor],
    variables: list[Variable],
    step: Sequence[Option] | None = None,
) -> None:
    """All of `STEP`, for gradients that are there."""
    option, *others = STEP if step is None else step

    def rest(grads: list[Tensor], variables: list[Variable]) -> None:
        if others:
            take_step(optimizer, grads, variables, others)

    option(optimizer, grads, variables, rest)


def overwrite(o: Any, grads: list, variables: list, rest: Rest) -> None:
    """Variables whose "gradient" is their new value (float8 scales) take it; while
    gradients are accumulated, the largest so far."""
    left = [(g, v) for g, v in zip(grads, variables) if not v.overwrite_with_gradient]
    for g, v in zip(grads, variables):
        if not v.overwrite_with_gradient:
            continue
        if o.gradient_accumulation_steps:
            largest = o.sum_of(v)
            now, g = _is_update(o), jnp.maximum(g, largest.value)
            largest.assign(jnp.where(now, jnp.zeros_like(g), g))
            g = jnp.where(now, g, v.value)
        v.assign(g)
    if left:
        rest([g for g, _ in left], [v for _, v in left])


def unscale(o: Any, grads: list, variables: list, rest: Rest) -> None:
    """Divide by what the loss was multiplied by."""
    if o.loss_scale_factor is not None:
        scale = np.float32(o.loss_scale_factor)  # float16 has no 2¹⁶
        grads = [g / scale for g in grads]
    rest(grads, variables)


def accumulate(o: Any, grads: list, variables: list, rest: Rest) -> None:
    """Go on once in so many steps, with the mean."""
    steps = o.gradient_accumulation_steps
    if not steps:
        return rest(grads, variables)
    sums = [o.sum_of(v) for v in variables]
    totals = [s.value + g for s, g in zip(sums, grads)]

    def wait() -> None:
        for s, total in zip(sums, totals):
            s.assign(total)

    def update() -> None:
        rest([total / steps for total in totals], variables)
        for s in sums:
            s.assign(jnp.zeros(s.shape, s.dtype))

    either(_is_update(o), update, wait, o)


def clip(o: Any, grads: list, variables: list, rest: Rest) -> None:
    """Bound the gradients: each by its norm, its elements, or all by their norm."""
    norm, value, total = o.clipnorm, o.clipvalue, o.global_clipnorm
    if norm:
        grads = [g * norm / jnp.maximum(_norm([g]), norm) for g in grads]
    elif value:
        grads = [jnp.clip(g, -value, value) for g in grads]
    elif total:
        # Infinite or NaN gradients give NaN rather than a finite wrong step.
        size = _norm(grads)
        scale = total / jnp.maximum(size, total) + 0 * size
        grads = [g * scale.astype(g.dtype) for g in grads]
    rest(grads, variables)


def decay(o: Any, grads: list, variables: list, rest: Rest) -> None:
    """w ← w - lr · weight_decay · w."""
    amounts = [(v, o.decay_of(v)) for v in variables if o._use_weight_decay(v)]
    for v, amount in amounts:
        if amount is not None:
            rate = as_array(o.learning_rate, v.dtype)
            v.assign(v.value - v.value * amount * rate)
    rest(grads, variables)


def rule(o: Any, grads: list, variables: list, rest: Rest) -> None:
    """The optimizer's own."""
    o.update(grads, variables)
    rest(grads, variables)


def average(o: Any, grads: list, variables: list, rest: Rest) -> None:
    """e ← m e + (1 - m) w; the first time, e ← w."""
    if o.use_ema:
        count, every = as_array(o.iterations), o.ema_overwrite_frequency
        for v, e in o.averaged():
            m = jnp.where(count == 0, 0.0, o.ema_momentum).astype(v.dtype)
            mean = m * e.value + (1 - m) * v.value
            e.assign(mean)
            if every:
                v.assign(jnp.where((count + 1) % every == 0, mean, v.value))
    rest(grads, variables)


def constrain(o: Any, grads: list, variables: list, rest: Rest) -> None:
    """What a variable's constraint makes of its new value."""
    for v in variables:
        if v.constraint is not None:
            v.assign(v.constraint(v.value))
    rest(grads, variables)


STEP: tuple[Option, ...] = (
    overwrite, unscale, accumulate, clip, decay, rule, average, constrain,
)  # fmt: skip


def either(condition: Any, then: Callable, otherwise: Callable, o: Any) -> None:
    """Run one of two functions that assign variables; the other costs nothing."""
    if not is_tracer(condition):
        return then() if condition else otherwise()
    held = [*o._trainable_variables, *o.variables]
    then, otherwise = pure(then, held), pure(otherwise, held)
    _, new = jax.lax.cond(condition, then, otherwise, [v.value for v in held])
    for v, value in zip(held, new):
        v.assign(value)


def _is_update(o: Any) -> Any:
    return (o._iterations.value + 1) % o.gradient_accumulation_steps == 0


def _norm(arrays: list[Any]) -> Any:
    return jnp.sqrt(sum(jnp.sum(jnp.square(a)) for a in arrays))


def as_array(x: object, dtype: DTypeLike | None = None) -> Any:
    """What a variable or a number is worth, as an array."""
    return jnp.asarray(getattr(x, "value", x), dtype)

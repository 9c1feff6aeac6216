"""Loss scaling that finds its own factor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import jax.numpy as jnp

from carnyx import initializers, registry
from carnyx._core.variable import Variable
from carnyx.errors import ArgumentError
from carnyx.optimizers.base import Optimizer
from carnyx.optimizers.matching import matched
from carnyx.optimizers.on_several import stepped_on_one
from carnyx.optimizers.options import either


class LossScaleOptimizer(Optimizer):
    """Keeps gradients of half-precision models inside the range of their dtype.

    The loss is multiplied by a scale, the gradients divided by it. A step whose
    gradients are not all finite is left out and halves the scale; so many good steps
    in a row double it. All of it happens inside the traced step.

    Args:
        inner_optimizer: what updates the variables; all options are set there.
        dynamic_growth_steps: good steps until the scale is doubled.

    References: Micikevicius et al. 2018, arXiv:1710.03740.

    >>> from carnyx import Variable
    >>> from carnyx.optimizers import SGD
    >>> w, scaled = Variable(1.0), LossScaleOptimizer(SGD(0.5), initial_scale=4.0)
    >>> scaled.apply([float("inf")], [w])
    >>> float(w), float(scaled.scale_loss(1.0))
    (1.0, 2.0)
    """

    def __init__(
        self,
        inner_optimizer: object,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if not kwargs.pop("dynamic", True):  # Keras 2 had both kinds in one class
            raise ArgumentError(
                "LossScaleOptimizer got dynamic=False, but always finds its scale. A "
                "fixed one is an optimizer's own option: SGD(loss_scale_factor=1024)."
            )
        for option, value in kwargs.items():
            if option not in self._fields or value != self._fields[option].default:
                raise ArgumentError(
                    f"LossScaleOptimizer got {option}={value!r}; give it to the inner "
                    "optimizer. A fixed scale is the inner optimizer's "
                    "loss_scale_factor, without LossScaleOptimizer."
                )
        super().__init__(learning_rate=0.0, name=name)  # type: ignore[call-arg]
        inner = registry.lookup(inner_optimizer, "optimizers", kind="optimizer")
        inner.loss_scale_factor = None
        self.inner_optimizer: Optimizer = inner
        self.initial_scale = initial_scale
        self.dynamic_growth_steps = dynamic_growth_steps

    def build(self, variables: Iterable[Variable]) -> None:
        if self.built:
            return
        variables = list(variables)
        self.step_counter = self.add_variable((), dtype="int32", name="step_counter")
        first = initializers.Constant(self.initial_scale)
        self.dynamic_scale = self.add_variable(
            (), first, "float32", name="dynamic_scale"
        )
        self.inner_optimizer.build(variables)
        super().build(variables)

    @property
    def variables(self) -> list[Variable]:
        return super().variables + self.inner_optimizer.variables

    @property
    def iterations(self) -> Any:
        return self.inner_optimizer.iterations

    def _get_learning_rate(self) -> Any:
        return self.inner_optimizer.learning_rate

    def _set_learning_rate(self, value: Any) -> None:
        if "inner_optimizer" in self.__dict__:
            self.inner_optimizer.learning_rate = value
        else:  # its own, unused, is in Keras's files
            super()._set_learning_rate(value)

    def apply(
        self,
        grads: Iterable[Any],
        trainable_variables: Iterable[Variable] | None = None,
    ) -> None:
        grads = [None if g is None else jnp.asarray(g) for g in grads]
        variables = matched(self, grads, trainable_variables)
        if stepped_on_one(self, grads, variables):
            return
        finite = [jnp.all(jnp.isfinite(g)) for g in grads if g is not None]
        if finite:
            either(
                jnp.all(jnp.stack(finite)),
                lambda: self._accept(grads, variables),
                self._back_off,
                self,
            )

    def _accept(self, grads: list[Any], variables: list[Variable]) -> None:
        scale, good = self.dynamic_scale.value, self.step_counter.value + 1
        unscaled = [  # in float32: float16 cannot hold the larger scales
            g if g is None or v.overwrite_with_gradient else g / scale
            for g, v in zip(grads, variables)
        ]
        self.inner_optimizer.apply(unscaled, variables)
        grow = good == self.dynamic_growth_steps
        self.step_counter.assign(jnp.where(grow, 0, good))
        self.dynamic_scale.assign(jnp.where(grow, scale * 2, scale))

    def _back_off(self) -> None:
        self.step_counter.assign(0)
        self.dynamic_scale.assign(self.dynamic_scale.value / 2)

    def scale_loss(self, loss: Any) -> Any:
        scale = self.dynamic_scale.value if self.built else self.initial_scale
        return loss * scale

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "inner_optimizer": registry.serialize_keras_object(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }

"""What every optimizer shares: slots, the options around a rule, and the pure step.

An optimizer is slots and a rule. The rule is a function of one variable; the base maps
it over the variables inside the options that all optimizers have (`options.py`):
unscale → accumulate → clip → decay → rule → average → constrain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import jax.numpy as jnp

from carnyx import registry
from carnyx._core.naming import auto_name
from carnyx._core.scope import pure
from carnyx._core.variable import Variable
from carnyx._spellings import OldName
from carnyx.configurable import Field, above_zero, at_least, field, fraction, positive
from carnyx.errors import ArgumentError, NotBuiltError
from carnyx.optimizers.learning_rate import HasLearningRate, as_property
from carnyx.optimizers.matching import matched, with_gradients
from carnyx.optimizers.on_several import stepped_on_one
from carnyx.optimizers.options import as_array, take_step
from carnyx.optimizers.state import _Stateful
from carnyx.typing import Tensor

_OPTIONS = (
    "weight_decay",
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "use_ema",
    "ema_momentum",
    "ema_overwrite_frequency",
    "loss_scale_factor",
    "gradient_accumulation_steps",
    "name",
)


class Optimizer(HasLearningRate, _Stateful):
    """Base of the optimizers.

    A subclass has `slots` and a `rule`; or, as in Keras, overrides `build` (making
    variables with `add_variable_from_reference`) and `update_step` (assigning them).

    Args:
        learning_rate: a number, a `LearningRateSchedule`, or a function of nothing.
        weight_decay: decoupled: w ← w - lr · weight_decay · w before the rule.
        clipnorm, clipvalue, global_clipnorm: bound each gradient's norm, each of its
            elements, or the norm of all gradients together. At most one.
        use_ema: keep an average of the weights, e ← ema_momentum · e
            + (1 - ema_momentum) · w; it replaces the weights every
            `ema_overwrite_frequency` steps and when training ends.
        loss_scale_factor: the loss is multiplied by it, the gradients divided.
        gradient_accumulation_steps: update once in so many steps, with the mean:
            schedules, averages and constraints go by updates, so that the small
            steps equal one big one.

    >>> import jax.numpy as jnp
    >>> from carnyx import Variable
    >>> class Descent(Optimizer):
    ...     def rule(self, g, w, *, lr, t): return (w - lr * g,)
    >>> w = Variable([1.0, 2.0])
    >>> Descent(learning_rate=0.5).apply_gradients([(jnp.ones(2), w)]).tolist()
    1
    >>> w.tolist()
    [0.5, 1.5]
    """

    keras_family = "optimizers"

    learning_rate: Any = field(config=False)
    weight_decay: float | None = field(None, check=at_least(0))
    clipnorm: float | None = field(None, check=at_least(0))
    clipvalue: float | None = field(None, check=at_least(0))
    global_clipnorm: float | None = field(None, check=at_least(0))
    use_ema: bool = field(False)
    ema_momentum: float = field(0.99, check=fraction)
    ema_overwrite_frequency: int | None = field(None, check=positive)
    loss_scale_factor: float | None = field(None, check=above_zero)
    gradient_accumulation_steps: int | None = field(
        None, check=at_least(2, "an integer")
    )
    name: Any = field(None)

    field_order = ("learning_rate", ..., *_OPTIONS)  # a rule's own before the options

    def __init_subclass__(cls, **keywords: Any) -> None:
        rate = vars(cls).get("learning_rate")
        if isinstance(rate, Field):
            rate.in_config = False  # Optimizer.get_config has it
        super().__init_subclass__(**keywords)
        if isinstance(rate, Field):
            cls.learning_rate = as_property
        registry.claim(cls, name=cls.__name__.lower())

    lr, decay = OldName(), OldName()

    def __post_init__(self) -> None:
        clips = self.clipnorm, self.clipvalue, self.global_clipnorm
        if sum(c is not None for c in clips) > 1:
            raise ArgumentError(
                f"{type(self).__name__} got clipnorm={self.clipnorm}, "
                f"clipvalue={self.clipvalue}, global_clipnorm={self.global_clipnorm}; "
                "set at most one of them."
            )
        self.name = self.name or auto_name(type(self).__name__)
        self.built = False
        self._trainable_variables: list[Variable] = []
        self._index: dict[int, int] = {}
        self._slots: dict[int, list[Variable | None]] = {}
        self._exempt: tuple[frozenset[int], str | None] = (frozenset(), None)
        self._iterations = self.add_variable((), "zeros", "int32", name="iteration")
        if not callable(self._learning_rate):
            self._set_learning_rate(self._learning_rate)

    @property
    def iterations(self) -> Any:
        """How many updates were made."""
        steps = self.gradient_accumulation_steps
        return self._iterations.value // steps if steps else self._iterations

    # ---- one step

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> Any:
        """Update variables from pairs of gradient and variable."""
        grads, variables = zip(*grads_and_vars)
        self.apply(grads, variables)
        return self._iterations

    def apply(
        self,
        grads: Iterable[Any],
        trainable_variables: Iterable[Variable] | None = None,
    ) -> None:
        """Update the variables by one step; they are built on if need be."""
        grads = list(grads)
        if not grads:
            return
        variables = matched(self, grads, trainable_variables)
        if stepped_on_one(self, grads, variables):
            return
        take_step(self, *with_gradients(grads, variables))
        self._iterations.assign_add(1)

    def stateless_apply(
        self,
        optimizer_variables: Sequence[Any],
        grads: Sequence[Any],
        trainable_variables: Sequence[Any],
    ) -> tuple[list[Any], list[Any]]:
        """`apply` as a pure function: the new trainable and optimizer variables.

        >>> import jax
        >>> from carnyx import Variable
        >>> from carnyx.optimizers import SGD
        >>> w, sgd = Variable(2.0), SGD(0.5)
        >>> sgd.build([w])
        >>> state = [v.value for v in sgd.variables]
        >>> (new,), state = jax.jit(sgd.stateless_apply)(state, [1.0], [w.value])
        >>> float(new), float(w)
        (1.5, 2.0)
        """
        if not self.built:
            raise NotBuiltError(
                f"{self.name!r} is not built; call build(trainable_variables) before "
                "stateless_apply."
            )
        held = self._trainable_variables
        for what, got, expected in (
            ("optimizer_variables", optimizer_variables, self.variables),
            ("trainable_variables", trainable_variables, held),
        ):
            if len(got) != len(expected):
                raise ArgumentError(
                    f"stateless_apply of {self.name!r} got {len(got)} {what}; expected "
                    f"{len(expected)}, one for each that it was built with."
                )
        values = [getattr(v, "value", v) for v in trainable_variables]
        values += [getattr(v, "value", v) for v in optimizer_variables]
        _, new = pure(self.apply, [*held, *self.variables])(values, grads)
        return new[: len(held)], new[len(held) :]

    def update(self, grads: list[Any], variables: list[Variable]) -> None:
        """All variables' update, after clipping and decay."""
        rate = self.learning_rate
        for g, v in zip(grads, variables):
            self.update_step(g, v, rate)

    def update_step(
        self, gradient: Tensor, variable: Variable, learning_rate: Tensor
    ) -> None:
        """One variable's update: runs the rule and assigns what it returns."""
        slots = self._slots[id(variable)]
        # In bfloat16, 0.999 is 1 and Adam stands still: these two stay wider.
        wide = jnp.promote_types(variable.dtype, "float32")
        new = self.rule(
            as_array(gradient, variable.dtype),
            variable.value,
            *(None if s is None else s.value for s in slots),
            lr=as_array(learning_rate, wide),
            t=as_array(self.iterations, wide) + 1,
        )
        for place, value in zip((variable, *slots), new, strict=True):
            if place is not None:
                place.assign(value)

    def rule(
        self, g: Tensor, w: Tensor, *slots: Any, lr: Tensor, t: Tensor
    ) -> tuple[Any, ...]:
        """The new value of the variable and of its slots, from the gradient.

        Args:
            slots: their values in the order of `slots`; None for those not kept.
            t: the number of this update, from 1 on.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no rule; override rule() or update_step()."
        )

    def assign(self, variable: Variable, value: Tensor) -> None:
        """Replace a variable's value."""
        variable.assign(value)

    def assign_add(self, variable: Variable, value: Tensor) -> None:
        """Add to a variable."""
        variable.assign_add(value)

    def assign_sub(self, variable: Variable, value: Tensor) -> None:
        """Subtract from a variable."""
        variable.assign_sub(value)

    # ---- options

    def scale_loss(self, loss: Any) -> Any:
        """The loss to differentiate; `apply` divides the gradients again."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    def decay_of(self, variable: Variable) -> float | None:
        """The weight decay of one variable."""
        return self.weight_decay

    def exclude_from_weight_decay(
        self,
        var_list: Iterable[Variable] | None = None,
        var_names: Iterable[str] | None = None,
    ) -> None:
        """Exempt variables, given themselves or as patterns found in their names."""
        if self.built:
            raise ArgumentError(
                f"{self.name!r} is built; call exclude_from_weight_decay() before."
            )
        names = sorted(set(var_names or ()))
        ids = frozenset(id(v) for v in var_list or ())
        self._exempt = (ids, "|".join(names) if names else None)

    def _use_weight_decay(self, variable: Variable) -> bool:
        ids, pattern = self._exempt
        named = pattern is not None and re.search(pattern, variable.name)
        return id(variable) not in ids and not named

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        """At the end of training: the averages, if kept, become the weights."""
        if self.use_ema:
            wanted = {id(v) for v in var_list}
            for v, average in self.averaged():
                if id(v) in wanted:
                    v.assign(average.value)

    # ---- config

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal optimizer, as plain data."""
        rate = registry.serialize_keras_object(self._learning_rate)
        return {"learning_rate": rate} | {n: getattr(self, n) for n in _OPTIONS}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Any:
        """An optimizer from what `get_config` gave."""
        with registry.custom_object_scope(custom_objects):
            return super().from_config(config)


Optimizer.learning_rate = as_property

"""What every optimizer shares: slots, the options around a rule, and the pure step.

An optimizer is slots and a rule. The rule is a function of one variable; the base maps
it over the variables inside the options that all optimizers have:
unscale → accumulate → clip → decay → rule → average → constrain.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from carnyx import registry
from carnyx._core.naming import auto_name, name_scope
from carnyx._core.scope import is_tracer, pure
from carnyx._core.variable import Variable
from carnyx._numbers import REFUSED, as_number, is_plain
from carnyx._spellings import OldName
from carnyx.configurable import Field, above_zero, at_least, field, fraction, positive
from carnyx.errors import ArgumentError, ArgumentTypeError, NotBuiltError
from carnyx.optimizers.on_several import stepped_on_one
from carnyx.optimizers.schedules import LearningRateSchedule
from carnyx.optimizers.state import _Stateful
from carnyx.typing import DTypeLike, Tensor

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


class Optimizer(_Stateful):
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

    slots: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Names of what is kept for each variable; a group's stand together in files."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        rate = vars(cls).get("learning_rate")
        if isinstance(rate, Field):
            rate.in_config = False  # Optimizer.get_config has it
        super().__init_subclass__(**keywords)
        if isinstance(rate, Field):
            cls.learning_rate = _learning_rate
        registry.claim(cls, name=cls.__name__.lower())

    lr, decay = OldName(), OldName()

    def __post_init__(self) -> None:
        if sum(c is not None for c in self._clips()) > 1:
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

    # ---- variables

    @property
    def iterations(self) -> Any:
        """How many updates were made."""
        steps = self.gradient_accumulation_steps
        return self._iterations.value // steps if steps else self._iterations

    def build(self, variables: Iterable[Variable]) -> None:
        """Make the slots for the model's trainable variables."""
        if self.built:
            return
        variables = list(variables)
        self._trainable_variables = variables
        self._index = {id(v): i for i, v in enumerate(variables)}
        self._abstract = any(getattr(v, "abstract", False) for v in variables)
        if self.use_ema:
            self.averages = self.add_optimizer_variables(variables, "average")
        if self.gradient_accumulation_steps:
            self._sums = [
                self.add_variable_from_reference(v, "gradient_accumulator")
                for v in variables
            ]
        self._slots = {id(v): [] for v in variables}
        for group in self.slots:
            for v in variables:
                self._slots[id(v)] += [self.make_slot(name, v) for name in group]
        self.built = True

    def make_slot(self, name: str, variable: Variable) -> Variable | None:
        """The variable behind one slot, or None where it is not kept."""
        if variable.overwrite_with_gradient or not self.keeps(name, variable):
            return None
        first = self.initial(name, variable)
        return self.add_variable_from_reference(variable, name, first)

    def keeps(self, slot: str, variable: Variable) -> bool:
        """Whether the rule, as configured, needs the slot."""
        return True

    def initial(self, slot: str, variable: Variable) -> Tensor:
        """The initializer of a slot."""
        return "zeros"

    def _get_variable_index(self, variable: Variable) -> int:
        return self._index[id(variable)]

    # ---- the learning rate

    def _get_learning_rate(self) -> Any:
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            return rate(self.iterations)
        return rate if isinstance(rate, Variable) else rate()

    def _set_learning_rate(self, value: Any) -> None:
        if registry.is_serialized(value):
            value = registry.deserialize_keras_object(value, family="schedules")
        held = self.__dict__.get("_learning_rate")
        if held is None or callable(value):
            self.__dict__.get("_tracked", {}).pop(id(held), None)
            self._learning_rate = value if callable(value) else self._number(value)
        elif callable(held):
            raise ArgumentTypeError(
                f"Cannot set learning_rate={value!r}: {self.name!r} was made with the "
                f"schedule {held!r}. Make the optimizer with a number to set it later."
            )
        elif isinstance(held, Variable):
            held.assign(self._number(value))
        else:
            with name_scope(self.name):
                self._learning_rate = Variable(
                    np.asarray(value, np.float64).item(), name="learning_rate",
                    trainable=False, aggregation="only_first_replica",
                )  # fmt: skip

    def _number(self, value: Any) -> Any:
        number = as_number(getattr(value, "value", value))
        if number is REFUSED or (is_plain(number) and not math.isfinite(number)):
            raise ArgumentError(
                f"{type(self).__name__} got learning_rate={value!r}; expected a "
                "number, a LearningRateSchedule, or a function of nothing."
            )
        return number

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
        variables = self._matched(grads, trainable_variables)
        if stepped_on_one(self, grads, variables):
            return
        pairs = self._present(grads, variables)
        pairs = [(g, v) for g, v in pairs if not self._overwritten(g, v)]
        if pairs:
            grads, variables = map(list, zip(*pairs))
            if self.loss_scale_factor is not None:
                scale = np.float32(self.loss_scale_factor)  # float16 has no 2¹⁶
                grads = [g / scale for g in grads]
            if self.gradient_accumulation_steps:
                self._accumulate(grads, variables)
            else:
                self._update(grads, variables)
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

    def _matched(self, grads: list[Any], variables: Any) -> list[Variable]:
        if variables is None:
            if not self.built:
                raise NotBuiltError(
                    f"{self.name!r} got gradients without variables and is not built; "
                    "pass the variables, or call build(trainable_variables) first."
                )
            variables = self._trainable_variables
        variables = list(variables)
        if not self.built:
            self.build(variables)
        for v in variables:
            if id(v) not in self._index:
                raise ArgumentError(
                    f"Variable {v.path!r} is unknown to {self.name!r}, which was built "
                    f"with {len(self._index)} other variables; make a new optimizer "
                    "for another set of variables."
                )
        if len(grads) != len(variables):
            raise ArgumentError(
                f"{self.name!r} got {len(grads)} gradients for {len(variables)} "
                "variables; expected one for each."
            )
        return variables

    def _present(self, grads: list, variables: list) -> list[tuple[Any, Variable]]:
        pairs = [(as_array(g), v) for g, v in zip(grads, variables) if g is not None]
        missing = [v.path for g, v in zip(grads, variables) if g is None]
        if not pairs:
            raise ArgumentError("No gradient is there for any variable: all are None.")
        if missing:
            warnings.warn(
                f"Variables {missing} have no gradient (None) and are left as they "
                "are; does the loss depend on them?",
                stacklevel=3,
            )
        return pairs

    def _overwritten(self, g: Any, v: Variable) -> bool:
        """Deal with a variable whose "gradient" is its new value (float8 scales)."""
        if not v.overwrite_with_gradient:
            return False
        if self.gradient_accumulation_steps:
            largest = self._sums[self._index[id(v)]]
            now, g = self._is_update_step(), jnp.maximum(g, largest.value)
            largest.assign(jnp.where(now, jnp.zeros_like(g), g))
            g = jnp.where(now, g, v.value)
        v.assign(g)
        return True

    def _is_update_step(self) -> Any:
        return (self._iterations.value + 1) % self.gradient_accumulation_steps == 0

    def _accumulate(self, grads: list[Any], variables: list[Variable]) -> None:
        sums = [self._sums[self._index[id(v)]] for v in variables]
        steps = self.gradient_accumulation_steps
        totals = [s.value + g for s, g in zip(sums, grads)]

        def wait() -> None:
            for s, total in zip(sums, totals):
                s.assign(total)

        def update() -> None:
            self._update([total / steps for total in totals], variables)
            for s in sums:
                s.assign(jnp.zeros(s.shape, s.dtype))

        self._either(self._is_update_step(), update, wait)

    def _either(self, condition: Any, then: Callable, otherwise: Callable) -> None:
        """Run one of two functions that assign variables; the other costs nothing."""
        if not is_tracer(condition):
            return then() if condition else otherwise()
        held = [*self._trainable_variables, *self.variables]
        then, otherwise = pure(then, held), pure(otherwise, held)
        _, new = jax.lax.cond(condition, then, otherwise, [v.value for v in held])
        for v, value in zip(held, new):
            v.assign(value)

    def _update(self, grads: list[Any], variables: list[Variable]) -> None:
        """One update, and what follows it: averages, constraints."""
        self._step(grads, variables)
        if self.use_ema:
            self._average()
        for v in variables:
            if v.constraint is not None:
                v.assign(v.constraint(v.value))

    def _step(self, grads: list[Any], variables: list[Variable]) -> None:
        grads = self._clip(grads)
        for v in variables:
            decay = self.decay_of(v)
            if decay is not None and self._use_weight_decay(v):
                rate = as_array(self.learning_rate, v.dtype)
                v.assign(v.value - v.value * decay * rate)
        self.update(grads, variables)

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

    def _clips(self) -> tuple[Any, Any, Any]:
        return self.clipnorm, self.clipvalue, self.global_clipnorm

    def _clip(self, grads: list[Any]) -> list[Any]:
        norm, value, total = self._clips()
        if norm:
            return [g * norm / jnp.maximum(_norm([g]), norm) for g in grads]
        if value:
            return [jnp.clip(g, -value, value) for g in grads]
        if total:
            # Infinite or NaN gradients give NaN rather than a finite wrong step.
            size = _norm(grads)
            scale = total / jnp.maximum(size, total) + 0 * size
            return [g * scale.astype(g.dtype) for g in grads]
        return grads

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

    def _average(self) -> None:
        """e ← m e + (1 - m) w; the first time, e ← w."""
        count, every = as_array(self.iterations), self.ema_overwrite_frequency
        for v, average in zip(self._trainable_variables, self.averages):
            if average is None:
                continue
            m = jnp.where(count == 0, 0.0, self.ema_momentum).astype(v.dtype)
            mean = m * average.value + (1 - m) * v.value
            average.assign(mean)
            if every:
                v.assign(jnp.where((count + 1) % every == 0, mean, v.value))

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        """At the end of training: the averages, if kept, become the weights."""
        if self.use_ema:
            for v in var_list:
                average = self.averages[self._index[id(v)]]
                if average is not None:
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


# A property, but also an argument; so it is put in place after fields were declared.
_learning_rate: Any = property(
    lambda self: self._get_learning_rate(),
    lambda self, value: self._set_learning_rate(value),
    doc="The learning rate now: a Variable that can be assigned, or the schedule's.",
)
Optimizer.learning_rate = _learning_rate


def as_array(x: object, dtype: DTypeLike | None = None) -> Any:
    return jnp.asarray(getattr(x, "value", x), dtype)


def _squares(arrays: list[Any]) -> Any:
    return sum(jnp.sum(jnp.square(a)) for a in arrays)


def _norm(arrays: list[Any]) -> Any:
    return jnp.sqrt(_squares(arrays))

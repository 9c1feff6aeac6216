"""The learning rate of an optimizer: a number to be set, a schedule, a function."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from carnyx import registry
from carnyx._core.naming import name_scope
from carnyx._core.variable import Variable
from carnyx._numbers import REFUSED, as_number, is_plain
from carnyx.errors import ArgumentError, ArgumentTypeError
from carnyx.optimizers.schedules import LearningRateSchedule


class HasLearningRate:
    """The part of `Optimizer` that reads and sets it."""

    name: Any
    iterations: Any

    def _get_learning_rate(self) -> Any:
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            return rate(self.iterations)
        return rate if isinstance(rate, Variable) else rate()

    def _set_learning_rate(self, value: Any) -> None:
        if registry.is_serialized(value):
            value = registry.deserialize_keras_object(value, family="schedules")
        held = self.__dict__.get("_learning_rate")
        if held is None and isinstance(value, Variable):
            raise ArgumentError(
                f"{type(self).__name__} got learning_rate={value!r}: its value of now "
                "would be taken, and never another. Pass a function that gives it "
                "(learning_rate=lambda: rate), or a number, and set "
                "optimizer.learning_rate later."
            )
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


# A property, but also an argument; so it is put in place after fields were declared.
as_property: Any = property(
    lambda self: self._get_learning_rate(),
    lambda self, value: self._set_learning_rate(value),
    doc="The learning rate now: a Variable that can be assigned, or the schedule's.",
)

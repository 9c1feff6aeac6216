"""A metric: state, an update, a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from carnyx import initializers, registry
from carnyx._core.naming import auto_name, name_scope, to_snake_case
from carnyx._core.scope import pure, scoped
from carnyx._core.variable import Variable
from carnyx.configurable import Dtyped, field, forgotten_super
from carnyx.errors import ArgumentError
from carnyx.initializers import InitializerLike
from carnyx.typing import DTypeLike, Tensor

T = TypeVar("T")


class Metric(Dtyped):
    """Base of metrics; subclasses define `update_state` and `result`.

    State made with `add_weight` remembers its first value, which `reset_state` puts
    back; metrics kept in attributes are part of a metric.

    Args:
        dtype: what is computed in; None is `floatx`.

    >>> class Count(Metric):
    ...     def __init__(self, name="count", **kwargs):
    ...         super().__init__(name=name, **kwargs)
    ...         self.n = self.add_weight(name="n", initializer="zeros")
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.n.assign_add(len(y_true))
    ...     def result(self):
    ...         return self.n.value
    >>> count = Count()
    >>> float(count([1, 2], [1, 2])), float(count([3], [3])), count.reset_state()
    (2.0, 3.0, None)
    """

    keras_family = "metrics"

    dtype: Any = field(None)
    name: Any = field(None)

    _direction = None  # "up" if more is better, "down" if less is

    def __init_subclass__(cls, register: bool = True, **keywords: Any) -> None:
        super().__init_subclass__(register=register, **keywords)
        if register:
            registry.claim(cls, name=to_snake_case(cls.__name__))

    def __post_init__(self) -> None:
        if self.name is not None and not isinstance(self.name, str):
            raise ArgumentError(
                f"{type(self).__name__} got name={self.name!r}; expected text."
            )
        self.name = self.name or auto_name(type(self).__name__)
        self._settle_dtype()

    # ---- state

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: InitializerLike = "zeros",
        dtype: DTypeLike | None = None,
        aggregation: str = "sum",
        name: str | None = None,
    ) -> Variable:
        """Make a variable of the metric's state."""
        if "name" not in vars(self):
            raise forgotten_super(self, "name")
        # a metric knows its first values by heart, also those of an abstract model's
        with name_scope(self.name.replace("/", ">")), scoped(abstract=False):
            variable = Variable(
                initializers.get("zeros" if initializer is None else initializer),
                shape,
                dtype,
                trainable=False,
                aggregation=aggregation,
                synchronization="on_read",
                name=name,
            )
        self._track(variable)
        return variable

    def add_weight(
        self,
        shape: Sequence[int] = (),
        initializer: InitializerLike = "zeros",
        dtype: DTypeLike | None = None,
        name: str | None = None,
    ) -> Variable:
        """Make a variable of the metric's state, a number by default."""
        return self.add_variable(shape, initializer, dtype, name=name)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Variable):
            self._track(value)
        super().__setattr__(name, value)

    def _track(self, variable: Variable) -> None:
        own = self.__dict__.setdefault("_own", {})
        if id(variable) not in own:
            own[id(variable)] = (variable, variable.read())

    def _held(self, kind: type[T]) -> list[T]:
        """What attributes hold of a kind, also in lists and dicts there."""
        found: dict[int, T] = {}
        waiting = [v for k, v in vars(self).items() if k not in ("_own", "_given")]
        while waiting:
            value = waiting.pop(0)
            if isinstance(value, kind):
                found[id(value)] = value
            elif isinstance(value, dict | list | tuple):
                waiting += value.values() if isinstance(value, dict) else value
        return list(found.values())

    def _first_values(self) -> list[tuple[Variable, Any]]:
        """The metric's own state, with what it begins at."""
        for variable in self._held(Variable):
            self._track(variable)
        return list(self.__dict__.get("_own", {}).values())

    @property
    def variables(self) -> list[Variable]:
        """The state: the metric's own, then that of metrics inside it."""
        own = [v for v, _ in self._first_values()]
        return own + [v for metric in self._held(Metric) for v in metric.variables]

    def reset_state(self) -> None:
        """Put the first values back."""
        for variable, first in self._first_values():
            variable.assign(first)
        for metric in self._held(Metric):
            metric.reset_state()

    # ---- what subclasses define

    def update_state(self, *args: Any, **kwargs: Any) -> Any:
        """Take a batch into account."""
        raise NotImplementedError(f"{type(self).__name__} has no update_state().")

    def result(self) -> Tensor:
        """The metric of all batches since the last reset."""
        raise NotImplementedError(f"{type(self).__name__} has no result().")

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Take a batch into account; returns the result so far."""
        self.update_state(*args, **kwargs)
        return self.result()

    # ---- as pure functions

    def stateless_update_state(
        self, metric_variables: Sequence[Any], *args: Any, **kwargs: Any
    ) -> list[Any]:
        """`update_state` as a pure function from state to state.

        >>> from carnyx.metrics import Mean
        >>> mean = Mean()
        >>> state = mean.stateless_update_state(mean.stateless_reset_state(), [1, 5])
        >>> float(mean.stateless_result(state)), float(mean.result())
        (3.0, 0.0)
        """
        return self._pure(self.update_state, metric_variables, *args, **kwargs)[1]

    def stateless_result(self, metric_variables: Sequence[Any]) -> Any:
        """The result for a state."""
        return self._pure(self.result, metric_variables)[0]

    def stateless_reset_state(self) -> list[Any]:
        """The first state."""
        return self._pure(self.reset_state, [v.value for v in self.variables])[1]

    def _pure(self, fn: Any, values: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        variables = self.variables
        if len(values) != len(variables):
            raise ArgumentError(
                f"Metric {self.name!r} got {len(values)} metric_variables; expected "
                f"{len(variables)}, one for each of its `variables`."
            )
        values = [getattr(v, "value", v) for v in values]
        return pure(fn, variables)(values, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


# Of subclasses; the base itself takes them the other way round, as in Keras.
Metric.field_order = (..., "name", "dtype")

"""The variables that an optimizer keeps: made, tracked, saved."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from carnyx import initializers
from carnyx._core.naming import name_scope
from carnyx._core.scope import scoped
from carnyx._core.variable import Variable
from carnyx.configurable import Configurable, attribute
from carnyx.errors import ArgumentError, NotBuiltError
from carnyx.typing import Tensor

_BY_ID = {"_tracked", "_index", "_slots", "_by_variable"}  # dicts by variables' ids


class _Stateful(Configurable):
    """Base of `Optimizer`: what it keeps, in the order in which it was made."""

    name: Any = attribute()
    built: bool = attribute(False)
    use_ema: bool = attribute(False)
    gradient_accumulation_steps: int | None = attribute(None)
    _abstract = False  # built for variables without values

    slots: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Names of what is kept for each variable; a group's stand together in files."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Variable):
            self._track(value)
        before = vars(self).get(name)
        super().__setattr__(name, value)
        # a rate is set at every step, and needs nothing
        if name in self._fields and name != "learning_rate" and vars(self).get("built"):
            self._need_state(name, before)

    def _need_state(self, name: str, before: Any) -> None:
        """Take back what was set, if it needs variables that were not made."""
        missing = self._missing_state()
        if missing is None:
            return
        given = getattr(self, name)
        super().__setattr__(name, before)
        raise ArgumentError(
            f"{type(self).__name__} was built with {name}={before!r}, so it keeps no "
            f"{missing}, which {name}={given!r} needs. Make a new optimizer with it, "
            "and compile again."
        )

    def _missing_state(self) -> str | None:
        """What the optimizer, as it is set now, would keep and does not."""
        if self.use_ema and "averages" not in vars(self):
            return "averages"
        if self.gradient_accumulation_steps and "_sums" not in vars(self):
            return "sums of gradients"
        names = [name for group in self.slots for name in group]
        for v in self._trainable_variables:
            for name, slot in zip(names, self._slots.get(id(v), ())):
                made_without = slot is None and not v.overwrite_with_gradient
                if made_without and self.keeps(name, v):
                    return name
        return None

    def __getstate__(self) -> dict[str, Any]:
        """For pickles and deep copies: there a variable has another id."""
        state = dict(vars(self))
        held = [*state.get("_trainable_variables", ()), *state["_tracked"].values()]
        known = {id(v): v for v in held}
        for name in _BY_ID & state.keys():
            state[name] = [(known[key], value) for key, value in state[name].items()]
        exempt, pattern = state.get("_exempt", ((), None))
        state["_exempt"] = [known[key] for key in exempt if key in known], pattern
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name in _BY_ID & state.keys():
            state[name] = {id(key): value for key, value in state[name]}
        exempt, pattern = state["_exempt"]
        state["_exempt"] = frozenset(map(id, exempt)), pattern
        vars(self).update(state)

    def _track(self, variable: Variable) -> Variable:
        self.__dict__.setdefault("_tracked", {})[id(variable)] = variable
        return variable

    @property
    def variables(self) -> list[Variable]:
        """All that the optimizer keeps, in the order of Keras's files."""
        return list(self.__dict__.get("_tracked", {}).values())

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str = "none",
        layout: Any = None,
        name: str | None = None,
    ) -> Variable:
        """Make a variable of the optimizer."""
        with name_scope(self.name), scoped(abstract=self._abstract):
            variable = Variable(
                initializers.get(initializer), shape, dtype, trainable=False,
                aggregation=aggregation, layout=layout, name=name,
            )  # fmt: skip
        return self._track(variable)

    def add_variable_from_reference(
        self,
        reference_variable: Any,
        name: str | None = None,
        initializer: Any = "zeros",
    ) -> Variable:
        """Make a variable with the shape and dtype of a model's variable."""
        path = reference_variable.path.replace("/", "_")
        variable = self.add_variable(
            reference_variable.shape, initializer, reference_variable.dtype,
            layout=reference_variable.layout, name=f"{path}_{name or 'var'}",
        )  # fmt: skip
        variable.stay_with(reference_variable)
        return variable

    def add_optimizer_variables(
        self,
        trainable_variables: Sequence[Any],
        name: str | Sequence[str],
        initializer: Any = "zeros",
    ) -> Any:
        """`add_variable_from_reference` for each variable; several names at once give
        as many lists. None stands for variables that are overwritten by gradients."""
        names = [name] if isinstance(name, str) else list(name)
        several = isinstance(initializer, list | tuple)
        firsts = list(initializer) if several else [initializer] * len(names)
        if len(firsts) != len(names):
            raise ArgumentError(
                f"Got {len(firsts)} initializers for the names {names}."
            )
        rows = [
            [
                None if v.overwrite_with_gradient
                else self.add_variable_from_reference(v, n, first)
                for n, first in zip(names, firsts)
            ]
            for v in trainable_variables
        ]  # fmt: skip
        columns = tuple([row[i] for row in rows] for i in range(len(names)))
        return columns[0] if isinstance(name, str) else columns

    # ---- of the model's variables

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

    def averaged(self) -> list[tuple[Variable, Variable]]:
        """The variables of which averages are kept, with these."""
        pairs = zip(self._trainable_variables, self.averages, strict=True)
        return [(v, average) for v, average in pairs if average is not None]

    def sum_of(self, variable: Variable) -> Variable:
        """What gradients are added up in between updates."""
        return self._sums[self._index[id(variable)]]

    # ---- in files

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Assign `variables` from arrays in the same order."""
        if not self.built:
            raise NotBuiltError(
                f"{self.name!r} is not built; call build(trainable_variables) first."
            )
        for variable, weight in zip(self.variables, weights):
            variable.assign(weight)

    def save_own_variables(self, store: Any) -> None:
        """Write the variables under their numbers."""
        for i, variable in enumerate(self.variables):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Read what `save_own_variables` wrote; another number of them is refused
        with a warning, since a model is of use without its optimizer's state."""
        if len(store.keys()) != len(self.variables):
            warnings.warn(
                f"Optimizer {self.name!r} has {len(self.variables)} variables and the "
                f"file {len(store.keys())}; its state is not loaded. Was it built on "
                "the same variables?",
                stacklevel=2,
            )
            return
        for i, variable in enumerate(self.variables):
            variable.assign(np.asarray(store[str(i)]))

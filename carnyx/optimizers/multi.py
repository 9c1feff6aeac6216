"""Different optimizers for different variables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from typing import Any

from carnyx import registry
from carnyx._core.variable import Variable
from carnyx.errors import ArgumentError
from carnyx.optimizers.base import Optimizer
from carnyx.optimizers.loss_scale import LossScaleOptimizer
from carnyx.optimizers.matching import matched


class OptimizerMap(MutableMapping):
    """Optimizers by variable path: an exact path, a pattern for it, or the default.

    >>> from carnyx.optimizers import SGD, Adam
    >>> sgd, adam = SGD(), Adam()
    >>> optimizers = OptimizerMap(adam, {".*bias": sgd})
    >>> optimizers["dense/bias"] is sgd, optimizers["dense/kernel"] is adam
    (True, True)
    """

    def __init__(
        self,
        default_optimizer: Optimizer,
        optimizer_map: dict[str, Optimizer] | None = None,
    ) -> None:
        self.default_optimizer = _plain(default_optimizer)
        self._map: dict[str, Optimizer] = {}
        for pattern, optimizer in (optimizer_map or {}).items():
            self[pattern] = optimizer

    def __getitem__(self, path: str) -> Optimizer:
        if path in self._map:
            return self._map[path]
        found = [p for p in self._map if re.fullmatch(p, path)]
        if len(found) > 1:
            raise ArgumentError(
                f"Variable {path!r} fits {found}; make the patterns exclude each other."
            )
        return self._map[found[0]] if found else self.default_optimizer

    def __setitem__(self, pattern: str, optimizer: Optimizer) -> None:
        if pattern in self._map:
            raise ArgumentError(f"{pattern!r} is in the map already; delete it first.")
        self._map[pattern] = _plain(optimizer)

    def __delitem__(self, pattern: str) -> None:
        del self._map[pattern]

    def __len__(self) -> int:
        return len(self._map)

    def __iter__(self) -> Iterator[str]:
        return iter(self._map)

    def __call__(self, variable: Variable) -> Optimizer:
        return self[variable.path]

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal map, as plain data."""
        return {
            "default_optimizer": registry.serialize_keras_object(
                self.default_optimizer
            ),
            "optimizer_map": registry.serialize_keras_object(self._map),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> OptimizerMap:
        """A map from what `get_config` gave."""
        return cls(**registry.deserialize_keras_object(config, custom_objects))


registry.add_builtin(OptimizerMap, "optimizers")


class MultiOptimizer(Optimizer):
    """Updates each variable with the optimizer that a map gives for it.

    Args:
        optimizer_map: an `OptimizerMap`, or a function from a variable to an optimizer.
    """

    def __init__(
        self,
        optimizer_map: Any,
        loss_scale_factor: float | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(  # type: ignore[call-arg]
            learning_rate=0.0, loss_scale_factor=loss_scale_factor, name=name
        )
        if registry.is_serialized(optimizer_map):
            optimizer_map = registry.deserialize_keras_object(
                optimizer_map, family="optimizers"
            )
        self._map = optimizer_map
        self._by_variable: dict[int, Optimizer] = {}
        self.optimizers: list[Optimizer] = []
        if isinstance(optimizer_map, OptimizerMap):
            for optimizer in (*optimizer_map.values(), optimizer_map.default_optimizer):
                self._add(optimizer)

    def _add(self, optimizer: Optimizer) -> None:
        if not any(optimizer is known for known in self.optimizers):
            self.optimizers.append(_plain(optimizer))

    def build(self, variables: Iterable[Variable]) -> None:
        if self.built:
            return
        variables = list(variables)
        for v in variables:
            self._by_variable[id(v)] = optimizer = self._map(v)
            self._add(optimizer)
        for optimizer, own in self._shares(variables):
            optimizer.build(own)
        super().build(variables)

    def _shares(self, variables: Sequence[Variable]) -> Iterator[tuple[Any, list]]:
        for optimizer in self.optimizers:
            own = [v for v in variables if self._by_variable[id(v)] is optimizer]
            if own:
                yield optimizer, own

    @property
    def variables(self) -> list[Variable]:
        return super().variables + [v for o in self.optimizers for v in o.variables]

    def _get_learning_rate(self) -> Any:
        raise AttributeError(
            "A MultiOptimizer has no learning rate of its own; use those of its "
            "`optimizers`."
        )

    def _set_learning_rate(self, value: Any) -> None:
        if "optimizers" in self.__dict__:
            self._get_learning_rate()
        super()._set_learning_rate(value)

    def apply(
        self,
        grads: Iterable[Any],
        trainable_variables: Iterable[Variable] | None = None,
    ) -> None:
        grads = list(grads)
        variables = matched(self, grads, trainable_variables)
        by_id = {id(v): g for g, v in zip(grads, variables)}
        for optimizer, own in self._shares(variables):
            optimizer.loss_scale_factor = self.loss_scale_factor
            optimizer.apply([by_id[id(v)] for v in own], own)
        self._iterations.assign_add(1)

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        for optimizer, own in self._shares(var_list):
            optimizer.finalize_variable_values(own)

    def get_config(self) -> dict[str, Any]:
        return {
            "optimizer_map": registry.serialize_keras_object(self._map),
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }


def _plain(optimizer: Any) -> Optimizer:
    """The optimizer, if it can share the variables with others."""
    wrapping = isinstance(optimizer, LossScaleOptimizer | MultiOptimizer)
    if wrapping or not isinstance(optimizer, Optimizer):
        raise ArgumentError(
            f"Got {optimizer!r} for some of the variables; expected an Optimizer, and "
            "neither a LossScaleOptimizer (wrap the MultiOptimizer in it instead) nor "
            "a MultiOptimizer."
        )
    return optimizer

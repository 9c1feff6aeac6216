"""Optax's gradient transformations as optimizers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from carnyx import registry
from carnyx._core.variable import Variable
from carnyx.errors import ArgumentError, UnknownNameError
from carnyx.optimizers.base import Optimizer


class OptaxOptimizer(Optimizer):
    """Any `optax.GradientTransformation`; `optimizers.get` makes it from one.

    The transformation sees the model's trainable variables as a list. The leaves of
    its state become `variables`, so they are saved, sharded and donated like others.
    A file cannot hold a transformation: pass it to the loader in `custom_objects`,
    under the optimizer's name.

    Args:
        transformation: has `init(params)` and `update(grads, state, params)`.
        options: `use_ema`, `gradient_accumulation_steps`, … of `Optimizer`.
    """

    def __init__(
        self, transformation: Any, name: str | None = None, **options: Any
    ) -> None:
        if options.get("weight_decay") is not None:
            raise ArgumentError(
                "OptaxOptimizer got weight_decay; add optax.add_decayed_weights to the "
                "transformation instead."
            )
        super().__init__(learning_rate=None, name=name, **options)
        self.transformation = transformation

    def build(self, variables: Iterable[Variable]) -> None:
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        first = _Once(lambda: self._first([v.value for v in self._params()]))
        if self._abstract:
            specs = [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in self._params()]
            like = jax.eval_shape(self._first, specs)
        else:
            like = first.values()
        self._leaves = [
            (self.add_variable(x.shape, first.at(i), x.dtype, name=self._names[i]), k)
            for i, (x, k) in enumerate(zip(like, self._kinds, strict=True))
        ]

    def _params(self) -> list[Variable]:
        return [v for v in self._trainable_variables if not v.overwrite_with_gradient]

    def _first(self, params: list[Any]) -> list[Any]:
        """The leaves of the first state, and of random keys their data."""
        state = self.transformation.init(params)
        leaves, self._form = jax.tree_util.tree_flatten_with_path(state)
        self._names = [
            re.sub(r"\W+", "_", jax.tree_util.keystr(path)).strip("_")
            for path, _ in leaves
        ]
        arrays = [jnp.asarray(leaf) for _, leaf in leaves]
        keys = [jnp.issubdtype(x.dtype, jax.dtypes.prng_key) for x in arrays]
        pairs = list(zip(arrays, keys, strict=True))
        self._kinds = [jax.random.key_impl(x) if key else None for x, key in pairs]
        return [jax.random.key_data(x) if key else x for x, key in pairs]

    def _state(self) -> Any:
        leaves = [
            v.value if kind is None else jax.random.wrap_key_data(v.value, impl=kind)
            for v, kind in self._leaves
        ]
        return jax.tree_util.tree_unflatten(self._form, leaves)

    def update(self, grads: list[Any], variables: list[Variable]) -> None:
        by_id = {id(v): g.astype(v.dtype) for g, v in zip(grads, variables)}
        held = self._params()
        params = [v.value for v in held]
        # What has no gradient takes part with zeros: the tree must be complete.
        grads = [by_id.get(id(v), jnp.zeros_like(p)) for v, p in zip(held, params)]
        steps, state = self.transformation.update(grads, self._state(), params)
        for v, p, step in zip(held, params, steps):
            if id(v) in by_id:
                v.assign((p + step).astype(v.dtype))
        for (kept, kind), leaf in zip(self._leaves, jax.tree_util.tree_leaves(state)):
            kept.assign(leaf if kind is None else jax.random.key_data(leaf))

    def _rate(self) -> Variable | None:
        named = (v for v, _ in self.__dict__.get("_leaves", ()))
        return next((v for v in named if v.name.endswith("params_learning_rate")), None)

    def _get_learning_rate(self) -> Any:
        rate = self._rate()
        if rate is None:
            raise AttributeError(
                "The learning rate is inside the Optax transformation; make that with "
                "optax.inject_hyperparams(...)(learning_rate=...) to read and set it."
            )
        return rate

    def _number(self, value: Any) -> Any:
        return None if value is None else super()._number(value)  # optax has its own

    def _set_learning_rate(self, value: Any) -> None:
        if "transformation" in self.__dict__:
            self._get_learning_rate().assign(value)
        else:
            super()._set_learning_rate(value)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {k: v for k, v in config.items() if k not in _OPTAX_HAS}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> OptaxOptimizer:
        name = config["name"]
        found = registry.get_registered_object(name, custom_objects)
        if found is None:
            raise UnknownNameError(
                f"A file cannot hold the Optax transformation of {name!r}; pass it in "
                f"custom_objects={{{name!r}: optax. ...}}, or load with compile=False."
            )
        return cls(found, **config)


class _Once:
    """Values that are made together, and each handed out when a variable begins."""

    def __init__(self, make: Callable[[], list[Any]]) -> None:
        self._make = make
        self._made: list[Any] | None = None

    def values(self) -> list[Any]:
        if self._made is None:
            self._made = self._make()
        return self._made

    def at(self, index: int) -> Callable[..., Any]:
        def value(shape: Any, dtype: Any = None) -> Any:
            made, self.values()[index] = self.values()[index], None
            return made

        return value


_OPTAX_HAS = ("learning_rate", "weight_decay")

"""A module of Flax (linen) as a layer; Flax is an extra, imported when one is made."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from carnyx import registry
from carnyx.errors import ArgumentTypeError
from carnyx.layers.jax_layer import JaxLayer
from carnyx.typing import Config

_PARAMS = "params"


class FlaxLayer(JaxLayer):
    """A `flax.linen.Module`: its parameters are weights, its other collections state.

    The module's method takes `inputs`, one structure, and perhaps `training`. It has
    random keys under the name "dropout" in training.

    Shapes: as the module has it

    Args:
        module: the module.
        method: the method to call, by name, or a function of the module and `inputs`;
            None is `__call__`.
        variables: what `module.init` gave, or was trained; None makes it when the
            layer is built.
        kwargs: of every layer, and `seed`, of the random keys.

    Raises:
        ArgumentTypeError: for what is no module of linen.
    """

    def __init__(
        self,
        module: Any,
        method: Callable[..., Any] | str | None = None,
        variables: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        _check_module(module)
        self.module, self.method = module, method
        called = getattr(module, method) if isinstance(method, str) else method
        signature = inspect.signature(called or module.__call__)
        trains = "training" in signature.parameters
        super().__init__(
            call_fn=_apply(module, called, trains),
            init_fn=_init(module, called, trains),
            params=None if variables is None else _parts(variables)[0],
            state=None if variables is None else _parts(variables)[1],
            **kwargs,
        )

    def init_rng(self) -> Any:
        return {
            name: super(FlaxLayer, self).init_rng() for name in (_PARAMS, "dropout")
        }

    def call_rng(self, training: bool) -> Any:
        return {"dropout": super().call_rng(training)} if training else {}

    def get_config(self) -> Config:
        # The functions follow from the module, and are not written down.
        config = super().get_config()
        for name in ("call_fn", "init_fn", "native_serialization_platforms"):
            config.pop(name, None)
        bound = getattr(self.method, "__self__", None) is self.module
        method = getattr(self.method, "__name__", None) if bound else self.method
        return {
            **config,
            "module": registry.serialize_keras_object(self.module),
            "method": registry.serialize_keras_object(method),
        }


def _check_module(module: Any) -> None:
    try:
        from flax import linen  # type: ignore[import-not-found]
    except ImportError as error:
        raise ImportError("FlaxLayer needs Flax: pip install flax.") from error
    if not isinstance(module, linen.Module):
        raise ArgumentTypeError(
            f"FlaxLayer got module={module!r}; expected a flax.linen.Module. One of "
            "NNX becomes functions by flax.nnx.split and merge, for a JaxLayer."
        )


def _parts(variables: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters, and all other collections."""
    state = {k: v for k, v in variables.items() if k != _PARAMS}
    return {k: v for k, v in variables.items() if k == _PARAMS}, state


def _apply(module: Any, method: Any, trains: bool) -> Callable[..., Any]:
    from flax.core import DenyList  # type: ignore[import-not-found]

    def call(params: Any, state: Any, rng: Any, inputs: Any, **training: Any) -> Any:
        outputs, state = module.apply(
            {**params, **state}, inputs, rngs=rng, method=method,
            mutable=DenyList([_PARAMS]), **training,
        )  # fmt: skip
        return outputs, dict(state)

    if not trains:
        return lambda params, state, rng, inputs: call(params, state, rng, inputs)
    return lambda params, state, rng, inputs, training: call(
        params, state, rng, inputs, training=training
    )


def _init(module: Any, method: Any, trains: bool) -> Callable[..., Any]:
    def init(rng: Any, inputs: Any, **training: Any) -> Any:
        return _parts(module.init(rng, inputs, method=method, **training))

    if not trains:
        return lambda rng, inputs: init(rng, inputs)
    return lambda rng, inputs, training: init(rng, inputs, training=training)


__all__ = ["FlaxLayer"]

"""Optimizers: how gradients change variables."""

from typing import Any

from carnyx import registry
from carnyx._strangers import stranger
from carnyx.errors import ArgumentError
from carnyx.optimizers import legacy as legacy
from carnyx.optimizers import schedules as schedules
from carnyx.optimizers.adam import Adam as Adam
from carnyx.optimizers.adam import Adamax as Adamax
from carnyx.optimizers.adam import AdamW as AdamW
from carnyx.optimizers.adam import Lamb as Lamb
from carnyx.optimizers.adam import Nadam as Nadam
from carnyx.optimizers.adam import ScheduleFreeAdamW as ScheduleFreeAdamW
from carnyx.optimizers.base import Optimizer as Optimizer
from carnyx.optimizers.from_optax import OptaxOptimizer as OptaxOptimizer
from carnyx.optimizers.loss_scale import LossScaleOptimizer as LossScaleOptimizer
from carnyx.optimizers.multi import MultiOptimizer as MultiOptimizer
from carnyx.optimizers.multi import OptimizerMap as OptimizerMap
from carnyx.optimizers.muon import Muon as Muon
from carnyx.optimizers.second_moment import Adadelta as Adadelta
from carnyx.optimizers.second_moment import Adafactor as Adafactor
from carnyx.optimizers.second_moment import Adagrad as Adagrad
from carnyx.optimizers.second_moment import Ftrl as Ftrl
from carnyx.optimizers.second_moment import RMSprop as RMSprop
from carnyx.optimizers.sgd import SGD as SGD
from carnyx.optimizers.sign import Lion as Lion
from carnyx.typing import Config


def get(identifier: Any) -> Any:
    """An optimizer from its name, config, class or itself, or from Optax's; None stays.

    >>> get("adam").learning_rate
    <Variable path=adam/learning_rate, shape=(), dtype=float32>
    """
    if identifier is None:
        return None
    if hasattr(identifier, "init") and hasattr(identifier, "update"):
        return OptaxOptimizer(identifier)
    if isinstance(identifier, str):
        identifier = _any_case(identifier)
    elif registry.is_serialized(identifier):
        name = _any_case(identifier["class_name"])
        identifier = identifier | {"class_name": name}
    found = registry.lookup(identifier, "optimizers", kind="optimizer")
    if not isinstance(found, Optimizer):
        raise ArgumentError(
            f"Got {identifier!r} as an optimizer; expected a name such as 'adam', an "
            "Optimizer, its config, or an Optax gradient transformation."
            f"{stranger(identifier)}"
        )
    return found


def _any_case(name: str) -> str:
    known = registry.find_builtin(name.lower(), "optimizers")
    return name.lower() if known and not registry.get_registered_object(name) else name


def serialize(optimizer: Optimizer) -> Any:
    """An optimizer as plain data, as Keras 3 writes it."""
    return registry.serialize_keras_object(optimizer)


def deserialize(config: Config, custom_objects: dict[str, Any] | None = None) -> Any:
    """The inverse of `serialize`."""
    with registry.custom_object_scope(custom_objects):
        return get(config)

"""A loss: targets and predictions to values, values to one number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from carnyx import registry, tree
from carnyx._core import masks
from carnyx._core.naming import auto_name
from carnyx.configurable import Dtyped, Field, attribute, field, one_of
from carnyx.dtype_policies import check_real, is_float
from carnyx.errors import ArgumentError
from carnyx.losses.shapes import fit_weight
from carnyx.losses.shapes import (
    squeeze_or_expand_to_same_rank as squeeze_or_expand_to_same_rank,
)
from carnyx.ops.core import cast, convert_to_tensor
from carnyx.ops.numpy import divide_no_nan, mean, sum
from carnyx.typing import DTypeLike, Tensor

MEAN = "sum_over_batch_size"
REDUCTIONS = (MEAN, "mean", "mean_with_sample_weight", "sum", "none", None)


def apply_mask(
    sample_weight: Tensor, mask: Tensor, dtype: DTypeLike, reduction: str | None
) -> Any:
    """One weight from a sample weight and a mask, either of which may be None.

    For a mean over all entries the mask counts size / valid instead of 1, so that the
    mean is over the valid ones.
    """
    if sample_weight is not None:
        sample_weight = cast(sample_weight, dtype)
    if mask is None:
        return sample_weight
    valid = cast(mask, dtype)
    if reduction in ("mean", MEAN):
        valid = valid * divide_no_nan(1.0, mean(valid))
    if sample_weight is None:
        return valid
    valid, sample_weight = fit_weight(valid, sample_weight)
    return sample_weight * valid


def reduce_weighted_values(
    values: Tensor,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: str | None = MEAN,
    dtype: DTypeLike | None = None,
) -> Tensor:
    """Weighted values as one number.

    Args:
        reduction: "sum"; "sum_over_batch_size" or "mean" (sum / number of values);
            "mean_with_sample_weight" (sum / sum of the weights); "none" or None keeps
            a value a sample.

    >>> float(reduce_weighted_values([1.0, 2.0, 6.0], mask=[True, True, False]))
    1.5
    """
    values = convert_to_tensor(values, dtype)
    weight = apply_mask(sample_weight, mask, values.dtype, reduction)
    if weight is not None:
        values, weight = fit_weight(values, weight)
        values = values * weight
    if reduction in ("none", None) or tuple(values.shape) in ((), (0,)):
        return values
    if reduction == "sum" or 0 in values.shape:
        return sum(values)
    if reduction == "mean_with_sample_weight" and weight is not None:
        return divide_no_nan(sum(values), sum(weight))
    return mean(values)


class Loss(Dtyped):
    """Base of losses; subclasses define `call(y_true, y_pred)`.

    A class for a loss function is one line, `class Huber(Loss, of=huber)`, and a field
    for each argument of the function; `reduction`, `name` and `dtype` come after them.

    Args:
        reduction: see `reduce_weighted_values`.
        dtype: what is computed in; None is `floatx`.
    """

    keras_family = "losses"

    name: str | None = field(None)
    reduction: str | None = field(MEAN, check=one_of(*REDUCTIONS))
    dtype: Any = field(None, config=False)

    fn: Callable[..., Any] | None = attribute(None)
    _arguments: tuple[str, ...] = attribute(())

    def __init_subclass__(
        cls, of: Callable[..., Any] | None = None, **keywords: Any
    ) -> None:
        if of is not None:
            cls.fn = staticmethod(of)
            cls._arguments = _restate_common_fields(cls, of.__name__)
        super().__init_subclass__(**keywords)

    def __post_init__(self) -> None:
        self.name = self.name or auto_name(type(self).__name__)
        self._settle_dtype()

    def __call__(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        """The loss of predictions, reduced."""
        mask = masks.get_mask(y_pred)
        y_pred = tree.map_structure(lambda x: convert_to_tensor(x, self.dtype), y_pred)
        y_true = tree.map_structure(self._target, y_true)
        values = self.call(y_true, y_pred)
        if values is None:
            raise ArgumentError(
                f"The loss {self.name!r} returned None. End its function with "
                "`return values`."
            )
        also = masks.get_mask(values)
        if mask is not None and also is not None:
            mask = mask & also
        mask = also if mask is None else mask
        return reduce_weighted_values(
            values, sample_weight, mask, self.reduction, self.dtype
        )

    def _target(self, x: Any) -> Tensor:
        # A label stays an integer: a 16-bit float cannot hold every class number.
        x = convert_to_tensor(x)
        check_real(x.dtype, self.dtype, f"{self.name}: y")
        labels = getattr(self.fn, "takes_labels", False) and not is_float(x.dtype)
        return x if labels else cast(x, self.dtype)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """A loss a sample."""
        if self.fn is None:
            raise NotImplementedError(
                f"{type(self).__name__} needs a method call(self, y_true, y_pred)."
            )
        pairs = tree.map_structure(squeeze_or_expand_to_same_rank, y_true, y_pred)
        y_true = tree.map_structure_up_to(y_true, lambda pair: pair[0], pairs)
        y_pred = tree.map_structure_up_to(y_pred, lambda pair: pair[1], pairs)
        return self.fn(y_true, y_pred, **self._fn_arguments())

    def _fn_arguments(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._arguments}

    def get_config(self) -> dict[str, Any]:
        config = {"name": self.name, "reduction": self.reduction}
        if self.fn is not None and self._given_dtype is not None:
            config["dtype"] = registry.serialize_keras_object(self._given_dtype)
        return config


def _restate_common_fields(cls: type[Loss], name: str) -> tuple[str, ...]:
    """Put `reduction`, `name`, `dtype` behind the fields of a class; returns those."""
    stated = tuple(n for n, f in vars(cls).items() if isinstance(f, Field))
    common = {
        "reduction": field(MEAN, check=one_of(*REDUCTIONS)),
        "name": field(name),
        "dtype": field(None, config=False),
    }
    for label, declared in common.items():
        if label not in stated:
            declared.name = label
            setattr(cls, label, declared)
    return tuple(n for n in stated if n not in common)


class LossFunctionWrapper(Loss):
    """Any function of `(y_true, y_pred, **kwargs)` as a loss."""

    keras_module = "keras.src.losses.losses"  # Keras has no public name for it
    keras_registered_name = "LossFunctionWrapper"

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str | None = MEAN,
        name: str | None = None,
        dtype: DTypeLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.fn = get(fn)
        self._kwargs = kwargs

    def _fn_arguments(self) -> dict[str, Any]:
        return self._kwargs

    def get_config(self) -> dict[str, Any]:
        arguments = registry.serialize_dict(self._kwargs)
        return super().get_config() | {"fn": serialize(self.fn)} | arguments


def get(identifier: object) -> Any:
    """A loss from its name, config, class or itself; None stays None.

    The name of a function gives the function, that of a class an object.
    """
    return registry.lookup_callable(identifier, "losses", kind="loss")


def serialize(loss: object) -> Any:
    """A loss as plain data."""
    record = registry.serialize_keras_object(loss)
    if not isinstance(record, str):
        return record
    return {
        "module": "builtins",
        "class_name": "function",
        "config": record,
        "registered_name": "function",
    }


def deserialize(name: str, custom_objects: dict[str, Any] | None = None) -> Any:
    """The inverse of `serialize`."""
    with registry.custom_object_scope(custom_objects):
        return get(name)

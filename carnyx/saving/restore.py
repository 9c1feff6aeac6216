"""Arrays of a file into the variables of a model: all fit, or none is changed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from carnyx.dtype_policies import is_float
from carnyx.errors import DTypeError, ShapeError
from carnyx.layers.base import Layer
from carnyx.saving.description import TOP, Group, ModelDescription
from carnyx.saving.walk import (
    is_optimizer,
    legacy_variables,
    objects,
    own_variables,
    variables_of,
)

Plan = list[tuple[Any, Any]]  # (variable, stored array)


class Restoring:
    """One restoration: what fits is planned first, and assigned at the end.

    Args:
        skip_mismatch: warn about what does not fit, instead of refusing the file.
    """

    def __init__(self, description: ModelDescription, skip_mismatch: bool) -> None:
        self.file, self.skip = description.source, skip_mismatch
        self.plan: Plan = []
        self.calls: list[tuple[Any, Group]] = []

    def mismatch(self, error: type[Exception], message: str) -> None:
        """Something does not fit."""
        if not self.skip:
            raise error(f"{self.file}: {message} Nothing was changed.")
        warnings.warn(f"{self.file}: {message} It keeps its values.", stacklevel=5)

    def match(self, where: str, variables: Sequence[Any], group: Group) -> None:
        """Plan the variables of one owner from one group, by position."""
        arrays = list(group.arrays.values())
        if len(arrays) != len(variables):
            self.mismatch(
                ShapeError,
                f"{where} has {len(variables)} weights, the file has {len(arrays)}.",
            )
            return
        for variable, array in zip(variables, arrays, strict=True):
            problem = misfit(variable, array)
            if problem is None:
                self.plan.append((variable, array))
            else:
                self.mismatch(problem[0], f"{where}: {problem[1]}")

    def carry_out(self) -> None:
        """Read everything, then assign everything."""
        values = [
            (variable, _fitting(variable, array)) for variable, array in self.plan
        ]
        for variable, value in values:
            if value.dtype.kind == "f" and np.isnan(value).any():
                warnings.warn(
                    f"{self.file}: weight {variable.path!r} has NaN in it.",
                    stacklevel=4,
                )
            variable.assign(value)
        for item, group in self.calls:
            try:
                item.load_own_variables(group.arrays)
            except Exception as error:
                error.add_note(
                    f"  while reading the weights of {item!r} from {self.file}"
                )
                raise


def misfit(variable: Any, array: Any) -> tuple[type[Exception], str] | None:
    """Why an array cannot become the value of a variable, or None."""
    member = getattr(array, "member", "")
    if tuple(array.shape) != tuple(variable.shape):
        return ShapeError, (
            f"weight {variable.path!r} has shape {tuple(variable.shape)}, "
            f"{member!r} in the file has {tuple(array.shape)}."
        )
    if _kind(array.dtype) != _kind(variable.dtype):
        return DTypeError, (
            f"weight {variable.path!r} has dtype {variable.dtype}, {member!r} in the "
            f"file has {np.dtype(array.dtype).name}."
        )
    return None


def _kind(dtype: Any) -> str:
    if is_float(dtype):
        return "float"
    return {"u": "integer", "i": "integer"}.get(np.dtype(dtype).kind, str(dtype))


def _fitting(variable: Any, array: Any) -> np.ndarray:
    """The values in the variable's dtype; integers must not change."""
    value = array.read() if hasattr(array, "read") else np.asarray(array)
    if _kind(variable.dtype) == "integer":
        cast = value.astype(variable.dtype)
        if not np.array_equal(cast, value):
            raise DTypeError(
                f"weight {variable.path!r} has dtype {variable.dtype}; the file's "
                "values do not fit into it."
            )
        return cast
    return (
        value if value.dtype.isnative else value.astype(value.dtype.newbyteorder("="))
    )


# ---- By path -----------------------------------------------------------------


def restore(model: Any, description: ModelDescription, skip_mismatch: bool) -> None:
    """Give a model the weights of a file, and its optimizer the state."""
    restoring = Restoring(description, skip_mismatch)
    if description.by == "path":
        _plan_by_path(restoring, model, description)
    else:
        _plan_by_order(restoring, model, description)
    if description.optimizer:
        _plan_optimizer(restoring, model, description)
    restoring.carry_out()


def _plan_by_path(
    restoring: Restoring, model: Any, description: ModelDescription
) -> None:
    left = dict(description.weights)
    for path, item in objects(model):
        if path == "optimizer" or path.startswith("optimizer/"):
            continue
        group = left.pop(path, None) or Group()
        _plan_item(restoring, path, item, group)
    extra = [path for path, group in left.items() if group.arrays]
    if extra:
        restoring.mismatch(
            ShapeError,
            f"it has weights at {extra[0]!r}"
            f"{f' and {len(extra) - 1} other places' if len(extra) > 1 else ''}, for "
            "which the model has no layer.",
        )


def _plan_item(restoring: Restoring, path: str, item: Any, group: Group) -> None:
    variables = variables_of(item)
    if variables is None:
        if group.arrays or isinstance(item, Layer):
            restoring.calls.append((item, group))
    elif is_optimizer(item):
        _plan_state(restoring, item, group)
    elif isinstance(item, Layer):
        built = "" if item.built else " (not built)"
        if variables or group.arrays:
            where = f"layer {item.name!r}{built} at {path!r}"
            restoring.match(where, variables, group)
    elif group.arrays:  # seed generators; Keras's files have none
        restoring.match(path, variables, group)


# ---- The optimizer -----------------------------------------------------------


def _plan_optimizer(
    restoring: Restoring, model: Any, description: ModelDescription
) -> None:
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    for path, item in objects(optimizer):
        if path in description.optimizer:
            _plan_state(restoring, item, description.optimizer[path])


def _plan_state(restoring: Restoring, optimizer: Any, group: Group) -> None:
    """An optimizer begins anew, with a warning, where the state is another one's."""
    variables, arrays = list(optimizer.variables), list(group.arrays.values())
    pairs = list(zip(variables, arrays, strict=False))
    problems = [misfit(v, a) for v, a in pairs]
    if len(variables) == len(arrays) and not any(problems):
        restoring.plan += pairs
        return
    what = next((p[1] for p in problems if p), "")
    warnings.warn(
        f"{restoring.file}: the state of the optimizer ({len(arrays)} variables) does "
        f"not fit {type(optimizer).__name__} ({len(variables)} variables). {what} It "
        "starts afresh.",
        stacklevel=5,
    )


# ---- By layer ----------------------------------------------------------------


def _plan_by_order(
    restoring: Restoring, model: Any, description: ModelDescription
) -> None:
    """Layers with weights, in order, whatever their names."""
    layers = [layer for layer in model.layers if legacy_variables(layer)]
    groups = [g for k, g in description.weights.items() if g.arrays and k != TOP]
    if len(layers) != len(groups):
        raise ShapeError(
            f"{restoring.file}: the model has {len(layers)} layers with weights, the "
            f"file has {len(groups)}. Use load_weights(..., by_name=True) to load the "
            "layers that both have."
        )
    for layer, group in zip(layers, groups, strict=True):
        where = f"layer {layer.name!r} ({group.name!r} in the file)"
        restoring.match(where, legacy_variables(layer), group)
    _plan_top(restoring, model, description)


def restore_by_name(
    model: Any, description: ModelDescription, skip_mismatch: bool
) -> None:
    """Give the layers whose names the file has their weights; others keep theirs."""
    restoring = Restoring(description, skip_mismatch)
    for layer in model.layers:
        group = description.weights.get(layer.name)
        if group is not None:
            restoring.match(f"layer {layer.name!r}", legacy_variables(layer), group)
    _plan_top(restoring, model, description)
    restoring.carry_out()


def _plan_top(restoring: Restoring, model: Any, description: ModelDescription) -> None:
    top = description.weights.get(TOP)
    if top is not None:
        restoring.match("the model itself", own_variables(model), top)

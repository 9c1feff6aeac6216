"""Arrays of a file into the variables of a model: all fit, or none is changed."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

from carnyx.errors import ShapeError
from carnyx.layers.base import Layer
from carnyx.saving.by_layer import plan_by_layer
from carnyx.saving.description import Group, ModelDescription
from carnyx.saving.plan import Restoring, misfit
from carnyx.saving.walk import (
    is_optimizer,
    objects,
    paths_to,
    trained_by,
    variables_of,
)

# ---- By path -----------------------------------------------------------------


def restore(
    model: Layer,
    description: ModelDescription,
    skip_mismatch: bool,
    skip: Collection[Any] = (),
) -> None:
    """Give a model the weights of a file, and its optimizer the state.

    Args:
        skip: parts that keep what they have.
    """
    restoring = Restoring(description, skip_mismatch)
    if description.by == "path":
        _plan_by_path(restoring, model, description, skip)
    else:
        plan_by_layer(restoring, model, description)
    if description.optimizer and getattr(model, "optimizer", None) not in list(skip):
        _plan_optimizer(restoring, model, description)
    restoring.carry_out()


def _plan_by_path(
    restoring: Restoring,
    model: Any,
    description: ModelDescription,
    skip: Collection[Any],
) -> None:
    left = dict(description.weights)
    for place in paths_to(model, skip) if skip else ():
        for path in [p for p in left if p == place or p.startswith(f"{place}/")]:
            del left[path]
    for path, item in objects(model, skip):
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
            trained = trained_by(item, model)
            _plan_state(restoring, item, description.optimizer[path], trained)


def _plan_state(
    restoring: Restoring, optimizer: Any, group: Group, trained: list[int] | None = None
) -> None:
    """An optimizer begins anew, with a warning, where the state is another one's."""
    variables, arrays = list(optimizer.variables), list(group.arrays.values())
    pairs = list(zip(variables, arrays, strict=False))
    problems = [misfit(v, a) for v, a in pairs]
    others = group.trained is not None and trained not in (None, group.trained)
    if len(variables) == len(arrays) and not any(problems) and not others:
        restoring.plan += pairs
        return
    what = next((p[1] for p in problems if p), "")
    if others:
        what = "It is that of other weights: what is frozen is not what was."
    warnings.warn(
        f"{restoring.file}: the state of the optimizer ({len(arrays)} variables) does "
        f"not fit {type(optimizer).__name__} ({len(variables)} variables). {what} It "
        "starts afresh.",
        stacklevel=5,
    )

"""The weights of a file that goes by layer, as Keras 1 and 2 wrote them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from carnyx.errors import ArgumentError, ShapeError
from carnyx.layers._children import own_variables
from carnyx.layers.base import Layer
from carnyx.saving.description import TOP, Group, ModelDescription
from carnyx.saving.matching import (
    by_name,
    layer_pairings,
    pairings,
    weights_in_order,
)
from carnyx.saving.plan import Restoring, misfit


def plan_by_layer(
    restoring: Restoring, model: Layer, description: ModelDescription
) -> None:
    """Layers with weights: by their names where these match, else in order."""
    layers = [layer for layer in model.layers if layer.weights]
    groups = [g for k, g in description.weights.items() if g.arrays and k != TOP]
    if len(layers) != len(groups):
        raise ShapeError(
            f"{restoring.file}: the model has {len(layers)} layers with weights, the "
            f"file has {len(groups)}. Use load_weights(..., by_name=True) to load the "
            "layers that both have."
        )
    meant = list(layer_pairings(layers, groups))
    fits = (m for m in meant if all(map(_could_fit, layers, m)))
    for layer, group in zip(layers, next(fits, meant[0]), strict=True):
        _plan_layer(restoring, layer, group)
    _plan_top(restoring, model, description)


def restore_by_name(
    model: Layer, description: ModelDescription, skip_mismatch: bool
) -> None:
    """Give the layers whose names the file has their weights; others keep theirs."""
    restoring = Restoring(description, skip_mismatch)
    for layer in model.layers:
        group = description.weights.get(layer.name)
        if group is not None:
            _plan_layer(restoring, layer, group)
    _plan_top(restoring, model, description)
    restoring.carry_out()


def _could_fit(layer: Any, group: Group) -> bool:
    shapes = Counter(tuple(v.shape) for v in layer.weights)
    return shapes == Counter(tuple(a.shape) for a in group.arrays.values())


def _plan_layer(restoring: Restoring, layer: Any, group: Group) -> None:
    """Plan the weights of a layer and of those inside, from the group of the file."""
    weights = weights_in_order(layer)
    arrays = list(group.arrays.values())
    where = f"layer {layer.name!r} ({group.name!r} in the file)"
    if len(arrays) == len(weights):
        for pairing in pairings(weights, group):
            pairs = [(v, arrays[i]) for (_, v), i in zip(weights, pairing, strict=True)]
            if not any(misfit(v, a) for v, a in pairs):
                restoring.plan += pairs
                return
        if _could_fit(layer, group):
            restoring.mismatch(ArgumentError, f"{where}: {_untold(weights, group)}")
            return
    same = by_name(weights, group)
    if not same and len({owner for owner, _ in weights}) == 1:
        same = {i: i for i in range(min(len(weights), len(arrays)))}
    _plan_some(restoring, where, weights, arrays, same)


def _plan_some(
    restoring: Restoring,
    where: str,
    weights: list[tuple[int, Any]],
    arrays: list[Any],
    pairs: dict[int, int],
) -> None:
    """Of weights that do not all fit: those that do, and what is wrong with others."""
    if len(arrays) != len(weights) or not pairs:
        counts = f"{len(weights)} weights, the file has {len(arrays)}"
        shapes = ", ".join(str(tuple(v.shape)) for _, v in weights)
        others = ", ".join(str(tuple(a.shape)) for a in arrays)
        same = f"{counts}; of the shapes {shapes} here, {others} there"
        what = counts if len(arrays) != len(weights) else same
        restoring.mismatch(ShapeError, f"{where} has {what}.")
        return
    for index, (_, variable) in enumerate(weights):
        if index not in pairs:
            what = f"weight {variable.path!r} has no array of its name in the file."
            restoring.mismatch(ShapeError, f"{where}: {what}")
            continue
        problem = misfit(variable, arrays[pairs[index]])
        if problem is None:
            restoring.plan.append((variable, arrays[pairs[index]]))
        else:
            restoring.mismatch(problem[0], f"{where}: {problem[1]}")


def _untold(weights: list[tuple[int, Any]], group: Group) -> str:
    """Why nothing is loaded, though there would be a way to make all fit."""
    mine = [v.path.rpartition("/")[0] for _, v in weights]
    theirs = [name.rpartition("/")[0] for name in group.arrays]
    listed = (", ".join(map(repr, dict.fromkeys(names))) for names in (mine, theirs))
    return (
        "which weights are whose cannot be told: the layers inside have the names "
        "{} here and {} in the file, some have the same shapes, and their order in "
        "such a file depends on what was trainable. Name them as in the file, or save "
        "as .weights.h5 or .keras."
    ).format(*listed)


def _plan_top(restoring: Restoring, model: Any, description: ModelDescription) -> None:
    top = description.weights.get(TOP)
    if top is not None:
        restoring.match("the model itself", own_variables(model), top)

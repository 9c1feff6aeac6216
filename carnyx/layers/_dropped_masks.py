"""A mask that ends at a layer which does not know of masks: said once a layer."""

from __future__ import annotations

import inspect
import warnings
import weakref
from typing import Any

from carnyx import _settings, tree
from carnyx._core.masks import get_mask
from carnyx.layers.input_spec import label
from carnyx.typing import Tensor

_told: weakref.WeakSet[Any] = weakref.WeakSet()


def tell_of_dropped_mask(layer: Any, inputs: Tensor, outputs: object) -> None:
    """Warn if inputs have a mask, and neither the outputs nor what is inside do."""
    if all(get_mask(x) is None for x in tree.flatten(inputs)):
        return
    if layer in _told or not _settings.get("checks"):
        return
    kept = any(get_mask(x) is not None for x in tree.flatten(outputs))
    if kept or any(_takes_mask(x) for x in layer._flatten_layers()):
        return
    _told.add(layer)
    warnings.warn(
        f"{label(layer)} was given a tensor with a mask, and drops it: layers after "
        "it, and the loss, count the masked steps as others. Where a layer of your own "
        "keeps the steps as they are, set supports_masking = True in it, else define "
        "compute_mask(inputs, mask); or pass mask= to the layer that needs it.",
        stacklevel=2,
    )


def _takes_mask(layer: Any) -> bool:
    names = inspect.signature(layer._code()).parameters
    return any(name == "mask" or name.endswith("_mask") for name in names)

"""The masks of a layer's outputs.

One that ends at a layer which does not know of masks is told of, once a layer.
"""

from __future__ import annotations

import inspect
import warnings
import weakref
from typing import Any

from carnyx import _settings, tree
from carnyx._core.masks import get_mask, set_mask
from carnyx._core.variable import Variable
from carnyx.layers._call import Call, masks_of
from carnyx.layers.input_spec import label
from carnyx.typing import Tensor

_told: weakref.WeakSet[Any] = weakref.WeakSet()


def mask_outputs(
    layer: Any, own: bool, outputs: object, call: Call, keywords: dict[str, Any]
) -> None:
    """Give the outputs of a call the masks that the layer says.

    Args:
        own: whether the layer has a `compute_mask` of its own.
        keywords: what was passed on besides what `call` was given.
    """
    if not call.tensors:
        return
    name = next(iter(call.tensors))
    inputs = call.first if call.signature.variadic else call.tensors[name]
    if not (layer.supports_masking or own):
        return tell_of_dropped_mask(layer, inputs, outputs)
    given = call.named | keywords
    previous = given.get("mask", given.get(f"{name}_mask"))
    if previous is None:
        previous = masks_of(inputs)
    if not own and all(m is None for m in tree.flatten(previous)):
        return
    mask = layer.compute_mask(inputs, previous)
    flat_outputs, flat_masks = tree.flatten(outputs), tree.flatten(mask)
    if len(flat_masks) == 1 and len(flat_outputs) > 1 and mask is None:
        return
    for output, one in zip(flat_outputs, flat_masks, strict=False):
        if one is not None and not isinstance(output, Variable):
            set_mask(output, one)


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

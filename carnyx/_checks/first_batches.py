"""The first batches of an epoch, looked at on the host before the device has them.

Arrays in memory are looked at as a whole when `fit` begins: the least and the largest
of a column take less than a hundredth of its epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from carnyx import tree
from carnyx._checks.indices import judge_indices
from carnyx._checks.losses import Expected, expected_by
from carnyx._checks.targets import judge_targets
from carnyx._checks.watching import Index
from carnyx._core.masks import get_mask
from carnyx._data import Feed
from carnyx._data.batches import named_leaves
from carnyx._data.process_rows import take
from carnyx._data.rows import Rows
from carnyx.errors import DataError
from carnyx.typing import Tensor

SINGLE_BATCHES = 2
_BATCHES = 2
_WHOLE = 1 << 22  # values of an array that are looked at as a whole


class Expectations(NamedTuple):
    """What is known of a compiled model's data, once it has been traced.

    Attributes:
        loss: the compiled one, which knows the targets of each output.
        expected: of each output, or None where it is not judged.
        classes: how many there are, where the model has one output that tells.
    """

    loss: Any
    expected: list[Expected | None]
    indices: list[Index]
    told: set[str]
    classes: int | None = None

    def judge(self, batch: Any, where: str) -> None:
        """Look at samples `(x, y, sample_weight)`.

        Raises:
            DataError: for labels and indices that do not exist.
        """
        x, y, weight = batch
        if self.indices:
            leaves = named_leaves((x, None, None))
            for place, layer in self.indices:
                name, leaf = leaves[place]
                value = _on_host(leaf)
                if value is not None:
                    judge_indices(layer, value, name, where, self.told)
        if y is None or not any(self.expected):
            return
        try:
            targets, weights = self.loss.matched(y, weight)
        except DataError:
            return  # the step says so
        for expected, target, one in zip(self.expected, targets, weights, strict=True):
            values = _on_host(target)
            if expected is not None and values is not None:
                judge_targets(expected, values, _on_host(one), where, self.told)

    def __bool__(self) -> bool:
        return bool(self.indices) or any(self.expected)


def expectations(compiled: Any, y_pred: Tensor, watch: Any) -> Expectations:
    """What the losses expect of these (symbolic) predictions, embeddings of inputs.

    Without `compiled`, where a model computes its loss itself, of inputs alone.
    Where a mask comes out it alone says which targets count: those are not judged.
    """
    loss = None if compiled is None else compiled.loss
    told = set() if compiled is None else compiled.told
    expected: list[Expected | None] = []
    if loss is not None and loss.built:
        for output, one, prediction in zip(
            loss.outputs, loss.losses, tree.flatten(y_pred), strict=True
        ):
            known = expected_by(one, output.name, prediction)
            masked = watch.masked or get_mask(prediction) is not None
            expected.append(None if masked else known)
    classes = _classes(tree.flatten(y_pred), expected)
    return Expectations(loss, expected, watch.indices, told, classes)


def _classes(predictions: list[Any], expected: list[Expected | None]) -> int | None:
    """How many classes one output tells apart; one unit does two."""
    if len(predictions) != 1 or not predictions[0].shape:
        return None
    known = expected[0] if expected else None
    size = predictions[0].shape[-1] if known is None else known.classes
    return max(size, 2) if isinstance(size, int) else None


def look_at(feed: Feed, expected: Expectations | None, every: bool = False) -> None:
    """Judge a feed's data: arrays now, batches of a source as they come.

    Args:
        every: whether all batches are looked at, not only the first of an epoch.
    """
    feed.look = None
    if not expected:
        return
    if feed.indexed:
        expected.judge(feed.some(_some), feed.name)
    else:
        feed.look = _looking(expected, feed.name, every)


def _looking(
    expected: Expectations, name: str, every: bool
) -> Callable[[Any, int], None]:
    def look(batch: Any, index: int) -> None:
        if every or index < _BATCHES:
            expected.judge(batch, f"batch {index} of {name}")

    return look


def _some(leaf: Any, batch_size: int) -> np.ndarray:
    """All of an array, or the first batches where it is large or has to be read."""
    if isinstance(leaf, Rows):
        return take(leaf, slice(0, 1))
    whole = leaf.size <= _WHOLE
    return take(leaf, slice(None) if whole else slice(0, _BATCHES * batch_size))


def _on_host(value: Any) -> np.ndarray | None:
    """The values, where looking at them waits for no other device."""
    if isinstance(value, jax.Array):
        near = all(device.platform == "cpu" for device in value.devices())
        return np.asarray(value) if near and value.is_fully_addressable else None
    return value if isinstance(value, np.ndarray) else None

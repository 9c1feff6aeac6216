"""Intersection over union: how well regions overlap."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from carnyx import config
from carnyx.configurable import field
from carnyx.dtype_policies import is_float
from carnyx.errors import ArgumentError
from carnyx.losses.shapes import check_alike
from carnyx.metrics.base import Metric
from carnyx.ops.core import convert_to_tensor
from carnyx.typing import Tensor


class _Overlap(Metric):
    """Base: keeps the confusion matrix of classes, rows true, columns predicted.

    IoU of a class = TP / (TP + FP + FN), averaged over the target classes that occur.
    """

    num_classes = 2
    target_class_ids = None  # all
    ignore_class = None
    sparse_y_true = True
    sparse_y_pred = True
    axis = -1
    _direction = "up"

    def __post_init__(self) -> None:
        self.dtype = self.dtype or "int32"
        super().__post_init__()
        n = self.num_classes
        if self.target_class_ids is not None:
            self.target_class_ids = list(self.target_class_ids)
            if max(self.target_class_ids) >= n:
                raise ArgumentError(
                    f"{type(self).__name__} got target_class_ids="
                    f"{self.target_class_ids}; expected numbers below num_classes={n}."
                )
        self.total_cm = self.add_weight(
            (n, n), dtype=self.dtype, name="total_confusion_matrix"
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        true = self._classes(y_true, self.sparse_y_true)
        pred = self._classes(y_pred, self.sparse_y_pred)
        check_alike(true, pred, f"{type(self).__name__} {self.name!r}, flat,")
        weight = jnp.ones((), self.dtype)
        if sample_weight is not None:
            weight = convert_to_tensor(sample_weight)
            if is_float(weight.dtype) and not is_float(self.dtype):
                warnings.warn(
                    f"{self.name!r} counts in {self.dtype} and truncates the float "
                    "weights it got; give it dtype='float32'.",
                    stacklevel=2,
                )
            weight = weight.reshape(-1) if weight.ndim > 1 else weight
        weight = jnp.broadcast_to(weight.astype(self.dtype), true.shape)
        n = self.num_classes
        valid = (true >= 0) & (true < n) & (pred >= 0) & (pred < n)
        if self.ignore_class is not None:
            valid &= true != self.ignore_class
        true, pred, weight = (jnp.where(valid, x, 0) for x in (true, pred, weight))
        self.total_cm.assign(self.total_cm.value.at[true, pred].add(weight))

    def _classes(self, y: Any, sparse: bool) -> Any:
        y = convert_to_tensor(y)
        y = y if sparse else jnp.argmax(y, self.axis)
        return y.astype("int32").reshape(-1)

    def result(self) -> Any:
        matrix = self.total_cm.value.astype("float32")
        hits = jnp.diag(matrix)
        union = jnp.sum(matrix, 0) + jnp.sum(matrix, 1) - hits
        if self.target_class_ids is not None:
            chosen = jnp.asarray(self.target_class_ids)
            hits, union = hits[chosen], union[chosen]
        occurs, e = union > 1e-9, config.epsilon()
        return jnp.sum(jnp.where(occurs, hits / (union + e), 0)) / (jnp.sum(occurs) + e)


class IoU(_Overlap):
    """The mean intersection over union of some classes.

    Args:
        ignore_class: targets of this class do not count.
        sparse_y_true, sparse_y_pred: class numbers; False for scores along `axis`.

    >>> float(IoU(num_classes=2, target_class_ids=[0])([0, 0, 1, 1], [0, 1, 0, 1]))
    0.3333333...
    """

    num_classes: int = field()
    target_class_ids: Sequence[int] | None = field()
    name: Any = field(None)
    dtype: Any = field(None)
    ignore_class: int | None = field(None)
    sparse_y_true: bool = field(True)
    sparse_y_pred: bool = field(True)
    axis: int = field(-1)


class BinaryIoU(_Overlap):
    """Intersection over union of two classes, predicted by a threshold."""

    target_class_ids: Sequence[int] | None = field((0, 1))
    threshold: float = field(0.5)

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        y_pred = convert_to_tensor(y_pred, "float32") >= self.threshold
        super().update_state(y_true, y_pred, sample_weight)


class MeanIoU(_Overlap):
    """The mean intersection over union of all classes; see `IoU`."""

    num_classes: int = field()
    name: Any = field(None)
    dtype: Any = field(None)
    ignore_class: int | None = field(None)
    sparse_y_true: bool = field(True)
    sparse_y_pred: bool = field(True)
    axis: int = field(-1)


class OneHotIoU(_Overlap):
    """`IoU` of one-hot targets and class scores."""

    num_classes: int = field()
    target_class_ids: Sequence[int] | None = field()
    name: Any = field(None)
    dtype: Any = field(None)
    ignore_class: int | None = field(None)
    sparse_y_pred: bool = field(False)
    axis: int = field(-1)
    sparse_y_true = False


class OneHotMeanIoU(_Overlap):
    """`MeanIoU` of one-hot targets and class scores."""

    num_classes: int = field()
    name: Any = field(None)
    dtype: Any = field(None)
    ignore_class: int | None = field(None)
    sparse_y_pred: bool = field(False)
    axis: int = field(-1)
    sparse_y_true = False

"""The losses as classes: a function, its arguments, and how values are reduced."""

from __future__ import annotations

from carnyx.configurable import above_zero, at_least, field, fraction, one_of
from carnyx.losses import margins, numbers, probabilities, structures
from carnyx.losses.base import MEAN, REDUCTIONS, Loss
from carnyx.typing import Axis


def _reduction() -> str | None:
    """Restated where Keras has it before other arguments."""
    return field(MEAN, check=one_of(*REDUCTIONS))


def _inside_0_1(value: float) -> str | None:
    return None if 0 < value < 1 else "a number between 0 and 1"


class MeanSquaredError(Loss, of=numbers.mean_squared_error):
    """mean((y_true - y_pred)²).

    >>> float(MeanSquaredError()([[0.0, 1.0]], [[1.0, 1.0]]))
    0.5
    """


class MeanAbsoluteError(Loss, of=numbers.mean_absolute_error):
    """mean(|y_true - y_pred|)."""


class MeanAbsolutePercentageError(Loss, of=numbers.mean_absolute_percentage_error):
    """100 mean(|(y_true - y_pred) / y_true|)."""


class MeanSquaredLogarithmicError(Loss, of=numbers.mean_squared_logarithmic_error):
    """mean((log(y_true + 1) - log(y_pred + 1))²)."""


class Huber(Loss, of=numbers.huber):
    """Squared errors up to `delta`, linear ones beyond; see `huber`."""

    delta: float = field(1.0, check=above_zero)
    reduction: str | None = _reduction()
    name: str = field("huber_loss")


class LogCosh(Loss, of=numbers.log_cosh):
    """mean(log(cosh(y_pred - y_true)))."""


class CosineSimilarity(Loss, of=numbers.cosine_similarity):
    """-cos of the angle between targets and predictions."""

    axis: int = field(-1)


class Hinge(Loss, of=margins.hinge):
    """mean(max(1 - y_true · y_pred, 0)), labels -1 and 1 (or 0 and 1)."""


class SquaredHinge(Loss, of=margins.squared_hinge):
    """mean(max(1 - y_true · y_pred, 0)²), labels -1 and 1 (or 0 and 1)."""


class CategoricalHinge(Loss, of=margins.categorical_hinge):
    """max(best wrong score - right score + 1, 0), labels one-hot."""


class KLDivergence(Loss, of=probabilities.kl_divergence):
    """sum(y_true · log(y_true / y_pred))."""


class Poisson(Loss, of=probabilities.poisson):
    """mean(y_pred - y_true · log(y_pred))."""


class BinaryCrossentropy(Loss, of=probabilities.binary_crossentropy):
    """Cross-entropy of yes-or-no labels; see `binary_crossentropy`."""

    from_logits: bool = field(False)
    label_smoothing: float = field(0.0, check=fraction)
    axis: int = field(-1)


class BinaryFocalCrossentropy(Loss, of=probabilities.binary_focal_crossentropy):
    """`BinaryCrossentropy` that minds what is hard; see `binary_focal_crossentropy`."""

    apply_class_balancing: bool = field(False)
    alpha: float = field(0.25)
    gamma: float = field(2.0, check=at_least(0))
    from_logits: bool = field(False)
    label_smoothing: float = field(0.0, check=fraction)
    axis: int = field(-1)


class CategoricalCrossentropy(Loss, of=probabilities.categorical_crossentropy):
    """Cross-entropy of one-hot labels; see `categorical_crossentropy`."""

    from_logits: bool = field(False)
    label_smoothing: float = field(0.0, check=fraction)
    axis: int = field(-1)


class CategoricalFocalCrossentropy(
    Loss, of=probabilities.categorical_focal_crossentropy
):
    """`CategoricalCrossentropy` that minds what is hard; see the function."""

    alpha: float = field(0.25)
    gamma: float = field(2.0, check=at_least(0))
    from_logits: bool = field(False)
    label_smoothing: float = field(0.0, check=fraction)
    axis: int = field(-1)


class SparseCategoricalCrossentropy(
    Loss, of=probabilities.sparse_categorical_crossentropy
):
    """Cross-entropy of labels as class numbers; see the function.

    Args:
        ignore_class: a label whose samples do not count.
    """

    from_logits: bool = field(False)
    ignore_class: int | None = field(None)
    reduction: str | None = _reduction()
    axis: int = field(-1)


class CategoricalGeneralizedCrossEntropy(
    Loss, of=probabilities.categorical_generalized_cross_entropy
):
    """Cross-entropy robust to wrong labels; see the function."""

    q: float = field(0.5, check=_inside_0_1)


class CTC(Loss, of=structures.ctc):
    """Sequences of labels without alignment; see `ctc`."""


class Dice(Loss, of=structures.dice):
    """1 - twice the overlap over the sum of two regions; see `dice`."""

    reduction: str | None = _reduction()
    name: str = field("dice")
    axis: Axis = field(None)


class Tversky(Loss, of=structures.tversky):
    """`Dice` with weights for missed and false parts; see `tversky`."""

    alpha: float = field(0.5, check=at_least(0))
    beta: float = field(0.5, check=at_least(0))
    reduction: str | None = _reduction()
    name: str = field("tversky")
    axis: Axis = field(None)


class Circle(Loss, of=structures.circle):
    """Pulls embeddings of equal labels together; see `circle`."""

    gamma: float = field(80.0)
    margin: float = field(0.4)
    remove_diagonal: bool = field(True)

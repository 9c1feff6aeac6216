"""Metrics: what is measured over batches, and how it adds up."""

from typing import Any

from carnyx import registry
from carnyx.losses import binary_crossentropy as binary_crossentropy
from carnyx.losses import binary_focal_crossentropy as binary_focal_crossentropy
from carnyx.losses import categorical_crossentropy as categorical_crossentropy
from carnyx.losses import (
    categorical_focal_crossentropy as categorical_focal_crossentropy,
)
from carnyx.losses import categorical_hinge as categorical_hinge
from carnyx.losses import hinge as hinge
from carnyx.losses import huber as huber
from carnyx.losses import kl_divergence as kl_divergence
from carnyx.losses import log_cosh as log_cosh
from carnyx.losses import mean_absolute_error as mean_absolute_error
from carnyx.losses import (
    mean_absolute_percentage_error as mean_absolute_percentage_error,
)
from carnyx.losses import mean_squared_error as mean_squared_error
from carnyx.losses import (
    mean_squared_logarithmic_error as mean_squared_logarithmic_error,
)
from carnyx.losses import poisson as poisson
from carnyx.losses import (
    sparse_categorical_crossentropy as sparse_categorical_crossentropy,
)
from carnyx.losses import squared_hinge as squared_hinge
from carnyx.metrics.accuracy import Accuracy as Accuracy
from carnyx.metrics.accuracy import BinaryAccuracy as BinaryAccuracy
from carnyx.metrics.accuracy import CategoricalAccuracy as CategoricalAccuracy
from carnyx.metrics.accuracy import (
    SparseCategoricalAccuracy as SparseCategoricalAccuracy,
)
from carnyx.metrics.accuracy import (
    SparseTopKCategoricalAccuracy as SparseTopKCategoricalAccuracy,
)
from carnyx.metrics.accuracy import TopKCategoricalAccuracy as TopKCategoricalAccuracy
from carnyx.metrics.accuracy import binary_accuracy as binary_accuracy
from carnyx.metrics.accuracy import categorical_accuracy as categorical_accuracy
from carnyx.metrics.accuracy import (
    sparse_categorical_accuracy as sparse_categorical_accuracy,
)
from carnyx.metrics.accuracy import (
    sparse_top_k_categorical_accuracy as sparse_top_k_categorical_accuracy,
)
from carnyx.metrics.accuracy import (
    top_k_categorical_accuracy as top_k_categorical_accuracy,
)
from carnyx.metrics.auc import AUC as AUC
from carnyx.metrics.base import Metric as Metric
from carnyx.metrics.confusion import FalseNegatives as FalseNegatives
from carnyx.metrics.confusion import FalsePositives as FalsePositives
from carnyx.metrics.confusion import Precision as Precision
from carnyx.metrics.confusion import PrecisionAtRecall as PrecisionAtRecall
from carnyx.metrics.confusion import Recall as Recall
from carnyx.metrics.confusion import RecallAtPrecision as RecallAtPrecision
from carnyx.metrics.confusion import (
    SensitivityAtSpecificity as SensitivityAtSpecificity,
)
from carnyx.metrics.confusion import (
    SpecificityAtSensitivity as SpecificityAtSensitivity,
)
from carnyx.metrics.confusion import TrueNegatives as TrueNegatives
from carnyx.metrics.confusion import TruePositives as TruePositives
from carnyx.metrics.f_score import F1Score as F1Score
from carnyx.metrics.f_score import FBetaScore as FBetaScore
from carnyx.metrics.loss_metrics import BinaryCrossentropy as BinaryCrossentropy
from carnyx.metrics.loss_metrics import (
    CategoricalCrossentropy as CategoricalCrossentropy,
)
from carnyx.metrics.loss_metrics import CategoricalHinge as CategoricalHinge
from carnyx.metrics.loss_metrics import Hinge as Hinge
from carnyx.metrics.loss_metrics import KLDivergence as KLDivergence
from carnyx.metrics.loss_metrics import LogCoshError as LogCoshError
from carnyx.metrics.loss_metrics import MeanAbsoluteError as MeanAbsoluteError
from carnyx.metrics.loss_metrics import (
    MeanAbsolutePercentageError as MeanAbsolutePercentageError,
)
from carnyx.metrics.loss_metrics import MeanSquaredError as MeanSquaredError
from carnyx.metrics.loss_metrics import (
    MeanSquaredLogarithmicError as MeanSquaredLogarithmicError,
)
from carnyx.metrics.loss_metrics import Poisson as Poisson
from carnyx.metrics.loss_metrics import (
    SparseCategoricalCrossentropy as SparseCategoricalCrossentropy,
)
from carnyx.metrics.loss_metrics import SquaredHinge as SquaredHinge
from carnyx.metrics.mean import Mean as Mean
from carnyx.metrics.mean import MeanMetricWrapper as MeanMetricWrapper
from carnyx.metrics.mean import Sum as Sum
from carnyx.metrics.regression import ConcordanceCorrelation as ConcordanceCorrelation
from carnyx.metrics.regression import CosineSimilarity as CosineSimilarity
from carnyx.metrics.regression import PearsonCorrelation as PearsonCorrelation
from carnyx.metrics.regression import R2Score as R2Score
from carnyx.metrics.regression import RootMeanSquaredError as RootMeanSquaredError
from carnyx.metrics.regression import concordance_correlation as concordance_correlation
from carnyx.metrics.regression import pearson_correlation as pearson_correlation
from carnyx.metrics.segmentation import BinaryIoU as BinaryIoU
from carnyx.metrics.segmentation import IoU as IoU
from carnyx.metrics.segmentation import MeanIoU as MeanIoU
from carnyx.metrics.segmentation import OneHotIoU as OneHotIoU
from carnyx.metrics.segmentation import OneHotMeanIoU as OneHotMeanIoU
from carnyx.typing import Config


def get(identifier: object) -> Any:
    """A metric from its name, config, class or itself; None stays None.

    >>> get("mse").name, get({"class_name": "Mean", "config": {"name": "m"}}).name
    ('mean_squared_error', 'm')
    """
    return registry.lookup_callable(identifier, "metrics", kind="metric")


def serialize(metric: object) -> Any:
    """A metric as plain data, as Keras 3 writes it."""
    return registry.serialize_keras_object(metric)


def deserialize(config: Config, custom_objects: dict[str, Any] | None = None) -> Any:
    """The inverse of `serialize`."""
    with registry.custom_object_scope(custom_objects):
        return get(config)

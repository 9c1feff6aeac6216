"""Losses: functions, their classes, and the base to write one."""

from carnyx.losses.base import Loss as Loss
from carnyx.losses.base import deserialize as deserialize
from carnyx.losses.base import get as get
from carnyx.losses.base import serialize as serialize
from carnyx.losses.classes import CTC as CTC
from carnyx.losses.classes import BinaryCrossentropy as BinaryCrossentropy
from carnyx.losses.classes import BinaryFocalCrossentropy as BinaryFocalCrossentropy
from carnyx.losses.classes import CategoricalCrossentropy as CategoricalCrossentropy
from carnyx.losses.classes import (
    CategoricalFocalCrossentropy as CategoricalFocalCrossentropy,
)
from carnyx.losses.classes import (
    CategoricalGeneralizedCrossEntropy as CategoricalGeneralizedCrossEntropy,
)
from carnyx.losses.classes import CategoricalHinge as CategoricalHinge
from carnyx.losses.classes import Circle as Circle
from carnyx.losses.classes import CosineSimilarity as CosineSimilarity
from carnyx.losses.classes import Dice as Dice
from carnyx.losses.classes import Hinge as Hinge
from carnyx.losses.classes import Huber as Huber
from carnyx.losses.classes import KLDivergence as KLDivergence
from carnyx.losses.classes import LogCosh as LogCosh
from carnyx.losses.classes import MeanAbsoluteError as MeanAbsoluteError
from carnyx.losses.classes import (
    MeanAbsolutePercentageError as MeanAbsolutePercentageError,
)
from carnyx.losses.classes import MeanSquaredError as MeanSquaredError
from carnyx.losses.classes import (
    MeanSquaredLogarithmicError as MeanSquaredLogarithmicError,
)
from carnyx.losses.classes import Poisson as Poisson
from carnyx.losses.classes import (
    SparseCategoricalCrossentropy as SparseCategoricalCrossentropy,
)
from carnyx.losses.classes import SquaredHinge as SquaredHinge
from carnyx.losses.classes import Tversky as Tversky
from carnyx.losses.margins import categorical_hinge as categorical_hinge
from carnyx.losses.margins import hinge as hinge
from carnyx.losses.margins import squared_hinge as squared_hinge
from carnyx.losses.numbers import cosine_similarity as cosine_similarity
from carnyx.losses.numbers import huber as huber
from carnyx.losses.numbers import log_cosh as log_cosh
from carnyx.losses.numbers import mean_absolute_error as mean_absolute_error
from carnyx.losses.numbers import (
    mean_absolute_percentage_error as mean_absolute_percentage_error,
)
from carnyx.losses.numbers import mean_squared_error as mean_squared_error
from carnyx.losses.numbers import (
    mean_squared_logarithmic_error as mean_squared_logarithmic_error,
)
from carnyx.losses.probabilities import binary_crossentropy as binary_crossentropy
from carnyx.losses.probabilities import (
    binary_focal_crossentropy as binary_focal_crossentropy,
)
from carnyx.losses.probabilities import (
    categorical_crossentropy as categorical_crossentropy,
)
from carnyx.losses.probabilities import (
    categorical_focal_crossentropy as categorical_focal_crossentropy,
)
from carnyx.losses.probabilities import (
    categorical_generalized_cross_entropy as categorical_generalized_cross_entropy,
)
from carnyx.losses.probabilities import kl_divergence as kl_divergence
from carnyx.losses.probabilities import poisson as poisson
from carnyx.losses.probabilities import (
    sparse_categorical_crossentropy as sparse_categorical_crossentropy,
)
from carnyx.losses.structures import circle as circle
from carnyx.losses.structures import ctc as ctc
from carnyx.losses.structures import dice as dice
from carnyx.losses.structures import tversky as tversky

"""A model that trains a student by its data and by what a teacher makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from carnyx import metrics, tree
from carnyx._core.symbol import shapes_fit
from carnyx._numbers import REFUSED, as_number
from carnyx.distillation.features import Features
from carnyx.distillation.losses import DistillationLoss
from carnyx.errors import ArgumentError, ArgumentTypeError, ShapeError
from carnyx.models import Model
from carnyx.typing import Tensors


class Distiller(Model):
    """Trains `student` on w · its own loss + (1 - w) · its distance from `teacher`.

    Calling the model is calling the student; the teacher is frozen. The history has
    `student_loss`, `distillation_loss` and their sum, as `loss` and `total_loss`.

    Args:
        teacher: a trained model.
        student: one with inputs and outputs of the same shapes and dtypes.
        distillation_losses: one, or a list: `LogitsDistillation`, `FeatureDistillation`
            or classes of your own.
        distillation_loss_weights: a factor for each; None for 1.
        student_loss_weight: w, from 0 to 1.

    References: Hinton, Vinyals, Dean 2015, arXiv:1503.02531

    Raises:
        ArgumentError: where the models or the losses do not fit together.

    >>> import numpy as np, carnyx as keras
    >>> def network(units):
    ...     layers = keras.layers.Dense(units, "relu"), keras.layers.Dense(3)
    ...     return keras.Sequential([keras.Input((4,)), *layers])
    >>> soft = keras.distillation.LogitsDistillation()
    >>> distiller = Distiller(network(32), network(2), soft)
    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> distiller.compile("adam", loss)
    >>> x, y = np.ones((8, 4), "float32"), np.zeros(8, "int32")
    >>> sorted(distiller.fit(x, y, verbose=0).history)
    ['distillation_loss', 'loss', 'student_loss', 'total_loss']
    """

    keras_family = "distillation"

    def __init__(
        self,
        teacher: Model,
        student: Model,
        distillation_losses: DistillationLoss | Sequence[DistillationLoss],
        distillation_loss_weights: Sequence[float] | None = None,
        student_loss_weight: float = 0.5,
        name: str = "distiller",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        _check_models(teacher, student)
        self.teacher, self.student = teacher, student
        self.student_loss_weight = _share(student_loss_weight)
        self.distillation_losses = _as_list(distillation_losses)
        self.distillation_loss_weights = _weights(
            distillation_loss_weights, len(self.distillation_losses)
        )
        for loss in self.distillation_losses:
            loss.validate_model_compatibility(teacher, student)
        self._teachers = Features(
            teacher, (loss.teacher_layer_name for loss in self.distillation_losses)
        )
        self._students = Features(
            student, (loss.student_layer_name for loss in self.distillation_losses)
        )
        teacher.trainable = False
        self.student_loss_tracker = metrics.Mean(name="student_loss")
        self.distillation_loss_tracker = metrics.Mean(name="distillation_loss")
        self.total_loss_tracker = metrics.Mean(name="total_loss")

    def compile(
        self, optimizer: Any = "adam", loss: Any = None, metrics: Any = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        """As any model's, but that `loss`, the student's own, must be given."""
        if loss is None:
            raise ArgumentError(
                "Distiller.compile got loss=None; expected the student's loss."
            )
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)

    def call(self, inputs: Tensors, training: bool | None = None, **kwargs: Any) -> Any:
        return self.student(inputs, training=training, **kwargs)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None,
        sample_weight: Any = None, training: bool = True,
    ) -> Any:  # fmt: skip
        """The weighted sum of both losses; sample weights count for the student's."""
        share = self.student_loss_weight
        if y_pred is None:
            y_pred = self(x, training=training)
        own = distance = 0.0
        if share > 0 and y is not None:
            own = super().compute_loss(x, y, y_pred, sample_weight, training)
        if share < 1:
            distance = self._distance(x, y_pred, training)
        total = share * own + (1 - share) * distance
        self.student_loss_tracker.update_state(own)
        self.distillation_loss_tracker.update_state(distance)
        self.total_loss_tracker.update_state(total)
        return total

    def _distance(self, x: Tensors, y_pred: Tensors, training: bool) -> Any:
        teachers = self._teachers.all(x)
        students = self._students.beside(y_pred, x, training)
        total: Any = 0.0
        for loss, weight in zip(
            self.distillation_losses, self.distillation_loss_weights
        ):
            pair = teachers[loss.teacher_layer_name], students[loss.student_layer_name]
            loss.validate_outputs(*pair)
            value = loss.compute_loss(*pair)
            if getattr(value, "shape", ()) != ():
                raise ShapeError(
                    f"{type(loss).__name__}.compute_loss returned shape {value.shape}; "
                    "expected a single number."
                )
            total = total + weight * value
        return total


def _check_models(teacher: Any, student: Any) -> None:
    for role, model in (("teacher", teacher), ("student", student)):
        if not isinstance(model, Model):
            raise ArgumentTypeError(
                f"Distiller got {role}={model!r}; expected a keras.Model."
            )
    for ends in ("inputs", "outputs"):
        both = getattr(teacher, ends, None), getattr(student, ends, None)
        if None not in both:
            _check_same(ends, *both)


def _check_same(ends: str, teachers: Tensors, students: Tensors) -> None:
    ours, theirs = tree.flatten(teachers), tree.flatten(students)
    if len(ours) != len(theirs) or not all(
        shapes_fit(a.shape, b.shape) and a.dtype == b.dtype
        for a, b in zip(ours, theirs)
    ):
        ours, theirs = ([(t.shape, t.dtype) for t in s] for s in (ours, theirs))
        raise ShapeError(
            f"Distiller got a teacher with {ends} {ours} and a student with {theirs}; "
            "expected the same shapes and dtypes."
        )


def _share(value: float) -> float:
    share = as_number(value)
    if share is REFUSED or not 0 <= share <= 1:
        raise ArgumentError(
            f"Distiller got student_loss_weight={value!r}; expected a number from 0 "
            "to 1."
        )
    return share


def _as_list(losses: Any) -> list[DistillationLoss]:
    listed = list(losses) if isinstance(losses, list | tuple) else [losses]
    wrong = [loss for loss in listed if not hasattr(loss, "compute_loss")]
    if wrong or not listed:
        raise ArgumentError(
            f"Distiller got distillation_losses={losses!r}; expected a distillation "
            "loss, such as LogitsDistillation(), or a list of them."
        )
    return listed


def _weights(weights: Any, count: int) -> list[float]:
    listed = [1.0] * count if weights is None else list(weights)
    if len(listed) != count or REFUSED in map(as_number, listed):
        raise ArgumentError(
            f"Distiller got distillation_loss_weights={weights!r}; expected {count} "
            "numbers, one for each distillation loss."
        )
    return listed

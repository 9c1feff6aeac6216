"""How far a student's outputs or features are from its teacher's."""

from __future__ import annotations

from typing import Any

import jax

from carnyx import losses, ops, tree
from carnyx.configurable import Configurable, above_zero, attribute, field
from carnyx.errors import ArgumentError
from carnyx.models import Model
from carnyx.typing import Tensor, Tensors


def _losses(given: Any) -> Any:
    """A loss, or one for each output; None skips an output."""
    if isinstance(given, dict) and "class_name" in given:  # of one, as a file has it
        return losses.get(given)
    if isinstance(given, list | tuple):
        found: Any = type(given)(_losses(each) for each in given)
    elif isinstance(given, dict):
        found = {name: _losses(each) for name, each in given.items()}
    else:
        return losses.get(given)
    return found


def _some(loss: Any) -> str | None:
    """A check: something is compared."""
    some = any(each is not None for each in tree.flatten(loss))
    return None if some else "at least one loss that is not None"


class DistillationLoss(Configurable):
    """Base of what compares a teacher with a student: subclasses write `compute_loss`.

    >>> class Difference(DistillationLoss):
    ...     def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
    ...         return ops.mean(ops.abs(teacher_outputs - student_outputs))
    >>> float(Difference().compute_loss(ops.ones(2), ops.zeros(2)))
    1.0
    """

    keras_family = "distillation"

    # Which layers are compared; None for what comes out of the models.
    teacher_layer_name: str | None = None
    student_layer_name: str | None = None

    def compute_loss(
        self, teacher_outputs: Tensors, student_outputs: Tensors, **kwargs: Any
    ) -> Tensor:
        """The distance, a single number."""
        raise NotImplementedError(
            f"{type(self).__name__} must write compute_loss(teacher_outputs, "
            "student_outputs)."
        )

    def validate_outputs(
        self, teacher_outputs: Tensors, student_outputs: Tensors
    ) -> None:
        """Raise ArgumentError where the two do not have the same structure."""
        tree.assert_same_structure(teacher_outputs, student_outputs)

    def validate_model_compatibility(self, teacher: Model, student: Model) -> None:
        """Raise an error where two models cannot be compared in this way."""


class _Distances(DistillationLoss):
    """What is the sum of a loss for each output."""

    loss: Any = attribute()

    def validate_outputs(
        self, teacher_outputs: Tensors, student_outputs: Tensors
    ) -> None:
        super().validate_outputs(teacher_outputs, student_outputs)
        try:
            tree.assert_same_structure(self.loss, teacher_outputs)
        except ArgumentError as error:
            raise ArgumentError(
                f"{type(self).__name__} got loss={self.loss!r} for other outputs: "
                f"{error} Give one loss for each output, or None for some."
            ) from None

    def compute_loss(
        self, teacher_outputs: Tensors, student_outputs: Tensors, **kwargs: Any
    ) -> Tensor:
        distances = tree.map_structure(
            self._distance, self.loss, teacher_outputs, student_outputs
        )
        return sum(tree.flatten(distances))

    def _distance(self, loss: Any, teacher: Tensor, student: Tensor) -> Tensor:
        return 0.0 if loss is None else ops.mean(loss(teacher, student))


class FeatureDistillation(_Distances):
    """The distance between what two layers compute.

    Args:
        loss: a loss or its name; for layers of several outputs one for each, in their
            structure, None for an output that is not compared.
        teacher_layer_name, student_layer_name: None for what comes out of the model.
            The two must have outputs that the loss can compare.

    References: Romero et al. 2015, arXiv:1412.6550

    >>> loss = FeatureDistillation("mse")
    >>> float(loss.compute_loss(ops.ones((2, 3)), ops.zeros((2, 3))))
    1.0
    """

    loss: Any = field("mse", _losses, check=_some)
    teacher_layer_name: str | None = field(None)
    student_layer_name: str | None = field(None)

    def validate_model_compatibility(self, teacher: Model, student: Model) -> None:
        named = {"teacher": self.teacher_layer_name, "student": self.student_layer_name}
        for role, model in (("teacher", teacher), ("student", student)):
            name = named[role]
            if any(named.values()) and getattr(model, "inputs", None) is None:
                raise ArgumentError(
                    "FeatureDistillation with layer names needs graphs, and the "
                    f"{role} {model.name!r} has no symbolic inputs. Use a functional "
                    "or Sequential model, or leave out the names to compare outputs."
                )
            if name is not None:
                try:
                    model.get_layer(name=name)
                except ValueError as error:
                    raise ArgumentError(f"In the {role} model: {error}") from None


class LogitsDistillation(_Distances):
    """The divergence of the student's soft predictions from the teacher's.

    With `kl_divergence`, T² · KL(softmax(teacher / T), softmax(student / T)), where T
    is the temperature; T² keeps the gradient's size. Another loss gets the logits
    divided by T as they are.

    Args:
        temperature: the higher, the more the teacher's second guesses count.
        loss: a loss or its name; for several outputs one for each, in their structure,
            None for an output that is not compared.

    References: Hinton, Vinyals, Dean 2015, arXiv:1503.02531

    >>> loss = LogitsDistillation(temperature=2.0)
    >>> float(loss.compute_loss(ops.ones((2, 3)), ops.ones((2, 3))))
    0.0
    """

    temperature: float = field(3.0, check=above_zero)
    loss: Any = field("kl_divergence", _losses, check=_some)

    def _distance(self, loss: Any, teacher: Tensor, student: Tensor) -> Tensor:
        teacher, student = teacher / self.temperature, student / self.temperature
        if loss is losses.kl_divergence or isinstance(loss, losses.KLDivergence):
            teacher, student = jax.nn.softmax(teacher), jax.nn.softmax(student)
            return ops.mean(loss(teacher, student)) * self.temperature**2
        return super()._distance(loss, teacher, student)

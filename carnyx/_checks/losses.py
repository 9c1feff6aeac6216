"""What each known loss expects of targets and predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from carnyx import losses
from carnyx.losses.base import Loss
from carnyx.typing import Tensor

SPARSE, CATEGORICAL, BINARY = "sparse", "categorical", "binary"
DISTRIBUTION = "distribution"  # of which only the predictions are judged

_KINDS: dict[Callable[..., Any], str] = {
    losses.sparse_categorical_crossentropy: SPARSE,
    losses.categorical_crossentropy: CATEGORICAL,
    losses.categorical_focal_crossentropy: CATEGORICAL,
    losses.binary_crossentropy: BINARY,
    losses.binary_focal_crossentropy: BINARY,
    losses.kl_divergence: DISTRIBUTION,
}


class Expected(NamedTuple):
    """A loss of an output, as far as it can be judged."""

    kind: str
    loss: str
    output: str
    shape: tuple[int | None, ...]  # of the predictions
    from_logits: bool
    axis: int  # of the classes
    ignored: int | None

    @property
    def classes(self) -> int | None:
        return self.shape[self.axis] if self.shape else None

    def __str__(self) -> str:
        return f"output {self.output!r} with the loss {self.loss!r}"


def expected_by(loss: Any, output: str, prediction: Tensor) -> Expected | None:
    """None for regression, and for losses that users wrote: they are not judged."""
    plain = isinstance(loss, Loss) and type(loss).call is Loss.call
    fn = loss.fn if plain else None
    kind = None if fn is None else _KINDS.get(fn)
    shape = tuple(d if isinstance(d, int) else None for d in prediction.shape)
    if fn is None or kind is None:
        return None
    given = loss._fn_arguments()
    axis = given.get("axis", -1)
    if not shape or not -len(shape) <= axis < len(shape):
        return None
    return Expected(
        kind,
        fn.__name__,
        output,
        shape,
        bool(given.get("from_logits", False)),
        axis % len(shape),
        given.get("ignore_class"),
    )

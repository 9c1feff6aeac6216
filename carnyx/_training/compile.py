"""What `compile` was given, ready for a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from carnyx import metrics as metrics_lib
from carnyx._core.placement import current_placement
from carnyx._training.compiled_loss import CompiledLoss
from carnyx._training.compiled_metrics import CompiledMetrics
from carnyx._training.state import HeldState
from carnyx._training.trainable import Frozen


class Compiled:
    """What `compile` was given, and what belongs to it."""

    def __init__(
        self, given: dict[str, Any], output_names: Sequence[str] | None
    ) -> None:
        self.given = given
        self.loss = self.metrics = None
        if given["loss"] is not None:
            self.loss = CompiledLoss(given["loss"], given["loss_weights"], output_names)
        if given["metrics"] is not None or given["weighted_metrics"] is not None:
            self.metrics = CompiledMetrics(
                given["metrics"], given["weighted_metrics"], output_names, self.loss
            )
        self.loss_tracker = metrics_lib.Mean(name="loss")
        self.programs: dict[Any, Any] = {}
        self.held: HeldState | None = None
        self.held_key: Any = None  # under which `held` is known to be right
        self.placement = current_placement()
        self.frozen = Frozen()
        self.told_of = -1  # for which structure the user was told what is frozen
        self.ready = False
        self.expectations: Any = None  # of data: see _checks
        self.told: set[str] = set()  # what checks have warned of
        self.keep_again_at = 0.0  # when to copy the state next: see kept.py
        self.looked = 0  # at how many single batches
        self.tried: set[str] = set()  # steps in the simple style that have been

"""`find_learning_rate`: how the loss answers to ever larger steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from carnyx._training import dry_run
from carnyx.callbacks.learning_rate import _optimizers
from carnyx.errors import ArgumentError, DataError
from carnyx.layers.base import Layer

_DIVERGED = 4.0  # times the best loss


@dataclass(frozen=True)
class LearningRates:
    """What a search found.

    Attributes:
        rates, losses: of each step; `smoothed` has a moving average of the losses.
        suggestion: the rate at which the loss fell fastest.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float

    def plot(self, ax: Any = None) -> Any:
        """Draw the losses over the rates; returns matplotlib's axes.

        `find_learning_rate(...).plot().figure.savefig("rates.png")` keeps the picture.
        """
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(6, 4), layout="constrained").subplots()
        ax.plot(self.rates, self.losses, color="lightgrey", label="loss")
        ax.plot(self.rates, self.smoothed, label="smoothed")
        label = f"suggestion: {self.suggestion:.2g}"
        ax.axvline(self.suggestion, linestyle="--", color="tab:red", label=label)
        low, high = np.min(self.smoothed), self.smoothed[0]
        room = max(high - low, 1e-9)
        ax.set(xscale="log", xlabel="learning rate", ylabel="loss")
        ax.set_ylim(low - 0.2 * room, high + 0.5 * room)
        ax.legend()
        return ax


def find_learning_rate(
    model: Layer,
    data: object,
    *,
    batch_size: int | None = None,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.9,
) -> LearningRates:
    """Train for some steps at rates that grow from each to the next; suggest one.

    It ends early when the loss has become several times its best. The model, its
    optimizer and all seeds are as before afterwards.

    Args:
        data: `(x, y)`, `(x, y, sample_weight)`, or a source of batches.
        smoothing: the weight of what was before in the moving average of the losses.

    References: Smith 2017, arXiv:1506.01186.
    """
    if not (0 < lowest < highest and steps >= 2):
        raise ArgumentError(
            f"find_learning_rate got lowest={lowest}, highest={highest}, "
            f"steps={steps}; expected 0 < lowest < highest and at least 2 steps."
        )
    feed = dry_run.feed_of(data, batch_size)
    program = dry_run.prepared(model, feed)
    rates, losses, smoothed = np.geomspace(lowest, highest, steps), [], []
    average = 0.0
    with dry_run.unchanged(model):
        for rate, batch in zip(rates, dry_run.batches(feed, steps)):
            losses.append(_step(model, program, batch, float(rate)))
            average = smoothing * average + (1 - smoothing) * losses[-1]
            smoothed.append(average / (1 - smoothing ** len(losses)))
            if not smoothed[-1] < _DIVERGED * min(smoothed):  # NaN, too
                break
    return _suggested(rates, np.array(losses), np.array(smoothed))


def _step(model: Any, program: Any, batch: Any, rate: float) -> float:
    """The loss of one batch; metrics are means, so they begin anew."""
    for _, optimizer in _optimizers(model):
        optimizer.learning_rate = rate
    model.reset_metrics()
    logs = program(batch)
    if "loss" not in logs:
        raise ArgumentError(
            f"train_step returned {sorted(logs)}; a search needs a 'loss' among them."
        )
    return float(logs["loss"])


def _suggested(
    rates: np.ndarray, losses: np.ndarray, smoothed: np.ndarray
) -> LearningRates:
    """The middle of the window, before the minimum, in which a line falls most."""
    good = np.isfinite(smoothed)
    losses, smoothed = losses[good], smoothed[good]
    rates = rates[: len(smoothed)]
    if len(smoothed) < 2:
        raise DataError(
            f"The search ended after {len(smoothed)} good steps: the loss is not "
            "finite even at the lowest rate. Look for NaN in the data."
        )
    end = max(int(np.argmin(smoothed)) + 1, 2)
    width = min(max(len(rates) // 6, 2), end)
    logs = np.log(rates)
    slopes = [
        np.polyfit(logs[i : i + width], losses[i : i + width], 1)[0]
        for i in range(end - width + 1)
    ]
    middle = int(np.argmin(slopes)) + width // 2
    return LearningRates(rates, losses, smoothed, float(rates[middle]))

"""`History`: what `fit` returns."""

from __future__ import annotations

import importlib.util
import io
from typing import Any

from carnyx.callbacks.base import Callback


class History(Callback):
    """Loss and metrics of every epoch by name, in `history`; added to every `fit`."""

    _state = ("history", "epoch", "epochs_of")

    def __init__(self) -> None:
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []
        self.epochs_of: dict[str, list[int]] = {}  # validation may leave some out

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
            self.epochs_of.setdefault(name, []).append(epoch)
        if self.model is not None:
            self.model.history = self

    def plot(self, ax: Any = None) -> Any:
        """Draw the curves, validation dashed; returns the axes.

        Args:
            ax: matplotlib's axes to draw all curves into; None makes a figure with a
                panel for each quantity, and the first panel is returned.

        `history.plot().figure.savefig("curves.png")` keeps the picture.
        """
        names = [n for n in self.history if n.removeprefix("val_") not in self.history]
        names += [n for n in self.history if not n.startswith("val_")]
        panels = _panels(max(len(names), 1)) if ax is None else [ax] * len(names)
        for panel, name in zip(panels, names):
            self._draw(panel, name)
            panel.set(xlabel="epoch", ylabel=name if ax is None else "")
            panel.legend()
        return panels[0] if ax is None else ax

    def _repr_png_(self) -> bytes | None:
        """In a notebook, the curves, where matplotlib is there to draw them."""
        if not self.history or importlib.util.find_spec("matplotlib") is None:
            return None
        from matplotlib import pyplot

        figure, picture = self.plot().figure, io.BytesIO()
        figure.savefig(picture, format="png")
        pyplot.close(figure)
        return picture.getvalue()

    def _draw(self, panel: Any, name: str) -> None:
        """A curve, and that of its validation in the same colour."""
        styles: dict[str, Any] = {"linestyle": "-"}
        for label in (name, f"val_{name}"):
            if label in self.history:
                epochs = [epoch + 1 for epoch in self.epochs_of[label]]
                styles["marker"] = "." if len(epochs) == 1 else None
                (line,) = panel.plot(epochs, self.history[label], label=label, **styles)
                styles = {"linestyle": "--", "color": line.get_color()}


def _panels(count: int) -> list[Any]:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, count, figsize=(4.5 * count, 3.5), squeeze=False, layout="constrained"
    )
    return list(axes[0])

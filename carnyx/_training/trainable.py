"""What a compiled model trains: what was trainable at `compile`."""

from __future__ import annotations

from typing import Any

from carnyx._core.variable import Variable
from carnyx.errors import ArgumentError
from carnyx.optimizers import Optimizer


class Frozen:
    """What may be trained, as of `compile`.

    Setting `trainable` afterwards is for the next `compile`, perhaps of another model
    that shares layers (a discriminator, compiled and then frozen inside a GAN).
    """

    def __init__(self) -> None:
        self._flags: list[tuple[Any, bool]] = []
        self._known: dict[int, bool] = {}

    def take(self, model: Any) -> None:
        """Remember what is not known yet; layers and variables made later, too."""
        for item in (*model._flatten_layers(), *model.variables):
            if id(item) not in self._known:
                self._flags.append((item, item._trainable))
                self._known[id(item)] = item._trainable

    def of(self, item: Any) -> bool:
        """Whether a layer or variable is trainable."""
        known = self._known.get(id(item))
        return item._trainable if known is None else known

    def others(self) -> list[Any]:
        """Layers and variables of which `trainable` is another now."""
        return [item for item, flag in self._flags if item._trainable is not flag]

    def __getstate__(self) -> list[tuple[Any, bool]]:
        return self._flags  # in a copy, ids are others

    def __setstate__(self, flags: list[tuple[Any, bool]]) -> None:
        self._flags = flags
        self._known = {id(item): flag for item, flag in flags}

    def changed(self, model_name: str) -> str:
        """What to say where `trainable` was set afterwards, and is not in force."""
        others = self.others()
        inside = {v for x in others if hasattr(x, "call") for v in x.variables}
        names = [
            x.name if hasattr(x, "call") else x.path
            for x in others
            if hasattr(x, "call") or x not in inside
        ]
        if not names:
            return ""
        return (
            f"trainable of {names[:5]}{' …' if names[5:] else ''} was changed after "
            f"{model_name!r} was compiled, and is not in force: training goes by what "
            "it was at compile(). Call compile() again."
        )


def check_optimizer(
    optimizer: Optimizer, trainable: list[Variable], model_name: str
) -> None:
    """Whether an optimizer was built on what is to be trained."""
    known = set(optimizer._trainable_variables)
    other = [v.path for v in trainable if v not in known]
    if other or len(trainable) != len(known):
        raise ArgumentError(
            f"The optimizer {optimizer.name!r} was built for {len(known)} trainable "
            f"variables, and {model_name!r} has {len(trainable)}"
            + (f", among them {other[:3]}" if other else "")
            + ": it is of another model, or layers were added, frozen or unfrozen "
            "since. Call compile() with a new optimizer."
        )

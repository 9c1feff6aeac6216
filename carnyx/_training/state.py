"""The state of a training run: one flat list of arrays with four named parts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from carnyx._core.placement import Placement
from carnyx._core.scope import current
from carnyx._core.variable import Store, Variable


class TrainState(NamedTuple):
    """What a step takes and gives, in the order of Keras; lists of arrays (or of
    variables)."""

    trainable_variables: list[Any]
    non_trainable_variables: list[Any]
    optimizer_variables: list[Any]
    metrics_variables: list[Any]


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


class HeldState:
    """Every variable of a training run, in one store.

    Their values go through the compiled step, donated, and come back to the variables:
    the newest state is always visible and never copied.

    Args:
        placement: how the values lie on devices; None is on one.
    """

    def __init__(self, parts: TrainState, placement: Placement | None = None) -> None:
        self.parts, self.placement = parts, placement
        flat = [v for part in parts for v in part]
        self.key = tuple(id(v) for v in flat), tuple(len(p) for p in parts)
        self.cuts = [0, *accumulate(len(p) for p in parts)]
        self.store = Store(flat, placement)
        self.dtypes = [v.dtype for v in flat]

    @property
    def training_variables(self) -> list[Any]:
        """All but the states of metrics."""
        return [v for part in self.parts[:3] for v in part]

    @staticmethod
    def key_of(parts: TrainState) -> tuple:
        """Equal for equal lists of variables."""
        return tuple(id(v) for p in parts for v in p), tuple(len(p) for p in parts)

    def split(self, values: Sequence[Any]) -> TrainState:
        """A flat list as the four parts."""
        pairs = zip(self.cuts, self.cuts[1:], strict=False)
        return TrainState(*(list(values[a:b]) for a, b in pairs))

    def join(self, state: Sequence[Sequence[Any]]) -> list[Any]:
        """The four parts as a flat list, each value in its variable's dtype.

        A weak or promoted dtype would make the next call of the program another one.
        """
        flat = [v for part in state for v in part]
        if len(flat) != len(self.dtypes):
            raise ValueError(
                f"train_step returned a state of {len(flat)} values; expected "
                f"{len(self.dtypes)}: the four lists that it was given, updated."
            )
        flat = [
            v.astype(d) if v.dtype != d or getattr(v, "weak_type", False) else v
            for v, d in zip(flat, self.dtypes, strict=True)
        ]
        placement = current().placement
        return flat if placement is None else placement.keep(self.store.variables, flat)

    def variable(self, index: int) -> Variable:
        return self.store.variables[index]

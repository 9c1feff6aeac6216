"""A training step on paper: traced for a kind of device that need not be here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from carnyx import tree
from carnyx._core.abstract import Spec
from carnyx._core.placement import Placement
from carnyx._core.scope import scoped
from carnyx._core.symbol import KerasTensor
from carnyx._core.variable import Variable
from carnyx._costs.chips import Chip
from carnyx._costs.flops import nbytes
from carnyx._costs.fusion_model import Kernel, Program
from carnyx._costs.inputs import leading_size, leaves_of
from carnyx.errors import ArgumentError


class _OnPaper(Placement):
    """Forms are chosen as for several devices; nothing is bound to one."""

    def keep(self, variables: Sequence[Variable], values: Sequence[Any]) -> list[Any]:
        return list(values)


class Step:
    """One training step of a model on one device, on paper.

    Args:
        model: compiled; abstract or not.
        batch: `(x, y)` or `(x, y, sample_weight)` of shapes and dtypes.
        chip: for which it is traced.

    Attributes:
        flops: of one step, by XLA's analysis, with the repeats of loops.
        program: its kernels.
        copies: what layers read in place of the trainable weights: their casts.
        gradients: what the kernels read that write weights and optimizer's state.
        activations: bytes of all else between the kernels, at the worst moment.
    """

    def __init__(self, model: Any, batch: Any, chip: Chip) -> None:
        self.samples = leading_size(batch)
        self.batch_bytes = sum(nbytes(_Leaf(x)) for x in leaves_of(batch))
        symbols = tree.map_structure(_symbol, batch)
        x, y, *weight = symbols
        model._prepare((x, y, weight[0] if weight else None), True, self.samples)
        batch = tuple(part for part in batch if part is not None)
        step = model.train_program()
        if step.placement is not None and step.placement.staged:
            raise ArgumentError(
                f"estimate got {model.name!r}, whose layers are placed on devices one "
                "by one; give it the model without device scopes or pipeline."
            )
        self.parts = step.held.parts
        self.variables: list[Variable] = [v for part in self.parts for v in part]

        def run(values: list[Any], batch: Any) -> Any:
            context = {"platform": chip.platform, "placement": _OnPaper()}
            with scoped(fast_gradients=True, **context):
                logs, state = step.step(step.held.split(values), batch)
                return step.held.join(state), logs

        values = [Spec(v.shape, v.dtype) for v in self.variables]
        traced = jax.jit(run).trace(values, batch)
        self.program = Program(traced.jaxpr.jaxpr)
        analysis = traced.lower().cost_analysis() or {}
        work = self.program.work
        self.flops = float(analysis.get("flops", work.all - work.unseen)) + work.unseen
        self.trainable = len(self.parts.trainable_variables)
        self.copies = self._casts()
        slots = self._numbers(2)
        self.gradients = self.program.read_for([*range(self.trainable), *slots])
        apart = dict.fromkeys([*self.gradients, *self.copies], 0.0)
        self.activations = self.program.peak(lambda v: apart.get(v, 1.0))

    def _numbers(self, part: int) -> range:
        first = sum(len(p) for p in self.parts[:part])
        return range(first, first + len(self.parts[part]))

    def _casts(self) -> dict[Any, int]:
        """From the array that is a weight in another dtype to the weight's number."""
        numbers = {v: i for i, v in enumerate(self.program.inputs[: self.trainable])}
        found = {}
        for kernel in self.program.kernels:
            if kernel.name == "elementwise" and len(kernel.reads) == 1:
                number = numbers.get(next(iter(kernel.reads)))
                (written,) = kernel.writes
                if number is not None and self._size(number) == _size(written):
                    found[written] = number
        return found

    def _size(self, number: int) -> int:
        return self.variables[number].size

    def read_bytes(self, number: int) -> float:
        """The bytes of a trainable weight as layers read it."""
        variable = self.variables[number]
        itemsize = np.dtype(variable.dtype).itemsize
        cast = self.program.casts.get(self.program.inputs[number], itemsize)
        return float(variable.size * min(cast, itemsize))

    def seconds(self, chip: Chip, parts: Sequence[float]) -> float:
        """How long the kernels take, each bound by arithmetic or by memory.

        Args:
            parts: which part of each variable the device has and updates.
        """
        outputs = dict(zip(self.program.outputs, parts, strict=False))
        return sum(_seconds(k, chip, outputs) for k in self.program.kernels)


def _seconds(kernel: Kernel, chip: Chip, outputs: dict[Any, float]) -> float:
    updated = [outputs[v] for v in kernel.writes if v in outputs]
    moved = kernel.bytes * (min(updated) if updated else 1.0)
    time = moved / (chip.bandwidth * chip.memory_share)
    if kernel.matrix:
        peak = chip.peak(kernel.dtype) * chip.matrix_share
        time = max(time, kernel.matrix / peak)
    return kernel.repeats * (time + chip.launch * bool(moved))


class _Leaf:
    def __init__(self, aval: Any) -> None:
        self.aval = aval


def _size(variable: Any) -> int:
    return int(np.prod(variable.aval.shape, dtype=np.int64))


def _symbol(x: Any) -> KerasTensor | None:
    return None if x is None else KerasTensor((None, *x.shape[1:]), x.dtype.name)

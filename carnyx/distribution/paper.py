"""A training step on paper: traced for a kind of device that need not be here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from carnyx import tree
from carnyx._core.abstract import Spec
from carnyx._core.costs import nbytes
from carnyx._core.kernels import Kernel, Program
from carnyx._core.placement import Placement
from carnyx._core.scope import scoped
from carnyx._core.symbol import KerasTensor
from carnyx._core.variable import Variable
from carnyx.distribution.chips import Chip
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
        self.batch_bytes = sum(nbytes(_Leaf(x)) for x in tree.flatten(batch) if _is(x))
        symbols = tree.map_structure(_symbol, batch)
        x, y, *weight = symbols
        model._prepare((x, y, weight[0] if weight else None), True, self.samples)
        batch = tuple(part for part in batch if part is not None)
        step = model.train_program()
        if not hasattr(step, "step"):
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


# ---- batches ---------------------------------------------------------------------


class _Leaf:
    def __init__(self, aval: Any) -> None:
        self.aval = aval


def _is(x: Any) -> bool:
    return x is not None


def _size(variable: Any) -> int:
    return int(np.prod(variable.aval.shape, dtype=np.int64))


def _symbol(x: Any) -> KerasTensor | None:
    return None if x is None else KerasTensor((None, *x.shape[1:]), x.dtype.name)


def leading_size(batch: Any) -> int:
    """How many samples a batch has."""
    sizes = {x.shape[0] for x in tree.flatten(batch) if _is(x)}
    if len(sizes) != 1:
        raise ArgumentError(
            f"estimate got a batch whose parts have {sorted(sizes)} samples; expected "
            "the same number in all."
        )
    return sizes.pop()


def resized(batch: Any, samples: int) -> Any:
    """The shapes of a batch of another size."""

    def one(x: Any) -> Any:
        return None if x is None else Spec((samples, *x.shape[1:]), x.dtype)

    return tree.map_structure(one, batch)


def specs_of(model: Any, batch: Any) -> Any:
    """Shapes and dtypes of a batch that is given as arrays, as shapes, or as a number
    of samples for the model's own inputs."""
    if isinstance(batch, int | np.integer):
        return _batch_of(model, int(batch))
    if not isinstance(batch, tuple | list) or not 2 <= len(batch) <= 3:
        raise ArgumentError(
            f"estimate got a batch of type {type(batch).__name__}; expected (x, y), "
            "(x, y, sample_weight), or a number of samples."
        )

    def one(x: Any) -> Any:
        if x is None:
            return None
        x = x if hasattr(x, "shape") and hasattr(x, "dtype") else np.asarray(x)
        return Spec(tuple(x.shape), jax.dtypes.canonicalize_dtype(x.dtype))

    return (
        *(tree.map_structure(one, part) for part in batch),
        *[None] * (3 - len(batch)),
    )


def _batch_of(model: Any, samples: int) -> Any:
    """A batch of the model's inputs; targets like its outputs, or classes where the
    loss is a sparse one."""
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    loss = getattr(model.loss, "name", model.loss)
    if not inputs or not outputs or not isinstance(loss, str):
        raise ArgumentError(
            f"estimate got batch={samples}, but {model.name!r} has no inputs of its "
            "own, or several losses; pass (x, y), as arrays or jax.ShapeDtypeStruct."
        )

    def one(t: Any, shape: Any, dtype: Any) -> Spec:
        if None in shape[1:]:
            raise ArgumentError(
                f"estimate got batch={samples}, but {t.name!r} is {t.shape}; "
                "pass (x, y), as arrays or jax.ShapeDtypeStruct."
            )
        return Spec((samples, *shape[1:]), np.dtype(dtype))

    sparse = "sparse" in loss
    x = [one(t, t.shape, t.dtype) for t in inputs]
    y = [
        one(t, t.shape[:-1], "int32") if sparse else one(t, t.shape, "float32")
        for t in outputs
    ]
    return _like(model.input, x), y[0] if len(y) == 1 else y, None


def _like(structure: Any, flat: list[Any]) -> Any:
    return tree.pack_sequence_as(structure, flat)

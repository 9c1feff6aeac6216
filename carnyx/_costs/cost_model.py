"""A training step on some number of devices: its time, what it sends, what it keeps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from carnyx._core.variable import Variable
from carnyx._costs.chips import Chip
from carnyx._costs.flops import nbytes
from carnyx._costs.inputs import leading_size, resized
from carnyx._costs.report import BUCKET, KINDS, USABLE, Row
from carnyx._costs.step_cost import Step
from carnyx.errors import ArgumentError


class CostModel:
    """Steps of a model on paper, by the samples that a device gets.

    Args:
        split_axis: along which axis so many devices share a variable, or None.
    """

    def __init__(
        self, model: Any, batch: Any, chip: Chip, strong: bool,
        split_axis: Callable[[Variable, int], int | None],
    ) -> None:  # fmt: skip
        self._split_axis = split_axis
        self.model, self.batch, self.chip, self.strong = model, batch, chip, strong
        self.given = leading_size(batch)
        self._steps: dict[int, Step] = {}

    def step(self, devices: int) -> Step:
        """The step of one device."""
        if devices < 1 or (self.strong and devices > self.given):
            raise ArgumentError(
                f"estimate got {devices} devices for {self.given} samples; expected 1 "
                "or more devices, and a sample for each."
            )
        samples = math.ceil(self.given / devices) if self.strong else self.given
        if samples not in self._steps:
            batch = resized(self.batch, samples)
            self._steps[samples] = Step(self.model, batch, self.chip)
        return self._steps[samples]

    def _is_split(self, variable: Variable, devices: int, fsdp: bool) -> bool:
        axis = self._split_axis(variable, devices) if fsdp and devices > 1 else None
        return axis is not None

    def row(self, devices: int, fsdp: bool, overlap: float) -> Row:
        step, chip = self.step(devices), self.chip
        split = [self._is_split(v, devices, fsdp) for v in step.variables]
        parts = [1 / devices if one else 1.0 for one in split]
        compute = step.seconds(chip, parts)
        collectives = _collectives(step, devices, split, chip)
        statistics = _statistics(self.model) if devices > 1 else []
        collectives["all-reduce"] += sum(statistics)
        sent = {k: _ring(k, devices) * size for k, size in collectives.items()}
        hideable = _seconds(sent, collectives, devices, chip)
        waiting = len(statistics) * _latency(devices, chip)
        time = compute + waiting + hideable - min(overlap * hideable, compute)
        summed = collectives["all-reduce"] if chip.platform == "cpu" else None
        memory = _memory(step, parts, fsdp and devices > 1, summed)
        alone = self.step(1).seconds(chip, [1.0] * len(parts))
        ideal = alone / devices if self.strong else alone
        kernels = [k for k in step.program.kernels if k.matrix]
        busy = sum(k.repeats * k.matrix / chip.peak(k.dtype) for k in kernels)
        return Row(
            devices=devices,
            samples=self.given if self.strong else devices * self.given,
            flops=step.flops,
            compute=compute,
            communicate=hideable + waiting,
            step=time,
            collectives=collectives,
            sent=sent,
            memory=memory,
            efficiency=ideal / time,
            utilization=busy / time,
            fits=sum(memory.values()) <= USABLE * chip.memory,
        )


# ---- what is sent ----------------------------------------------------------------


def _collectives(
    step: Step, devices: int, split: list[bool], chip: Chip
) -> dict[str, float]:
    """Bytes by kind: weights that layers read and gradients, in the layers' dtype."""
    found = dict.fromkeys(KINDS, 0.0)
    if devices == 1:
        return found
    # XLA's CPU backend multiplies in float32, and has no reduce-scatter of its own
    scatter = "all-reduce" if chip.platform == "cpu" else "reduce-scatter"
    for number in range(step.trainable):
        variable = step.variables[number]
        size = step.read_bytes(number)
        if chip.platform == "cpu":
            size = max(size, 4.0 * variable.size)
        if split[number]:
            found["all-gather"] += size
            found[scatter] += size
        else:
            found["all-reduce"] += size
    return found


def _statistics(model: Any) -> list[float]:
    """The bytes of sums that batch normalization takes over all devices: two in the
    forward pass, two in the backward pass, each before the next layer can go on."""
    return [
        4.0 * layer.moving_mean.size
        for layer in model._flatten_layers()
        if getattr(layer, "moving_mean", None) is not None and layer.trainable
        for _ in range(4)
    ]


def _ring(kind: str, devices: int) -> float:
    """What a device sends of an array, as a part of it."""
    return (2 if kind == "all-reduce" else 1) * (devices - 1) / devices


def _seconds(
    sent: dict[str, float], collectives: dict[str, float], devices: int, chip: Chip
) -> float:
    """The time of the collectives; between nodes all devices of a node send at once."""
    rate = chip.link
    if devices > chip.node:
        rate = min(rate, chip.network * chip.node)
    count = sum(math.ceil(size / BUCKET) for size in collectives.values())
    latency = count * _latency(devices, chip)
    return sum(sent.values()) / (rate * chip.link_share) + latency


def _latency(devices: int, chip: Chip) -> float:
    """What a collective takes however small it is."""
    nodes = math.ceil(devices / chip.node)
    return chip.latency + chip.network_latency * math.log2(nodes)


# ---- what is kept ----------------------------------------------------------------


def _memory(
    step: Step, parts: Sequence[float], fsdp: bool, summed: float | None
) -> dict[str, float]:
    """Bytes of a device, by what they are.

    Args:
        summed: the bytes of gradients where they are summed whole, all at once and not
            in place, as on a CPU; else None.
    """
    held = [part * v.nbytes for v, part in zip(step.variables, parts, strict=True)]
    first, second = step.trainable, step.trainable + len(step.parts[1])
    third = second + len(step.parts[2])
    shares = dict.fromkeys(step.copies, 0.0)
    shares |= {} if summed is not None else _gradient_parts(step, parts)
    peak = step.program.peak(lambda v: shares.get(v, 1.0))
    if summed and not fsdp:  # split, the sums take the room of gathered weights
        peak = max(peak, 2 * summed)
    cast = set(step.copies.values())
    gathered = [
        step.read_bytes(i)
        for i in range(first)
        if fsdp and parts[i] < 1 and i not in cast
    ]
    return {
        "parameters": sum(held[:second]),
        "optimizer": sum(held[second:third]),
        "weights as read": sum(map(nbytes, step.copies)) + sum(gathered),
        "activations": step.activations,
        "gradients": max(peak - step.activations, 0.0),
        "batch and other": step.batch_bytes + sum(held[third:]),
    }


def _gradient_parts(step: Step, parts: Sequence[float]) -> dict[Any, float]:
    """Which part of each gradient a device keeps: as of a weight of that size."""
    sizes = {v.size: p for v, p in zip(step.variables, parts, strict=True)}
    return {g: sizes.get(math.prod(g.aval.shape), 1.0) for g in step.gradients}

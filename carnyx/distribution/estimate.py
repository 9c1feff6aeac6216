"""How a model would train on more devices than there are: scaling on paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from carnyx._core.flops import nbytes
from carnyx._core.variable import Variable
from carnyx.distribution.chips import Chip, chip_of
from carnyx.distribution.data_parallel import DataParallel, split_axis
from carnyx.distribution.estimate_inputs import (
    check_model,
    check_overlap,
    counts_of,
    leading_size,
    resized,
    specs_of,
)
from carnyx.distribution.step_cost import Step
from carnyx.errors import ArgumentError

USABLE = 0.9  # of a device's memory; the rest is for the runtime and for fragments
KINDS: tuple[str, ...] = ("all-reduce", "all-gather", "reduce-scatter")
BUCKET = 32e6  # bytes: XLA joins collectives up to about this size


@dataclass(frozen=True)
class Row:
    """A training step on some number of devices.

    Times are seconds, sizes are bytes, `memory` and `sent` are of one device.

    Attributes:
        samples: of the whole batch.
        flops: of one device.
        compute, communicate, step: the time of kernels, of collectives, and of a step,
            in which a part of the collectives is hidden behind kernels.
        collectives: bytes of the arrays that each kind takes or gives.
        sent: what a device sends for each kind, in a ring.
        efficiency: samples a second and device, against those of one device.
        utilization: of the peak for matrix products.
        fits: whether the memory suffices.
    """

    devices: int
    samples: int
    flops: float
    compute: float
    communicate: float
    step: float
    collectives: dict[str, float]
    sent: dict[str, float]
    memory: dict[str, float]
    efficiency: float
    utilization: float
    fits: bool

    @property
    def throughput(self) -> float:
        """Samples a second, of all devices."""
        return self.samples / self.step

    @property
    def total_memory(self) -> float:
        """Bytes that a device needs."""
        return sum(self.memory.values())


@dataclass(frozen=True)
class Estimate:
    """What `estimate` found: `rows`, one for each number of devices; prints as a table
    with the assumptions beneath."""

    model: str
    chip: Chip
    strategy: str
    scaling: str
    overlap: float
    parameters: int
    rows: list[Row] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """All numbers as plain data."""
        more = ("throughput", "total_memory")
        rows = [
            asdict(r) | {name: getattr(r, name) for name in more} for r in self.rows
        ]
        return asdict(self) | {"rows": rows}

    def assumptions(self) -> list[str]:
        """What the numbers rest on."""
        chip, percent = self.chip, f"{self.overlap:.0%}"
        peaks = ", ".join(f"{k} {v / 1e12:,.0f}" for k, v in chip.flops.items())
        forms = {"data": "whole on every device", "fsdp": "split over the devices"}
        return [
            f"{chip.name}: {chip.memory / 1e9:.0f} GB at {chip.bandwidth / 1e12:.2f} "
            f"TB/s; products in TFLOP/s: {peaks}; {chip.node} devices a node; "
            f"{chip.link / 1e9:.0f} GB/s in it, {chip.network / 1e9:.1f} GB/s a device "
            f"between nodes. {chip.source}.",
            f"Reached of that: {chip.matrix_share:.0%} of products, "
            f"{chip.memory_share:.0%} of memory, {chip.link_share:.0%} of links.",
            f"Each kernel takes the longer of its arithmetic and its memory traffic, "
            f"with elementwise work fused as XLA does, and {chip.launch * 1e6:.0f} µs.",
            f"Collectives go in rings, {BUCKET / 1e6:.0f} MB at a time; {percent} of "
            "their time is hidden behind computing, but for the sums of batch "
            "normalization. Reading data costs nothing.",
            f"Parameters and optimizer state are {forms[self.strategy]}; memory counts "
            f"as enough up to {USABLE:.0%}.",
        ]

    def steps(self) -> list[list[str]]:
        """What a step takes, as a table: titles, then a line for each row."""
        kinds = [k for k in KINDS if any(row.sent[k] for row in self.rows)]
        titles = ["devices", "batch", "compute ms", *(f"{k} GB" for k in kinds)]
        titles += ["sending ms", "step ms", "samples/s", "efficiency", "peak used"]
        lines = [
            [
                f"{row.devices:,}",
                f"{row.samples:,}",
                f"{row.compute * 1e3:,.1f}",
                *(f"{row.sent[kind] / 1e9:,.2f}" for kind in kinds),
                f"{row.communicate * 1e3:,.1f}",
                f"{row.step * 1e3:,.1f}",
                f"{row.throughput:,.{0 if row.throughput >= 100 else 2}f}",
                f"{row.efficiency:.0%}",
                f"{row.utilization:.0%}",
            ]
            for row in self.rows
        ]
        return [titles, *lines]

    def memory(self) -> list[list[str]]:
        """What a device keeps, as a table in GB."""
        titles = ["devices", *self.rows[0].memory, "in all", "fits"]
        lines = [
            [
                f"{row.devices:,}",
                *(f"{size / 1e9:,.2f}" for size in row.memory.values()),
                f"{row.total_memory / 1e9:,.2f}",
                "yes" if row.fits else "no",
            ]
            for row in self.rows
        ]
        return [titles, *lines]

    def __str__(self) -> str:
        lines = [
            f"{self.model}: {self.parameters / 1e6:,.1f} M parameters, "
            f"{self.strategy}, {self.scaling} scaling, {self.chip.name}",
            *_aligned(self.steps()),
            "GB of a device:",
            *_aligned(self.memory()),
            *(f"- {line}" for line in self.assumptions()),
        ]
        return "\n".join(lines)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True))
        for row in rows
    ]


def estimate(
    model: Any,
    batch: object,
    devices: int | Sequence[int] = (1, 8, 64, 1024),
    chip: str | Chip = "h100",
    *,
    strategy: object = "auto",
    scaling: str = "weak",
    overlap: float = 0.5,
) -> Estimate:
    """Predict steps of training on any number of devices, none of which need be here.

    The step is traced for the chip; nothing is computed, so that the model may be one
    of `carnyx.abstract`. These are predictions; printed, they say what they assume.

    Args:
        model: built and compiled.
        batch: `(x, y)` or `(x, y, sample_weight)`: arrays, or `jax.ShapeDtypeStruct`s;
            or a number of samples for the model's inputs. With weak scaling it is what
            each device gets, with strong scaling all of them together.
        chip: a name of `distribution.CHIPS`, or a `distribution.Chip`.
        strategy: `"data"`, `"fsdp"` (`DataParallel(shard_parameters=True)`), a
            `DataParallel`, or `"auto"`: the second where only it fits into memory.
        scaling: `"weak"` or `"strong"`.
        overlap: which part of the communication is hidden behind computing.

    >>> import carnyx as keras
    >>> model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(10)])
    >>> model.compile("sgd", "mse")
    >>> row = keras.distribution.estimate(model, 256, devices=[8]).rows[0]
    >>> row.collectives["all-reduce"], row.fits  # the gradients
    (31400.0, True)
    """
    check_model(model)
    if scaling not in ("weak", "strong"):
        raise ArgumentError(
            f'estimate got scaling={scaling!r}; expected "weak" or "strong".'
        )
    check_overlap(overlap)
    counts = counts_of(devices)
    costs = _CostModel(
        model, specs_of(model, batch), chip_of(chip), scaling == "strong"
    )
    chosen = _strategy(strategy, costs, counts)
    rows = [costs.row(n, chosen == "fsdp", overlap) for n in counts]
    parameters = sum(v.size for v in model.trainable_variables)
    return Estimate(
        model.name, costs.chip, chosen, scaling, overlap, parameters, rows
    )  # fmt: skip


def _strategy(strategy: Any, costs: _CostModel, counts: list[int]) -> str:
    if isinstance(strategy, DataParallel):
        return "fsdp" if strategy.shard_parameters else "data"
    if strategy == "auto":
        needs = (
            costs.row(n, True, 0.0).fits and not costs.row(n, False, 0.0).fits
            for n in counts
        )
        return "fsdp" if any(needs) else "data"
    if strategy not in ("data", "fsdp"):
        raise ArgumentError(
            f'estimate got strategy={strategy!r}; expected "auto", "data", "fsdp" or a '
            "DataParallel. Tensor parallelism and pipelines are not estimated."
        )
    return strategy


class _CostModel:
    """Steps of a model on paper, by the samples that a device gets."""

    def __init__(self, model: Any, batch: Any, chip: Chip, strong: bool) -> None:
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

    def row(self, devices: int, fsdp: bool, overlap: float) -> Row:
        step, chip = self.step(devices), self.chip
        parts = [
            1 / devices if _split(v, devices, fsdp) else 1.0 for v in step.variables
        ]
        compute = step.seconds(chip, parts)
        collectives = _collectives(step, devices, fsdp, chip)
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


def _split(variable: Variable, devices: int, fsdp: bool) -> bool:
    return fsdp and devices > 1 and split_axis(variable, devices) is not None


# ---- what is sent ----------------------------------------------------------------


def _collectives(step: Step, devices: int, fsdp: bool, chip: Chip) -> dict[str, float]:
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
        if _split(variable, devices, fsdp):
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

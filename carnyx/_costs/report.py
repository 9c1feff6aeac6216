"""What an estimate found, and how it prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from carnyx._costs.chips import Chip
from carnyx._tables import aligned

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
            *aligned(self.steps(), left=0),
            "GB of a device:",
            *aligned(self.memory(), left=0),
            *(f"- {line}" for line in self.assumptions()),
        ]
        return "\n".join(lines)

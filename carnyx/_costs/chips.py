"""What accelerators can do, as their makers state it, for `estimate`."""

from __future__ import annotations

from dataclasses import dataclass, field

from carnyx.errors import ArgumentError, nearest


@dataclass(frozen=True)
class Chip:
    """A kind of device and the network that it sits in. `dataclasses.replace` makes
    another from one of `CHIPS`.

    Args:
        platform: `"gpu"`, `"tpu"` or `"cpu"`: which forms of operations are taken.
        flops: the peak of matrix products, a second, by the dtype that they read.
        memory: bytes of a device.
        bandwidth: of that memory, bytes a second.
        node: how many devices are joined by the fast links.
        link: bytes a second that a device sends to others of its node.
        network: bytes a second that a device sends to other nodes.
        latency, network_latency: seconds that a collective takes however small, in a
            node; and more for each doubling of the nodes.
        launch: seconds between two kernels.
        matrix_share, memory_share, link_share: how much of these peaks a program gets.
        source: where the figures are from.
    """

    name: str
    platform: str
    flops: dict[str, float] = field(hash=False)
    memory: float
    bandwidth: float
    node: int
    link: float
    network: float
    latency: float = 1e-5
    network_latency: float = 5e-6
    launch: float = 0.0
    matrix_share: float = 0.65
    memory_share: float = 0.8
    link_share: float = 0.8
    source: str = ""

    def peak(self, dtype: str) -> float:
        """Of products that read this dtype; of float32 ones where it is not listed."""
        return self.flops.get(dtype, self.flops["float32"])


_TPU = (
    "Austin et al. 2025, How to Scale Your Model, jax-ml.github.io/scaling-book/tpus, "
    "and docs.cloud.google.com/tpu"
)


def _gpu(name: str, half: float, single: float, more: tuple, source: str) -> Chip:
    memory, bandwidth, link, network = more
    flops = {"bfloat16": half, "float16": half, "float32": single}
    return Chip(
        name, "gpu", flops, memory, bandwidth, 8, link, network, launch=2e-6,
        source=source,
    )  # fmt: skip


def _tpu(
    name: str, peak: float, memory: float, bandwidth: float, node: int, link: float,
    network: float,
) -> Chip:  # fmt: skip
    # JAX multiplies float32 in one pass of bfloat16 on a TPU unless told otherwise.
    flops = {"bfloat16": peak, "float32": peak}
    return Chip(
        name, "tpu", flops, memory, bandwidth, node, link, network, latency=3e-6,
        source=_TPU,
    )  # fmt: skip


# JAX multiplies float32 as TensorFloat-32 on these GPUs. NVLink counts both directions
# in the data sheets; a device sends half of that. A TPU sends along all axes of its
# torus (two, or three for v4 and v5p) and in both directions of each.
_KNOWN = [
    _gpu("a100", 312e12, 156e12, (80e9, 2.04e12, 300e9, 25e9),
         "NVIDIA A100 80GB SXM and DGX A100 data sheets (8 × HDR 200 Gb/s)"),
    _gpu("h100", 989e12, 495e12, (80e9, 3.35e12, 450e9, 50e9),
         "NVIDIA H100 SXM and DGX H100 data sheets (8 × NDR 400 Gb/s)"),
    _gpu("h200", 989e12, 495e12, (141e9, 4.8e12, 450e9, 50e9),
         "NVIDIA H200 SXM and DGX H200 data sheets (8 × NDR 400 Gb/s)"),
    _tpu("tpu-v4", 275e12, 32e9, 1.2e12, 4096, 3 * 9e10, 6.25e9),
    _tpu("tpu-v5e", 197e12, 16e9, 8.2e11, 256, 2 * 9e10, 3.125e9),
    _tpu("tpu-v5p", 459e12, 95e9, 2.8e12, 8960, 3 * 1.8e11, 6.25e9),
    _tpu("tpu-v6e", 918e12, 32e9, 1.6e12, 256, 2 * 1.8e11, 1.25e10),
    Chip("cpu", "cpu", {"float32": 2e12}, 256e9, 200e9, 1, 12.5e9, 12.5e9,
         latency=5e-5, source="round figures of a server with a 100 Gb/s network"),
]  # fmt: skip

CHIPS = {chip.name: chip for chip in _KNOWN}


def chip_of(chip: str | Chip) -> Chip:
    """A chip by its name, or itself."""
    if isinstance(chip, Chip):
        return chip
    name = str(chip).lower().replace("_", "-").replace(" ", "-")
    name = f"tpu-{name}" if name.startswith("v") else name
    if name not in CHIPS:
        raise ArgumentError(
            f"estimate got chip={chip!r}; expected one of {', '.join(CHIPS)}, or a "
            f"distribution.Chip of your own.{nearest(name, CHIPS)}"
        )
    return CHIPS[name]

"""`multi_gpu_model`, as Keras 2 had it: one model, its batches split over devices."""

from __future__ import annotations

import contextlib
import copy
import operator
from collections.abc import Sequence
from typing import Any

from carnyx._core.naming import auto_name
from carnyx._core.placement import expect_placements
from carnyx.distribution import DataParallel, list_devices
from carnyx.errors import ArgumentError, DeviceError, NotBuiltError
from carnyx.models import Model


def multi_gpu_model(
    model: Model,
    gpus: int | Sequence[int] | None = None,
    cpu_merge: bool = True,
    cpu_relocation: bool = False,
) -> Any:
    """A model with the same weights whose batches are split over devices.

    Compile and fit it as any other; of a batch of 256 each of 8 devices gets 32
    samples, and the numbers are those of one device. The layers are the template's
    own: saving either model saves the weights of both. What is later added to one of
    two Sequential models, or popped, is not of the other.

    Args:
        gpus: how many, or a list of their numbers; None is all there are. Where there
            is no GPU, JAX's default devices are counted.
        cpu_merge, cpu_relocation: where Keras 2 merged the replicas' outputs and kept
            the weights. Here there are no replicas and nothing to merge, so that both
            choices give the same.

    Raises:
        DeviceError: for devices that are not there, with a list of those that are.
    """
    if not isinstance(model, Model):
        raise ArgumentError(f"multi_gpu_model got {model!r}; expected a model.")
    if not model.built:
        raise NotBuiltError(
            f"multi_gpu_model got {model.name!r}, which has no weights to share yet; "
            "build it, or begin it with an Input."
        )
    devices = _chosen(gpus, list_devices())
    parallel = copy.copy(model)
    parallel.name = auto_name(type(model).__name__)
    parallel._compiled = parallel._predictor = None
    parallel.optimizer = None
    parallel._placement = DataParallel(devices=devices)
    expect_placements()
    return parallel


def _chosen(gpus: Any, there: list[str]) -> list[str]:
    if gpus is None:
        return there
    numbers = _numbers(gpus)
    if len(numbers) < 2 or len(set(numbers)) < len(numbers):
        raise ArgumentError(
            f"multi_gpu_model got gpus={gpus!r}; expected a whole number, 2 or "
            "more, a list of different ones, or None for all."
        )
    kind = there[0].partition(":")[0]
    names = [f"{kind}:{i}" for i in numbers]
    missing = [name for name in names if name not in there]
    if missing:
        raise DeviceError(
            f"multi_gpu_model got gpus={gpus!r}, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not there; this machine has "
            f"{', '.join(there)}. To try it on a CPU, simulate devices: "
            "JAX_NUM_CPU_DEVICES=8 in the environment."
        )
    return names


def _numbers(gpus: Any) -> list[int]:
    """Those of the devices; none for what cannot be read."""
    if isinstance(gpus, str | bool):
        return []
    with contextlib.suppress(TypeError):
        return list(range(operator.index(gpus)))
    with contextlib.suppress(TypeError):
        given = list(gpus)
        return [] if bool in map(type, given) else list(map(operator.index, given))
    return []

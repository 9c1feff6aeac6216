"""Data parallelism: each device has some of the samples of every batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from carnyx._core.variable import Variable
from carnyx.distribution.base import Distribution
from carnyx.distribution.mesh import (
    DeviceMesh,
    TensorLayout,
    list_devices,
    listed,
)
from carnyx.dtype_policies import is_float
from carnyx.errors import ArgumentError
from carnyx.typing import DeviceLike, Tensor

BATCH = "batch"


def _is_parameter(variable: Variable) -> bool:
    """Of a layer, or kept beside one by an optimizer; not a seed, not a metric's."""
    kept = variable.like is not None or variable.made_by is not type(None)
    return is_float(variable.dtype) and (kept or variable.size >= 1024)


def split_axis(variable: Variable, parts: int) -> int | None:
    """The axis along which a parameter is split, the longest; None: it stays whole."""
    fitting = [n for n in variable.shape if n % parts == 0]
    if not fitting or not _is_parameter(variable):
        return None
    return variable.shape.index(max(fitting))


class DataParallel(Distribution):
    """Every batch is split over the devices; the step is that of one device.

    Statistics over a batch (of batch normalization, of metrics) are over the whole of
    it, on all devices, and so are a loss's mean and the random numbers of dropout: the
    numbers are those of one device. The gradients are added up once a step, in each of
    those that `gradient_accumulation_steps` joins.

    In half precision a device rounds its part of a sum before the parts are added up
    (on a CPU in float32), so numbers differ by a rounding or two; weights stay float32.

    Args:
        device_mesh: of one axis.
        devices: names of devices, in place of a mesh; None is all.
        auto_shard_dataset: see `Distribution`.
        shard_parameters: split parameters, gradients and the optimizer's state over
            the devices, too; a layer's weights are gathered when it is called.

    References: with `shard_parameters`, Rajbhandari et al. 2020, arXiv:1910.02054

    >>> import carnyx as keras
    >>> with DataParallel(devices=["cpu:0"]).scope():
    ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    ...     model.compile("sgd", "mse")
    """

    def __init__(
        self,
        device_mesh: DeviceMesh | None = None,
        devices: Sequence[DeviceLike] | None = None,
        auto_shard_dataset: bool = True,
        *,
        shard_parameters: bool = False,
    ) -> None:
        if device_mesh is None:
            if devices is None:
                devices = list_devices()
            devices = listed(type(self).__name__, devices)
            device_mesh = DeviceMesh((len(devices),), (BATCH,), devices)
        elif devices is not None:
            raise ArgumentError(
                "DataParallel got device_mesh and devices; give one of them."
            )
        super().__init__(device_mesh, None, auto_shard_dataset)
        if len(device_mesh.shape) != 1:
            raise ArgumentError(
                f"DataParallel got a mesh of shape {device_mesh.shape}; expected one "
                "axis. ModelParallel splits over several."
            )
        self.shard_parameters = shard_parameters

    def get_variable_layout(self, variable: Variable) -> TensorLayout:
        axis = split_axis(variable, self.shards) if self.shard_parameters else None
        if axis is None:
            return self._whole(variable)
        axes: list[str | None] = [None] * len(variable.shape)
        axes[axis] = self.batch_dim_name
        return TensorLayout(axes, self.device_mesh)

    def used(self, variable: Variable, value: Tensor) -> Any:
        return self._gathered(value) if self.shard_parameters else value

"""What all distributions share."""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec

from carnyx._core.global_arrays import is_shared
from carnyx._core.placement import (
    Placement,
    current_placement,
    placement_scope,
    set_placement,
)
from carnyx._core.variable import Variable
from carnyx.distribution.mesh import DeviceMesh, TensorLayout, check_mesh
from carnyx.distribution.process_shards import ProcessShards
from carnyx.errors import ArgumentError
from carnyx.typing import Tensor, Tensors


class Distribution(Placement):
    """How variables, batches and outputs of layers lie on a mesh.

    A subclass gives `get_variable_layout`; it may change the other two.

    Args:
        device_mesh: the devices.
        batch_dim_name: the axis of the mesh along which batches are split.
        auto_shard_dataset: with several processes, each takes its part of batches
            that all of them have; False: each has only its own part.
    """

    def __init__(
        self,
        device_mesh: DeviceMesh,
        batch_dim_name: str | None = None,
        auto_shard_dataset: bool = True,
    ) -> None:
        check_mesh(type(self).__name__, device_mesh)
        names = device_mesh.axis_names
        self.device_mesh = device_mesh
        self.batch_dim_name = batch_dim_name or names[0]
        if self.batch_dim_name not in names:
            raise ArgumentError(
                f"{type(self).__name__} got batch_dim_name={batch_dim_name!r}; the "
                f"mesh has {names}."
            )
        self.auto_shard_dataset = auto_shard_dataset
        self._known: dict[int, Any] = {}  # by the id of a variable that still lives
        self._shardings: dict[Any, NamedSharding] = {}  # of batches, by their shapes

    # ---- as Keras has it ---------------------------------------------------------

    @property
    def num_processes(self) -> int:
        """How many processes there are, on all hosts."""
        return jax.process_count()

    @property
    def num_model_replicas(self) -> int:
        """Over how many parts of the devices a batch is split."""
        return self.device_mesh.size(self.batch_dim_name)

    @property
    def data_shard_id(self) -> int:
        """Which part of the data this process feeds."""
        return self.process_shards.of[jax.process_index()]

    def get_data_layout(self, data_shape: Sequence[int]) -> TensorLayout:
        """The layout of a part of a batch, by its shape."""
        rest = [None] * (len(data_shape) - 1)
        return TensorLayout((self.batch_dim_name, *rest), self.device_mesh)

    def get_variable_layout(self, variable: Variable) -> TensorLayout:
        """The layout of a variable."""
        raise NotImplementedError(
            f"{type(self).__name__} must define get_variable_layout."
        )

    def get_tensor_layout(self, path: str) -> TensorLayout | None:
        """The layout of the tensor at `path` (`"model/dense/output"`), or None."""
        return None

    @contextlib.contextmanager
    def scope(self) -> Iterator[Distribution]:
        """Within it, in this thread, this distribution is in force.

        A model that is compiled there keeps it.
        """
        with placement_scope(self):
            yield self

    # ---- what programs ask -------------------------------------------------------

    @property
    def shards(self) -> int:  # type: ignore[override]
        return self.num_model_replicas

    def sharding_of(self, variable: Variable) -> Any:
        like = variable.like
        if like is not None and like.shape == variable.shape:
            variable = like
        if variable.layout is not None:
            return getattr(variable.layout, "backend_layout", variable.layout)
        known, role, sharding = self._known.get(id(variable), (None, None, None))
        if known is None or known() is not variable or role is not like:
            sharding = self.get_variable_layout(variable).backend_layout
            self._known[id(variable)] = weakref.ref(variable), like, sharding
        return sharding

    def replicated(self) -> NamedSharding:
        return NamedSharding(self.device_mesh.backend_mesh, PartitionSpec())

    def batch_sharding(self, shape: Sequence[int], axis: int = 0) -> NamedSharding:
        key = tuple(shape), axis
        if key not in self._shardings:
            layout = self.get_data_layout(shape[axis:])
            axes = [*[None] * axis, *layout.axes]
            layout = TensorLayout(axes, layout.device_mesh)
            self._shardings[key] = layout.backend_layout
        return self._shardings[key]

    def place_batch(self, batch: Tensors, axis: int = 0) -> Any:
        leaves = jax.tree_util.tree_leaves(batch)
        if not self.takes_parts or not leaves or is_shared(leaves[0]):
            return super().place_batch(batch, axis)
        return self.process_shards.place(batch, axis, self.batch_sharding)

    @functools.cached_property
    def shared(self) -> bool:  # type: ignore[override]
        return self.device_mesh.backend_mesh.is_multi_process

    @property
    def takes_parts(self) -> bool:
        return self.shared and not self.auto_shard_dataset

    @functools.cached_property
    def process_shards(self) -> ProcessShards:
        """Which part of a batch each process gives, with `auto_shard_dataset=False`."""
        axis = self.device_mesh.axis_names.index(self.batch_dim_name)
        return ProcessShards(self.device_mesh.backend_mesh.devices, axis)

    def output(self, path: str, value: Tensors) -> Any:
        layout = self.get_tensor_layout(f"{path}/output")
        if layout is None:
            return value
        sharding = layout.backend_layout

        def bound(v: Any) -> Any:
            if v.ndim < len(sharding.spec):
                raise ArgumentError(
                    f"The output of {path!r} has shape {v.shape}, and its layout "
                    f"{layout.axes} is for more axes; give it as many."
                )
            return jax.lax.with_sharding_constraint(v, sharding)

        return jax.tree_util.tree_map(bound, value)

    def shown(self, values: Tensor) -> Any:
        if self.shared:
            return jax.tree_util.tree_map(self._gathered, values)
        return values

    def _whole(self, variable: Variable) -> TensorLayout:
        """The layout of what every device has all of."""
        return TensorLayout([None] * len(variable.shape), self.device_mesh)

    def _gathered(self, value: Any) -> Any:
        """All of it on every device, inside a program."""
        return jax.lax.with_sharding_constraint(value, self.replicated())


def distribution() -> Distribution | None:
    """The distribution in force, or None."""
    return current_placement()  # type: ignore[return-value]


def set_distribution(value: Distribution | None) -> None:
    """Put a distribution in force for all models; None ends it.

    Models that exist move to its devices when they are next compiled or used.
    """
    if value is not None and not isinstance(value, Placement):
        raise ArgumentError(
            f"set_distribution got {value!r}; expected a DataParallel, a ModelParallel "
            "or None."
        )
    set_placement(value)

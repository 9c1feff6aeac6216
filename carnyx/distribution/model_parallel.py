"""Model parallelism: each device has a part of the weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping
from typing import Any

from carnyx._core.variable import Variable
from carnyx.distribution.automatic import Splitter
from carnyx.distribution.base import Distribution
from carnyx.distribution.data_parallel import BATCH
from carnyx.distribution.mesh import DeviceMesh, TensorLayout, get_device_count
from carnyx.errors import ArgumentError

MODEL = "model"


class LayoutMap(MutableMapping):
    """Layouts of variables by patterns of their paths.

    A path that is no key is matched, as a whole, with the keys as regular expressions.

    >>> layouts = LayoutMap(DeviceMesh((1, 1), ("batch", "model"), ["cpu:0"]))
    >>> layouts[".*dense.*kernel"] = (None, "model")
    >>> layouts["mlp/dense_1/kernel"].axes, layouts["mlp/dense_1/bias"]
    ((None, 'model'), None)
    """

    def __init__(self, device_mesh: DeviceMesh | None = None) -> None:
        self.device_mesh = device_mesh
        self._layouts: dict[str, TensorLayout] = {}

    def __getitem__(self, key: str) -> TensorLayout | None:  # type: ignore[override]
        if key in self._layouts:
            return self._layouts[key]
        matching = [pattern for pattern in self._layouts if re.fullmatch(pattern, key)]
        if len(matching) > 1:
            raise ArgumentError(
                f"The path {key!r} matches several keys of the LayoutMap: {matching}. "
                "Make the patterns narrower, so that one at most matches a path."
            )
        return self._layouts[matching[0]] if matching else None

    def __setitem__(self, key: str, layout: Any) -> None:
        if key in self._layouts:
            raise ArgumentError(
                f"LayoutMap has {key!r} already, as {self._layouts[key]}; delete it "
                "first."
            )
        if isinstance(layout, tuple | list):
            layout = TensorLayout(layout)
        if not isinstance(layout, TensorLayout):
            raise ArgumentError(
                f"LayoutMap[{key!r}] got {layout!r}; expected a TensorLayout, or a "
                "tuple of axis names and None."
            )
        if layout.device_mesh is None and self.device_mesh is not None:
            layout.device_mesh = self.device_mesh
        self._layouts[key] = layout

    def __delitem__(self, key: str) -> None:
        del self._layouts[key]

    def __len__(self) -> int:
        return len(self._layouts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._layouts)


class ModelParallel(Distribution):
    """Weights are split over devices, and batches over groups of them.

    Args:
        layout_map: the layouts of weights (by their path) and of layers' outputs (by
            the layer's path and "/output"); what it does not name is whole on every
            device. `"auto"`: weights of Dense, Embedding, attention and convolutions
            are split where their sizes allow it, as in Shoeybi et al. 2019,
            arXiv:1909.08053; others are whole.
        batch_dim_name: the mesh's axis for batches; the first by default.
        auto_shard_dataset: see `Distribution`.
        model: with `"auto"`, over how many devices a weight is split. The rest of the
            mesh is for batches.
        device_mesh: with `"auto"`, a mesh with an axis "model", in place of `model`.

    >>> layouts = LayoutMap(DeviceMesh((1, 1), ("batch", "model"), ["cpu:0"]))
    >>> layouts[".*dense.*kernel"] = (None, "model")
    >>> ModelParallel(layout_map=layouts).num_model_replicas
    1
    """

    def __init__(
        self,
        layout_map: Any = None,
        *,
        batch_dim_name: str | None = None,
        auto_shard_dataset: bool = True,
        model: int | None = None,
        device_mesh: DeviceMesh | None = None,
    ) -> None:
        self._layouts = layout_map if isinstance(layout_map, LayoutMap) else None
        if self._layouts is not None:
            device_mesh = self._layouts.device_mesh or device_mesh
        elif layout_map == "auto":
            device_mesh = device_mesh or _mesh_of(model)
        if self._layouts is None and layout_map != "auto":
            raise ArgumentError(
                f"ModelParallel got layout_map={layout_map!r}; expected a LayoutMap or "
                '"auto".'
            )
        if device_mesh is None:
            raise ArgumentError(
                "ModelParallel got a LayoutMap without a mesh; make it as "
                "LayoutMap(device_mesh)."
            )
        if self._layouts is None and MODEL not in device_mesh.axis_names:
            raise ArgumentError(
                f'ModelParallel("auto") got a mesh with the axes '
                f'{device_mesh.axis_names}; expected one named "model".'
            )
        super().__init__(device_mesh, batch_dim_name, auto_shard_dataset)
        if self._layouts is None:
            self._splitter = Splitter(device_mesh.size(MODEL))

    def get_variable_layout(self, variable: Variable) -> TensorLayout:
        if self._layouts is not None:
            return self._layouts[variable.path] or self._whole(variable)
        axis = self._splitter.axis(variable)
        axes: list[str | None] = [None] * len(variable.shape)
        if axis is not None:
            axes[axis] = MODEL
        return TensorLayout(axes, self.device_mesh)

    def get_tensor_layout(self, path: str) -> TensorLayout | None:
        return None if self._layouts is None else self._layouts[path]


def _mesh_of(model: int | None) -> DeviceMesh:
    count = get_device_count()
    model = count if model is None else model
    if not 1 <= model <= count or count % model:
        raise ArgumentError(
            f"ModelParallel got model={model}; expected a divisor of the {count} "
            "devices that there are."
        )
    return DeviceMesh((count // model, model), (BATCH, MODEL))

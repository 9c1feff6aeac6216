"""Model parallelism: each device has a part of the weights."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator, MutableMapping
from typing import Any

from carnyx._core.variable import Variable
from carnyx.distribution.auto_layout import split_axis
from carnyx.distribution.base import Distribution
from carnyx.distribution.data_parallel import BATCH
from carnyx.distribution.mesh import (
    DeviceMesh,
    TensorLayout,
    check_mesh,
    get_device_count,
)
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
        if device_mesh is not None:
            check_mesh("LayoutMap", device_mesh)
        self.device_mesh = device_mesh
        self._layouts: dict[str, TensorLayout] = {}
        self._patterns: dict[str, re.Pattern[str]] = {}

    def __getitem__(self, key: str) -> TensorLayout | None:  # type: ignore[override]
        found = self.key_of(key)
        return None if found is None else self._layouts[found]

    def key_of(self, path: str) -> str | None:
        """The key that is the path, or else the one that matches it."""
        if path in self._layouts:
            return path
        matching = [key for key, p in self._patterns.items() if p.fullmatch(path)]
        if len(matching) > 1:
            raise ArgumentError(
                f"The path {path!r} matches several keys of the LayoutMap: {matching}. "
                "Make the patterns narrower, so that one at most matches a path."
            )
        return matching[0] if matching else None

    def __setitem__(self, key: str, layout: Any) -> None:
        pattern = _pattern(key)
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
        self._layouts[key], self._patterns[key] = layout, pattern

    def __delitem__(self, key: str) -> None:
        del self._layouts[key], self._patterns[key]

    def __len__(self) -> int:
        return len(self._layouts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._layouts)


def _pattern(key: Any) -> re.Pattern[str]:
    if not isinstance(key, str):
        raise ArgumentError(
            f"LayoutMap got the key {key!r}; expected a path, or a regular expression "
            "that matches paths."
        )
    try:
        return re.compile(key)
    except re.error as error:
        raise ArgumentError(
            f"LayoutMap got the key {key!r}, which is no regular expression: {error}. "
            "Write a path with such signs in it as re.escape(path)."
        ) from None


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
        device_mesh: with `"auto"`, a mesh with an axis "model", in place of `model`;
            for a LayoutMap that has no mesh, the mesh.

    >>> layouts = LayoutMap(DeviceMesh((1, 1), ("batch", "model"), ["cpu:0"]))
    >>> layouts[".*dense.*kernel"] = (None, "model")
    >>> ModelParallel(layout_map=layouts).num_model_replicas
    1
    """

    def __init__(
        self,
        layout_map: object = None,
        *,
        batch_dim_name: str | None = None,
        auto_shard_dataset: bool = True,
        model: int | None = None,
        device_mesh: DeviceMesh | None = None,
    ) -> None:
        self._layouts = layout_map if isinstance(layout_map, LayoutMap) else None
        if self._layouts is None and layout_map != "auto":
            raise ArgumentError(
                f"ModelParallel got layout_map={layout_map!r}; expected a LayoutMap or "
                '"auto".'
            )
        device_mesh = _chosen_mesh(self._layouts, model, device_mesh)
        super().__init__(device_mesh, batch_dim_name, auto_shard_dataset)

    def get_variable_layout(self, variable: Variable) -> TensorLayout:
        if self._layouts is not None:
            found = self._layout_at(variable.path, variable.shape)
            return found or self._whole(variable)
        axis = split_axis(variable, self.device_mesh.size(MODEL))
        axes: list[str | None] = [None] * len(variable.shape)
        if axis is not None:
            axes[axis] = MODEL
        return TensorLayout(axes, self.device_mesh)

    def get_tensor_layout(self, path: str) -> TensorLayout | None:
        return self._layout_at(path, None)

    def _layout_at(self, path: str, shape: Any) -> TensorLayout | None:
        """What the LayoutMap has for a path, if it can be.

        Args:
            shape: of the variable; None for the output of a layer.
        """
        key = None if self._layouts is None else self._layouts.key_of(path)
        if self._layouts is None or key is None:
            return None
        layout: TensorLayout = self._layouts[key]  # type: ignore[assignment]
        mesh, wrong = layout.device_mesh, None
        if mesh is None:
            mesh = self.device_mesh
            layout = TensorLayout(layout.axes, mesh)
        same = mesh is self.device_mesh
        if not same and mesh.device_names() != self.device_mesh.device_names():
            wrong = (
                f"its devices {mesh.device_names()} are not those of the "
                f"distribution, {self.device_mesh.device_names()}"
            )
        elif shape is not None:
            wrong = layout.misfit(shape)
        if wrong:
            of = "" if shape is None else f" of shape {tuple(shape)}"
            raise ArgumentError(
                f"{path!r}{of} cannot have the layout {layout.axes} on {mesh}, which "
                f"the LayoutMap has for {key!r}: {wrong}."
            )
        return layout


def _chosen_mesh(
    layouts: LayoutMap | None, model: Any, mesh: DeviceMesh | None
) -> DeviceMesh:
    """The one mesh that the arguments speak of.

    Raises:
        ArgumentError: where there is none, or they speak of several.
    """
    if mesh is not None:
        check_mesh("ModelParallel", mesh)
    own = None if layouts is None else layouts.device_mesh
    if own is not None and mesh is not None and own != mesh:
        raise ArgumentError(
            f"ModelParallel got the mesh {mesh}, and a LayoutMap with another, {own}; "
            "give the LayoutMap alone."
        )
    mesh = own or mesh
    if mesh is None and layouts is None:
        return _mesh_of(model)
    if mesh is None:
        raise ArgumentError(
            "ModelParallel got a LayoutMap without a mesh; make it as "
            "LayoutMap(device_mesh)."
        )
    if layouts is None and MODEL not in mesh.axis_names:
        raise ArgumentError(
            f'ModelParallel("auto") got a mesh with the axes {mesh.axis_names}; '
            'expected one named "model".'
        )
    there = mesh.size(MODEL) if MODEL in mesh.axis_names else None
    if model is not None and model != there:
        raise ArgumentError(
            f"ModelParallel got model={model!r} and {mesh}; the mesh says over how "
            "many devices a weight is split: leave model out."
        )
    return mesh


def _mesh_of(model: Any) -> DeviceMesh:
    count = get_device_count()
    try:
        parts = count if model is None else operator.index(model)
    except TypeError:
        parts = 0
    if isinstance(model, bool) or not 1 <= parts <= count or count % parts:
        raise ArgumentError(
            f"ModelParallel got model={model!r}; expected a divisor of the {count} "
            "devices that there are."
        )
    return DeviceMesh((count // parts, parts), (BATCH, MODEL))

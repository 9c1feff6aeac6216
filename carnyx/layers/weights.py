"""What a layer holds: its weights, and those of the layers inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from carnyx import constraints, dtype_policies, initializers, regularizers
from carnyx._core.scope import current
from carnyx._core.variable import Variable
from carnyx.dtype_policies import is_float
from carnyx.errors import NotBuiltError, ShapeError
from carnyx.initializers import InitializerLike
from carnyx.layers import _call
from carnyx.layers._children import (
    MetricLike,
    own_variables,
    owned,
    seed_generators,
)
from carnyx.layers.input_spec import label
from carnyx.typing import DTypeLike, ShapeLike


class HoldsWeights:
    """The part of `Layer` that makes, finds, freezes and replaces weights."""

    built: bool
    variable_dtype: Any
    _trainable: bool
    _made: list[Variable]
    _children: Callable[[], list[Any]]
    _path_scope: Callable[[], Any]

    @_call.keras2_order
    def add_weight(
        self,
        shape: Any = None,
        initializer: InitializerLike | None = None,
        dtype: DTypeLike = None,
        trainable: Any = True,
        autocast: bool = True,
        regularizer: object = None,
        constraint: object = None,
        aggregation: str = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Variable:
        """A new variable that belongs to the layer.

        The order of Keras 2 (`add_weight("kernel", shape, dtype, initializer)`) is
        understood too.
        """
        dtype = dtype_policies.standardize_dtype(dtype or self.variable_dtype)
        if initializer is None:
            initializer = "glorot_uniform" if is_float(dtype) else "zeros"
        with self._path_scope():
            variable = Variable(
                initializers.get(initializer),
                shape=tuple(shape or ()),
                dtype=dtype,
                trainable=trainable,
                autocast=autocast,
                aggregation=aggregation,
                name=name,
            )
        variable.regularizer = regularizers.get(regularizer)
        variable.constraint = constraints.get(constraint)
        variable.overwrite_with_gradient = overwrite_with_gradient
        self._made.append(variable)
        return variable

    def add_variable(
        self,
        shape: ShapeLike,
        initializer: InitializerLike,
        dtype: DTypeLike = None,
        **options: Any,
    ) -> Variable:
        """As `add_weight`, for variables of a shape and a beginning that are said."""
        return self.add_weight(shape, initializer, dtype, **options)

    def weight(self, name: str, shape: Sequence[int], **options: Any) -> Variable:
        """`add_weight` with the `<name>_initializer`, `_regularizer`, `_constraint`."""
        for part in ("initializer", "regularizer", "constraint"):
            options.setdefault(part, getattr(self, f"{name}_{part}", None))
        return self.add_weight(shape=shape, name=name, **options)

    def _flatten_layers(self, include_self: bool = True) -> list[Any]:
        """This layer and all inside, each once, depth first."""
        found: dict[int, Any] = {}

        def visit(layer: Any) -> None:
            if id(layer) not in found:
                found[id(layer)] = layer
                for child in layer._children():
                    visit(child)

        visit(self)
        layers = list(found.values())
        return layers if include_self else layers[1:]

    def _collect(self, own: Callable[[Any], list[Variable]]) -> list[Variable]:
        found = {id(v): v for layer in self._flatten_layers() for v in own(layer)}
        return list(found.values())

    @property
    def variables(self) -> list[Variable]:
        """Weights, states of runs and of seed generators, of all layers inside."""
        return self._collect(
            lambda x: [
                *own_variables(x),
                *x._run_variables(),
                *(g.state for g in seed_generators(x)),
            ]
        )

    def _run_variables(self) -> list[Variable]:
        """Variables that a training step carries but that are no weights."""
        return []

    @property
    def weights(self) -> list[Variable]:
        """The weights of this layer and those inside."""
        return self._collect(own_variables)

    @property
    def trainable_variables(self) -> list[Variable]:
        """The variables that training changes."""
        return [v for v in self.variables if v.trainable] if self.trainable else []

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The variables that training leaves to the layers."""
        if not self.trainable:
            return self.variables
        return [v for v in self.variables if not v.trainable]

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that training changes."""
        return [v for v in self.weights if v.trainable] if self.trainable else []

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The weights that training leaves alone."""
        if not self.trainable:
            return self.weights
        return [v for v in self.weights if not v.trainable]

    @property
    def metrics(self) -> list[MetricLike]:
        """The metrics that this layer and those inside hold."""
        return [m for x in self._flatten_layers() for m in owned(x, (MetricLike,))]

    @property
    def metrics_variables(self) -> list[Variable]:
        """The states of `metrics`."""
        return [v for metric in self.metrics for v in metric.variables]

    @property
    def trainable(self) -> bool:
        """Whether training may change the weights; sets all layers inside.

        In a compiled model's steps it is what it was at `compile`."""
        frozen = current().frozen
        return self._trainable if frozen is None else frozen.of(self)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for variable in own_variables(self):
            if variable.born_trainable:
                variable.trainable = self._trainable
        for child in self._children():
            child.trainable = value

    def get_weights(self) -> list[np.ndarray]:
        """The weights as NumPy arrays."""
        return [v.numpy() for v in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all weights.

        Raises:
            ShapeError: when number or shapes differ; then nothing is changed.
        """
        variables = self.weights
        if len(variables) != len(weights):
            raise ShapeError(
                f"{label(self)} has {len(variables)} weights but got {len(weights)} "
                "arrays."
                + ("" if self.built else " It is not built; call it on data first.")
            )
        arrays = [w if hasattr(w, "shape") else np.asarray(w) for w in weights]
        for variable, array in zip(variables, arrays, strict=True):
            if tuple(array.shape) != variable.shape:
                raise ShapeError(
                    f"{label(self)}: weight {variable.path!r} has shape "
                    f"{variable.shape} but got {tuple(array.shape)}."
                )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)

    def count_params(self) -> int:
        """The number of scalars in the weights."""
        if not self.built:
            raise NotBuiltError(
                f"{label(self)} has no weights yet; call it on data, or "
                "build(input_shape)."
            )
        return sum(v.size for v in self.weights)

    def save_own_variables(self, store: Any) -> None:
        """Write the layer's own weights into a dict-like store, by position."""
        for index, variable in enumerate(own_variables(self)):
            store[str(index)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Read what `save_own_variables` wrote.

        Raises:
            ShapeError: when number or shapes differ.
        """
        variables = own_variables(self)
        if len(store.keys()) != len(variables):
            raise ShapeError(
                f"{label(self)} has {len(variables)} weights, the file has "
                f"{len(store.keys())}."
                + ("" if self.built else " The layer is not built.")
            )
        for index, variable in enumerate(variables):
            variable.assign(np.asarray(store[str(index)]))

"""`Model`: a layer that can be trained, saved and looked at."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from carnyx import registry, saving, tree
from carnyx._core.devices import device_name
from carnyx._core.symbol import KerasTensor, any_symbolic
from carnyx._core.tracebacks import show_user_lines
from carnyx._core.variable import Variable
from carnyx._training.trainer import Trainer
from carnyx.errors import ArgumentError, NotBuiltError, UnknownNameError, nearest
from carnyx.layers._call import shapes_of, signature_of
from carnyx.layers.base import Layer
from carnyx.models.placement import (
    PlacementTable,
    computed_on,
    placement_table,
    short_names,
)
from carnyx.models.state_tree import assign_tree, state_tree
from carnyx.models.summary import print_summary
from carnyx.saving import pickles
from carnyx.typing import PathLike, ShapeLike


class Model(Trainer, Layer):
    """Layers put together, with training, prediction and files.

    Three ways: `Model(inputs, outputs)` from symbolic tensors; `Sequential([...])`; a
    subclass that makes layers in `__init__` and uses them in `call`.

    >>> import carnyx as keras
    >>> inputs = keras.Input((4,))
    >>> outputs = keras.layers.Dense(2)(inputs)
    >>> keras.Model(inputs, outputs).count_params()
    10
    """

    keras_family = "models"

    takes_texts = True  # for its first layers
    # Set by functional.py, which stands above this file.
    _functional: ClassVar[type[Model]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is Model and _is_functional_call(args, kwargs):
            cls = Model._functional
        return super().__new__(cls)  # pyright: ignore[reportArgumentType]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if _is_functional_call(args, kwargs):  # super().__init__(inputs, outputs)
            _make_functional(type(self))
            Model._functional.__init__(self, *args, **kwargs)  # type: ignore[arg-type]
            return
        if args:
            raise ArgumentError(
                f"{type(self).__name__} got {args!r}; Model(inputs, outputs) takes "
                "symbolic tensors, made by carnyx.Input(shape=...)."
            )
        for given, other in (("inputs", "outputs"), ("outputs", "inputs")):
            if given in kwargs and registry.is_own(type(self)):
                raise ArgumentError(
                    f"Model() got {given} and no {other}. Give both, as "
                    "Model(inputs, outputs), or neither, for a subclass with a call()."
                )
        super().__init__(**kwargs)

    # ---- looking inside ----------------------------------------------------------

    @property
    def layers(self) -> list[Layer]:
        """The layers directly inside, in order."""
        return [x for x in self._children() if isinstance(x, Layer)]

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """A layer by its name or its place.

        Raises:
            UnknownNameError: with the nearest name.
        """
        layers = self.layers
        if (name is None) == (index is None):
            raise ArgumentError("get_layer takes a name or an index, one of them.")
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ArgumentError(
                    f"get_layer got index={index}, the model has {len(layers)} layers."
                )
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        names = [x.name for x in layers]
        raise UnknownNameError(
            f"{self.name!r} has no layer {name!r}.{nearest(name, names)} Its layers "
            f"are {names}."
        )

    def summary(
        self,
        line_length: int | None = None,
        positions: Sequence[float] | None = None,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Sequence[str] | None = None,
        *,
        show_devices: bool = False,
    ) -> None:
        """Print a table of the layers: output shapes, parameters, connections.

        Args:
            print_fn: called with the whole text, in place of printing.
            expand_nested: show the layers of models inside.
            show_trainable: a column that tells which layers train.
            layer_range: names (or patterns) of the first and the last layer to show.
            show_devices: a column with the devices that compute the layers.
        """
        print_summary(
            self, line_length=line_length, positions=positions, print_fn=print_fn,
            expand_nested=expand_nested, show_trainable=show_trainable,
            layer_range=layer_range,
            devices=_devices_of(self) if show_devices else None,
        )  # fmt: skip

    def _repr_html_(self) -> str:
        """In a notebook, the table of `summary`."""
        lines: list[str] = []
        self.summary(print_fn=lines.append)
        return f"<pre style='line-height: 1.2'>{html.escape(''.join(lines))}</pre>"

    def placement(self) -> PlacementTable:
        """Which layer lives where, and the bytes on each device; print it.

        >>> import carnyx as keras
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> [row.parameters for row in model.placement().layers]
        [32]
        """
        return placement_table(self)

    # ---- building ----------------------------------------------------------------

    def build(self, input_shape: ShapeLike | None = None) -> None:
        """Create the weights of a subclassed model for inputs of this shape."""
        if self.built:
            return
        if input_shape is None:
            raise NotBuiltError(f"{self.name!r}: build() needs an input_shape.")
        symbols = tree.map_shape_structure(
            lambda s: KerasTensor(s, self.compute_dtype), input_shape
        )
        named = isinstance(symbols, dict) and set(symbols) <= set(
            signature_of(type(self).call).names
        )
        self.built = True  # so that the call below does not come back here
        try:
            if named:
                self.compute_output_spec(**symbols)
            else:
                self.compute_output_spec(symbols)
        except Exception:
            self.built = False
            raise

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build as saved, where it was built by a call on tensors."""
        shape = config.get("input_shape")
        if shape is None and config.get("shapes_dict"):
            shape = next(iter(config["shapes_dict"].values()))
        if shape is not None and not self.built:
            self.build(tree.map_shape_structure(tuple, shape))

    def _maybe_build(self, tensors: dict[str, Any]) -> None:
        if type(self).build is not Model.build:
            super()._maybe_build(tensors)
        elif not self.built:
            self._built_by_calls(tensors)

    def _built_by_calls(self, tensors: dict[str, Any]) -> None:
        """Layers inside build themselves as they are called, from now on."""
        self.build_shapes = {k: shapes_of(v) for k, v in tensors.items()}
        self.built = True
        self._after_build()

    def get_state_tree(self, value_format: str = "backend_tensor") -> dict[str, Any]:
        """All variables as nested dicts by path, with the groups on top.

        Args:
            value_format: "backend_tensor" or "numpy_array".

        >>> import carnyx as keras
        >>> dense = keras.layers.Dense(2, name="head")
        >>> model = keras.Sequential([keras.Input((3,)), dense], name="net")
        >>> list(model.get_state_tree()["trainable_variables"]["net"]["head"])
        ['kernel', 'bias']
        """
        return state_tree(self._variable_groups(), value_format)

    def set_state_tree(self, state_tree: dict[str, Any]) -> None:
        """Assign values as `get_state_tree` gives them, all or some."""
        assign_tree(self._variable_groups(), state_tree)

    def _variable_groups(self) -> dict[str, list[Variable]]:
        optimizer = self.optimizer
        return {
            "trainable_variables": self.trainable_variables,
            "non_trainable_variables": self.non_trainable_variables,
            "optimizer_variables": [] if optimizer is None else optimizer.variables,
            "metrics_variables": self.metrics_variables,
        }

    # ---- files -------------------------------------------------------------------

    @show_user_lines
    def save(
        self, filepath: Any, overwrite: bool = True, zipped: Any = None, **kwargs: Any
    ) -> None:
        """Save everything to a `.keras` file (or `.h5`, by the suffix)."""
        saving.save_model(self, filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    @show_user_lines
    def save_weights(
        self, filepath: PathLike, overwrite: bool = True, **kwargs: Any
    ) -> None:
        """Save the weights to a `.weights.h5` (or `.h5`) file."""
        saving.save_weights(self, filepath, overwrite=overwrite, **kwargs)

    @show_user_lines
    def load_weights(
        self, filepath: PathLike, skip_mismatch: bool = False, **kwargs: Any
    ) -> None:
        """Load weights from a file of this structure.

        Args:
            skip_mismatch: leave layers whose weights do not fit as they are.
            **kwargs: `by_name=True` for HDF5 files of the Keras 2 layout.
        """
        saving.load_weights(self, filepath, skip_mismatch=skip_mismatch, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        """For `pickle` and `copy.deepcopy`: what a `.keras` file holds."""
        return pickles.reduced(self)

    def __copy__(self) -> Any:
        """A model of the same layers and weights, as of any object."""
        copy = object.__new__(type(self))
        vars(copy).update(vars(self))
        return copy

    def to_json(self, **kwargs: Any) -> str:
        """The architecture, without weights, as JSON text."""
        return json.dumps(registry.serialize_keras_object(self), **kwargs)

    def get_config(self) -> dict[str, Any]:
        return super().get_config()

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The model of a config, with fresh weights; `Model` reads functional ones."""
        if cls is Model and {"layers", "input_layers"} <= set(config):
            return Model._functional.from_config(config, custom_objects)
        with registry.custom_object_scope(custom_objects):
            return super().from_config(config)

    @property
    def input_shape(self) -> Any:
        """The shape of the symbolic input, or a list of the inputs' shapes."""
        return _shapes(self.inputs)

    @property
    def output_shape(self) -> Any:
        """The shape of the symbolic output, or a list of the outputs' shapes."""
        return _shapes(self.outputs)


def _devices_of(model: Model) -> Callable[[Any], str]:
    """The column of `summary` that tells which devices compute a layer."""

    def devices(layer: Any) -> str:
        return short_names([device_name(d) for d in computed_on(model, layer)]) or "-"

    return devices


def _shapes(tensors: list[KerasTensor]) -> Any:
    shapes = [t.shape for t in tensors]
    return shapes[0] if len(shapes) == 1 else shapes


def _is_functional_call(args: tuple, kwargs: dict[str, Any]) -> bool:
    return (len(args) >= 2 and any_symbolic(args[:2])) or (
        "outputs" in kwargs and ("inputs" in kwargs or len(args) == 1)
    )


def _make_functional(cls: type) -> None:
    """Let a user's subclass that calls `super().__init__(inputs, outputs)` be one."""
    functional = Model._functional
    if issubclass(cls, functional):
        return
    if Model in cls.__bases__:
        cls.__bases__ = tuple(functional if b is Model else b for b in cls.__bases__)
        return
    for base in cls.__bases__:
        if issubclass(base, Model):
            _make_functional(base)

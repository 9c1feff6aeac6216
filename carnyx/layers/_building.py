"""When and with what shapes a layer makes its weights, and the shapes it gives."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from carnyx import tree
from carnyx._core import explain
from carnyx._core.drawing import drawn_together
from carnyx._core.infer import infer
from carnyx._core.scope import scoped
from carnyx._core.seed import SeedGenerator
from carnyx._core.symbol import KerasTensor
from carnyx._core.variable import Variable
from carnyx.errors import ArgumentError
from carnyx.layers import _call
from carnyx.layers._call import Call
from carnyx.layers._children import owned
from carnyx.layers._known_specs import remembered
from carnyx.layers.input_spec import label
from carnyx.typing import ShapeLike, Tensor


class Builds:
    """The part of `Layer` that builds it, and tells shapes of outputs."""

    _complete = False  # a call has come to its end: all weights are there
    _builds = False  # a user's class writes `build`

    built: bool
    build_shapes: dict[str, Any] | None = None
    trainable: bool
    compute_dtype: Any
    _trainable: bool
    _autocast: str | None
    _initial_weights: Sequence[Tensor] | None
    _path_scope: Callable[[], Any]
    _flatten_layers: Callable[[], list[Any]]
    call: Callable[..., Any]
    set_weights: Callable[[Sequence[Tensor]], None]

    def build(self, input_shape: ShapeLike) -> None:
        """Create the weights, now that the shape of the input is known."""
        self.built = True

    def _maybe_build(self, tensors: dict[str, Any]) -> None:
        if self.built:
            return
        arguments = _call.shape_arguments(type(self).build, tensors, self)
        with scoped(training=None, autocast=None):
            self.build(**arguments)
        self.built = True
        self.__dict__["_called_shapes"] = arguments  # for summary()

    def _after_build(self) -> None:
        if self._initial_weights is not None:
            self.set_weights(self._initial_weights)
            self._initial_weights = None
        if not self._trainable:
            self.trainable = False

    def get_build_config(self) -> dict[str, Any] | None:
        """What `build` was given, so that a loaded layer can be built."""
        if self.build_shapes is None:
            return None
        if len(self.build_shapes) == 1:
            return {"input_shape": next(iter(self.build_shapes.values()))}
        return {"shapes_dict": self.build_shapes}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build as `get_build_config` says."""
        if not config or self.built:
            return
        shapes = config.get("shapes_dict") or config
        shapes = {k: tree.map_shape_structure(tuple, v) for k, v in shapes.items()}
        names = _call.signature_of(type(self).build).names
        if set(shapes) <= set(names):
            self.build(**shapes)
        else:
            self.build(*shapes.values())
        self.built = True

    def _refuse_born(self, born: list[Any]) -> None:
        """What `call` makes and the layer keeps, in lists and dicts too, would be
        another at every call. A layer without a `build` may make it the first time."""
        if not self._complete and not self._builds:
            return
        kinds = (Builds, Variable, SeedGenerator)
        kept = [x for layer in self._flatten_layers() for x in owned(layer, kinds)]
        made = {id(x) for x in born}
        new = next((x for x in kept if id(x) in made), None)
        if new is None:
            return
        when, once = ", after its first call", ", or only if it is not there yet"
        if not self._complete:
            when, once = "; its class has a build()", ""
        error = ArgumentError(
            f"{label(self)} makes a {type(new).__name__} in call(){when}: there would "
            "be a new one, with new values, at every call. Make it in __init__() or "
            f"build(){once}."
        )
        explain.judge(error, hopeless=True)
        raise error

    # ---- shapes of outputs

    def compute_output_shape(self, *args: Any, **kwargs: Any) -> Any:
        """The shape of the output for a shape of the input, by abstract evaluation."""
        names = _call.signature_of(type(self).call).names
        shapes = {n.removesuffix("_shape"): s for n, s in kwargs.items()}
        if set(shapes) - set(names):  # build's argument names differ from call's
            args, shapes = (*args, *kwargs.values()), {}
        dtype = self.compute_dtype

        def symbol(shapes: Any) -> Any:
            make = lambda s: KerasTensor(s, dtype)  # noqa: E731
            return None if shapes is None else tree.map_shape_structure(make, shapes)

        with _unchanged(self):
            given = {k: symbol(v) for k, v in shapes.items()}
            out = self.compute_output_spec(*map(symbol, args), **given)
        return tree.map_structure(lambda t: t.shape, out)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Symbolic outputs for symbolic inputs."""
        written = type(self).compute_output_shape is not Builds.compute_output_shape
        if written or not self.built:
            call = Call(self, args, kwargs)
            if written:
                return self._spec_from_users_shape(call.tensors)
            self._maybe_build(call.tensors)
        with scoped(autocast=self._autocast):
            found = functools.partial(infer, self.call, *args, **kwargs)
            return remembered(self, args, kwargs, found)

    def _spec_from_users_shape(self, tensors: dict[str, Any]) -> Any:
        method = type(self).compute_output_shape
        shape = self.compute_output_shape(
            **_call.shape_arguments(method, tensors, self)
        )
        return tree.map_shape_structure(
            lambda s: KerasTensor(s, self.compute_dtype), shape
        )


def build_once(build: Callable[..., None]) -> Callable[..., None]:
    """`build` under the layer's name; marks the layer built, remembers the shapes."""
    signature = _call.signature_of(build)

    @functools.wraps(build)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> None:
        outermost = "_building" not in self.__dict__  # not a super().build()
        self.__dict__["_building"] = True
        try:
            with self._path_scope(), drawn_together(label(self)):
                build(self, *args, **kwargs)
        finally:
            if outermost:
                self.__dict__.pop("_building", None)
        self.built = True
        if outermost:
            named = dict(zip(signature.names, args, strict=False)) | kwargs
            self.build_shapes = named
            self._after_build()

    return wrapped


@contextlib.contextmanager
def _unchanged(layer: Any) -> Iterator[None]:
    """Whatever is built inside is forgotten again."""
    if layer.built:
        yield
        return
    before = {id(x): (x, dict(vars(x)), list(x._made)) for x in layer._flatten_layers()}
    try:
        yield
    finally:
        for inner, attributes, made in before.values():
            vars(inner).clear()
            vars(inner).update(attributes)
            inner._made[:] = made

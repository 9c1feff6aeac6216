"""`Layer`: weights and a `call`, and everything that a call brings along.

`__call__` converts and checks the inputs, builds the layer on first use, hands down
`training` and masks, sets the dtype of the computation, and on symbolic tensors records
a node instead. A subclass writes `build` and `call`; the rest is here, once.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from carnyx import (
    dtype_policies,
    registry,
    regularizers,
    tree,
)
from carnyx._core import explain, structure
from carnyx._core.infer import infer, judge
from carnyx._core.masks import get_mask, set_mask
from carnyx._core.naming import auto_name
from carnyx._core.node import Node, Operation
from carnyx._core.operators import OPS
from carnyx._core.scope import current, note_birth, pure, scoped
from carnyx._core.seed import SeedGenerator
from carnyx._core.symbol import KerasTensor, any_symbolic, is_symbolic
from carnyx._core.tracebacks import show_user_lines
from carnyx._core.variable import Variable
from carnyx._numbers import check_narrow
from carnyx._spellings import hint, hint_for_attribute
from carnyx.configurable import attribute
from carnyx.dtype_policies import is_float
from carnyx.errors import (
    ArgumentError,
    GraphError,
    NotBuiltError,
    ShapeError,
    UnknownArgumentError,
    add_note_once,
)
from carnyx.layers import _call
from carnyx.layers._call import Call
from carnyx.layers._children import own_variables, owned
from carnyx.layers._dropped_masks import tell_of_dropped_mask
from carnyx.layers.input_spec import check_inputs, label
from carnyx.layers.weights import HoldsWeights
from carnyx.typing import DTypeLike, ShapeLike, Tensor


class Layer(HoldsWeights, Operation):
    """A function with weights.

    Args:
        activity_regularizer: a loss on the layer's outputs.
        trainable: whether training may change its weights.
        dtype: a dtype, or a policy such as `"mixed_bfloat16"`.
        autocast: whether float inputs are cast to the compute dtype.
        name: by default the class's name in snake case, numbered.

    >>> import carnyx as keras
    >>> class Scale(keras.layers.Layer):
    ...     def build(self, input_shape):
    ...         self.gain = self.add_weight((input_shape[-1],), "ones")
    ...     def call(self, x):
    ...         return x * self.gain
    >>> Scale()(np.ones((2, 3))).shape
    (2, 3)
    """

    supports_masking = False
    supports_jit = True
    build_shapes: Any = attribute(None)
    _needs_tensors = True  # as the first argument of a call
    _complete = False  # a call has come to its end: all weights are there
    _builds = False  # a user's class writes `build`

    def __init__(
        self,
        *,
        activity_regularizer: object = None,
        trainable: bool = True,
        dtype: DTypeLike | None = None,
        autocast: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if name is not None and not isinstance(name, str):
            raise ArgumentError(
                f"{type(self).__name__} got name={name!r}; expected text."
            )
        note_birth(self)
        self.name = auto_name(type(self).__name__) if name is None else name
        self.dtype_policy = dtype
        self.autocast = autocast
        self.activity_regularizer = regularizers.get(activity_regularizer)
        if not isinstance(trainable, bool | np.bool_):
            raise ArgumentError(
                f"{type(self).__name__} got trainable={trainable!r}; expected a bool."
            )
        self._trainable = bool(trainable)
        # Ours that make no weights are ready; a user's may make some in call().
        self.built = registry.is_own(type(self)) and type(self).build is Layer.build
        self.input_spec: Any = None
        self._made: list[Variable] = []
        self._losses: list[Any] = []
        self._path: str | None = None
        self._input_shape_arg = _input_shape(kwargs)
        self._initial_weights = kwargs.pop("weights", None)
        if kwargs:
            unknown = next(iter(kwargs))
            known = inspect.signature(type(self).__init__).parameters
            raise UnknownArgumentError(
                f"{type(self).__name__}() got an unknown argument {unknown!r}."
                f"{hint(unknown, known)}"
            )

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "build" in vars(cls):
            cls.build = _build_once(vars(cls)["build"])
            cls._builds = not registry.is_own(cls)

    def __setattr__(self, name: str, value: Any) -> None:
        before = vars(self).get(name)
        super().__setattr__(name, value)
        may_hold = structure.may_hold(value) or structure.may_hold(before)
        if name == "_trainable" or (may_hold and value is not before):
            structure.touch()

    def _refuse_born(self, born: list[Any]) -> None:
        """What `call` makes and the layer keeps, in lists and dicts too, would be
        another at every call. A layer without a `build` may make it the first time."""
        if not self._complete and not self._builds:
            return
        kinds = (Layer, Variable, SeedGenerator)
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

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        structure.touch()

    def __getattr__(self, name: str) -> Any:
        if "_made" not in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__} has no {name!r} yet: call super().__init__() "
                "at the start of its __init__()."
            )
        later = "" if self.built else " It is not built: call it on data first."
        raise AttributeError(
            f"{type(self).__name__} {self.name!r} has no attribute {name!r}."
            f"{hint_for_attribute(name) or later}"
        )

    # ---- what subclasses write -------------------------------------------------

    def build(self, input_shape: ShapeLike) -> None:
        """Create the weights, now that the shape of the input is known."""
        self.built = True

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor) -> Tensor:
        """The mask of the output; as given, unless a subclass says otherwise."""
        return previous_mask

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
        written = type(self).compute_output_shape is not Layer.compute_output_shape
        if written or not self.built:
            call = Call(self, args, kwargs)
            if written:
                return self._spec_from_users_shape(call.tensors)
            self._maybe_build(call.tensors)
        with scoped(autocast=self._autocast):
            return infer(self.call, *args, **kwargs)

    def _spec_from_users_shape(self, tensors: dict[str, Any]) -> Any:
        method = type(self).compute_output_shape
        shape = self.compute_output_shape(
            **_call.shape_arguments(method, tensors, self)
        )
        return tree.map_shape_structure(
            lambda s: KerasTensor(s, self.compute_dtype), shape
        )

    def _code(self) -> Callable[..., Any]:
        """The function that a call runs, as somebody wrote it."""
        return type(self).call

    def _children(self) -> list[Layer]:
        """The layers directly inside, in order."""
        return list(owned(self, (Layer,)))

    # ---- dtypes and names ------------------------------------------------------

    @property
    def dtype_policy(self) -> Any:
        """The dtypes of computation and weights; a name of one may be set."""
        return self._dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, value: object) -> None:
        self._dtype_policy = dtype_policies.get(value)

    compute_dtype = property(lambda self: self.dtype_policy.compute_dtype)
    variable_dtype = property(lambda self: self.dtype_policy.variable_dtype)
    dtype = property(lambda self: self.dtype_policy.variable_dtype)
    input_dtype = property(lambda self: self.dtype_policy.compute_dtype)

    @property
    def _autocast(self) -> str | None:
        """The dtype in which `call` reads float variables, where it is not theirs."""
        mixed = self.compute_dtype != self.variable_dtype
        return self.compute_dtype if self.autocast and mixed else None

    @property
    def path(self) -> str:
        """Where in its model the layer was built: names joined by slashes."""
        return self._path or self.name

    @contextlib.contextmanager
    def _path_scope(self) -> Iterator[None]:
        context = current()
        if context.layer is self:  # within its own call or build already
            yield
            return
        path = (*context.path, self.name)
        with scoped(path=path, layer=self, born=[]) as inner:
            if self._path is None:
                self._path = "/".join(inner.path)
            yield

    # ---- calling ---------------------------------------------------------------

    @show_user_lines
    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        args, kwargs = self._convert(args, kwargs)
        call = Call(self, args, kwargs)
        if current().layer is None and current().state is None:
            self._forget_losses()
        try:
            with self._path_scope():
                self._check_first(call)
                if not self.built:
                    self._maybe_build(call.tensors)
                    self._check_first(call)
                born = current().born
                born.clear()  # in build
                made = self._record if any_symbolic((args, kwargs)) else self._compute
                outputs = made(call)
                if born:
                    self._refuse_born(born)
                if not self._complete:
                    self.__dict__["_complete"] = True
                return outputs
        except Exception as error:
            clearer = explain.of_layer(error, label(self), call.tensors) or error
            judge(clearer, self.call, call.args, call.kwargs)
            add_note_once(clearer, f"  in {label(self)}, called with {call}")
            if clearer is error:
                raise
            raise clearer from None

    def _convert(self, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict]:
        """NumPy arrays become JAX arrays; floats get the compute dtype."""
        target = self.compute_dtype if self.autocast else None
        if not kwargs and len(args) == 1 and _is_ready(args[0], target):
            return args, kwargs

        def one(x: Any) -> Any:
            if not explain.is_tensor(x) and hasattr(x, "__array__"):
                x = np.asarray(x)  # a scalar of NumPy, a table, another library's
            if isinstance(x, np.ndarray):
                floating = target and np.issubdtype(x.dtype, np.floating)
                check_narrow(x, f"{label(self)}: an input")
                return jnp.asarray(x, target if floating else None)
            if explain.is_tensor(x) and target and is_float(x.dtype):
                if x.dtype != target:
                    cast = OPS["cast"](x, target)
                    set_mask(cast, get_mask(x))
                    return cast
            return x

        return tree.map_structure(one, args), tree.map_structure(one, kwargs)

    def _check_first(self, call: Call) -> None:
        """What the first argument must be: tensors, of the shapes that fit."""
        if self._needs_tensors and call.named:
            _call.check_tensors(call.first, self)
        if self.input_spec:
            check_inputs(self.input_spec, call.first, self)

    def _compute(self, call: Call) -> Any:
        training = self._training(call)
        more = call.implicit_masks()
        if call.signature.takes("training"):
            more["training"] = training
        args, kwargs = call.with_keywords(more)
        with scoped(training=training, autocast=self._autocast):
            outputs = self.call(*args, **kwargs)
        if current().placement is not None:
            outputs = current().placement.output(self.path, outputs)
        if current().watch is not None:
            current().watch.layer(self, call.tensors, outputs)
        self._mask_outputs(outputs, call, kwargs)
        if self.activity_regularizer is not None:
            self._penalize(outputs)
        return outputs

    def _training(self, call: Call) -> Any:
        """As said in the call, else as handed down, else the default of `call`."""
        if call.training is not None:
            return call.training
        handed_down = current().training
        if handed_down is not None:
            return handed_down
        return call.signature.defaults.get("training")

    def _penalize(self, outputs: Any) -> None:
        for output in tree.flatten(outputs):
            loss = self.activity_regularizer(output)
            # For each sample, so that it does not grow with the batch.
            self.add_loss(loss / max(output.shape[0], 1) if output.ndim else loss)

    def symbolic_call(self, *args: Any, **kwargs: Any) -> Any:
        """Symbolic outputs for symbolic inputs; `__call__` makes the node."""
        return self.compute_output_spec(*args, **kwargs)

    def _record(self, call: Call) -> Any:
        """The call as a node of a graph."""
        outputs = self.compute_output_spec(*call.args, **call.kwargs)
        if outputs is None:
            raise GraphError(
                f"{label(self)}: call() returned None; end it with `return outputs`."
            )
        Node(self, call.args, call.given, outputs)
        self._mask_outputs(outputs, call, call.kwargs)
        return outputs

    def _mask_outputs(self, outputs: Any, call: Call, kwargs: dict[str, Any]) -> None:
        overridden = type(self).compute_mask is not Layer.compute_mask
        if not call.tensors:
            return
        name = next(iter(call.tensors))
        inputs = call.first if call.signature.variadic else call.tensors[name]
        if not (self.supports_masking or overridden):
            return tell_of_dropped_mask(self, inputs, outputs)
        given = call.named | kwargs
        previous = given.get("mask", given.get(f"{name}_mask"))
        if previous is None:
            previous = _call.masks_of(inputs)
        if not overridden and all(m is None for m in tree.flatten(previous)):
            return
        mask = self.compute_mask(inputs, previous)
        flat_outputs, flat_masks = tree.flatten(outputs), tree.flatten(mask)
        if len(flat_masks) == 1 and len(flat_outputs) > 1 and mask is None:
            return
        for output, one in zip(flat_outputs, flat_masks, strict=False):
            if one is not None and not isinstance(output, Variable):
                set_mask(output, one)

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

    def stateless_call(
        self,
        trainable_variables: Sequence[Any],
        non_trainable_variables: Sequence[Any],
        *args: Any,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> tuple:
        """The call as a pure function of the variables' values.

        Returns:
            `(outputs, non_trainable_variables)`, and the losses if asked for.

        >>> import carnyx as keras
        >>> layer = keras.layers.Dropout(0.5, seed=1)
        >>> values = [v.value for v in layer.non_trainable_variables]
        >>> out, values = layer.stateless_call([], values, np.ones(8), training=True)
        """
        trainable, fixed = self.trainable_variables, self.non_trainable_variables
        self._check_values("trainable_variables", trainable, trainable_variables)
        self._check_values("non_trainable_variables", fixed, non_trainable_variables)

        def call() -> Any:
            outputs = self(*args, **kwargs)
            return (outputs, self.losses) if return_losses else outputs

        run = pure(call, [*trainable, *fixed])
        out, values = run([*trainable_variables, *non_trainable_variables])
        left = values[len(trainable) :]
        return (out[0], left, out[1]) if return_losses else (out, left)

    def _check_values(self, what: str, variables: Any, values: Any) -> None:
        if not self.built:
            raise NotBuiltError(
                f"{label(self)} is not built, so it has no variables to be given "
                "values; call it on data first."
            )
        if len(variables) != len(values):
            raise ArgumentError(
                f"{label(self)} has {len(variables)} {what} but got {len(values)} "
                "values."
            )

    # ---- losses ----------------------------------------------------------------

    def add_loss(self, loss: Tensor) -> None:
        """Add a scalar, or several, to the loss that training minimises."""
        for value in tree.flatten(loss):
            if callable(value) and not hasattr(value, "dtype"):
                raise ArgumentError(
                    f"{label(self)}: add_loss got a function; call it and pass the "
                    "value."
                )
            if is_symbolic(value):
                raise GraphError(
                    f"{label(self)}: add_loss got a symbolic tensor. Call add_loss "
                    "inside the call() of a layer."
                )
            state = current().state
            if state is None:
                self._losses.append(value)
            else:
                state.losses.append((self, value))

    def _forget_losses(self) -> None:
        for layer in self._flatten_layers():
            layer._losses.clear()

    @property
    def losses(self) -> list[Any]:
        """What `add_loss` added in the last call, then the regularizers' losses."""
        layers = self._flatten_layers()
        state = current().state
        if state is None:
            added = [loss for layer in layers for loss in layer._losses]
        else:
            inside = {id(layer) for layer in layers}
            added = [loss for layer, loss in state.losses if id(layer) in inside]
        return [*added, *self._regularization_losses()]

    def _regularization_losses(self) -> list[Any]:
        state = current().state
        known = {} if state is None else state.penalties
        return [
            known[v] if v in known else v.regularizer(v.value)
            for v in self.trainable_weights
            if v.regularizer is not None
        ]

    # ---- configs and files -----------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "name": self.name,
            "trainable": self._trainable,
            "dtype": dtype_policies.serialize(self.dtype_policy),
        }
        own = self._fields.get("activity_regularizer")
        said = own is not None and own.in_config  # by the layer, also where None
        if self.activity_regularizer is not None and not said:
            config["activity_regularizer"] = regularizers.serialize(
                self.activity_regularizer
            )
        return config

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

    def __repr__(self) -> str:
        built = "" if self.built else ", not built"
        return f"<{type(self).__name__} name={self.name}{built}>"


def _input_shape(kwargs: dict[str, Any]) -> Any:
    """The shape given to a first layer (`input_shape=`, `input_dim=`), or None."""
    batch_size = kwargs.pop("batch_size", None)
    kwargs.pop("input_dtype", None)
    for name in ("batch_input_shape", "batch_shape"):
        if name in kwargs:
            return _sizes(name, kwargs.pop(name))
    if "input_shape" in kwargs:
        return (batch_size, *_sizes("input_shape", kwargs.pop("input_shape")))
    if "input_dim" in kwargs:
        length = (kwargs.pop("input_length"),) if "input_length" in kwargs else ()
        return (batch_size, *length, kwargs.pop("input_dim"))
    return None


def _sizes(name: str, given: Any) -> tuple[Any, ...]:
    if not isinstance(given, Iterable) or isinstance(given, str):
        one = f"({given},)" if isinstance(given, int) else "(28, 28)"
        raise ArgumentError(
            f"{name} got {given!r}; expected a tuple of sizes, such as {one}."
        )
    return tuple(given)


def _build_once(build: Callable[..., None]) -> Callable[..., None]:
    """`build` under the layer's name; marks the layer built, remembers the shapes."""
    signature = _call.signature_of(build)

    @functools.wraps(build)
    def wrapped(self: Layer, *args: Any, **kwargs: Any) -> None:
        outermost = "_building" not in self.__dict__  # not a super().build()
        self.__dict__["_building"] = True
        try:
            with self._path_scope():
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


def _is_ready(x: Any, target: str | None) -> bool:
    """True for an argument that needs no conversion: the common case."""
    return (
        isinstance(x, jax.Array | KerasTensor) and target is not None
        and x.dtype == target
    )  # fmt: skip


@contextlib.contextmanager
def _unchanged(layer: Layer) -> Iterator[None]:
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


__all__ = ["Layer"]

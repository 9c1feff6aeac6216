"""`Layer`: weights and a `call`, and everything that a call brings along.

`__call__` converts and checks the inputs, builds the layer on first use, hands down
`training` and masks, sets the dtype of the computation, and on symbolic tensors records
a node instead. A subclass writes `build` and `call`; the rest is here, once: what a
layer holds in `weights.py`, its shapes in `_building.py`, its losses in `_losses.py`.
"""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from carnyx import dtype_policies, registry, regularizers
from carnyx._core import explain, structure
from carnyx._core.infer import judge
from carnyx._core.naming import auto_name
from carnyx._core.node import Node, Operation
from carnyx._core.scope import current, note_birth, scoped
from carnyx._core.symbol import any_symbolic
from carnyx._core.tracebacks import show_user_lines
from carnyx._core.variable import Variable
from carnyx._spellings import hint, hint_for_attribute
from carnyx._strangers import has_weights_of_its_own, stranger
from carnyx.configurable import forgotten_super
from carnyx.errors import (
    ArgumentError,
    GraphError,
    UnknownArgumentError,
    add_note_once,
)
from carnyx.layers import _call
from carnyx.layers._building import Builds, build_once
from carnyx.layers._call import Call
from carnyx.layers._children import owned
from carnyx.layers._conversion import as_given, converted
from carnyx.layers._losses import AddsLosses
from carnyx.layers._output_masks import mask_outputs
from carnyx.layers._pure import IsPure
from carnyx.layers._sizes import given_input_shape
from carnyx.layers.input_spec import check_inputs, label
from carnyx.layers.weights import HoldsWeights
from carnyx.typing import DTypeLike, Tensor


class Layer(HoldsWeights, AddsLosses, Builds, IsPure, Operation):
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

    keras_family = "layers"

    supports_masking = False
    supports_jit = True
    runs_on_host = False  # on texts, in NumPy: layers/preprocessing/_host.py
    takes_texts = False
    _needs_tensors = True  # as the first argument of a call

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
        self._remat = current().remat  # a RematScope, or None
        self._made: list[Variable] = []
        self._losses: list[Any] = []
        self._path: str | None = None
        self._input_shape_arg = given_input_shape(kwargs)
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
            cls.build = build_once(vars(cls)["build"])
            cls._builds = not registry.is_own(cls)

    def __setattr__(self, name: str, value: Any) -> None:
        before = vars(self).get(name)
        super().__setattr__(name, value)
        if name not in self._fields and has_weights_of_its_own(value):
            warnings.warn(
                f"{type(self).__name__}.{name} is a {type(value).__name__}, whose "
                f"weights are not trained or saved here.{stranger(value)}",
                stacklevel=2,
            )
        may_hold = structure.may_hold(value) or structure.may_hold(before)
        if name == "_trainable" or (may_hold and value is not before):
            structure.touch()

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        structure.touch()

    def __getattr__(self, name: str) -> Any:
        if "_made" not in self.__dict__:
            raise forgotten_super(self, name)
        if isinstance(getattr(type(self), name, None), property):
            return object.__getattribute__(self, name)  # what is missing is inside it
        later = "" if self.built else " It is not built: call it on data first."
        raise AttributeError(
            f"{type(self).__name__} {self.name!r} has no attribute {name!r}."
            f"{hint_for_attribute(name) or later}"
        )

    # ---- what subclasses write -------------------------------------------------

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor) -> Tensor:
        """The mask of the output; as given, unless a subclass says otherwise."""
        return previous_mask

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

    _convert = converted

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
            if self._remat is None:
                outputs = self.call(*args, **kwargs)
            else:
                outputs = self._remat.wrapped(self.name, self.call)(*args, **kwargs)
        if current().placement is not None:
            outputs = current().placement.output(self.path, outputs)
        watch = current().watch
        if watch is not None:
            watch.layer(self, call.tensors, outputs)
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
        Node(self, as_given(call.args), as_given(call.given), outputs)
        self._mask_outputs(outputs, call, call.kwargs)
        return outputs

    def _mask_outputs(self, outputs: Any, call: Call, kwargs: dict[str, Any]) -> None:
        own = type(self).compute_mask is not Layer.compute_mask
        mask_outputs(self, own, outputs, call, kwargs)

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

    def __repr__(self) -> str:
        built = "" if self.built else ", not built"
        return f"<{type(self).__name__} name={self.name}{built}>"


__all__ = ["Layer"]

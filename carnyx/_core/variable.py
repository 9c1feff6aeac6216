"""`Variable`: a named value that can change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from carnyx import _reads, registry
from carnyx._core import global_arrays, placement, structure
from carnyx._core.abstract import Spec, refuse, stand_in
from carnyx._core.array_like import ActsAsArray, as_array
from carnyx._core.devices import ensure_device
from carnyx._core.memory import copies_made, ensure_room
from carnyx._core.naming import auto_name, current_path
from carnyx._core.scope import current, is_tracer, note_birth, scoped
from carnyx._core.variable_arguments import (
    AGGREGATIONS,
    SYNCHRONIZATIONS,
    callable_or_none,
    checked_name,
    checked_shape,
    one_of,
)
from carnyx.dtype_policies import is_float, standardize_dtype
from carnyx.errors import ArgumentError, DTypeError, ShapeError
from carnyx.typing import DTypeLike

_ANYWHERE = "anywhere"  # no placement


class Variable(ActsAsArray):
    """A named, typed value that layers, optimizers and metrics keep.

    Args:
        initializer: the first value, or a callable `(shape, dtype) -> array`.
        shape: needed with a callable.
        trainable: whether training may change it.
        autocast: whether a float value is read in the compute dtype of the layer
            that is being called.
        aggregation, synchronization: kept for Keras; how replicas of a value would be
            combined. A sharded value here has no replicas.
        layout: where the value lives on a device mesh: a `TensorLayout`.

    >>> v = Variable([1.0, 2.0], name="gain")
    >>> v.assign_add([1.0, 1.0]).tolist(), (v * 2).tolist()
    ([2.0, 3.0], [4.0, 6.0])
    """

    def __init__(
        self,
        initializer: object,
        shape: Sequence[int] | None = None,
        dtype: DTypeLike | None = None,
        trainable: bool = True,
        autocast: bool = True,
        aggregation: str = "none",
        synchronization: str = "auto",
        name: str | None = None,
        layout: object = None,
    ) -> None:
        context = current()
        note_birth(self)
        if context.state is not None and context.state.trace is not None:
            context.state.trace.born.add(self)
        self.name = name = checked_name(name or auto_name(type(self).__name__))
        self.path = "/".join(p for p in (current_path(), name) if p)
        self.autocast, self.layout = bool(autocast), layout
        self.aggregation = one_of("aggregation", aggregation, AGGREGATIONS)
        self.synchronization = one_of(
            "synchronization", synchronization, SYNCHRONIZATIONS
        )
        self._trainable = self.born_trainable = bool(trainable)
        self._regularizer: Any = None
        self._constraint: Any = None
        self._overwrite_with_gradient = False
        self.baked = False  # some program decided something by the value
        self._pending: Any = None  # the initializer of a variable without a value
        self._waits = False  # its value comes as soon as it is asked for
        if isinstance(initializer, str | dict):
            initializer = registry.lookup_callable(
                initializer, "initializers", kind="initializer"
            )
        value = self._first_value(initializer, shape, dtype)
        self.shape: tuple[int, ...] = tuple(value.shape)
        self.dtype: str = standardize_dtype(value.dtype)
        layer = context.layer
        self.made_by: type = type(layer)  # automatic layouts go by these two
        self.equation: str | None = getattr(layer, "__dict__", {}).get("equation")
        self.like: Variable | None = None  # whose layout it shares, as slots do
        self._value = placement.place_first(self, value)
        self._home: Any = _ANYWHERE  # for which placement it lies where it has to
        # Whether somebody outside holds the array, too: so may who made it.
        self._lent = callable(initializer) and not registry.is_own(type(initializer))

    def _first_value(self, initializer: Any, shape: Any, dtype: Any) -> Any:
        ensure_device()
        # Not part of any program that may be being traced around this line.
        with jax.ensure_compile_time_eval():
            if callable(initializer):
                if shape is None:
                    raise ArgumentError(
                        f"Variable {self.path!r} has an initializer to call but no "
                        "shape; give both, or a value."
                    )
                shape = checked_shape(self.path, shape)
                dtype = standardize_dtype(dtype)
                if not current().abstract:
                    copies = copies_made(initializer)
                    ensure_room(shape, dtype, f"Weight {self.path!r}", copies)
                    if current().waiting is None:
                        return as_array(initializer(tuple(shape), dtype=dtype), dtype)
                    current().waiting.append(self)
                    self._waits = True
                self._pending = initializer
                return Spec(tuple(shape), jnp.dtype(dtype))
            if dtype is None and not hasattr(initializer, "dtype"):
                initializer = np.asarray(initializer)
                if initializer.dtype.kind == "f":
                    dtype = standardize_dtype(None)
            value = getattr(initializer, "value", initializer)
            dtype = standardize_dtype(value.dtype if dtype is None else dtype)
            dtype = jax.dtypes.canonicalize_dtype(dtype)
            return as_array(value, dtype, copy=True, name=f"Variable {self.path!r}")

    # ---- reading and writing

    def read(self) -> Any:
        """The value as it is kept, in no scope and not cast."""
        if self.abstract:
            self._draw_or_refuse()
        self._lent = True
        return self._value

    def move(self, value: jax.Array) -> None:
        """Keep the same value elsewhere."""
        self._value, self._home = value, _ANYWHERE

    def settle(self, placed: placement.Placement | None) -> Any:
        """The value, now kept where programs under a placement need it."""
        if self._home is not placed:
            self._value = placement.settle(placed, self)
            self._home = _ANYWHERE if self.abstract else placed
        return self._value

    def stay_with(self, other: Variable) -> None:
        """From now on lie on devices as a variable of the same shape does."""
        self.like = other
        self.move(placement.place_first(self, self.peek()))

    def peek(self) -> Any:
        """Like `read`, for a caller that does not keep the array past a step."""
        return self._value

    def kept_at(self) -> Any:
        """The sharding of the value."""
        return self._value.sharding

    @property
    def abstract(self) -> bool:
        """Whether it has a shape and a dtype, but no value."""
        return self._pending is not None

    @property
    def pending(self) -> Any:
        """The initializer, of an abstract variable."""
        return self._pending

    def materialize(self) -> None:
        """Run the initializer, where the variable has no value yet."""
        if self.abstract:
            with scoped(abstract=False), jax.ensure_compile_time_eval():
                value = self._pending(self.shape, dtype=self.dtype)
                self._fill(as_array(value, self.dtype))
            self.shape = tuple(self._value.shape)

    def _draw_or_refuse(self) -> None:
        if not self._waits:
            refuse([self])
        self.materialize()

    @property
    def value(self) -> Any:
        """The value: of the state scope in force, in the compute dtype in force."""
        context = current()
        value = None
        if context.state is not None:
            value = context.state.look(self)
            if value is None:
                value = context.state.missing(self)
            if type(value) is Spec:
                if self._waits and not context.state.shapes_only:
                    self.materialize()
                    value = self._value
                else:
                    value = stand_in(self, value, context.state)
        if value is None:
            value = self.read()
        if context.autocast and self.autocast and is_float(self.dtype):
            value = value.astype(context.autocast)
        if context.placement is not None and context.layer is not None:
            value = context.placement.used(self, value)
        return value

    def assign(self, value: Any) -> Any:
        """Replace the value; returns it.

        Raises:
            ShapeError: when the shape differs from the variable's.
        """
        state = current().state
        value = getattr(value, "value", value)
        if state is None:
            value = as_array(value, self.dtype, name=f"Variable {self.path!r}")
        else:
            value = jnp.asarray(value, self.dtype)
        if value.shape != self.shape:
            raise ShapeError(
                f"Variable {self.path!r} got a value of shape {value.shape}; "
                f"expected {self.shape}: a variable keeps its shape."
            )
        if state is not None:
            state.write(self, value)
            return value
        if is_tracer(value):
            raise ArgumentError(
                f"Variable {self.path!r} is assigned a value inside a function that "
                "JAX traces (jax.jit, grad, vmap, scan, …), where the value would be "
                "lost. Use layer.stateless_call, carnyx.pure or keras.StatelessScope, "
                "which give new values back."
            )
        if self.baked:  # a program took the value itself
            self.baked = False
            _reads.move()
        if self.abstract:
            self._fill(value)
            self._lent = True  # the caller may hold the array
            return value
        value = placement.place_again(self, value)
        self._value, self._lent = value, True  # the caller may hold the array
        return value

    def _fill(self, value: Any) -> None:
        """The first value of an abstract variable."""
        self._pending, self._waits = None, False
        self.move(placement.place_first(self, value))

    def assign_add(self, value: object) -> Any:
        """Add to the value; returns the sum."""
        return self.assign(self.value + jnp.asarray(getattr(value, "value", value)))

    def assign_sub(self, value: object) -> Any:
        """Subtract from the value; returns the difference."""
        return self.assign(self.value - jnp.asarray(getattr(value, "value", value)))

    def numpy(self) -> np.ndarray:
        """A copy as a NumPy array."""
        state = current().state
        kept = None if state is None else state.look(self)
        if state is not None and state.trace is not None:
            if kept is None:
                state.trace.meet(self)
            own = state.trace.number(self)
            kept = kept if own is None else own
        if kept is None and self.abstract:
            self._draw_or_refuse()
        return np.array(global_arrays.on_host(self.peek() if kept is None else kept))

    def _number(self) -> Any:
        """The value, for Python to decide by; see `Trace.number`."""
        value, state = self.value, current().state
        if state is not None and state.trace is not None:
            own = state.trace.number(self)
            value = value if own is None else own
        return value

    @property
    def trainable(self) -> bool:
        """Whether training may change it; in a step, whether it might at `compile`."""
        frozen = current().frozen
        return self._trainable if frozen is None else frozen.of(self)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        structure.touch()

    @property
    def regularizer(self) -> Any:
        """A loss on the value, or None."""
        return self._regularizer

    @regularizer.setter
    def regularizer(self, value: object) -> None:
        self._regularizer = callable_or_none(self, "regularizer", value)

    @property
    def constraint(self) -> Any:
        """What the value goes through after each update, or None."""
        return self._constraint

    @constraint.setter
    def constraint(self, value: object) -> None:
        self._constraint = callable_or_none(self, "constraint", value)

    @property
    def overwrite_with_gradient(self) -> bool:
        """Whether its gradient is its new value, as of float8 scales."""
        return self._overwrite_with_gradient

    @overwrite_with_gradient.setter
    def overwrite_with_gradient(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise DTypeError(
                f"Variable {self.path!r} got overwrite_with_gradient={value!r}; "
                "expected True or False."
            )
        self._overwrite_with_gradient = value

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}>"

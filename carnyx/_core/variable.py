"""`Variable`: a named value that can change, and the stores that hold many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from carnyx import _reads, registry
from carnyx._core import global_arrays, placement, structure
from carnyx._core.abstract import Spec, refuse, stand_in
from carnyx._core.devices import ensure_device
from carnyx._core.memory import ensure_room
from carnyx._core.naming import auto_name, current_path
from carnyx._core.operators import Operators
from carnyx._core.scope import current, is_tracer, note_birth, scoped
from carnyx._numbers import REFUSED, as_integer, check_narrow
from carnyx.dtype_policies import is_float, standardize_dtype
from carnyx.errors import ArgumentError, DTypeError, ShapeError
from carnyx.typing import DTypeLike


class Store:
    """The values of many variables as one list, as a training step takes and gives it.

    A variable that is adopted reads and writes its place in the list, so that the
    newest state is visible without copying. An array that someone outside read is
    lent: before a program that donates its inputs runs, lent arrays are replaced by
    copies, so that what a user holds stays valid.

    Args:
        placed: where the program needs the values; None is one device.
    """

    __slots__ = ("_empty", "_lent", "placed", "stale", "values", "variables")

    def __init__(
        self, variables: Sequence[Variable], placed: placement.Placement | None = None
    ) -> None:
        self.variables, self.placed = list(variables), placed
        self.values: list[Any] = []
        self._lent: set[int] = set()
        self.stale = True
        self.adopt()

    def adopt(self) -> None:
        """Take every variable home; another store that had one becomes stale."""
        flat = [placement.settle(self.placed, v) for v in self.variables]
        self._lent = {i for i, v in enumerate(self.variables) if v.is_lent()}
        self.keep(flat)
        for index, variable in enumerate(self.variables):
            if variable.store is not None and variable.store is not self:
                variable.store.stale = True
            variable.store, variable.place = self, index
        self._empty = [v for v in self.variables if v.abstract]
        self.stale = False

    def settled(self) -> list[Any]:
        """The values where the program needs them, to look at; specs where abstract."""
        if self.stale:
            self.adopt()
        return self.values

    def ready(self) -> list[Any]:
        """The values, safe to donate."""
        if self.stale:
            self.adopt()
        if self._empty:
            refuse(self._empty)
        if self._lent:
            for index in self._lent:
                value = self.peek(index)
                copy = global_arrays.copied(value)
                self.put(index, copy)  # jnp.copy would compile once a shape
            self._lent = set()
        return self.values

    def take(self, values: list[Any]) -> None:
        """What a program gave back."""
        self.values = values

    def lend(self, index: int) -> Any:
        self._lent.add(index)
        return self.peek(index)

    def has_lent(self, index: int) -> bool:
        return index in self._lent

    # ---- one value for each variable, or fewer (see `_core/packing.py`)

    def keep(self, flat: list[Any]) -> None:
        """The values, one for each variable."""
        self.values = flat

    def peek(self, index: int) -> Any:
        """The value of one variable."""
        return self.values[index]

    def sharding(self, index: int) -> Any:
        """Where the value of one variable lies."""
        return self.values[index].sharding

    def put(self, index: int, value: jax.Array) -> None:
        """Another value for one variable."""
        self.values[index] = value

    def opened(self, values: Sequence[Any]) -> list[Any]:
        """Inside a program: from its arrays, one value for each variable."""
        return list(values)

    def closed(self, flat: Sequence[Any]) -> list[Any]:
        """Inside a program: its arrays again."""
        return list(flat)

    def shardings(self) -> list[Any]:
        """Where each of `values` lies, under a placement."""
        assert self.placed is not None
        return [self.placed.sharding_of(v) for v in self.variables]


class Variable(Operators):
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
        note_birth(self)
        self.name = name = _checked_name(name or auto_name(type(self).__name__))
        self.path = "/".join(p for p in (current_path(), name) if p)
        self.autocast, self.layout = bool(autocast), layout
        self.aggregation = _one_of("aggregation", aggregation, _AGGREGATIONS)
        self.synchronization = _one_of(
            "synchronization", synchronization, _SYNCHRONIZATIONS
        )
        self._trainable = self.born_trainable = bool(trainable)
        self._regularizer: Any = None
        self._constraint: Any = None
        self._overwrite_with_gradient = False
        self.place = 0
        self.baked = False  # some program decided something by the value
        self._pending: Any = None  # the initializer of an abstract variable
        if isinstance(initializer, str | dict):
            initializer = registry.lookup_callable(
                initializer, "initializers", kind="initializer"
            )
        value = self._first_value(initializer, shape, dtype)
        self.shape: tuple[int, ...] = tuple(value.shape)
        self.dtype: str = standardize_dtype(value.dtype)
        layer = current().layer
        self.made_by: type = type(layer)  # automatic layouts go by these two
        self.equation: str | None = getattr(layer, "__dict__", {}).get("equation")
        self.like: Variable | None = None  # whose layout it shares, as slots do
        self.store: Store | None = None
        self._value = placement.place_first(self, value)
        self._lent = False  # somebody outside holds the array, too

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
                shape = _checked_shape(self.path, shape)
                dtype = standardize_dtype(dtype)
                if current().abstract:
                    self._pending = initializer
                    return Spec(tuple(shape), jnp.dtype(dtype))
                copies = getattr(initializer, "copies_made", 2)
                ensure_room(shape, dtype, f"Weight {self.path!r}", copies)
                return as_array(initializer(tuple(shape), dtype=dtype), dtype)
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
            refuse([self])
        if self.store is not None:
            return self.store.lend(self.place)
        self._lent = True
        return self._value

    def is_lent(self) -> bool:
        """Whether somebody may hold the very array, so that it must not be donated."""
        if self.store is None:
            return self._lent
        return self.store.has_lent(self.place)

    def move(self, value: jax.Array) -> None:
        """Keep the same value elsewhere."""
        if self.store is None:
            self._value = value
        else:
            self.store.put(self.place, value)
            self.store.stale = True

    def stay_with(self, other: Variable) -> None:
        """From now on lie on devices as a variable of the same shape does."""
        self.like = other
        self.move(placement.place_first(self, self.peek()))

    def peek(self) -> Any:
        """Like `read`, for a caller that does not keep the array past a step."""
        return self._value if self.store is None else self.store.peek(self.place)

    def kept_at(self) -> Any:
        """The sharding of the value."""
        if self.store is None:
            return self._value.sharding
        return self.store.sharding(self.place)

    @property
    def abstract(self) -> bool:
        """Whether it has a shape and a dtype, but no value."""
        return self._pending is not None

    def materialize(self) -> None:
        """Run the initializer, where the variable has no value yet."""
        if self.abstract:
            with scoped(abstract=False), jax.ensure_compile_time_eval():
                self.assign(self._pending(self.shape, dtype=self.dtype))

    @property
    def value(self) -> Any:
        """The value: of the state scope in force, in the compute dtype in force."""
        context = current()
        value = None
        if context.state is not None:
            value = context.state.look(id(self))
            if value is None:
                value = context.state.missing(self)
            if type(value) is Spec:
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
            return value
        value = placement.place_again(self, value)
        if self.store is None:
            self._value, self._lent = value, True
        else:
            self.store.put(self.place, value)
            self.store.lend(self.place)  # the caller may hold the array
        return value

    def _fill(self, value: Any) -> None:
        """The first value of an abstract variable."""
        self._lent, self._pending = True, None
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
        kept = None if state is None else state.look(id(self))
        if state is not None and state.trace is not None:
            if kept is None:
                state.trace.meet(self)
            own = state.trace.number(self)
            kept = kept if own is None else own
        if kept is None and self.abstract:
            refuse([self])
        return np.array(global_arrays.on_host(self.peek() if kept is None else kept))

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
        self._regularizer = _callable_or_none(self, "regularizer", value)

    @property
    def constraint(self) -> Any:
        """What the value goes through after each update, or None."""
        return self._constraint

    @constraint.setter
    def constraint(self, value: object) -> None:
        self._constraint = _callable_or_none(self, "constraint", value)

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

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """The bytes of the value."""
        return self.size * jnp.dtype(self.dtype).itemsize

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}>"

    # ---- as an array

    def __jax_array__(self) -> Any:
        return self.value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        return array if dtype is None else array.astype(dtype)

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Any:
        return iter(self.value)

    def _number(self) -> Any:
        """The value, for Python to decide by; see `Trace.number`."""
        value, state = self.value, current().state
        if state is not None and state.trace is not None:
            own = state.trace.number(self)
            value = value if own is None else own
        return value

    def __float__(self) -> float:
        return float(self._number())

    def __int__(self) -> int:
        return int(self._number())

    def __bool__(self) -> bool:
        return bool(self._number())

    def __index__(self) -> int:
        return self._number().__index__()

    def __getattr__(self, name: str) -> Any:
        # The methods of an array: sum, reshape, T, at, astype, …
        if name.startswith("_") or "_value" not in self.__dict__:
            raise AttributeError(name)
        if self.abstract and not hasattr(jax.Array, name):
            raise AttributeError(name)
        return getattr(self.value, name)


_AGGREGATIONS = "none", "mean", "sum", "only_first_replica"
_SYNCHRONIZATIONS = "none", "on_read", "on_write", "auto"


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or "/" in name:
        raise ArgumentError(
            f"A Variable got name={name!r}; expected text without a '/', which joins "
            "paths."
        )
    return name


def _one_of(what: str, value: Any, allowed: tuple[str, ...]) -> str:
    """A choice of Keras's; None is `"none"`."""
    value = "none" if value is None else value
    if value not in allowed:
        raise ArgumentError(
            f"A Variable got {what}={value!r}; expected one of "
            f"{', '.join(map(repr, allowed))}."
        )
    return value


def _checked_shape(path: str, shape: Any) -> tuple[int, ...]:
    sizes = [as_integer(n) for n in (shape if np.iterable(shape) else (shape,))]
    if any(n is REFUSED or n < 0 for n in sizes):
        raise ArgumentError(
            f"Variable {path!r} got shape={shape!r}; expected a size for each axis, "
            "all of them known, none below 0."
        )
    return tuple(sizes)


def _callable_or_none(variable: Variable, what: str, value: Any) -> Any:
    if value is not None and not callable(value):
        raise ArgumentError(
            f"Variable {variable.path!r} got {what}={value!r}; expected a function, an "
            f"object of carnyx.{what}s, or None."
        )
    return value


def as_array(
    value: object, dtype: DTypeLike, copy: bool = False, name: str = "A variable"
) -> Any:
    """A JAX array of that dtype; host data is moved without compiling a program."""
    if isinstance(value, jax.Array) or hasattr(value, "__jax_array__"):
        return jnp.array(value, dtype) if copy else jnp.asarray(value, dtype)
    value, dtype = np.asarray(value), jnp.dtype(dtype)
    if dtype.kind in "iu":
        check_narrow(value, name)
    # a copy of our own: the move is asynchronous, and the caller may write to `value`
    return jax.device_put(np.array(value, dtype), may_alias=False)

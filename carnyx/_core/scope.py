"""One context for everything that a call carries, and the door to pure functions.

A layer's variables, its training mode, the losses it adds, the dtype it computes in:
all are looked up in the context in force (a `ContextVar`, so right under threads).
`pure` makes a stateful callable a pure one by swapping the variables' values there
while it is traced; training steps, prediction, gradients, export and distribution all
go through it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from carnyx.errors import ArgumentError

if TYPE_CHECKING:
    from carnyx._core.variable import Variable


class State:
    """Values that stand in for variables while a function runs.

    Of variables that it was not given, a state inside another has the other's values.

    Args:
        values: pairs of variable and value.
        closed: True to refuse assignments to any other variable: from inside a traced
            function they would be lost, or leak a tracer.
    """

    def __init__(
        self, values: Iterable[tuple[Variable, Any]] = (), closed: bool = True
    ) -> None:
        self.values: dict[int, Any] = {}
        self.variables: dict[int, Variable] = {}  # keeps them alive: ids are keys
        self.losses: list[tuple[Any, Any]] = []  # (layer, value)
        self.penalties: dict[int, Any] = {}  # of regularizers, where computed already
        self.closed = closed
        self.outer = current().state
        # nothing is computed: abstract variables may be read
        self.shapes_only: bool = self.outer is not None and self.outer.shapes_only
        for variable, value in values:
            self.values[id(variable)] = value
            self.variables[id(variable)] = variable

    @classmethod
    def to_read(cls, variables: Iterable[Variable], values: Iterable[Any]) -> State:
        """What a step starts from: code within may read it, and assigns nothing."""
        state = cls()
        state.values |= {
            id(variable): value for variable, value in zip(variables, values)
        }
        return state

    def look(self, key: int) -> Any:
        """The value of the variable with that id here, or further out, or None."""
        value = self.values.get(key)
        if value is None and self.outer is not None:
            value = self.outer.look(key)
        return value

    def write(self, variable: Variable, value: Any) -> None:
        if self.closed and id(variable) not in self.variables:
            raise ArgumentError(
                f"Variable {variable.path!r} is assigned in a function that is being "
                "compiled and was not given it: the value would be lost. Keep it as an "
                "attribute of the layer, metric or model that assigns it, made in its "
                "__init__ or build; a function of your own gets it by `variables`."
            )
        self.variables[id(variable)] = variable
        self.values[id(variable)] = value


class Context(NamedTuple):
    """What a call carries."""

    state: State | None = None
    training: bool | None = None
    autocast: str | None = None  # compute dtype of float variables
    fast_gradients: bool = False  # reverse-mode-only gradient rules are allowed
    placement: Any = None  # how the program being traced lies on devices
    platform: str | None = None  # for which to trace, where it is not the one there
    abstract: bool = False  # variables are made without values
    device: Any = None  # tag for nodes made inside a device scope
    path: tuple[str, ...] = ()  # names of the scopes around
    layer: Any = None  # the innermost layer being called or built
    watch: Any = None  # is told of every operation and layer called: see checks


_context: ContextVar[Context] = ContextVar("carnyx", default=Context())  # noqa: B039

current = _context.get


@contextlib.contextmanager
def scoped(**changes: Any) -> Iterator[Context]:
    """Change parts of the context inside a `with`."""
    changed = _context.get()._replace(**changes)
    token = _context.set(changed)
    try:
        yield changed
    finally:
        _context.reset(token)


def fast_gradients() -> bool:
    """True inside a training step's program, where only reverse mode is taken."""
    return current().fast_gradients


def platform() -> str:
    """For which devices the program being traced is: `"cpu"`, `"gpu"`, `"tpu"`."""
    return current().platform or jax.default_backend()


def distributed() -> bool:
    """True inside a program that runs on several devices.

    Cutting or merging an axis that is split would move values between them.
    """
    placement = current().placement
    return placement is not None and placement.scattered


def pure(
    fn: Callable[..., Any], variables: Sequence[Variable]
) -> Callable[..., tuple[Any, list[Any]]]:
    """`fn`, which reads and assigns `variables`, as a pure function.

    The result takes the variables' values first and returns their new values last:
    `pure(fn, variables)(values, *args) -> (fn(*args), new_values)`. It can be given to
    `jax.jit`, `jax.grad`, `jax.vmap`, …; the variables themselves stay untouched.

    Raises:
        ArgumentError: when `fn` assigns a variable that is not among `variables`.

    >>> import jax, carnyx
    >>> count = carnyx.Variable(0.0)
    >>> step = jax.jit(carnyx.pure(lambda x: count.assign_add(x), [count]))
    >>> _, (new,) = step([count.value], 2.0)
    >>> float(new), float(count.value)
    (2.0, 0.0)
    """
    variables = list(variables)

    def pured(values: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        state = State(zip(variables, values, strict=True))
        with scoped(state=state):
            out = fn(*args, **kwargs)
        return out, [state.values[id(v)] for v in variables]

    return pured


class StatelessScope:
    """Within it, variables have the values given, and assignments stay inside.

    As `keras.StatelessScope`: `state_mapping` has pairs of variable and value;
    `get_current_value(variable)` gives what was assigned.
    """

    def __init__(
        self,
        state_mapping: Iterable[tuple[Variable, Any]] | None = None,
        collect_losses: bool = False,
        initialize_variables: bool = True,
    ) -> None:
        self.state = State(state_mapping or (), closed=False)
        self.collect_losses = collect_losses
        self.initialize_variables = initialize_variables

    @property
    def losses(self) -> list[Any]:
        """What layers added with `add_loss` inside the scope."""
        return [v for _, v in self.state.losses] if self.collect_losses else []

    def get_current_value(self, variable: Variable) -> Any:
        """The value in the scope, or None."""
        return self.state.values.get(id(variable))

    def add_update(self, update: tuple[Variable, Any]) -> None:
        """Record a pair of variable and new value."""
        self.state.write(*update)

    def add_loss(self, loss: Any) -> None:
        """Record a loss."""
        self.state.losses.append((None, loss))

    def __enter__(self) -> StatelessScope:
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(scoped(state=self.state))
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()


def in_program() -> bool:
    """Whether a program is being traced: then what JAX makes has no value."""
    return is_tracer(jnp.zeros(()))


def is_tracer(x: Any) -> bool:
    """True for a value that is being traced by JAX."""
    return isinstance(x, Tracer)

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
    from carnyx._core.positions import Position
    from carnyx._core.traces import Trace
    from carnyx._core.variable import Variable
    from carnyx._core.watch import Watch


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
        self.values: dict[Variable, Any] = {}
        self.writable: set[Variable] = set()  # for whoever made the state
        self.losses: list[tuple[Any, Any]] = []  # (layer, value)
        self.penalties: dict[Variable, Any] = {}  # of regularizers, if known already
        self.closed = closed
        self.outer = current().state
        # nothing is computed: abstract variables may be read
        self.shapes_only: bool = self.outer is not None and self.outer.shapes_only
        self.trace: Trace | None = None if self.outer is None else self.outer.trace
        self.first_trace = False  # of shapes: an error says whether to try other sizes
        self.values.update(values)
        self.writable.update(self.values)

    @classmethod
    def to_read(cls, variables: Iterable[Variable], values: Iterable[Any]) -> State:
        """What a step starts from: code within may read it, and assigns nothing."""
        state = cls()
        state.values.update(zip(variables, values))
        return state

    @classmethod
    def of_program(
        cls, trace: Trace, held: Sequence[Variable], values: Sequence[Any]
    ) -> State:
        """The outermost state of a program: variables that it was given are read (and
        assigned by functions inside), captured ones are read and assigned."""
        state = cls(zip(trace.captured, trace.values, strict=True))
        state.values.update(zip(held, values, strict=True))
        state.trace, state.shapes_only = trace, False
        return state

    def missing(self, variable: Variable) -> Any:
        """The value of a variable that no state has, or None: its own."""
        if self.shapes_only:  # nobody keeps the array
            return variable.peek()
        return None if self.trace is None else self.trace.meet(variable)

    def gives(self, variable: Variable) -> bool:
        """Whether code here may assign the variable, for whoever made the state."""
        state = self
        while state is not None and state.closed:
            if variable in state.writable:
                trace = state.trace
                return trace is None or variable not in trace.places
            state = state.outer
        return state is not None

    def look(self, variable: Variable) -> Any:
        """The value of a variable here, or further out, or None."""
        value = self.values.get(variable)
        if value is None and self.outer is not None:
            value = self.outer.look(variable)
        return value

    def write(self, variable: Variable, value: object) -> None:
        state = self
        while state.closed and variable not in state.writable:
            if state.outer is None or variable in state.values:
                state = self._met(variable)
                break
            state = state.outer
        state.writable.add(variable)
        state.values[variable] = value

    def _met(self, variable: Variable) -> State:
        """Where to keep what is assigned to a variable that no state gives."""
        known = self.look(variable) is not None
        if self.trace is None or known:
            raise ArgumentError(
                f"Variable {variable.path!r} is assigned in a function that is being "
                "compiled and was not given it: the value would be lost. Keep it as an "
                "attribute of the layer, metric or model that assigns it, made in its "
                "__init__ or build; a function of your own gets it by `variables`."
            )
        self.trace.note(variable)
        return self


class Context(NamedTuple):
    """What a call carries."""

    state: State | None = None
    training: bool | None = None
    autocast: str | None = None  # compute dtype of float variables
    fast_gradients: bool = False  # reverse-mode-only gradient rules are allowed
    placement: Any = None  # how the program being traced lies on devices
    platform: str | None = None  # for which to trace, where it is not the one there
    abstract: bool = False  # variables are made without values
    waiting: Any = None  # list of variables whose first values are drawn together
    device: Any = None  # tag for nodes made inside a device scope
    frozen: Any = None  # what is trainable as of `compile`
    path: tuple[str, ...] = ()  # names of the scopes around
    caller: Any = None  # whose scope the innermost of them is
    layer: Any = None  # the innermost layer being called or built
    born: Any = None  # list of layers, variables and generators made in it
    remat: Any = None  # what layers made here compute again in the backward pass
    watch: Watch | None = None  # is told of every operation and layer called
    position: Position | None = None  # of the element of a feed that is being made


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


def note_birth(new: Any) -> None:
    """Say that a layer, variable or seed generator is being made."""
    context = _context.get()
    if context.born is not None:
        context.born.append(new)


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
        return out, [state.values[v] for v in variables]

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
        pairs = [_checked_pair(pair) for pair in state_mapping or ()]
        self.state = State(pairs, closed=False)
        self.collect_losses = collect_losses
        self.initialize_variables = initialize_variables

    @property
    def losses(self) -> list[Any]:
        """What layers added with `add_loss` inside the scope."""
        return [v for _, v in self.state.losses] if self.collect_losses else []

    def get_current_value(self, variable: Variable) -> Any:
        """The value in the scope, or None."""
        return self.state.values.get(variable)

    def add_update(self, update: tuple[Variable, Any]) -> None:
        """Record a pair of variable and new value."""
        self.state.write(*update)

    def add_loss(self, loss: object) -> None:
        """Record a loss."""
        self.state.losses.append((None, loss))

    def __enter__(self) -> StatelessScope:
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(scoped(state=self.state))
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()


class SymbolicScope:
    """Within it code runs for the shapes of what it gives, as where a graph is made.

    Abstract variables may be read, and what is assigned stays inside.

    >>> with SymbolicScope():
    ...     in_symbolic_scope()
    True
    """

    def __enter__(self) -> SymbolicScope:
        state = State(closed=False)
        state.shapes_only = True
        self._scope = scoped(state=state)
        self._scope.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._scope.__exit__(*error)


def in_symbolic_scope() -> bool:
    """Whether code runs for the shapes of what it gives alone."""
    state = current().state
    return state is not None and state.shapes_only


def _checked_pair(pair: Any) -> tuple[Variable, Any]:
    """A pair of a variable and a value that it could have."""
    variable, value = pair if isinstance(pair, tuple | list) else (pair, None)
    if not hasattr(variable, "assign") or not hasattr(variable, "path"):
        raise ArgumentError(
            f"StatelessScope got {pair!r} in state_mapping; expected pairs of a "
            "Variable and its value."
        )
    value = jnp.asarray(getattr(value, "value", value), variable.dtype)
    if value.shape != variable.shape:
        raise ArgumentError(
            f"StatelessScope got a value of shape {value.shape} for variable "
            f"{variable.path!r}; expected {variable.shape}."
        )
    return variable, value


def in_program() -> bool:
    """Whether a program is being traced: then what JAX makes has no value."""
    return is_tracer(jnp.zeros(()))


def is_tracer(x: object) -> bool:
    """True for a value that is being traced by JAX."""
    return isinstance(x, Tracer)

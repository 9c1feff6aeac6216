"""What the trace of a program meets that the program was not given.

A loss closes over a variable that no model holds, a layer draws random numbers without
a seed, a callback changes `dropout.rate`: a trace that took the values it met would
keep them for ever. So a program is traced with a `Trace` in its state. Variables that
it meets for the first time end the trace, and it is made again with them among the
program's inputs; what it assigns to them is among the outputs. What it reads from
attributes is remembered by `Reads`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from carnyx import _reads
from carnyx._core.placement import Placement, peek_settled
from carnyx._core.scope import State, current, scoped
from carnyx._reads import Reads
from carnyx.errors import ArgumentError

if TYPE_CHECKING:
    from carnyx._core.variable import Variable

T = TypeVar("T")
_BIRTHS = 2
_FORMS = 8  # of a program, kept for attributes that go to and fro


class Met(BaseException):
    """The end of a trace that met variables which the program was not given.

    No `Exception`: what wraps errors on their way out has nothing to do with it.
    """

    def __init__(self, variables: Sequence[Variable]) -> None:
        super().__init__("A program is traced again, with more inputs.")
        self.variables = list(variables)


class Trace:
    """The part of a state that belongs to one trace of a program.

    Args:
        captured: variables that nobody gave the program, met by an earlier trace.
        values: what stands in for them.
        baked: values that a trace turned into numbers of Python.
        reads: whether what is read has to be known, or only what is assigned.
        anew: variables are made at every trace: there is no end in waiting for them.

    Attributes:
        born: variables that are made in this trace.
    """

    def __init__(
        self,
        captured: Sequence[Variable],
        values: Sequence[Any],
        baked: dict[Variable, Any],
        reads: bool,
        anew: bool,
    ) -> None:
        self.captured, self.values = list(captured), list(values)
        self.places = {v: i for i, v in enumerate(captured)}
        self.baked, self.reads, self.anew = baked, reads, anew
        self.born: set[Variable] = set()
        self.met: dict[Variable, None] = {}  # in order
        self._draws: dict[Variable, int] = {}
        self._probes: list[tuple[Any, str]] = []

    def meet(self, variable: Variable) -> Any:
        """The value of a variable that no state has, now that the trace reads it."""
        if self.reads and not variable.abstract:
            self.note(variable)
        return variable.peek() if self.reads else None

    def note(self, variable: Variable) -> None:
        """Have a variable among the inputs of the next trace; one that is made at
        every trace is a constant of each."""
        if not (self.anew and variable in self.born):
            self.met[variable] = None

    def number(self, variable: Variable) -> Any:
        """A captured variable's own value, for Python to decide by; or None.

        Whoever assigns it afterwards has the program traced anew.
        """
        if variable not in self.places and variable not in self.met:
            return None
        self.met.pop(variable, None)
        value = self.baked[variable] = variable.peek()
        variable.baked = True
        return value

    def draw(self, variable: Variable, state: State) -> Any:
        """The next state of a seed generator that is nobody's.

        The number of draws is known while tracing, so nothing is assigned inside a
        gradient; afterwards the generator is as many numbers further.
        """
        base = state.look(variable)
        if base is None:
            self.note(variable)
            base = variable.peek()
        count = self._draws.get(variable, 0)
        self._draws[variable] = count + 1
        probe = lax.optimization_barrier(jnp.zeros(()))
        self._probes.append((probe, "/".join(current().path)))
        return base + jnp.array([0, count], "uint32")

    def changed(self, state: State, doubts: list[str]) -> dict[int, Any]:
        """New values of captured variables, by their place, at the trace's end; and
        what may be wrong with the trace, should JAX refuse it."""
        for probe, path in self._probes:
            doubts.append(_draws_repeat(path))
            lax.optimization_barrier(probe)  # of a loop, it cannot be used here
        found: dict[int, Any] = {}
        for place, variable in enumerate(self.captured):
            value, old = state.values[variable], self.values[place]
            count = self._draws.get(variable, 0)
            if count:
                value = value + jnp.array([0, count], "uint32")
            if value is not old:
                doubts.append(_assigned_inside(variable))
                found[place] = value
        return found


def _draws_repeat(path: str) -> str:
    where = f" in {path}" if path else ""
    return (
        f"A random number is drawn without a seed{where}, inside a loop or a compiled "
        "function (jax.lax.scan, jax.jit, jax.checkpoint, …): every turn would give "
        "the same numbers. Pass seed=self.seed_generator, made in the layer's "
        "__init__ with keras.random.SeedGenerator(), or draw outside of it."
    )


def _assigned_inside(variable: Variable) -> str:
    return (
        f"Variable {variable.path!r} is assigned inside a gradient or a loop of the "
        "step, and neither the model nor one of its layers has it, so its new value "
        "cannot leave. Keep it in an attribute of the model or layer (self.x = "
        "Variable(…)), or take gradients with self.value_and_grad."
    )


class Traces:
    """What the traces of one program met, as inputs of the next call.

    Args:
        compiled: False where nothing is kept of a call: then only what it assigns has
            to be known beforehand.
    """

    def __init__(self, compiled: bool = True) -> None:
        self.compiled = compiled
        self.captured: list[Variable] = []
        self.reads = Reads()
        self._baked: dict[Variable, Any] = {}
        self._doubts: list[str] = []
        self._births = 0  # traces one after the other that met what they had made

    def run(
        self,
        fn: Callable[[], T],
        held: Sequence[Variable],
        values: Sequence[Any],
        captured: Sequence[Any],
    ) -> tuple[T, dict[int, Any]]:
        """`fn()` in a program: its result, and new values of captured variables."""
        known = self.captured[: len(captured)]
        anew = self._births >= _BIRTHS
        trace = Trace(known, captured, self._baked, self.compiled, anew)
        state = State.of_program(trace, held, values)
        with scoped(state=state):
            try:
                if self.compiled:
                    with self.reads.recorded():
                        out = fn()
                else:
                    out = fn()
            except Exception:
                if trace.met.keys() - trace.born:
                    # it may come from a value that is no input yet
                    raise self._ended(trace) from None
                raise
            if trace.met:
                raise self._ended(trace)
            self._births = self._births if anew else 0
            self._doubts = []
            return out, trace.changed(state, self._doubts)

    def _ended(self, trace: Trace) -> Met:
        """What ends a trace; a variable that it made may stay, or be made anew."""
        self._births += any(v in trace.born for v in trace.met)
        return Met(list(trace.met))

    def until_known(self, call: Callable[[], T]) -> T:
        """Call, and again as long as traces meet more variables."""
        while True:
            try:
                return call()
            except Met as met:
                self.add(met)
            except jax.errors.UnexpectedTracerError as error:
                self.explain(error)
                raise

    def explain(self, error: Exception) -> None:
        """Say what is the matter where JAX says that a value left its trace."""
        if self._doubts:
            raise ArgumentError(self._doubts[0]) from error

    def add(self, met: Met) -> None:
        """Have the variables that ended a trace among the inputs of the next."""
        self.captured = list(dict.fromkeys([*self.captured, *met.variables]))

    def values(self, placement: Placement | None = None) -> list[Any]:
        """The captured variables' values now."""
        return peek_settled(placement, self.captured) if self.captured else []

    def keep(self, changed: dict[int, Any]) -> None:
        """Assign what a program gave back."""
        for place, value in changed.items():
            self.captured[place].assign(value)

    def hold(self) -> bool:
        """Whether all that traces read from attributes still is what it was."""
        same = all(v.peek() is value for v, value in self._baked.items())
        return same and self.reads.hold()


class Variants:
    """The forms of a program for the attributes that its traces read.

    Args:
        make: a form, which has `traces`.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self.all: list[Any] = [make()]
        self._now, self._version = self.all[0], _reads.version()

    def now(self) -> Any:
        """The form for attributes as they are; one that was used before, if it fits."""
        if self._version != _reads.version():
            self._version = _reads.version()
            fits = (form for form in reversed(self.all) if form.traces.hold())
            self._now = next(fits, None)
            if self._now is None:
                self._now = self._make()
                self.all = [*self.all[1 - _FORMS :], self._now]
        return self._now


def carrying(fn: Callable[..., tuple[Any, Any]]) -> Callable[..., tuple[Any, Any]]:
    """`fn(...) -> (value, aux)`, to be differentiated inside a program's trace.

    What it assigns to captured variables leaves the gradient with `aux`; call
    `assign_carried` on that afterwards.
    """
    state = current().state
    trace = None if state is None else state.trace
    captured = [] if trace is None else trace.captured

    def carried(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        assert state is not None or not captured
        values = [state.look(v) for v in captured] if state else []
        inner = State(zip(captured, values, strict=True))
        with scoped(state=inner if captured else state):
            value, aux = fn(*args, **kwargs)
        pairs = zip(captured, values, strict=True)
        new = {i: inner.values[v] for i, (v, _) in enumerate(pairs)}
        return value, (aux, {i: v for i, v in new.items() if v is not values[i]})

    return carried


def assign_carried(aux: tuple[Any, dict[int, Any]]) -> Any:
    """The `aux` of the function that `carrying` was given."""
    state = current().state
    trace = None if state is None else state.trace
    for place, value in aux[1].items():
        assert trace is not None
        trace.captured[place].assign(value)
    return aux[0]

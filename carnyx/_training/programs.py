"""How a step runs: compiled alone, many in one program, or not compiled at all.

Whether steps are fused is decided from the traced step, never from a clock: the fused
program computes a step in the same way whatever its number of steps, so results do
not depend on how a run was cut into chunks, and a resumed run repeats them exactly.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from carnyx import tree
from carnyx._core.compilations import compilations
from carnyx._core.scope import scoped
from carnyx._core.traces import Met, Traces, Variants
from carnyx._core.variable import Variable
from carnyx._costs.flops import inner_programs, work_of
from carnyx._training.protocols import Batch
from carnyx._training.state import HeldState

Step = Callable[[Any, Any], tuple[dict[str, Any], Any]]

# Steps of more arithmetic than this take over a millisecond: dispatch hardly matters.
FUSE_BELOW_FLOPS = {"cpu": 2e7}
_FUSE_BELOW_FLOPS_ELSEWHERE = 2e9
MOST_STEPS = 256
_CHUNK_FLOPS = {"cpu": 1.5e9}  # about 50 ms, so that the bar moves
_CHUNK_FLOPS_ELSEWHERE = 2e11


class StepProgram:
    """A step, compiled; `(values, batch) -> (logs, values)` on a held state.

    Variables that the step reads and nobody gave it are inputs, too (see
    `_core/traces.py`); attributes that its trace read make it be traced anew when they
    are set to something else.

    Args:
        step: `(state, batch) -> (logs, state)`, traceable.
        held: whose variables the values belong to.
        compiled: False runs the step op by op, for debugging.
    """

    def __init__(self, step: Step, held: HeldState, compiled: bool = True) -> None:
        self.step, self.held, self.compiled = step, held, compiled
        self.placement = held.placement if compiled else None
        self._places: dict[tuple[int, ...], Any] = {}
        self._variants = Variants(lambda: Functions(self))

    @property
    def now(self) -> Functions:
        """The functions for attributes as they are."""
        return self._variants.now()

    def jitted(self, fn: Callable[..., Any]) -> Any:
        """A function on the values of the store and of captured variables, compiled:
        gives logs, the store's values, and what captured ones became."""
        if not self.compiled:
            return fn
        options: dict[str, Any] = {}
        if self.placement is not None:
            places = map(self.placement.sharding_of, self.held.store.variables)
            options["out_shardings"] = None, list(places), None
        return jax.jit(fn, donate_argnums=0, **options)

    def flat(
        self, traces: Traces, values: list[Any], captured: list[Any], batch: Batch,
        places: Any = None,
    ) -> tuple[dict[str, Any], list[Any], dict[int, Any]]:  # fmt: skip
        """One step, on a value for each variable, and a batch or one of a stack."""
        placement = self.placement
        if places is not None:
            batch = jax.tree_util.tree_map(lambda x: _at(x, places[0]), batch)
        batch = batch if placement is None else placement.whole(batch)

        def step() -> tuple[dict[str, Any], list[Any]]:
            logs, state = self.step(self.held.split(values), batch)
            logs = logs if placement is None else placement.shown(logs)
            return logs, self.held.join(state)

        with scoped(fast_gradients=self.compiled, placement=placement):
            out, changed = traces.run(step, self.held.store.variables, values, captured)
        return *out, changed

    def put(self, batch: Batch, axis: int = 0) -> Any:
        """A batch (samples along `axis`) where the program wants it."""
        if self.placement is None:
            return batch
        return self.placement.place_batch(batch, axis)

    def __call__(self, batch: Batch) -> dict[str, Any]:
        """Run one step; the store has the new values afterwards."""
        return self.start(self.put(batch))

    def start(self, batches: Batch, *places: int) -> dict[str, Any]:
        """Run a step on a batch that was put where the program wants it; of a stack,
        with one place, the step on the batch there; with two, a loop over the batches
        from the first up to the second. A stack may be longer: its length is part of
        the program, places are not. Returns the logs of the last step.
        """
        now = self._variants.now()
        run = now.loop if len(places) == 2 else now.step
        return self._called(now, run, batches, self._numbers(places))

    def _called(self, now: Functions, function: Any, *args: Any) -> dict[str, Any]:
        """Run one of the functions; the variables have the new values afterwards."""
        store, traces = self.held.store, now.traces
        try:
            captured = traces.values(self.placement) if traces.captured else []
            logs, values, changed = function(store.ready(), captured, *args)
        except Met as met:
            traces.add(met)
            return self._called(now, function, *args)
        except jax.errors.UnexpectedTracerError as error:
            traces.explain(error)
            raise
        store.take(values)
        if changed:
            traces.keep(changed)
        return logs

    def is_idle(self) -> bool:
        """Whether the device has done the last step that it was given."""
        variables = self.held.store.variables
        return not variables or variables[-1].peek().is_ready()

    # ---- many steps in one program

    def steps_in_chunk(self, batch: Batch) -> int:
        """How many steps on batches like this to run in one program; 1: do not fuse."""
        if not self.compiled:
            return 1
        key, now = _shapes(batch), self.now
        if key not in now.costs:
            now.costs[key] = now.traces.until_known(
                lambda: self._fusable_cost(now.traces, batch)
            )
        cost = now.costs[key]
        if cost is None:
            return 1
        limit = _CHUNK_FLOPS.get(jax.default_backend(), _CHUNK_FLOPS_ELSEWHERE)
        most = max(2, min(MOST_STEPS, int(limit / max(cost, 1.0))))
        return 1 << (most.bit_length() - 1)

    def _fusable_cost(self, traces: Traces, batch: Any) -> float | None:
        """Floating-point operations of a step on a device, or None: run it alone."""
        platform = jax.default_backend()
        values = self.held.store.settled()
        flat = functools.partial(self.flat, traces)
        jaxpr = jax.make_jaxpr(flat)(values, traces.values(self.placement), batch)
        if platform == "cpu" and _has_convolution(jaxpr.jaxpr):
            return None  # XLA's CPU convolution inside a loop is many times slower
        flops = work_of(jaxpr.eqns).all
        flops /= 1 if self.placement is None else self.placement.shards  # a device
        limit = FUSE_BELOW_FLOPS.get(platform, _FUSE_BELOW_FLOPS_ELSEWHERE)
        return flops if flops < limit else None

    def _numbers(self, places: tuple[int, ...]) -> Any:
        """Numbers on the devices; moving them there takes as long as a short step."""
        if not places:
            return None
        if places not in self._places:
            numbers = np.array(places, np.int32)
            if self.placement is None:
                self._places[places] = jax.device_put(numbers)
            else:
                self._places[places] = jax.make_array_from_callback(
                    numbers.shape, self.placement.replicated(), lambda _: numbers
                )
        return self._places[places]

    def loop(
        self, traces: Traces, values: list[Any], captured: list[Any], batches: Batch,
        places: Any,
    ) -> Any:  # fmt: skip
        """The steps of some batches of a stack."""

        def body(index: Any, carry: Any) -> Any:
            _, values, captured = carry
            logs, values, new = self.flat(
                traces, values, captured, batches, index[None]
            )
            return logs, values, [new.get(i, v) for i, v in enumerate(captured)]

        logs, _, changed = jax.eval_shape(
            lambda: self.flat(traces, values, captured, batches, places)
        )
        empty = tree.map_structure(lambda s: jnp.zeros(s.shape, s.dtype), logs)
        carry = empty, values, captured
        logs, values, captured = lax.fori_loop(places[0], places[1], body, carry)
        return logs, values, {i: captured[i] for i in changed}

    def lower(self, batch: Batch) -> Any:
        """The step on batches like this, lowered: its text, its costs."""
        now, values = self.now, self.held.store.settled()
        batch = self.put(batch)
        return now.traces.until_known(
            lambda: now.step.lower(
                values, now.traces.values(self.placement), batch, None
            )
        )

    def captured(self) -> list[Variable]:
        """Variables that the step works with beside those it was given."""
        return self.now.traces.captured

    def meet(self, batch: Batch) -> None:
        """Find out what the step works with, from the shapes of a batch alone."""
        now, values = self.now, self.held.store.settled()
        flat = functools.partial(self.flat, now.traces)
        now.traces.until_known(
            lambda: jax.eval_shape(
                flat, values, now.traces.values(self.placement), batch
            )
        )

    def compilations(self) -> int:
        """How many programs have been compiled; for tests."""
        return sum(self.compiled_sizes().values())

    def compiled_sizes(self) -> dict[str, int]:
        """How many programs each way to run has; for tests."""
        names = ("step", "loop") if self.compiled else ()
        return {
            name: compilations(getattr(v, name) for v in self._variants.all)
            for name in names
        }


class Functions:
    """A step's jitted functions, and what their traces met."""

    def __init__(self, program: StepProgram) -> None:
        self.traces = Traces(program.compiled)
        self.step = program.jitted(functools.partial(program.flat, self.traces))
        self.loop = program.jitted(functools.partial(program.loop, self.traces))
        self.costs: dict[Any, float | None] = {}


_UNKNOWN = 8  # stands in for a size that is found out later


def sized(symbol: Any, batch_size: int) -> Any:
    """A symbolic tensor as the shape of an array; None stays None."""
    if symbol is None:
        return None
    sizes = [batch_size, *(_UNKNOWN if n is None else n for n in symbol.shape[1:])]
    return jax.ShapeDtypeStruct(
        tuple(sizes), jax.dtypes.canonicalize_dtype(symbol.dtype)
    )


def _at(stack: Any, place: Any) -> Any:
    return lax.dynamic_index_in_dim(stack, place, keepdims=False)


def _shapes(batch: Any) -> Any:
    leaves, definition = jax.tree_util.tree_flatten(batch)
    return definition, tuple((x.shape, str(x.dtype)) for x in leaves)


def _has_convolution(jaxpr: Any) -> bool:
    return any(
        e.primitive.name == "conv_general_dilated"
        or any(map(_has_convolution, inner_programs(e.params)))
        for e in jaxpr.eqns
    )

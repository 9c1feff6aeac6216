"""How a step runs: compiled alone, many in one program, or not compiled at all.

Whether steps are fused is decided from the traced step, never from a clock: the fused
program computes a step in the same way whatever its number of steps, so results do
not depend on how a run was cut into chunks, and a resumed run repeats them exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from carnyx import tree
from carnyx._core.costs import inner_programs, work_of
from carnyx._core.scope import State, scoped
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

    Args:
        step: `(state, batch) -> (logs, state)`, traceable.
        held: whose variables the values belong to.
        compiled: False runs the step op by op, for debugging.
    """

    def __init__(self, step: Step, held: HeldState, compiled: bool = True) -> None:
        self.step, self.held, self.compiled = step, held, compiled
        self.placement = held.placement if compiled else None
        self._run = self._packed(self._flat)
        self._run_many = self._packed(self._loop)
        self._run_one = self._packed(self._one)
        self._places: dict[tuple[int, ...], Any] = {}
        self._costs: dict[Any, float | None] = {}

    def _packed(self, fn: Callable[..., Any]) -> Any:
        """The function on the arrays of the store, compiled."""
        store = self.held.store
        options: dict[str, Any] = {}
        if self.placement is not None:
            options["out_shardings"] = None, store.shardings()

        def packed(values: list[Any], *args: Any) -> tuple[Any, list[Any]]:
            logs, flat = fn(store.opened(values), *args)
            return logs, store.closed(flat)

        if not self.compiled:
            return packed
        return jax.jit(packed, donate_argnums=0, **options)

    def _flat(self, values: list[Any], batch: Any) -> tuple[dict[str, Any], list[Any]]:
        placement = self.placement
        batch = batch if placement is None else placement.whole(batch)
        known = State.to_read(self.held.store.variables, values)
        with scoped(fast_gradients=self.compiled, placement=placement, state=known):
            logs, state = self.step(self.held.split(values), batch)
            logs = logs if placement is None else placement.shown(logs)
            return logs, self.held.join(state)

    def put(self, batch: Any, axis: int = 0) -> Any:
        """A batch (samples along `axis`) where the program wants it."""
        if self.placement is None:
            return batch
        return self.placement.place_batch(batch, axis)

    def __call__(self, batch: Any) -> dict[str, Any]:
        """Run one step; the store has the new values afterwards."""
        return self.start(self.put(batch))

    def start(self, batch: Any) -> dict[str, Any]:
        """Run one step on a batch that was put where the program wants it."""
        store = self.held.store
        logs, values = self._run(store.ready(), batch)
        store.take(values)
        return logs

    def is_idle(self) -> bool:
        """Whether the device has done the last step that it was given."""
        values = self.held.store.values
        return not values or values[-1].is_ready()

    # ---- many steps in one program

    def steps_in_chunk(self, batch: Any) -> int:
        """How many steps on batches like this to run in one program; 1: do not fuse."""
        if not self.compiled:
            return 1
        key = _shapes(batch)
        if key not in self._costs:
            self._costs[key] = self._fusable_cost(batch)
        cost = self._costs[key]
        if cost is None:
            return 1
        limit = _CHUNK_FLOPS.get(jax.default_backend(), _CHUNK_FLOPS_ELSEWHERE)
        most = max(2, min(MOST_STEPS, int(limit / max(cost, 1.0))))
        return 1 << (most.bit_length() - 1)

    def _fusable_cost(self, batch: Any) -> float | None:
        """Floating-point operations of a step on a device, or None: run it alone."""
        platform = jax.default_backend()
        store = self.held.store
        values = jax.eval_shape(store.opened, store.values)
        jaxpr = jax.make_jaxpr(self._flat)(values, batch)
        if platform == "cpu" and _has_convolution(jaxpr.jaxpr):
            return None  # XLA's CPU convolution inside a loop is many times slower
        flops = work_of(jaxpr.eqns).all
        flops /= 1 if self.placement is None else self.placement.shards  # a device
        limit = FUSE_BELOW_FLOPS.get(platform, _FUSE_BELOW_FLOPS_ELSEWHERE)
        return flops if flops < limit else None

    def run_chunk(self, batches: Any, count: int) -> dict[str, Any]:
        """Run `count` steps on batches stacked along a new first axis.

        The stack may be longer than `count`: its length is part of the program, the
        count is not. Returns the logs of the last step.
        """
        return self.start_chunk(self.put(batches, axis=1), 0, count)

    def start_chunk(self, batches: Any, first: int, end: int) -> dict[str, Any]:
        """Run the steps of some batches of a stack that was put where it is wanted."""
        return self._on_stack(self._run_many, batches, first, end)

    def start_one(self, batches: Any, index: int) -> dict[str, Any]:
        """Run the step of one batch of a stack, in a program without a loop."""
        return self._on_stack(self._run_one, batches, index)

    def _on_stack(self, program: Any, batches: Any, *places: int) -> dict[str, Any]:
        store = self.held.store
        logs, values = program(store.ready(), batches, self._numbers(places))
        store.take(values)
        return logs

    def _numbers(self, places: tuple[int, ...]) -> Any:
        """Numbers on the devices; moving them there takes as long as a short step."""
        if places not in self._places:
            numbers = np.array(places, np.int32)
            if self.placement is None:
                self._places[places] = jax.device_put(numbers)
            else:
                self._places[places] = jax.make_array_from_callback(
                    numbers.shape, self.placement.everywhere(), lambda _: numbers
                )
        return self._places[places]

    def _one(
        self, values: list[Any], batches: Any, places: Any
    ) -> tuple[dict[str, Any], list[Any]]:
        def at(x: Any) -> Any:
            return lax.dynamic_index_in_dim(x, places[0], keepdims=False)

        return self._flat(values, jax.tree_util.tree_map(at, batches))

    def _loop(
        self, values: list[Any], batches: Any, places: Any
    ) -> tuple[dict[str, Any], list[Any]]:
        def body(index: Any, carry: Any) -> Any:
            return self._one(carry[1], batches, index[None])

        logs, _ = jax.eval_shape(lambda: self._one(values, batches, places))
        empty = tree.map_structure(lambda s: jnp.zeros(s.shape, s.dtype), logs)
        return lax.fori_loop(places[0], places[1], body, (empty, values))

    def lower(self, batch: Any) -> Any:
        """The step on batches like this, lowered: its text, its costs."""
        return self._run.lower(self.held.store.settled(), self.put(batch))  # type: ignore[attr-defined]

    def compilations(self) -> int:
        """How many programs have been compiled; for tests."""
        jitted = [self._run, self._run_many, self._run_one] if self.compiled else []
        return sum(f._cache_size() for f in jitted)


def _shapes(batch: Any) -> Any:
    leaves, definition = jax.tree_util.tree_flatten(batch)
    return definition, tuple((x.shape, str(x.dtype)) for x in leaves)


def _has_convolution(jaxpr: Any) -> bool:
    return any(
        e.primitive.name == "conv_general_dilated"
        or any(map(_has_convolution, inner_programs(e.params)))
        for e in jaxpr.eqns
    )

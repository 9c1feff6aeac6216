"""Steps on several devices that are no chain of programs.

A step that a class writes itself, one of a model that is no graph, one that runs op by
op: it computes on one device, and the layers on theirs.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import jax

from carnyx._core.compilations import compilations
from carnyx._core.scope import State, current, scoped
from carnyx._training.stages.arrays import device_puts, moved_to
from carnyx._training.state import HeldState

if TYPE_CHECKING:
    from carnyx._training.stages.placements import OnDevices


class OnDevicesProgram:
    """What the programs of stages share; see `protocols.Program`.

    Args:
        model: a model whose graph is placed.
        held: whose variables the values belong to.
    """

    compiled = True

    def __init__(self, model: Any, held: HeldState, placement: OnDevices) -> None:
        self.model, self.held, self.placement = model, held, placement

    def put(self, batch: Any, axis: int = 0) -> Any:
        """A batch (or a stack) on its way to the devices; here it stays as it is."""
        return batch

    def is_idle(self) -> bool:
        """Whether the device of the loss has done the last step that it was given."""
        values = self.held.store.values
        return not values or values[-1].is_ready()

    def steps_in_chunk(self, batch: Any) -> int:
        """Steps are not fused: a step is more than one program."""
        return 1

    def __call__(self, batch: Any) -> dict[str, Any]:
        """Run one step; the store has the new values afterwards."""
        return self.start(self.put(batch))

    def start(self, batches: Any, *places: int) -> dict[str, Any]:
        """Run the step on a batch, or those on some batches of a stack, that was put
        where the program wants it."""
        if not places:
            return self.step_on(batches)
        logs: dict[str, Any] = {}
        end = places[1] if len(places) == 2 else places[0] + 1
        for i in range(places[0], end):
            batch = jax.tree_util.tree_map(lambda v, i=i: v[i], batches)
            logs = self.step_on(self.put(batch))
        return logs

    def step_on(self, batch: Any) -> dict[str, Any]:
        """Run one step on a batch that was put."""
        raise NotImplementedError

    def captured(self) -> list[Any]:
        """Variables of nobody that the steps read or assign; here they are numbers."""
        return []

    def meet(self, batch: Any) -> None:
        """Find the captured variables, from the shapes of a batch."""

    def lower(self, batch: Any) -> None:
        """A step is several programs."""

    def programs(self) -> list[Any]:
        """The compiled functions, so far."""
        return [p for s in self.placement.stages() for p in s.programs()]

    def compilations(self) -> int:
        """How many programs have been compiled; for tests."""
        return compilations(self.programs())


class WholeStep(OnDevicesProgram):
    """A step that a class writes itself (or one that runs op by op), on several
    devices.

    It computes on the device of the loss, to which all variables are copied for as long
    as it runs; layers compute on theirs, and gradients go through. Numbers are right
    whatever the step does; what it does beside calling the model is not compiled (but
    see `step_in_parts`).

    Args:
        step: `(state, batch) -> (logs, state)`.
        op_by_op: stages are not compiled either, for debugging.
    """

    def __init__(
        self, model: Any, held: HeldState, placement: OnDevices, step: Any,
        op_by_op: bool,
    ) -> None:  # fmt: skip
        super().__init__(model, held, placement)
        self.step, self.op_by_op = step, op_by_op
        self.compiled = not op_by_op

    def step_on(self, batch: Any) -> dict[str, Any]:
        store, here = self.held.store, self.placement.last
        values = device_puts(store.ready(), here)
        known = State.to_read(store.variables, values)
        with on_device(here, self.op_by_op), scoped(state=known):
            logs, state = self.step(self.held.split(values), moved_to(batch, here))
            new = self.held.join(state)
        rows = zip(store.variables, new, strict=True)
        store.take([self.placement.place(v, value) for v, value in rows])
        return logs


@contextlib.contextmanager
def on_device(device: Any, op_by_op: bool) -> Iterator[None]:
    """What is computed outside of stages is computed there."""
    with scoped(device=device), jax.default_device(device), jax.disable_jit(op_by_op):
        yield


def step_in_parts(
    model: Any, held: HeldState
) -> Callable[[Any, Any], tuple[dict[str, Any], Any]]:
    """The usual step of training, with the optimizer and the metrics compiled."""
    variables = held.store.variables

    @jax.jit
    def apply(slots: Any, gradients: Any, trainable: Any) -> Any:
        return model.optimizer.stateless_apply(slots, gradients, trainable)

    @jax.jit
    def updated(values: list[Any], args: Any) -> Any:
        with scoped(state=State.to_read(variables, values)):
            return model._update_metrics(*args)

    def update(*args: Any) -> Any:
        known: Any = current().state
        return updated([known.values[v] for v in variables], args)

    return functools.partial(model._usual_step, apply=apply, update=update)

"""Steps in the simple style: `train_step(self, data)`, written with layers.

A step of one argument calls layers, updates metrics and applies optimizers as if it ran
line by line. It is made pure over every variable that it may change (weights, buffers,
all optimizers' slots, metrics, seeds), so it is compiled, fused and resumed like the
step that carries its state in its arguments.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from carnyx import tree
from carnyx._core.infer import infer
from carnyx._core.scope import State, current, pure, scoped
from carnyx._core.seed import global_seed_generator
from carnyx._core.symbol import KerasTensor
from carnyx._core.variable import Variable
from carnyx.errors import ArgumentError
from carnyx.layers._children import owned
from carnyx.optimizers import Optimizer
from carnyx.typing import Tensors

Step = Callable[..., Any]


def is_simple(model: Any, name: str) -> bool:
    """Whether the model's class writes a step with `data` as its only argument."""
    return _takes_data_alone(getattr(type(model), name))


@functools.cache
def _takes_data_alone(method: Step) -> bool:
    parameters = list(inspect.signature(method).parameters.values())[1:]
    required = [p for p in parameters if p.default is p.empty]
    return len(required) == 1 and required[0].kind is not required[0].VAR_POSITIONAL


def pure_step(
    step: Step, variables: Sequence[Variable], cuts: Sequence[int | None]
) -> Step:
    """`(state, data) -> (result, state)` for a step in the simple style.

    Args:
        cuts: where the lists of a state begin and end among `variables`.
    """
    run = pure(step, variables)

    def stateless(state: Sequence[Sequence[Any]], data: Any) -> tuple[Any, Any]:
        result, new = run([v for part in state for v in part], data)
        return result, [new[a:b] for a, b in zip(cuts, cuts[1:])]

    return stateless


def pure_prediction(step: Step, variables: tuple[Sequence[Variable], ...]) -> Step:
    """`((trainable, non_trainable), data) -> (outputs, non_trainable)`."""
    cut = len(variables[0])
    run = pure_step(step, [v for part in variables for v in part], (0, cut, None))

    def stateless(state: Any, data: Any) -> tuple[Any, Any]:
        outputs, (_, buffers) = run(state, data)
        return outputs, buffers

    return stateless


def checked_logs(step: Step) -> Step:
    """The step, refusing to return anything but logs by name."""

    def run(data: Any) -> dict[str, Any]:
        logs = step(data)
        if not isinstance(logs, Mapping):
            raise ArgumentError(
                f"{step.__qualname__}(self, data) returned {type(logs).__name__}; "
                "expected a dict of logs, such as {'loss': loss}."
            )
        return {name: getattr(value, "value", value) for name, value in logs.items()}

    return run


# ---- gradients of what layers compute


def value_and_grad(
    model: Any,
    fn: Callable[[], Any],
    variables: Sequence[Variable] | None,
    has_aux: bool,
) -> tuple[Any, list[Any]]:
    """See `Trainer.value_and_grad`."""
    outer = current().state or State(closed=False)
    if variables is None:
        if not outer.closed and not model.built:  # layers are built as they are called
            with scoped(state=_inner(outer, (), ())):
                fn()
        variables = model.trainable_variables
    chosen: list[Variable] = list(variables or ())
    touched: list[Variable] = []

    def objective(values: Sequence[Any]) -> tuple[Any, Any]:
        state = _inner(outer, chosen, values)
        with scoped(state=state):
            value, aux = fn() if has_aux else (fn(), None)
        touched[:] = [v for v in state.values if v in state.writable]
        return value, (aux, [state.values[v] for v in touched])

    with scoped(state=outer):
        values = [v.value for v in chosen]
    (value, (aux, new)), gradients = jax.value_and_grad(objective, has_aux=True)(values)
    for variable, assigned in zip(touched, new, strict=True):
        variable.assign(assigned)
    return ((value, aux) if has_aux else value), gradients


def _inner(outer: State, variables: Sequence[Variable], values: Sequence[Any]) -> State:
    state = State(zip(variables, values, strict=True), closed=outer.closed)
    state.outer = outer
    captured = [] if outer.trace is None else outer.trace.captured
    state.writable.update(captured, outer.writable)
    return state


# ---- what a step needs to exist before it is traced


def optimizers_of(model: Any) -> list[Optimizer]:
    """The optimizer of `compile`, then those in attributes of the model's layers."""
    found = [model.optimizer] if isinstance(model.optimizer, Optimizer) else []
    for layer in model._flatten_layers():
        found += owned(layer, (Optimizer,))
    return list(dict.fromkeys(found))


def extra_variables(model: Any) -> list[Variable]:
    """What a step may change beyond the model's own: optimizers, the global seed."""
    states = [o.variables for o in optimizers_of(model) if o.built]
    found = [v for variables in states for v in variables]
    return list(dict.fromkeys([*found, global_seed_generator().state]))


def prepare(model: Any, step: Step, spec: Tensors, batch_size: int | None) -> None:
    """Run the step on shapes alone: layers, metrics and optimizers get their variables.

    Layers are built as they are called, so a list of variables taken before may be too
    short. The step is repeated until it makes nothing new; only then are the optimizers
    built, on what it gave them.
    """
    data = sized(spec, batch_size)
    while True:
        before = _count(model)
        given, failure = _rehearse(model, step, data)
        if _count(model) == before:
            break
    if failure is not None:
        raise failure
    for optimizer, variables in given:
        optimizer.build(variables)
    model.built = True


def _rehearse(model: Any, step: Step, data: Any) -> tuple[list[Any], Exception | None]:
    """Which optimizers the step built, on what; they are as before afterwards."""
    waiting = [o for o in _with_inner(optimizers_of(model)) if not o.built]
    before = [_copied(vars(o)) for o in waiting]
    failure = None
    try:
        infer(step, data)
    except Exception as error:  # it may have come further than the time before
        failure = error
    given = [(o, o._trainable_variables) for o in waiting if o.built]
    for optimizer, attributes in zip(waiting, before, strict=True):
        vars(optimizer).clear()
        vars(optimizer).update(attributes)
    return given, failure


def finish(model: Any) -> None:
    """After the last epoch: averages that optimizers keep become the weights."""
    for optimizer in optimizers_of(model):
        if optimizer.built:
            optimizer.finalize_variable_values(optimizer._trainable_variables)


def sized(spec: Any, batch_size: int | None) -> Any:
    """Symbols of a batch, with its size where that is known."""

    def symbol_of(symbol: KerasTensor | None) -> Any:
        if symbol is None or batch_size is None or symbol.shape[:1] != (None,):
            return symbol
        return KerasTensor((batch_size, *symbol.shape[1:]), symbol.dtype)

    return tree.map_structure(symbol_of, spec)


def _count(model: Any) -> int:
    return len(model.variables) + len(model.metrics_variables)


def _with_inner(found: list[Optimizer]) -> list[Optimizer]:
    """Optimizers and those inside them; the outer ones, which build the rest, first."""
    for optimizer in found:
        found = found + _with_inner(list(owned(optimizer, (Optimizer,))))
    return found


def _copied(attributes: dict[str, Any]) -> dict[str, Any]:
    return {k: dict(v) if isinstance(v, dict) else v for k, v in attributes.items()}

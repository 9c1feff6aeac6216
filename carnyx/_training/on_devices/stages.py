"""`Stage`: consecutive nodes of a graph that run on one device, as one program.

A stage is a function of values (of variables, of tensors that come in), compiled three
times at most: forward, forward that keeps what its gradient needs, and backward.
Between stages values are moved; nothing here waits for a device.

Two stages never run inside one compiled function: `jax.vjp` is taken inside the first
program and the function that it returns, which is a tree of arrays, leaves it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from carnyx import tree
from carnyx._core.graph import Graph
from carnyx._core.masks import get_mask, set_mask
from carnyx._core.node import Node
from carnyx._core.scope import State, is_tracer, scoped
from carnyx._training.on_devices.cutting import Flat, Part, joined, parts_of
from carnyx.layers._children import owned
from carnyx.layers.base import Layer
from carnyx.metrics import Metric


class Outcome(NamedTuple):
    """What a stage gives; a tree of arrays.

    Attributes:
        outputs, masks: in the order of `Stage.outputs`; None where there is no mask.
        buffers: by the place in `Stage.buffers`, those that changed.
        losses: what the stage's layers added, in the order of `adders`.
        penalties: of `Stage.regularized`, what their regularizers give.
        adders: the layers that added `losses`; not an array.
    """

    outputs: list[Any]
    masks: list[Any]
    buffers: dict[int, Any]
    losses: list[Any]
    penalties: list[Any]
    adders: Any


class Cotangents(NamedTuple):
    """The gradient for each differentiable part of an `Outcome`.

    Attributes:
        outputs: for each output a tuple of arrays to be added up, which may be empty.
        losses, penalties: a scalar for each.
    """

    outputs: list[tuple[Any, ...]]
    losses: list[Any]
    penalties: list[Any]


class Residuals(NamedTuple):
    """What a stage keeps for its gradient; a tree of arrays.

    Attributes:
        leaves: of the function that `jax.vjp` gave. What a program was given and gives
            back would be copied, weights with every microbatch: those leave the
            program as places, and are put back outside. So they must not be donated.
        form: the function's tree, and where each leaf comes from.
    """

    leaves: list[Any]
    form: Any
    shapes: Any

    def filled(self, given: Sequence[Any]) -> Residuals:
        """With what the program was given put back in its places."""
        definition, places = self.form
        kept = iter(self.leaves)
        leaves = [next(kept) if p is None else given[p] for p in places]
        return self._replace(leaves=leaves, form=Static((definition,)))


@jax.tree_util.register_static
class Static(tuple):
    """What is no array, as a part of a program's signature."""


class Stage:
    """Nodes of a graph as one compiled function of values.

    Args:
        part: the nodes, their device, what goes in and out.
        model: whose inputs, dtypes and `trainable` flags count; None for a bare graph.
        given: ids of the graph's own inputs, which the model casts and checks.
        charged: ids of variables whose regularizers earlier stages account for; those
            of this stage are added.

    Attributes:
        device, nodes, inputs, outputs: as in the part.
        trainable, buffers: variables of the layers, in the order of their values.
        regularized: variables whose regularizers this stage computes.
    """

    def __init__(
        self, part: Part, model: Any = None, given: set[int] = frozenset(),  # type: ignore[assignment]
        charged: set[int] | None = None,
    ) -> None:  # fmt: skip
        self.device, self.nodes, self.inputs, self.outputs = part
        self.model = model
        self._given = [id(t) in given for t in self.inputs]
        self.layers = _distinct(
            n.operation for n in self.nodes if isinstance(n.operation, Layer)
        )
        self._find_variables(set() if charged is None else charged)
        self._programs: dict[Any, Any] = {}
        self._backward = jax.jit(functools.partial(_backward))  # a cache of its own

    def _find_variables(self, charged: set[int]) -> None:
        frozen = self.model is not None and not self.model.trainable
        inner = [x for layer in self.layers for x in layer._flatten_layers()]
        states = [v for x in inner for m in owned(x, (Metric,)) for v in m.variables]
        own = [v for layer in self.layers for v in layer.variables]
        every = _distinct([*own, *states])
        self._mixed = any(x.compute_dtype != x.variable_dtype for x in inner)
        trainable = {id(v) for x in self.layers for v in x.trainable_variables}
        trainable = set() if frozen else trainable
        self.trainable = [v for v in every if id(v) in trainable]
        self.buffers = [v for v in every if id(v) not in trainable]
        self.regularized = [
            v
            for v in self.trainable
            if v.regularizer is not None and id(v) not in charged
        ]
        charged |= {id(v) for v in self.regularized}

    # ---- running -----------------------------------------------------------------

    def forward(
        self,
        trainable: Sequence[Any],
        buffers: Sequence[Any],
        inputs: Sequence[Any],
        masks: Sequence[Any] | None = None,
        training: bool | None = False,
        fast: bool = False,
    ) -> Outcome:
        """Run on values that are on the device already.

        Args:
            masks: of the inputs; None is none at all.
            fast: gradient rules that only reverse mode can use are allowed.
        """
        program = self._program("forward", training, fast)
        return program(list(trainable), list(buffers), list(inputs), masks)

    def forward_with_residuals(
        self,
        trainable: Sequence[Any],
        buffers: Sequence[Any],
        inputs: Sequence[Any],
        masks: Sequence[Any] | None = None,
        training: bool | None = True,
        wanted: Sequence[bool] | None = None,
    ) -> tuple[Outcome, Residuals]:
        """`forward`, and what `backward` needs.

        Args:
            wanted: for which inputs a gradient is wanted; by default for all. Inputs
                of integers never have one.
        """
        wanted = (True,) * len(inputs) if wanted is None else tuple(wanted)
        program = self._program("residuals", training, True, wanted)
        trainable, buffers, inputs = list(trainable), list(buffers), list(inputs)
        outcome, residuals = program(trainable, buffers, inputs, masks)
        return outcome, residuals.filled(
            [*trainable, *buffers, *inputs, *(masks or ())]
        )

    def backward(
        self, residuals: Residuals, cotangents: Cotangents
    ) -> tuple[list[Any], list[Any]]:
        """Gradients of the trainable variables and of the inputs (None where none)."""
        return self._backward(residuals, cotangents)

    def programs(self) -> list[Any]:
        """The compiled functions, so far."""
        return [*self._programs.values(), self._backward]

    def _program(self, kind: str, *options: Any) -> Any:
        key = kind, *options
        if key not in self._programs:
            make = self._compute if kind == "forward" else self._differentiated

            def run(*arrays: Any) -> Any:
                return make(*arrays, *options)

            run.__name__ = f"{kind}_of_{self.nodes[0].operation.name}"
            self._programs[key] = jax.jit(run)
        return self._programs[key]

    # ---- what is compiled --------------------------------------------------------

    def _compute(
        self, trainable: list, buffers: list, inputs: list, masks: Any, training: Any,
        fast: bool,
    ) -> Outcome:  # fmt: skip
        variables = [*self.trainable, *self.buffers]
        state = State(zip(variables, [*trainable, *buffers], strict=True))
        autocast = None if self.model is None else self.model._autocast
        with scoped(
            state=state, training=training, autocast=autocast, fast_gradients=fast,
            platform=self.device.platform, device=None, placement=None,
        ):  # fmt: skip
            known = self._entered(inputs, masks)
            for node in self.nodes:
                args, kwargs = node.fill(known)
                out = tree.flatten(node.operation(*args, **kwargs))  # type: ignore[operator]
                for tensor, value in zip(node.output_tensors, out, strict=False):
                    known[id(tensor)] = value
            outputs = [jnp.asarray(known[id(t)]) for t in self.outputs]
            with scoped(autocast=None):
                penalties = [v.regularizer(v.value) for v in self.regularized]
        after = [state.values[id(v)] for v in self.buffers]
        pairs = enumerate(zip(buffers, after, strict=True))
        return Outcome(
            outputs,
            [get_mask(known[id(t)]) for t in self.outputs],
            {i: new.astype(old.dtype) for i, (old, new) in pairs if new is not old},
            [jnp.asarray(loss) for _, loss in state.losses],
            penalties,
            Static(layer for layer, _ in state.losses),
        )

    def _entered(self, inputs: list[Any], masks: Any) -> dict[int, Any]:
        """The values that come in, by the tensor's id; the model's own are cast."""
        known = {}
        rows = zip(
            self.inputs, inputs, masks or [None] * len(inputs), self._given, strict=True
        )
        for tensor, value, mask, given in rows:
            if mask is not None:
                set_mask(value, mask)
            if given and self.model is not None:
                value = self.model._entered(value, tensor)
            known[id(tensor)] = value
        return known

    def _differentiated(
        self, trainable: list, buffers: list, inputs: list, masks: Any, training: Any,
        fast: bool, wanted: tuple[bool, ...],
    ) -> tuple[Outcome, Residuals]:  # fmt: skip
        moving = [w and is_float(x) for w, x in zip(wanted, inputs, strict=True)]

        def run(trainable: list, moved: list) -> Any:
            some = iter(moved)
            values = [
                next(some) if m else x for m, x in zip(moving, inputs, strict=True)
            ]
            outcome = self._compute(trainable, buffers, values, masks, training, fast)
            floats = [x if is_float(x) else None for x in outcome.outputs]
            return (floats, outcome.losses, outcome.penalties), outcome

        moved = [x if m else None for m, x in zip(moving, inputs, strict=True)]
        lean = _casting_again(run, trainable) if self._mixed else run
        _, gradient, outcome = jax.vjp(
            lean, trainable, [x for x in moved if x is not None], has_aux=True
        )
        shapes = [(x.shape, x.dtype, is_float(x)) for x in outcome.outputs]
        leaves, definition = jax.tree_util.tree_flatten(gradient)
        given = [*trainable, *buffers, *inputs, *(masks or ())]
        at = {id(x): i for i, x in enumerate(given) if x is not None}
        places = tuple(at.get(id(leaf)) for leaf in leaves)
        kept = [x for x, place in zip(leaves, places, strict=True) if place is None]
        static = Static((tuple(moving), tuple(shapes)))
        return outcome, Residuals(kept, Static((definition, places)), static)


def _casting_again(run: Callable[..., Any], weights: Sequence[Any]) -> Any:
    """The function, whose gradient does not keep weights in a lower precision: a copy
    for every microbatch on its way. They are cast again on the way back."""
    shapes = {(w.shape, w.dtype) for w in weights}

    def may_keep(primitive: Any, *avals: Any, **params: Any) -> bool:
        if primitive is not jax.lax.convert_element_type_p:
            return True
        return (avals[0].shape, avals[0].dtype) not in shapes

    return jax.checkpoint(run, policy=may_keep, prevent_cse=False)


def _backward(
    residuals: Residuals, cotangents: Cotangents
) -> tuple[list[Any], list[Any]]:
    moving, shapes = residuals.shapes
    outputs = [
        _sum(parts, shape, dtype) if floating else None
        for parts, (shape, dtype, floating) in zip(
            cotangents.outputs, shapes, strict=True
        )
    ]
    gradient = jax.tree_util.tree_unflatten(residuals.form[0], residuals.leaves)
    trainable, inputs = gradient(
        (outputs, list(cotangents.losses), list(cotangents.penalties))
    )
    some = iter(inputs)
    return trainable, [next(some) if m else None for m in moving]


def _sum(parts: tuple[Any, ...], shape: Any, dtype: Any) -> Any:
    if not parts:
        return jnp.zeros(shape, dtype)
    return functools.reduce(jnp.add, parts).astype(dtype)


def is_float(x: Any) -> bool:
    """Whether an array has a gradient."""
    return x is not None and jnp.issubdtype(x.dtype, jnp.inexact)


def _distinct(items: Any) -> list[Any]:
    return list({id(x): x for x in items}.values())


# ---- from graphs -----------------------------------------------------------------


def cut(
    graph: Graph | Flat, device_of: Callable[[Node], Any], model: Any = None
) -> list[Stage]:
    """The graph as stages, each as large as it can be, in an order in which they run.

    Args:
        device_of: the device of a node.
        model: whose graph it is; see `Stage`.
    """
    return stages_of(graph, parts_of(graph, device_of), model)


def cut_at(
    graph: Graph | Flat, groups: Sequence[tuple[Any, Sequence[Node]]], model: Any = None
) -> list[Stage]:
    """The graph as stages of these nodes on these devices, which run in this order."""
    return stages_of(graph, joined(graph, groups), model)


def stages_of(
    graph: Graph | Flat, parts: Sequence[Part], model: Any = None
) -> list[Stage]:
    """A stage for each part."""
    given = {id(t) for t in graph.inputs}
    charged: set[int] = set()
    return [Stage(part, model, given, charged) for part in parts]


def device_puts(values: Sequence[Any], device: Any) -> list[Any]:
    """The values on the device; those that are there already are not touched."""
    away = [
        i
        for i, v in enumerate(values)
        if v is not None and not (isinstance(v, jax.Array) and _is_on(v, device))
    ]
    if not away:
        return list(values)
    moved = list(values)
    for i, value in zip(
        away, jax.device_put([values[i] for i in away], device), strict=True
    ):
        moved[i] = value
    return moved


def _is_on(value: Any, device: Any) -> bool:
    if is_tracer(value):
        return False
    return value.committed and value.devices() == {device}

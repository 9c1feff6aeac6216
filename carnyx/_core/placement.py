"""Where values and batches live when there is more than one device.

Distribution puts a `Placement` in here; variables and programs ask for it. A program is
the same function on one device or on many: its values and batches are annotated, XLA
inserts the transfers. Layers, losses, metrics and optimizers name no device.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from carnyx._core import global_arrays
from carnyx._core.abstract import Spec, refuse
from carnyx._core.devices import (
    default_device,
    expect_placements,
    placements_expected,
)
from carnyx.typing import Tensor

if TYPE_CHECKING:
    from carnyx._core.variable import Variable

# One for all threads, as a script sets it once for the models of all of them; and one
# for a `scope()`, which is of the thread (or task) that is within it.
_of_process: list[Placement | None] = [None]
_of_scope: ContextVar[list[Placement | None] | None]
_of_scope = ContextVar("placement", default=None)


def current_placement() -> Placement | None:
    """The placement that new variables and programs get."""
    return (_of_scope.get() or _of_process)[0]


def set_placement(placement: Placement | None) -> None:
    """Make it the one in force: to the end of the scope, where that is within one."""
    (_of_scope.get() or _of_process)[0] = placement
    if placement is not None:
        expect_placements()


@contextlib.contextmanager
def placement_scope(placement: Placement) -> Iterator[None]:
    """Within it, in this thread, the placement is in force."""
    expect_placements()
    token = _of_scope.set([placement])
    try:
        yield
    finally:
        _of_scope.reset(token)


class Placement:
    """How values and batches lie on devices: the base of distributions.

    A subclass gives `sharding_of` and `batch_sharding`.

    Attributes:
        shards: over how many parts of the devices a batch is split.
        shared: whether some of the devices are other processes'.
        takes_parts: whether each process gives a part of its own of a batch.
        scattered: whether a program runs on several devices at once.
        staged: whether a step is a chain of programs, a stage each.
    """

    shards: int = 1
    shared: bool = False
    takes_parts: bool = False
    scattered = True
    staged = False

    def make_program(
        self,
        model: Any,
        name: str,
        step: object,
        held: object,
        usual: Callable[[], Any],
    ) -> Any:
        """The program of a model's step; see `_training/protocols.py`.

        Args:
            name: `"train_step"` or `"test_step"`.
            step: `(state, batch) -> (logs, state)`.
            held: the variables of the state.
            usual: makes the program of one device, or of one mesh.
        """
        return usual()

    def make_prediction(
        self, model: Any, step: object, op_by_op: bool, usual: Callable[[], Any]
    ) -> Any:
        """The program of a model's `predict_step`; likewise."""
        return usual()

    def check_batch(self, samples: int) -> None:
        """Raises an ArgumentError for batches that are too small to be trained on."""

    def sharding_of(self, variable: Variable) -> jax.sharding.Sharding:
        """Where the value of a variable is kept."""
        raise NotImplementedError(f"{type(self).__name__} must define sharding_of.")

    def batch_sharding(
        self, shape: Sequence[int], axis: int = 0
    ) -> jax.sharding.Sharding:
        """Where a part of a batch goes whose samples are along `axis`."""
        raise NotImplementedError(f"{type(self).__name__} must define batch_sharding.")

    def replicated(self) -> jax.sharding.Sharding:
        """Where a number goes that every device needs."""
        raise NotImplementedError(f"{type(self).__name__} must define replicated.")

    def used(self, variable: Variable, value: object) -> Any:
        """A value as a layer reads it inside a program."""
        return value

    def output(self, path: str, value: object) -> Any:
        """What the layer at `path` gave, inside a program."""
        return value

    def shown(self, values: Tensor) -> Any:
        """What the host will read, inside a program: none of it elsewhere alone."""
        return values

    # ---- values ------------------------------------------------------------------

    def place(self, variable: Variable, value: Any) -> Any:
        """The value where it is to be kept."""
        sharding = self.sharding_of(variable)
        if value.sharding == sharding:
            return value
        return _put(value, sharding)

    def keep(self, variables: Sequence[Variable], values: Sequence[Any]) -> list[Any]:
        """Inside a program: new values, bound to the places of the old."""
        return [
            lax.with_sharding_constraint(value, self.sharding_of(variable))
            for variable, value in zip(variables, values, strict=True)
        ]

    # ---- batches -----------------------------------------------------------------

    def place_batch(self, batch: object, axis: int = 0) -> Any:
        """A batch on its way to the devices, each of which gets its samples alone.

        Samples that do not divide evenly are filled up with zeros, which `whole` cuts
        off inside the program: some devices then have a sample less than others, and
        the numbers are those of one device.
        """
        leaves, form = jax.tree_util.tree_flatten(batch)
        if isinstance(batch, Padded) or not leaves:
            return batch
        size = leaves[0].shape[axis]
        missing = -size % self.shards
        if missing:
            leaves = [filled(leaf, missing, axis) for leaf in leaves]
        placed = [
            self.place_part(leaf, self.batch_sharding(leaf.shape, axis))
            for leaf in leaves
        ]
        batch = jax.tree_util.tree_unflatten(form, placed)
        return Padded(batch, size) if missing else batch

    def place_part(self, leaf: Any, sharding: jax.sharding.Sharding) -> Any:
        """One array of a batch, moved."""
        if isinstance(leaf, Spec):
            return _put(leaf, sharding)
        if not isinstance(leaf, jax.Array):  # half as long as device_put takes
            return jax.make_array_from_callback(leaf.shape, sharding, leaf.__getitem__)
        return leaf if leaf.sharding == sharding else global_arrays.put(leaf, sharding)

    def whole(self, batch: object) -> Any:
        """Inside a program: the batch without what was filled up."""
        if not isinstance(batch, Padded):
            return batch

        def cut(leaf: Any) -> Any:
            if isinstance(batch.size, int):
                real = leaf[: batch.size]
            else:  # each process has filled up its own part
                parts = jnp.split(leaf, len(batch.size))
                pairs = zip(parts, batch.size, strict=True)
                real = jnp.concatenate([part[:size] for part, size in pairs])
            sharding = self.batch_sharding(real.shape)
            if _has_more_axes(sharding):
                sharding = self.replicated()
            return lax.with_sharding_constraint(real, sharding)

        return jax.tree_util.tree_map(cut, batch.content)


def _has_more_axes(sharding: Any) -> bool:
    """Whether samples are split along one of several axes of a mesh.

    Where they are uneven then, XLA's scatter-add counts what it fills them up with: to
    index 0 (JAX 0.12, with Shardy and without). So all devices get all of them.
    """
    mesh = getattr(sharding, "mesh", None)
    return mesh is not None and sum(n > 1 for n in mesh.shape.values()) > 1


@jax.tree_util.register_pytree_node_class
class Padded:
    """A batch (or a stack of batches) of which the first `size` samples are real.

    Where processes give parts of their own, there is a size for each part.
    """

    def __init__(self, content: Any, size: int | tuple[int, ...]) -> None:
        self.content, self.size = content, size

    def tree_flatten(self) -> tuple[tuple[Any], Any]:
        return (self.content,), self.size

    @classmethod
    def tree_unflatten(cls, size: Any, children: tuple[Any]) -> Padded:
        return cls(children[0], size)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.content)


@jax.tree_util.register_pytree_node_class
class Uneven(Padded):
    """A process's own part of a batch, where those of others have other sizes.

    `size` has the number of samples that each process gives.
    """


def filled(leaf: Any, missing: int, axis: int) -> Any:
    """With as many samples more along an axis, which nobody will look at."""
    if hasattr(leaf, "filled"):
        return leaf.filled(missing, axis)
    if isinstance(leaf, Spec):
        shape = list(leaf.shape)
        shape[axis] += missing
        return Spec(tuple(shape), leaf.dtype)
    widths = [(0, missing if i == axis else 0) for i in range(leaf.ndim)]
    return (jnp if isinstance(leaf, jax.Array) else np).pad(leaf, widths)


def _check_values(variables: Sequence[Variable], values: list[Any]) -> None:
    if Spec in map(type, values):
        pairs = zip(variables, values, strict=True)
        refuse([variable for variable, value in pairs if type(value) is Spec])


def _put(value: Any, sharding: Any) -> Any:
    """The value there; of an abstract variable's, that it shall be there."""
    if isinstance(value, Spec):
        return Spec(value.shape, value.dtype, sharding=sharding)
    with jax.ensure_compile_time_eval():
        return global_arrays.put(value, sharding)


# ---- what variables and programs ask --------------------------------------------


def place_first(variable: Variable, value: object) -> Any:
    """The first value of a variable, where its layout or the placement says."""
    placement = current_placement()
    if placement is not None:
        return placement.place(variable, value)
    if variable.layout is None:
        return value
    expect_placements()
    sharding = getattr(variable.layout, "backend_layout", variable.layout)
    return _put(value, sharding)


def place_again(variable: Variable, value: Any) -> Any:
    """A value that is assigned, where the one before it was."""
    if not placements_expected():
        return value
    sharding = variable.kept_at()
    there = value.sharding
    if there == sharding:
        return value
    if len(sharding.device_set) == 1 and (
        len(there.device_set) > 1 or there.device_set == sharding.device_set
    ):
        return value
    return global_arrays.put(value, sharding)


def settle(placement: Placement | None, variable: Variable) -> Any:
    """The value of a variable where a program under `placement` needs it."""
    value = variable.peek()
    if not placements_expected():
        return value
    if placement is not None:
        return placement.place(variable, value)
    if variable.layout is not None:
        return value
    if isinstance(value, Spec):
        return Spec(value.shape, value.dtype)
    if value.sharding.device_set == {default_device()}:
        return value
    return jax.device_put(
        global_arrays.on_host(value)
    )  # bound to no device, as it began


def peek_settled(
    placement: Placement | None, variables: Sequence[Variable]
) -> list[Any]:
    """Values for a program that only reads them; what has to move stays there."""
    if not placements_expected():
        values = [v.peek() for v in variables]
        _check_values(variables, values)
        return values
    values = [settle(placement, v) for v in variables]
    _check_values(variables, values)
    for variable, value in zip(variables, values, strict=True):
        if value is not variable.peek():
            variable.move(value)
    return values

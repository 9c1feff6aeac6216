"""Variables without values: models that are built on paper.

An abstract variable keeps a `jax.ShapeDtypeStruct` where others keep an array. Shape
inference and the lowering of a program ask for no more; whoever asks for the value is
told what to do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import jax
from jax import lax

from carnyx._core.scope import State, scoped
from carnyx.errors import AbstractError

if TYPE_CHECKING:
    from carnyx._core.variable import Variable

Spec = jax.ShapeDtypeStruct


@contextlib.contextmanager
def abstract() -> Iterator[None]:
    """Within it, models are built without memory: weights have no values.

    Initializers do not run. What needs shapes alone works: `summary`, `count_params`,
    `compile`, configs, `distribution.estimate`, the lowering of a training step.
    `load_weights`, `set_weights` and `assign` give values, `materialize` runs the
    initializers.

    >>> import carnyx as keras
    >>> with keras.abstract():
    ...     model = keras.Sequential(
    ...         [keras.Input((100_000,)), keras.layers.Dense(50_000)]
    ...     )
    >>> model.count_params(), model.weights[0].abstract
    (5000050000, True)
    """
    with scoped(abstract=True):
        yield


def materialize(model: Any) -> None:
    """Run the initializers of what has no value yet, of the optimizer as well.

    The values are those that building outside of `abstract` gives. With a distribution
    in force each is split at once: one is whole on a device at a time.

    Args:
        model: a model, a layer, or an optimizer.

    >>> import carnyx as keras
    >>> with keras.abstract():
    ...     layer = keras.layers.Dense(2, kernel_initializer="ones")
    ...     layer.build((None, 1))
    >>> keras.materialize(layer)
    >>> layer.kernel.numpy().tolist()
    [[1.0, 1.0]]
    """
    optimizer = getattr(model, "optimizer", None)
    for variable in [*model.variables, *getattr(optimizer, "variables", ())]:
        variable.materialize()


def stand_in(variable: Variable, spec: Spec, state: State | None) -> Any:
    """Something of that shape, where a function is only evaluated for its shapes."""
    if state is None or not state.shapes_only:
        refuse([variable])
    return lax.full(spec.shape, 0, spec.dtype)  # traced: no memory is taken


def refuse(variables: Sequence[Variable]) -> None:
    """Raise the error of a value that is not there."""
    more = f" (and {len(variables) - 1} others)" if len(variables) > 1 else ""
    raise AbstractError(
        f"Variable {variables[0].path!r}{more} has no value, only the shape "
        f"{variables[0].shape}: it was made inside carnyx.abstract(). Run the "
        "initializers with carnyx.materialize(model), or give it a value with "
        "load_weights, set_weights or assign."
    )

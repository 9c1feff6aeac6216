"""What `estimate` is given: a model, a batch, numbers of devices."""

from __future__ import annotations

import operator
from typing import Any

import jax
import numpy as np

from carnyx import tree
from carnyx._core.abstract import Spec
from carnyx.errors import ArgumentError, NotBuiltError, NotCompiledError
from carnyx.typing import Tensors


def check_model(model: Any) -> None:
    """Raises for a model of which no step can be traced without computing."""
    if not getattr(model, "compiled", False):
        raise NotCompiledError(
            "estimate got a model that is not compiled; call model.compile(optimizer, "
            "loss) first."
        )
    if not model.built:
        raise NotBuiltError(
            f"estimate got {model.name!r}, which is not built; call model.build(shape) "
            "first, inside carnyx.abstract() if its weights shall take no memory."
        )


def check_overlap(overlap: object) -> None:
    """Raises for what is no part of a whole."""
    number = isinstance(overlap, float | int | np.number)
    if not number or not 0 <= overlap <= 1:
        raise ArgumentError(f"estimate got overlap={overlap!r}; expected 0 to 1.")


def counts_of(devices: Any) -> list[int]:
    """Numbers of devices; one needs no list."""
    try:
        given = [devices] if isinstance(devices, str) else list(devices)
    except TypeError:
        given = [devices]
    counts = [_whole(n) for n in given]
    if None in counts:
        raise ArgumentError(
            f"estimate got devices={devices!r}; expected numbers of devices, such as "
            "[1, 8, 64]."
        )
    if not counts:
        raise ArgumentError("estimate got no number of devices; expected one or more.")
    return [n for n in counts if n is not None]


def _whole(value: Any) -> int | None:
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


# ---- batches ---------------------------------------------------------------------


def leaves_of(batch: Tensors) -> list[Any]:
    """All shapes in a batch."""
    return [x for x in tree.flatten(batch) if x is not None]


def leading_size(batch: Tensors) -> int:
    """How many samples a batch has."""
    sizes = {x.shape[0] for x in leaves_of(batch)}
    if len(sizes) != 1 or 0 in sizes:
        raise ArgumentError(
            f"estimate got a batch whose parts have {sorted(sizes)} samples; expected "
            "the same number in all, 1 or more."
        )
    return sizes.pop()


def resized(batch: Tensors, samples: int) -> Any:
    """The shapes of a batch of another size."""

    def one(x: Any) -> Any:
        return None if x is None else Spec((samples, *x.shape[1:]), x.dtype)

    return tree.map_structure(one, batch)


def specs_of(model: Any, batch: Tensors) -> Any:
    """Shapes and dtypes of a batch that is given as arrays, as shapes, or as a number
    of samples for the model's own inputs."""
    samples = _whole(batch)
    if samples is not None and samples > 0:
        return _batch_of(model, samples)
    if not isinstance(batch, tuple | list) or not 2 <= len(batch) <= 3:
        raise ArgumentError(
            f"estimate got {_named(batch)}; expected (x, y), (x, y, sample_weight), or "
            "a number of samples, 1 or more."
        )

    def one(x: Any) -> Any:
        if x is None:
            return None
        if not hasattr(x, "shape") or not hasattr(x, "dtype") or not x.shape:
            raise ArgumentError(
                f"estimate got a batch with {x!r} in it, which has no axis of samples; "
                "expected arrays, or shapes such as jax.ShapeDtypeStruct((32, 8), "
                '"float32").'
            )
        return Spec(tuple(x.shape), jax.dtypes.canonicalize_dtype(x.dtype))

    return (
        *(tree.map_structure(one, part) for part in batch),
        *[None] * (3 - len(batch)),
    )


def _named(batch: Any) -> str:
    plain = batch is None or isinstance(batch, bool | int | float | str)
    return f"batch={batch!r}" if plain else f"a batch of type {type(batch).__name__}"


def _batch_of(model: Any, samples: int) -> Any:
    """A batch of the model's inputs; targets like its outputs, or classes where the
    loss is a sparse one."""
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    loss = getattr(model.loss, "name", model.loss)
    if not inputs or not outputs or not isinstance(loss, str):
        raise ArgumentError(
            f"estimate got batch={samples}, but {model.name!r} has no inputs of its "
            "own, or several losses; pass (x, y), as arrays or jax.ShapeDtypeStruct."
        )

    def one(t: Any, shape: Any, dtype: Any) -> Spec:
        if None in shape[1:]:
            raise ArgumentError(
                f"estimate got batch={samples}, but {t.name!r} is {t.shape}; "
                "pass (x, y), as arrays or jax.ShapeDtypeStruct."
            )
        return Spec((samples, *shape[1:]), np.dtype(dtype))

    sparse = "sparse" in loss
    x = [one(t, t.shape, t.dtype) for t in inputs]
    y = [
        one(t, t.shape[:-1], "int32") if sparse else one(t, t.shape, "float32")
        for t in outputs
    ]
    return _like(model.input, x), y[0] if len(y) == 1 else y, None


def _like(structure: Any, flat: list[Any]) -> Any:
    return tree.pack_sequence_as(structure, flat)

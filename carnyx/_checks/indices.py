"""Whether the inputs of embeddings are rows of their tables."""

from __future__ import annotations

import numpy as np

from carnyx._checks.told import refuse, warn_once
from carnyx.layers.base import Layer


def judge_indices(
    layer: Layer, x: np.ndarray, name: str, where: str, told: set[str]
) -> None:
    """Indices of one embedding in some samples.

    Raises:
        DataError: for an index that the table does not have.
    """
    if x.dtype.kind not in "iuf" or not x.size:
        return
    low, high = x.min(), x.max()
    if x.dtype.kind == "f" and not (x == np.rint(x)).all():
        place = _first(x != np.rint(x))
        warn_once(
            told,
            f"{_at(name, place)} of {where} is {x[place]:g}, and Embedding "
            f"{layer.name!r} takes it as an index: its fraction is cut off. Give "
            "integers; numbers that are no indices go into another layer.",
        )
    if low >= 0 and high < layer.input_dim:
        return
    place = _first((x < 0) | (x >= layer.input_dim))
    value = x[place]
    way = (
        "Indices count from 0: shift them, or use a row of its own for what is missing."
        if value < 0
        else f"The largest here is {high:g}: Embedding({high + 1:g}, ...) would hold "
        "it, or map rare words to one index."
    )
    refuse(
        f"{_at(name, place)} of {where} is {value:g}, an index that Embedding "
        f"{layer.name!r} does not have: its input_dim is {layer.input_dim}, so it has "
        f"0 to {layer.input_dim - 1}. {way}"
    )


def _first(bad: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(bad)[0])


def _at(name: str, place: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(map(str, place))}]"

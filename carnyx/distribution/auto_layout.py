"""Which axis of a weight to split for tensor parallelism.

A product that widens its input is split by its columns, one that narrows it by its
rows: of a pair, as in a transformer, the hidden values between them never leave their
device, and one sum is sent after it. Attention is split by heads in the same way, an
embedding by its rows, a convolution by its filters.

A weight's own facts decide: its shape, the class of its layer, and the layer's
equation. So it does not matter in which order weights are asked about, nor what they
are called.

References: Shoeybi et al. 2019, arXiv:1909.08053
"""

from __future__ import annotations

from carnyx._core.variable import Variable

# The weight that is split, of which layer.
_SPLIT = {
    "Dense": "kernel",
    "EinsumDense": "kernel",
    "Embedding": "embeddings",
    "Conv1D": "kernel",
    "Conv2D": "kernel",
    "Conv3D": "kernel",
}


def split_axis(variable: Variable, parts: int) -> int | None:
    """The axis along which to split a variable, or None.

    Args:
        parts: how many there will be; an axis that they do not divide stays whole.
    """
    axes = _preferred(variable)
    return next((axis for axis in axes if variable.shape[axis] % parts == 0), None)


def _preferred(variable: Variable) -> tuple[int, ...]:
    """Axes to split, the best first."""
    names = [c.__name__ for c in variable.made_by.__mro__]
    layer = next((n for n in names if n in _SPLIT), "")
    rank = len(variable.shape)
    if variable.name != _SPLIT.get(layer) or rank < 2:
        return ()
    if layer == "Embedding":
        return 0, 1
    if layer.startswith("Conv"):
        return (rank - 1,)
    if rank == 2:
        rows, columns = variable.shape
        return (0, 1) if columns < rows else (1, 0)
    return _of_heads(variable.equation or "")


def _of_heads(equation: str) -> tuple[int, ...]:
    """Of attention: (d, heads, h) makes heads of the input, (heads, h, d) merges them.

    An axis is summed over where the equation's result does not have its letter.
    """
    operands, _, result = equation.replace(" ", "").partition("->")
    kernel = operands.partition(",")[2]
    summed = [i for i, letter in enumerate(kernel) if letter not in result]
    kept = [i for i, letter in enumerate(kernel) if letter in result]
    return tuple((summed if len(summed) > 1 else kept)[:1])

"""What JAX says of shapes, axes and indices that do not fit, in the words of the ops.

JAX names its primitives, and functions that nobody called: an addition fails in "add
got incompatible shapes for broadcasting", a product in "dot_general requires
contracting dimensions …". What was given stands before these sentences; they say what
has to hold.
"""

from __future__ import annotations

import re

_HOLDS = [
    (
        r"for broadcasting|be broadcast|broadcast_(to|shap|in)|[Ii]ncompatible shapes",
        "counted from the last axis, sizes that meet have to be equal, or one has to "
        "be 1",
    ),
    (
        r"contracting dim|mismatch in its core|matmul|einsum|core dimension",
        "the sizes of the axes that are summed over have to be equal",
    ),
    (
        r"reshape|total size",
        "the number of entries has to stay the same",
    ),
    (
        r"[Cc]oncatenat|must have the same shape|same rank|arrays? must have same",
        "sizes have to be equal, but on the axis along which the arrays are joined",
    ),
    (
        r"equal division|divisible|does not divide|divide evenly",
        "an axis can only be cut into parts of one size if their number divides it",
    ),
    (
        r"permutation|repeated axis|[Dd]uplicate|same length as",
        "each axis has to be named, and once only",
    ),
    (
        r"size not equal to (one|1)|squeeze",
        "only axes of size 1 can be taken away",
    ),
    (
        r"[Tt]oo many indices|Indices .* out of",
        "there are more indices than axes",
    ),
    (
        r"out of (bounds|range)|axis .* (invalid|must)|[Ii]nvalid axis",
        "there is no such axis: of n axes the first is 0 or -n, the last n - 1 or -1",
    ),
    (
        r"integer (or boolean )?(type|array)|be (an )?integers?|[Ii]ndexer",
        "indices and sizes have to be integers (keras.ops.cast(x, 'int32'))",
    ),
    (
        r"concrete values|1D sequences",
        "a size has to be a number that is known while a function is compiled",
    ),
    (
        r"conv|window|feature|kernel",
        "the input needs an axis for the batch, one for the channels, and those of the "
        "window, and the channels have to be those of the kernel",
    ),
    (
        r"at least|ndim|rank|dimension|-d |[123]-?[dD]\b",
        "an array has another number of axes than expected",
    ),
]  # fmt: skip
_FOREIGN = re.compile(
    r"dot_general|broadcast_in_dim|\blax\b|\bjnp\b|\bjax\b|pjit|[Tt]racer|Error\b"
    r"|static_arg|\w+\(\) |[Ss]hapedArray|\baval|operand|dynamic_|select_n|reduce_"
    r"|concret|contracting|incompatible shapes|\bTypes?\b|broadcast|abstract|\bNumPy"
    r"|scatter|gather|conv_general|take_along|Indexer|iterable|unpack|\bgot\b"
)


def own_words(said: str) -> str:
    """A sentence of JAX in other words, or as it is where it has none of its own.

    >>> own_words("add got incompatible shapes for broadcasting: (2, 3), (4,).")
    'counted from the last axis, sizes that meet have to be equal, or one has to be 1.'
    """
    if said != "." and not _FOREIGN.search(said):
        return said
    for pattern, holds in _HOLDS:
        if re.search(pattern, said):
            return f"{holds}."
    return "its docstring says what shapes and values it takes."

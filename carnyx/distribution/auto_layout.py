"""Which axis of a weight to split for tensor parallelism.

Of two Dense layers of which one feeds the other, the first is split by its columns, the
second by its rows: the hidden values between them never leave their device, and one sum
is sent after the pair. Attention is split by heads in the same way, an embedding by its
rows, a convolution by its filters.

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


class AutoLayout:
    """Says along which axis to split each variable of a model, asked in their order.

    Args:
        parts: how many there will be; an axis that they do not divide stays whole.
    """

    def __init__(self, parts: int) -> None:
        self.parts = parts
        self._hidden: int | None = None  # the width behind a layer split by columns

    def axis(self, variable: Variable) -> int | None:
        """The axis to split, or None."""
        shape = variable.shape
        for axis in self._axes(variable):
            if shape[axis] % self.parts == 0:
                if len(shape) == 2:
                    self._hidden = shape[1] if axis == 1 else None
                return axis
        return None

    def _axes(self, variable: Variable) -> tuple[int, ...]:
        """In order of preference."""
        names = [c.__name__ for c in variable.made_by.__mro__]
        layer = next((n for n in names if n in _SPLIT), "")
        if variable.name != _SPLIT.get(layer):
            return ()
        rank = len(variable.shape)
        if layer == "Embedding":
            return 0, 1
        if layer.startswith("Conv"):
            return (rank - 1,)
        if rank == 3:  # of attention: (d, heads, h), and (heads, h, d) back
            return (0,) if variable.path.split("/")[-2].endswith("output") else (1,)
        if rank != 2:
            return ()
        return (0, 1) if variable.shape[0] == self._hidden else (1, 0)

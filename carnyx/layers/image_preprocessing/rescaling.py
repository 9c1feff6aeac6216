"""Numbers scaled and shifted."""

from __future__ import annotations

from typing import Any

import numpy as np

from carnyx import config, ops
from carnyx.configurable import field
from carnyx.errors import ArgumentError
from carnyx.layers.image_preprocessing.base import DataLayer
from carnyx.typing import Tensors


def _numbers(value: Any) -> Any:
    """A number, or several as they were given."""
    try:
        np.asarray(value, "float64")
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"Rescaling got {value!r}; expected a number, or one for each channel."
        ) from error
    return value


class Rescaling(DataLayer):
    """x · scale + offset, in training and in prediction.

    Args:
        scale, offset: a number, or one for each channel.

    Shapes: (…) -> the same

    >>> import numpy as np
    >>> Rescaling(1 / 127.5, offset=-1)(np.array([0, 255], "uint8")).tolist()
    [-1.0, 1.0]
    """

    scale: Any = field(convert=_numbers)
    offset: Any = field(0.0, _numbers)

    supports_masking = True

    def call(self, inputs: Tensors) -> Tensors:
        return self._transformed(inputs)

    def _transformed(self, data: Tensors, training: bool = True) -> Tensors:
        dtype = self.compute_dtype
        scale, offset = (ops.cast(v, dtype) for v in (self.scale, self.offset))
        if config.image_data_format() == "channels_first" and scale.ndim:
            scale, offset = (
                ops.reshape(v, (*v.shape, *[1] * (3 - v.ndim))) if v.ndim else v
                for v in (scale, offset)
            )
        return ops.cast(data, dtype) * scale + offset


__all__ = ["Rescaling"]

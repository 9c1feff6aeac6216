"""`keras.preprocessing.image`: image files and arrays, and `smart_resize`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from carnyx.ops.image import resize
from carnyx.typing import Tensor
from carnyx.utils import array_to_img as array_to_img
from carnyx.utils import img_to_array as img_to_array
from carnyx.utils import load_img as load_img
from carnyx.utils import save_img as save_img

__all__ = ["array_to_img", "img_to_array", "load_img", "save_img", "smart_resize"]


def smart_resize(
    x: Tensor,
    size: Sequence[int],
    interpolation: str = "bilinear",
    data_format: str = "channels_last",
) -> Any:
    """The middle of images that has the shape of `size`, in that size: undistorted.

    Shapes: (…, h, w, c) -> (…, *size, c); what was a NumPy array comes back as one

    >>> smart_resize(np.ones((34, 50, 3), "float32"), (20, 20)).shape
    (20, 20, 3)
    """
    y = resize(
        x, size, interpolation, crop_to_aspect_ratio=True, data_format=data_format
    )
    return np.asarray(y) if isinstance(x, np.ndarray) else y

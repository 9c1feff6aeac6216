"""Fashion-MNIST: 70,000 pictures of clothes of 28×28 pixels, in MNIST's format.

The classes are T-shirt/top, trouser, pullover, dress, coat, sandal, shirt, sneaker,
bag, ankle boot.

References: Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747
"""

from __future__ import annotations

import gzip

import numpy as np

from carnyx.datasets._splits import FOLDER, Split
from carnyx.utils.files import get_file

ORIGIN = FOLDER


def load_data() -> tuple[Split, Split]:
    """`(x_train, y_train), (x_test, y_test)`: 60,000 and 10,000 images in 0 … 255.

    Shapes: x uint8 (n, 28, 28), y uint8 (n,)
    """
    return _part("train"), _part("t10k")


def _part(name: str) -> Split:
    x = _idx(f"{name}-images-idx3-ubyte.gz", 16)
    return x.reshape(-1, 28, 28), _idx(f"{name}-labels-idx1-ubyte.gz", 8)


def _idx(name: str, header: int) -> np.ndarray:
    """The bytes of a file in MNIST's own format, behind its header."""
    path = get_file(name, ORIGIN + name, cache_subdir="datasets/fashion-mnist")
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)

"""MNIST: 70,000 handwritten digits of 28×28 pixels.

References: LeCun, Bottou, Bengio, Haffner 1998, doi:10.1109/5.726791
"""

from __future__ import annotations

import numpy as np

from carnyx.datasets._splits import FOLDER, Split
from carnyx.utils.files import get_file

ORIGIN = FOLDER + "mnist.npz"
SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


def load_data(path: str = "mnist.npz") -> tuple[Split, Split]:
    """`(x_train, y_train), (x_test, y_test)`: 60,000 and 10,000 images in 0 … 255.

    Read from `datasets/<path>` in the cache folder (`CARNYX_HOME`, default
    `~/.keras`), the file that Keras keeps there; downloaded if it is not there.

    Shapes: x uint8 (n, 28, 28), y uint8 (n,)
    """
    file = get_file(path, ORIGIN, file_hash=SHA256)
    with np.load(file, allow_pickle=False) as arrays:
        train = arrays["x_train"], arrays["y_train"]
        return train, (arrays["x_test"], arrays["y_test"])

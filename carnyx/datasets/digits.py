"""Handwritten digits that ship inside the package: no download, no network.

The 1,797 images of the test part of "Optical Recognition of Handwritten Digits"
(E. Alpaydin, C. Kaynak, UCI Machine Learning Repository, 1998, doi:10.24432/C50P49,
licence CC BY 4.0), as scikit-learn ships them, 13 writers. `digits.npz` keeps them in
one shuffled order, `numpy.random.RandomState(0).permutation(1797)` of the original.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from carnyx.datasets._splits import Split

_TRAIN = 1437


def load_data() -> tuple[Split, Split]:
    """`(x_train, y_train), (x_test, y_test)`: 1,437 and 360 images of 8×8 in 0 … 16.

    The split is fixed: the last fifth of the shuffled order is the test part, so the
    same writers are in both.

    Shapes: x uint8 (n, 8, 8), y uint8 (n,)

    >>> (x_train, y_train), (x_test, y_test) = load_data()
    >>> x_train.shape, y_test.shape, int(x_train.max())
    ((1437, 8, 8), (360,), 16)
    """
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        x, y = file["x"], file["y"]
    return (x[:_TRAIN], y[:_TRAIN]), (x[_TRAIN:], y[_TRAIN:])

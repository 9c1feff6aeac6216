"""The files of CIFAR-10 and CIFAR-100: pickled dictionaries of rows of pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from carnyx import config
from carnyx.datasets._pickles import unpickle
from carnyx.datasets._splits import Split


def read_batches(folder: Path, names: list[str], labels: str) -> Split:
    """Images and labels of several files.

    Shapes: uint8 (n, 32, 32, 3), or (n, 3, 32, 32) where images are "channels_first";
    uint8 (n, 1)
    """
    batches = []
    for name in names:
        with (folder / name).open("rb") as file:
            batches.append(unpickle(file, encoding="bytes"))
    x = np.concatenate([b[b"data"] for b in batches]).reshape(-1, 3, 32, 32)
    y = np.concatenate([b[labels.encode()] for b in batches])
    if config.image_data_format() == "channels_last":
        x = x.transpose(0, 2, 3, 1)
    return x, y.astype("uint8")[:, None]

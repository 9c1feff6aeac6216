"""CIFAR-10: 60,000 colour photographs of 32×32 pixels, in ten classes.

The classes are airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck.

References: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images"
"""

from __future__ import annotations

from pathlib import Path

from carnyx.datasets._cifar import read_batches
from carnyx.datasets._splits import Split
from carnyx.utils.files import get_file

ORIGIN = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"


def load_data() -> tuple[Split, Split]:
    """`(x_train, y_train), (x_test, y_test)`: 50,000 and 10,000 images in 0 … 255.

    Shapes: x uint8 (n, 32, 32, 3), or (n, 3, 32, 32) where `config.image_data_format()`
    is "channels_first"; y uint8 (n, 1)
    """
    name = "cifar-10-batches-py-target"  # the name that Keras gives it in the cache
    folder = Path(get_file(name, ORIGIN, extract=True, file_hash=SHA256))
    folder /= "cifar-10-batches-py"
    train = [f"data_batch_{i}" for i in range(1, 6)]
    return (
        read_batches(folder, train, "labels"),
        read_batches(folder, ["test_batch"], "labels"),
    )

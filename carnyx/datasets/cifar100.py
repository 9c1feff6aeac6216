"""CIFAR-100: 60,000 colour photographs of 32×32 pixels, in 100 classes and 20 groups.

References: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images"
"""

from __future__ import annotations

from pathlib import Path

from carnyx.datasets._cifar import read_batches
from carnyx.datasets._splits import Split
from carnyx.errors import ArgumentError
from carnyx.utils.files import get_file

ORIGIN = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
SHA256 = "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"


def load_data(label_mode: str = "fine") -> tuple[Split, Split]:
    """`(x_train, y_train), (x_test, y_test)`: 50,000 and 10,000 images in 0 … 255.

    Shapes: x uint8 (n, 32, 32, 3), or (n, 3, 32, 32) where `config.image_data_format()`
    is "channels_first"; y uint8 (n, 1)

    Args:
        label_mode: "fine" for the 100 classes, "coarse" for the 20 groups.

    Raises:
        ArgumentError: for another `label_mode`.
    """
    if label_mode not in ("fine", "coarse"):
        raise ArgumentError(
            f"label_mode got {label_mode!r}; expected 'fine' or 'coarse'."
        )
    name = "cifar-100-python-target"  # the name that Keras gives it in the cache
    folder = Path(get_file(name, ORIGIN, extract=True, file_hash=SHA256))
    folder, labels = folder / "cifar-100-python", f"{label_mode}_labels"
    return read_batches(folder, ["train"], labels), read_batches(
        folder, ["test"], labels
    )

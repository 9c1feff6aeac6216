"""What a random transformation is drawn for: a batch, or one image as a batch of 1."""

from __future__ import annotations

from typing import Any

from carnyx import random
from carnyx._core.seed import SeedLike
from carnyx.errors import ShapeError
from carnyx.typing import DTypeLike, Tensor


def images_of(data: Any) -> Tensor:
    """The images, of a dict too."""
    return data["images"] if isinstance(data, dict) else data


def is_batched(images: Tensor) -> bool:
    """True for rank 4, False for one image.

    Raises:
        ShapeError: for any other rank.
    """
    rank = len(images.shape)
    if rank not in (3, 4):
        raise ShapeError(
            f"Got images of shape {tuple(images.shape)}; expected rank 3 (one image) "
            "or rank 4 (a batch)."
        )
    return rank == 4


class Batch:
    """Sizes of images, and random numbers for each of them.

    Attributes:
        shape: of the images as they were given.
        size: how many images.
        height, width: in pixels.
    """

    def __init__(
        self, data: Any, channels_last: bool, seed: SeedLike, dtype: DTypeLike
    ) -> None:
        images = images_of(data)
        self.images, self.shape = images, tuple(images.shape)
        self.size = self.shape[0] if is_batched(images) else 1
        rows, columns = (-3, -2) if channels_last else (-2, -1)
        self.height, self.width = self.shape[rows], self.shape[columns]
        self.seed, self.dtype = seed, dtype

    def uniform(self, low: float, high: float, *each: int) -> Tensor:
        """Numbers of shape (size, *each)."""
        return random.uniform((self.size, *each), low, high, self.dtype, self.seed)

    def chosen(self, probability: tuple[float, float]) -> Tensor:
        """Which images are changed, (size,): each with a probability drawn for it."""
        return self.uniform(0, 1) < self.uniform(*probability)

    def signs(self, *each: int) -> Tensor:
        """1 or -1, of shape (size, *each)."""
        return 1 - 2 * (self.uniform(0, 1, *each) > 0.5).astype(self.dtype)

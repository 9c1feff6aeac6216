"""California housing: 20,640 districts by 8 numbers, with the median price of a house.

The numbers are longitude, latitude, median age of the houses, rooms, bedrooms,
residents, households, and median income.

References: Pace, Barry 1997, doi:10.1016/S0167-7152(96)00140-X
"""

from __future__ import annotations

from carnyx.datasets._splits import FOLDER, Split, table
from carnyx.errors import ArgumentError

ORIGIN = FOLDER + "california_housing.npz"
SHA256 = "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f"
ROWS = {"large": None, "small": 600}


def load_data(
    version: str = "large",
    path: str = "california_housing.npz",
    test_split: float = 0.2,
    seed: int = 113,
) -> tuple[Split, Split]:
    """`(x_train, y_train), (x_test, y_test)`: 16,512 and 4,128 districts.

    Shapes: x float32 (n, 8), y float32 (n,) in dollars

    Args:
        version: "large", or "small": the first 600 districts, about as many as
            `boston_housing` has.

    Raises:
        ArgumentError: for another version, or a `test_split` outside of [0, 1).
    """
    if version not in ROWS:
        raise ArgumentError(f"version got {version!r}; expected 'large' or 'small'.")
    return table(path, ORIGIN, SHA256, seed, test_split, ROWS[version])

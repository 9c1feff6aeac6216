"""Boston housing: 506 districts by 13 numbers, with the median price of a house.

One column, derived from the share of Black residents, builds a racist assumption into
the data; prefer `california_housing` except to reproduce older work.

References: Harrison, Rubinfeld 1978, doi:10.1016/0095-0696(78)90006-2
"""

from __future__ import annotations

from carnyx.datasets._splits import FOLDER, Split, table

ORIGIN = FOLDER + "boston_housing.npz"
SHA256 = "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5"


def load_data(
    path: str = "boston_housing.npz", test_split: float = 0.2, seed: int = 113
) -> tuple[Split, Split]:
    """`(x_train, y_train), (x_test, y_test)`: 404 and 102 districts.

    Shapes: x float64 (n, 13), y float64 (n,) in thousands of dollars

    Raises:
        ArgumentError: for a `test_split` outside of [0, 1).
    """
    return table(path, ORIGIN, SHA256, seed, test_split)

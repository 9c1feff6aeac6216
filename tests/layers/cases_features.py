"""Rows of the contract table: numbers made ready, and sound."""

from tests.layers.cases import Case

FEATURES = [
    Case(
        "Normalization",
        {},
        (None, 4),
        wrong=(
            ({"mean": 1.0}, "expected both, or neither"),
            ({"mean": [1.0], "variance": [1.0, 2.0]}, "expected one shape"),
            ({"mean": [[1.0]], "variance": [[2.0]]}, "at most one axis for each"),
        ),
    ),
    Case("Normalization", {"axis": (1, 2), "invert": True}, (None, 3, 4)),
    Case("Normalization", {"axis": None}, (None, 3, 4), masks=True),
    Case("Normalization", {"mean": 2.0, "variance": 9.0}, (None, None, 4)),
    Case(
        "Normalization",
        {"axis": (1, 2), "mean": [1, 2, 3, 4], "variance": [1] * 4},
        (None, 3, 4),
    ),  # fmt: skip
    Case(
        "Discretization",
        {"bin_boundaries": [-0.5, 0.0, 0.5]},
        (None, 4),
        gradients=False,
        wrong=(
            ({"num_bins": 3}, "expected one of them"),
            ({"bin_boundaries": None}, "expected one of them"),
            ({"output_mode": "hot"}, "expected one of 'int', 'one_hot'"),
            ({"sparse": True}, "outputs are dense"),
        ),
    ),
    Case(
        "Discretization",
        {"bin_boundaries": [-0.5, 0.0, 0.5], "output_mode": "one_hot"},
        (None, 1),
        gradients=False,
    ),
    Case(
        "Discretization",
        {"bin_boundaries": [-0.5, 0.5], "output_mode": "count"},
        (None, 5),
        gradients=False,
    ),
    Case(
        "CategoryEncoding",
        {"num_tokens": 5},
        (None, 3),
        below=5,
        gradients=False,
        wrong=(
            ({"num_tokens": None}, "num_tokens=None; expected an integer above 0"),
            ({"num_tokens": 0}, "num_tokens=0; expected an integer above 0"),
            ({"output_mode": "int"}, "expected one of 'one_hot'"),
        ),
    ),
    Case(
        "CategoryEncoding",
        {"num_tokens": 5, "output_mode": "one_hot"},
        (None, 3),
        below=5,
        gradients=False,
    ),  # fmt: skip
    Case(
        "CategoryEncoding",
        {"num_tokens": 5, "output_mode": "one_hot"},
        (None, 1),
        below=5,
        gradients=False,
    ),  # fmt: skip
    Case(
        "CategoryEncoding",
        {"num_tokens": 5, "output_mode": "count"},
        (None, 3),
        below=5,
        gradients=False,
    ),  # fmt: skip
]

CASES = FEATURES

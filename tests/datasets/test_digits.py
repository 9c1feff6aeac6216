"""The digits that ship inside the package."""

import numpy as np

from carnyx.datasets import digits


def test_split_has_the_documented_sizes_and_types():
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    assert x_train.shape == (1437, 8, 8) and x_test.shape == (360, 8, 8)
    assert y_train.shape == (1437,) and y_test.shape == (360,)
    assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype("uint8")}


def test_pixels_and_labels_are_those_of_the_original():
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    x, y = np.concatenate([x_train, x_test]), np.concatenate([y_train, y_test])
    order = np.argsort(np.random.RandomState(0).permutation(len(x)))
    x, y = x[order], y[order]
    assert (x.min(), x.max()) == (0, 16)
    assert y[:20].tolist() == [*range(10)] * 2  # the original begins 0 … 9, 0 … 9
    assert x[0, 0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    # per class as the UCI description of the test part gives them
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_every_digit_is_in_the_test_part_at_least_25_times():
    _, (_, y_test) = digits.load_data()
    assert np.bincount(y_test, minlength=10).min() >= 25

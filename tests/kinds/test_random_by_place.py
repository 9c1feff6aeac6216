"""Random numbers that depend on what was drawn before them.

The kind: a feed that draws in its elements (augmentation) gave other elements when
threads made them in another order, or when a training was resumed in the middle: each
draw went on from the one before. Elements of a feed draw by seed, pass and place.
"""

import time

import numpy as np
import pytest

import carnyx as keras
from carnyx._data.dataset import Dataset


def images(index):
    return np.full((4, 4, 3), 100.0 + index, "float32")


def feed(func, threads=None):
    return Dataset(12, images).map(func, num_parallel_calls=threads)


def elements(dataset):
    return [np.asarray(x) for x in dataset]


def layer(seed=3):
    return keras.layers.RandomBrightness(0.2, seed=seed)


def ways():
    """Functions that draw: a compiled layer, ops, a layer of a user's."""
    generator = keras.random.SeedGenerator(5)

    class Noise(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.seeds = keras.random.SeedGenerator(7)

        def call(self, x):
            first = keras.random.normal(x.shape, seed=self.seeds)
            return x + first + keras.random.normal(x.shape, seed=self.seeds)

    yield "layer", layer()
    yield "op", lambda x: x + keras.random.uniform(x.shape, seed=generator)
    yield "user", Noise()


@pytest.mark.parametrize("name, func", list(ways()))
def test_any_element_alone_is_what_it_is_among_the_others(name, func):
    dataset = feed(func)
    whole = elements(dataset)
    for index in (7, 0, 11, 7):
        np.testing.assert_array_equal(dataset.get(0, index), whole[index])
    next_pass = elements(dataset)
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(whole, next_pass))
    np.testing.assert_array_equal(dataset.get(1, 4), next_pass[4])


def test_threads_change_nothing():
    brighter = layer()

    def slowly(x):
        time.sleep(0.01 * int(x[0, 0, 0] % 3))
        return brighter(x)

    one, several = (elements(feed(slowly, n)) for n in (1, 4))
    np.testing.assert_array_equal(one, several)


def test_draws_differ_by_seed_place_and_number():
    a, b = (np.stack(elements(feed(layer(seed)))) for seed in (1, 2))
    shifts = a[:, 0, 0, 0] - np.arange(100, 112)
    assert len({round(float(s), 3) for s in shifts}) > 9
    assert np.abs(a - b).max() > 1
    brighter = layer()
    twice = feed(brighter).map(brighter)
    once = elements(feed(brighter))
    steps = [np.asarray(x) - y for x, y in zip(twice, once)]
    first = [y - images(i) for i, y in enumerate(once)]
    assert np.abs(np.stack(steps) - np.stack(first)).max() > 1


def test_outside_of_a_feed_generators_go_on():
    brighter = layer()
    before = np.asarray(brighter.generator.state.value)
    elements(feed(brighter))
    np.testing.assert_array_equal(brighter.generator.state.value, before)
    first = brighter(images(0))
    assert np.abs(np.asarray(brighter(images(0))) - np.asarray(first)).max() > 1e-3

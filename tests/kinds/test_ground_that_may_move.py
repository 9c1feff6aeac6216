"""Behaviour that hung on what others keep inside, or on what is set for a process.

Pages of a mapped file were given back by a private attribute of NumPy's; a scope of one
thread put a distribution in force for all threads, and ended that of another; errors
that no size is the reason of might lead to trials with other sizes.
"""

import mmap
import threading

import numpy as np
import pytest

import carnyx as keras
from carnyx._core.infer import infer
from carnyx._data.rows import mapping_of

distribution = keras.distribution


@pytest.mark.parametrize(
    "view", [lambda x: x, lambda x: x[2:], lambda x: x[1:].reshape(-1, 3)[:, 1:]]
)
def test_the_mapped_file_behind_an_array_is_found(tmp_path, view):
    np.save(tmp_path / "x.npy", np.ones((5, 3)))
    mapped = view(np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert isinstance(mapping_of(mapped), mmap.mmap)
    mapping_of(mapped).madvise(mmap.MADV_DONTNEED)
    assert mapping_of(np.ones(3)) is None


def in_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def test_a_scope_is_of_the_thread_that_is_within_it():
    here = distribution.DataParallel(devices=["cpu:0"])
    there = distribution.DataParallel(devices=["cpu:0"])

    def other():
        before = distribution.distribution()
        with there.scope():
            return before, distribution.distribution()

    with here.scope():
        assert in_thread(other) == (None, there)
        assert distribution.distribution() is here
    assert distribution.distribution() is None


def test_what_is_set_is_of_all_threads_and_within_a_scope_until_its_end():
    one, two = (distribution.DataParallel(devices=["cpu:0"]) for _ in "ab")
    distribution.set_distribution(one)
    try:
        assert in_thread(distribution.distribution) is one
        with two.scope():
            distribution.set_distribution(None)
            assert distribution.distribution() is None
        assert distribution.distribution() is one
    finally:
        distribution.set_distribution(None)


@pytest.mark.parametrize("error", [OSError, KeyError, RuntimeError, MemoryError])
def test_what_has_other_reasons_than_sizes_is_raised_at_once(error):
    calls = []

    def failing(x):
        calls.append(x.shape)
        raise error("of its own")

    x = keras.KerasTensor((None, None, 3))
    with pytest.raises(error, match="of its own"):
        infer(failing, x)
    assert len(calls) == 1

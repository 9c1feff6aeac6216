"""Batches made by threads and processes: in order, and with their own errors."""

import os
import subprocess
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest

import carnyx
from carnyx._data import adapt
from carnyx.errors import DataError
from tests.data.worker_job import Batches, Closed, Slow

ROOT = Path(__file__).resolve().parents[2]
KINDS = [{"workers": 3}, {"workers": 2, "use_multiprocessing": True}]
each_kind = pytest.mark.parametrize("options", KINDS, ids=["threads", "processes"])


def rows(feed, epoch=0, start=0):
    return np.concatenate([y for _, y, _ in feed.epoch(epoch, start)]).tolist()


@each_kind
def test_workers_keep_the_order_and_hear_of_epochs(options):
    feed, alone = adapt(Batches(**options)), adapt(Batches())
    for epoch in range(2):
        for got, wanted in zip(feed.epoch(epoch), alone.epoch(epoch), strict=True):
            np.testing.assert_array_equal(got[0], wanted[0])
    assert rows(feed, 2, 6) == list(range(24, 32))


@each_kind
def test_what_a_worker_raises_comes_with_its_traceback(options):
    feed = adapt(Batches(3, **options))
    batches = feed.epoch(0)
    for _ in range(3):
        next(batches)
    with pytest.raises(KeyError, match="lost") as caught:
        next(batches)
    text = "".join(traceback.format_exception(caught.value))
    assert "_lookup" in text and "made batch 3" in text


def test_processes_share_the_work_and_stop_halfway():
    feed = adapt(Slow(workers=2, use_multiprocessing=True))
    batches = feed.epoch(0)
    makers = {float(next(batches)[0][0, 0]) for _ in range(4)}
    batches.close()
    assert len(makers) == 2 and os.getpid() % 2**20 not in makers
    assert rows(feed, 1) == [i for i in range(8) for _ in range(2)]


def test_batches_looked_at_before_training_are_made_by_processes_too():
    source = Batches(0, "kill", workers=2, use_multiprocessing=True)
    with pytest.raises(DataError, match="while it made batch 0"):
        adapt(source).spec()


def test_what_cannot_be_pickled_says_so():
    feed = adapt(Closed(workers=1, use_multiprocessing=True))
    with pytest.raises(Exception, match="lambda|pickle") as caught:
        next(feed.epoch(0))
    assert "use_multiprocessing=False" in caught.value.__notes__[0]


def test_a_killed_worker_is_told_at_once_and_leaves_no_zombie():
    command = [sys.executable, str(ROOT / "tests" / "data" / "worker_job.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    message, _, children = done.stdout.strip().splitlines()
    assert "A worker process of Batches died (SIGKILL) while it made batch 5" in message
    assert children == "children 0"


def test_a_position_of_a_source_that_changes_between_epochs():
    feed = adapt(Batches(workers=2))
    for epoch in range(3):
        list(feed.epoch(epoch))
    batches = feed.epoch(3)
    next(batches)
    position = feed.position(1, 3)
    again = adapt(Batches(workers=2))
    again.restore(position)
    got = next(again.epoch(3, 1))
    np.testing.assert_array_equal(got[0], next(batches)[0])


def test_options_of_a_dataset():
    class Plain(carnyx.utils.PyDataset):
        def __init__(self):  # forgets its base
            self.count = 3

        def __len__(self):
            return self.count

        def __getitem__(self, index):
            return np.full((2, 1), index)

    source = Plain()
    with pytest.warns(UserWarning, match=r"does not call super\(\).__init__"):
        assert source.workers == 1
    source.workers = 4
    assert source.workers == 4 and source.num_batches == 3
    assert [int(b[0, 0]) for b in source] == [0, 1, 2]
    assert carnyx.utils.Sequence is carnyx.utils.PyDataset


def test_what_a_dataset_must_have():
    class Endless(carnyx.utils.PyDataset):
        num_batches = None

        def __getitem__(self, index):
            return np.full((1, 1), index)

    assert len(list(adapt(Endless(), steps=3).epoch(0))) == 3
    with pytest.raises(NotImplementedError, match="must define __getitem__"):
        carnyx.utils.PyDataset()[0]
    with pytest.raises((NotImplementedError, DataError), match="must define __len__"):
        carnyx.utils.PyDataset().num_batches  # noqa: B018

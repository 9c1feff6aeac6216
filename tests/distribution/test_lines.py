"""The lines between the processes of a job, here between threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from carnyx.distribution.coordinator import Coordinator
from carnyx.distribution.job import Job
from carnyx.distribution.rank_zero import RankZero
from carnyx.errors import FileError, ProcessError

COUNT = 3


def in_threads(do: Callable[[int], Any], count: int = COUNT) -> list[Any]:
    """What `do(index)` gives in each of as many threads; an error is a value."""
    results: list[Any] = [None] * count

    def run(index: int) -> None:
        try:
            results[index] = do(index)
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return results


@pytest.fixture
def jobs() -> Iterator[list[Job]]:
    coordinator = Coordinator(COUNT, "secret")
    where = [("localhost", coordinator.port)]
    made = in_threads(
        lambda i: Job(i, COUNT, where, "secret", coordinator if not i else None)
    )
    yield made
    for job in made:
        job.close()


def test_an_exchange_gives_all_that_each_gave(jobs: list[Job]) -> None:
    given = in_threads(lambda i: [jobs[i].agree(10 * i, "x") for _ in range(5)])
    assert given == [[[0, 10, 20]] * 5] * COUNT
    assert "Process 2 of 3 (host " in jobs[0].news.names[2]


def test_what_the_first_does_the_others_wait_for(jobs: list[Job]) -> None:
    done: list[str] = []
    in_threads(lambda i: jobs[i].done_by_first(lambda: done.append("file"), "save"))
    assert done == ["file"]

    def fail() -> None:
        raise OSError("the disk is full")

    first, *others = in_threads(lambda i: jobs[i].done_by_first(fail, "save"))
    assert isinstance(first, OSError)
    assert all(isinstance(e, FileError) for e in others)
    assert "could not save: OSError: the disk is full" in str(others[0])


@pytest.mark.parametrize(
    ("first", "other", "index", "same"),
    [
        ("log-0.csv", "log-0.csv", 1, True),
        ("log-0.csv", "log-1.csv", 1, True),
        ("epoch-1-of-0", "epoch-1-of-1", 1, True),  # two numbers, one of them its own
        ("10-0.keras", "10-1.keras", 1, True),  # not the digit 1, the number
        ("0000.npz", "0012.npz", 12, True),
        ("log-0.csv", "log-2.csv", 1, False),
        ("log-2.csv", "log-1.csv", 1, False),
        ("best.keras", "last.keras", 1, False),
        ("log-0.csv", "log-1.txt", 1, False),
    ],
)
def test_files_with_the_number_of_their_process(
    first: str, other: str, index: int, same: bool
) -> None:
    done: list[str] = []

    def wait(over: Callable[[], bool], what: str) -> None:
        done.append("found" if over() else "waits")

    listener = RankZero(index, lambda key, value: None, wait)
    writer = RankZero(0, listener.hear, wait)
    writer.take(lambda: done.append("written"), "save", first, 0)
    listener.take(lambda: done.append("twice"), "save", other, 0)
    assert done == ["written", "found" if same else "waits"]


def test_one_that_has_ended_is_not_waited_for(jobs: list[Job]) -> None:
    def do(index: int) -> Any:
        if index == 2:
            return jobs[2].close()
        with jobs[index].call("fit"):
            return jobs[index].agree(None, "the epoch")

    for error in in_threads(do)[:2]:
        assert isinstance(error, ProcessError)
        assert "Process 2 of 3" in str(error) and "has ended" in str(error)


def test_an_error_in_a_call_reaches_who_is_in_it(jobs: list[Job]) -> None:
    def do(index: int) -> Any:
        with jobs[index].call("fit"):
            if index == 1:
                raise ValueError("not like this")
            return jobs[index].agree(None, "the epoch")

    first, second, third = in_threads(do)
    assert isinstance(second, ValueError)
    for error in (first, third):
        assert isinstance(error, ProcessError)
        assert "stopped with ValueError: not like this" in str(error)
    # whoever caught it may go on
    assert in_threads(lambda i: jobs[i].agree(i, "again")) == [[0, 1, 2]] * COUNT


def test_a_stranger_is_not_let_in() -> None:
    coordinator = Coordinator(1, "secret")
    with pytest.raises(ProcessError, match="cannot reach process 0"):
        Job(0, 1, [("localhost", 1)], "secret")
    job = Job(0, 1, [("localhost", coordinator.port)], "secret", coordinator)
    assert job.agree(1, "x") == [1]
    job.close()


@settings(max_examples=25, deadline=None)
@example(wishes=[{5: "stop"}] * 3, pauses=[0, 1, 3])
@given(
    wishes=st.lists(
        st.dictionaries(st.integers(1, 30), st.just("stop"), max_size=3),
        min_size=COUNT,
        max_size=COUNT,
    ),
    pauses=st.lists(st.integers(0, 3), min_size=COUNT, max_size=COUNT),
)
def test_all_stop_at_the_same_points(wishes: list[dict], pauses: list[int]) -> None:
    """However far each is when another wants to stop, and however often one does."""
    coordinator = Coordinator(COUNT, "secret")
    where = [("localhost", coordinator.port)]

    def run(index: int) -> list[int]:
        job = Job(index, COUNT, where, "secret", coordinator if not index else None)
        stopped = []
        for point in range(1, 41):
            threading.Event().wait(pauses[index] * 1e-4)
            if job.stops.arrive(wishes[index].get(point)) is not None:
                stopped.append(point)
        job.agree(None, "the end")
        job.close()
        return stopped

    first, *others = in_threads(run)
    assert all(other == first for other in others)
    if set.intersection(*map(set, wishes)):  # who alone wants it may be the last
        assert first
    if not any(wishes):
        assert not first


@settings(max_examples=25, deadline=None)
@example(wishes=[{(0, 3): "stop"}, {}, {}], pauses=[3, 0, 0], fails={})
@example(wishes=[{(0, 2): "stop"}, {}, {}], pauses=[0, 3, 0], fails={0: (1, 3)})
@given(
    wishes=st.lists(
        st.dictionaries(
            st.tuples(st.integers(0, 3), st.integers(1, 3)), st.just("stop"), max_size=2
        ),
        min_size=COUNT,
        max_size=COUNT,
    ),
    pauses=st.lists(st.integers(0, 3), min_size=COUNT, max_size=COUNT),
    fails=st.dictionaries(
        st.integers(0, 2), st.tuples(st.integers(0, 2), st.integers(1, 3)), max_size=2
    ),
)
def test_a_wish_to_stop_is_for_one_run(
    wishes: list[dict], pauses: list[int], fails: dict[int, tuple[int, int]]
) -> None:
    """The last points of a run may be passed, and an error may end it."""
    coordinator = Coordinator(COUNT, "secret")
    where = [("localhost", coordinator.port)]

    def one(job: Job, index: int, number: int) -> list[Any]:
        met: list[Any] = []
        with job.call("fit"):
            job.stops.begin(lambda: job.agree(None, "the beginning"))
            for point in range(1, 4):
                threading.Event().wait(pauses[index] * 1e-3)
                if fails.get(number) == (index, point):
                    raise ValueError("not like this")
                met.append(job.stops.arrive(wishes[index].get((number, point))))
            job.agree(None, "the end")
            return [*met, job.stops.end()]

    def run(index: int) -> list[Any]:
        job = Job(index, COUNT, where, "secret", coordinator if not index else None)
        runs: list[Any] = []
        for number in range(4):
            try:
                runs.append(one(job, index, number))
            except (ValueError, ProcessError):
                runs.append(None)
        job.agree(None, "the end")
        job.close()
        return runs

    first, *others = in_threads(run)
    assert all(other == first for other in others)
    for number, met in enumerate(first):
        assert (met is None) == (number in fails)
        if met is not None:
            wished = any(run == number for wish in wishes for run, _ in wish)
            assert ("stop" in met) == wished

"""Cutting into stages and the order of their work, without devices."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carnyx.distribution.schedule import balance, simulate, tasks_of

COSTS = st.lists(st.floats(0.01, 100) | st.integers(0, 5), min_size=1, max_size=9)


def largest(costs: list[float], starts: tuple[int, ...]) -> float:
    ends = [*starts[1:], len(costs)]
    return max(sum(costs[a:b]) for a, b in zip(starts, ends, strict=True))


@given(COSTS, st.data())
@settings(max_examples=150, deadline=None)
def test_no_other_cut_is_better(costs: list[float], data: st.DataObject) -> None:
    parts = data.draw(st.integers(1, len(costs)))
    starts = balance(costs, parts)
    assert starts[0] == 0 and len(starts) == parts
    assert all(a < b for a, b in zip(starts, [*starts[1:], len(costs)], strict=True))
    every = combinations(range(1, len(costs)), parts - 1)
    best = min(largest(costs, (0, *cut)) for cut in every)
    assert largest(costs, tuple(starts)) == pytest.approx(best)


def test_more_parts_than_costs() -> None:
    with pytest.raises(ValueError, match="2 costs cannot be cut into 3"):
        balance([1, 2], 3)


@given(st.integers(1, 6), st.integers(1, 9))
@settings(deadline=None)
def test_one_forward_one_backward(stages: int, microbatches: int) -> None:
    for stage in range(stages):
        alive = most = 0
        tasks = tasks_of(stage, stages, microbatches)
        for task in tasks:
            alive += -1 if task.backward else 1
            most = max(most, alive)
        assert alive == 0 and most == min(stages - stage, microbatches)
        for backward in (False, True):  # each microbatch once, in order
            assert [t.microbatch for t in tasks if t.backward is backward] == list(
                range(microbatches)
            )


@given(
    st.lists(st.floats(0.1, 10), min_size=1, max_size=5),
    st.lists(st.floats(0.1, 10), min_size=5, max_size=5),
    st.integers(1, 7),
)
@settings(deadline=None)
def test_the_order_can_run(
    forward: list[float], backward: list[float], microbatches: int
) -> None:
    stages = len(forward)
    timeline = simulate(forward, backward[:stages], microbatches)
    done = set()
    for stage, microbatch, back in timeline.order:
        if not back:
            assert stage == 0 or (stage - 1, microbatch, False) in done
        else:
            assert (stage, microbatch, False) in done
            assert stage == stages - 1 or (stage + 1, microbatch, True) in done
        done.add((stage, microbatch, back))
    assert len(done) == 2 * stages * microbatches
    for stage in range(stages):
        mine = [t for t in timeline.order if t.stage == stage]
        assert mine == tasks_of(stage, stages, microbatches)
    assert 0 <= timeline.bubble < 1


@given(st.integers(1, 6), st.integers(1, 12), st.floats(0.1, 5), st.floats(0.1, 5))
@settings(deadline=None)
def test_the_bubble_of_equal_stages(
    stages: int, microbatches: int, forward: float, backward: float
) -> None:
    timeline = simulate([forward] * stages, [backward] * stages, microbatches)
    expected = (stages - 1) / (microbatches + stages - 1)
    assert timeline.bubble == pytest.approx(expected, abs=1e-9)


def test_an_unbalanced_stage_makes_all_wait() -> None:
    even = simulate([1, 1, 1], [2, 2, 2], 4)
    uneven = simulate([1, 2, 1], [2, 4, 2], 4)
    assert uneven.bubble > even.bubble
    # the slow stage waits for its first microbatch on both ways, then never
    assert uneven.length == pytest.approx(1 + 4 * 6 + 1 + 2)

"""Cutting into stages and the order of their work, without devices."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carnyx.distribution.schedule import (
    backward_order,
    balance,
    bubble,
    forward_order,
    makespan,
)

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
def test_the_order_can_run(stages: int, microbatches: int) -> None:
    every = {(s, m) for s in range(stages) for m in range(microbatches)}
    for order, first, step in (
        (forward_order(stages, microbatches), 0, 1),
        (backward_order(stages, microbatches), stages - 1, -1),
    ):
        done: set[tuple[int, int]] = set()
        for stage, microbatch in order:
            assert stage == first or (stage - step, microbatch) in done
            assert microbatch == 0 or (stage, microbatch - 1) in done
            done.add((stage, microbatch))
        assert done == every and len(order) == len(every)


@given(st.integers(1, 6), st.integers(1, 12), st.floats(0.1, 5), st.floats(0.1, 5))
@settings(deadline=None)
def test_the_bubble_of_equal_stages(
    stages: int, microbatches: int, forward: float, backward: float
) -> None:
    found = bubble([forward] * stages, [backward] * stages, microbatches)
    expected = (stages - 1) / (microbatches + stages - 1)
    assert found == pytest.approx(expected, abs=1e-9)


def test_an_unbalanced_stage_makes_all_wait() -> None:
    assert bubble([1, 2, 1], [2, 4, 2], 4) > bubble([1, 1, 1], [2, 2, 2], 4)
    # the slow stage waits for its first microbatch, then never
    assert makespan([1, 2, 1], 4) == pytest.approx(1 + 4 * 2 + 1)

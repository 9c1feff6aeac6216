"""Where to cut a chain of costs, and in which order the pieces run.

All microbatches go forward, one behind the other, then all go back: between the two
stands the loss of the whole batch.

References: Huang et al. 2018, GPipe, arXiv:1811.06965
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate


def balance(costs: Sequence[float], parts: int) -> list[int]:
    """Cut `costs` into consecutive parts whose largest sum is as small as can be.

    `best[k][i]`, the smallest largest sum of the first i costs in k parts, is the
    least over j of max(best[k - 1][j], sum of j to i): one grows with j, the other
    falls, so that bisection finds where they meet.

    Returns:
        The index at which each part begins; every part has one cost at least.

    >>> balance([1, 1, 1, 3, 1, 1], 3)
    [0, 3, 4]
    """
    count = len(costs)
    if not 1 <= parts <= count:
        raise ValueError(f"{count} costs cannot be cut into {parts} parts.")
    sums = [0.0, *accumulate(map(float, costs))]
    best, choices = sums, []
    for part in range(2, parts + 1):
        row, choice = [float("inf")] * (count + 1), [0] * (count + 1)
        for end in range(part, count + 1):
            row[end], choice[end] = _last_cut(best, sums, part - 1, end)
        best = row
        choices.append(choice)
    cuts, end = [], count
    for choice in reversed(choices):
        end = choice[end]
        cuts.append(end)
    return [0, *reversed(cuts)]


def _last_cut(
    best: list[float], sums: list[float], low: int, end: int
) -> tuple[float, int]:
    """The least of max(best[j], sums[end] - sums[j]) for low <= j < end, and its j."""
    meet = bisect_left(
        range(low, end), True, key=lambda j: best[j] >= sums[end] - sums[j]
    )
    around = {min(max(low + meet + d, low), end - 1) for d in (-1, 0)}
    return min((max(best[j], sums[end] - sums[j]), j) for j in around)


def forward_order(stages: int, microbatches: int) -> list[tuple[int, int]]:
    """Pairs of stage and microbatch as they begin: each microbatch a stage behind the
    one before it.

    >>> forward_order(2, 2)
    [(0, 0), (0, 1), (1, 0), (1, 1)]
    """
    pairs = [(s, m) for s in range(stages) for m in range(microbatches)]
    return sorted(pairs, key=lambda pair: (sum(pair), pair))


def backward_order(stages: int, microbatches: int) -> list[tuple[int, int]]:
    """The same on the way back, which begins at the last stage.

    >>> backward_order(2, 2)
    [(1, 0), (1, 1), (0, 0), (0, 1)]
    """
    forward = forward_order(stages, microbatches)
    return [(stages - 1 - stage, microbatch) for stage, microbatch in forward]


def makespan(costs: Sequence[float], microbatches: int) -> float:
    """How long until the last microbatch has left the last of the stages, which take so
    long for one. Moving values between them is taken to cost nothing.

    >>> makespan([1, 1, 2], 3)
    8.0
    """
    free = [0.0] * len(costs)
    for _ in range(microbatches):
        ready = 0.0
        for stage, cost in enumerate(costs):
            ready = free[stage] = max(ready, free[stage]) + cost
    return free[-1]


def bubble(
    forward: Sequence[float], backward: Sequence[float], microbatches: int
) -> float:
    """The share of the stages' time in which they wait, in a step.

    >>> bubble([1, 1, 1, 1], [2, 2, 2, 2], 8)  # (4 - 1) / (8 + 4 - 1)
    0.2727272727272727
    """
    length = makespan(forward, microbatches) + makespan(backward[::-1], microbatches)
    busy = microbatches * (sum(forward) + sum(backward))
    return max(0.0, 1 - busy / (len(forward) * length)) if length else 0.0

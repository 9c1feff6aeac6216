"""Where to cut a chain of costs, and in which order the pieces run.

References: Huang et al. 2018, GPipe, arXiv:1811.06965; Harlap et al. 2018, PipeDream,
arXiv:1806.03377; one forward, one backward with a flush at the end: Narayanan et al.
2020, arXiv:2006.09503
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple


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


class Task(NamedTuple):
    """One microbatch in one stage, on its way there or back."""

    stage: int
    microbatch: int
    backward: bool


def tasks_of(stage: int, stages: int, microbatches: int) -> list[Task]:
    """What one stage does, in order: first only forward, until its first microbatch
    can come back; then one forward, one backward; then only backward.

    Never more than `stages - stage` microbatches are under way in it.

    >>> "".join("FB"[t.backward] for t in tasks_of(1, 4, 5))
    'FFFBFBFBBB'
    """
    ahead = min(stages - stage - 1, microbatches)
    tasks = [Task(stage, m, False) for m in range(ahead)]
    for m in range(microbatches):
        if m + ahead < microbatches:
            tasks.append(Task(stage, m + ahead, False))
        tasks.append(Task(stage, m, True))
    return tasks


class Timeline(NamedTuple):
    """A step, simulated.

    Attributes:
        order: all tasks as they begin: each after those that it needs.
        length: the time from the first task's beginning to the last one's end.
        bubble: the share of the stages' time in which they wait.
    """

    order: list[Task]
    length: float
    bubble: float


def simulate(
    forward: Sequence[float], backward: Sequence[float], microbatches: int
) -> Timeline:
    """The timeline of a step whose stages take so long for a microbatch.

    Moving values between stages is taken to cost nothing.

    >>> simulate([1, 1, 1, 1], [2, 2, 2, 2], 8).bubble  # (4 - 1) / (8 + 4 - 1)
    0.2727272727272727
    """
    stages = len(forward)
    waiting = [tasks_of(i, stages, microbatches)[::-1] for i in range(stages)]
    free, ends = [0.0] * stages, dict[Task, float]()
    begun: list[tuple[float, Task]] = []
    while any(waiting):
        ready = []
        for tasks in filter(None, waiting):
            needed = _needed(tasks[-1], stages)
            if all(task in ends for task in needed):
                start = max([free[tasks[-1].stage], *(ends[t] for t in needed)])
                ready.append((start, tasks[-1]))
        start, task = min(ready)
        waiting[task.stage].pop()
        costs = backward if task.backward else forward
        free[task.stage] = ends[task] = start + costs[task.stage]
        begun.append((start, task))
    length = max(free)
    busy = microbatches * (sum(forward) + sum(backward))
    bubble = max(0.0, 1 - busy / (stages * length)) if length else 0.0
    return Timeline([task for _, task in begun], length, bubble)


def _needed(task: Task, stages: int) -> list[Task]:
    """The tasks of neighbours that must have ended."""
    stage, microbatch, backward = task
    if not backward:
        return [Task(stage - 1, microbatch, False)] if stage else []
    if stage + 1 < stages:
        return [Task(stage + 1, microbatch, True)]
    return [Task(stage, microbatch, False)]

"""Seats over time: how many are reserved and in overtime at every moment of a span.

Owns the sum over rows of meetings, exact at every second, told as the highest of each step. Pure:
spans in, levels out; the decision core has calendars of its own and is not asked. Called by the
operations about capacity.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TypeAlias

#: First and last second (half-open), seats.
Span: TypeAlias = tuple[int, int, int]


def highest(spans: Iterable[Span], from_s: int, to_s: int, step_s: int) -> list[int]:
    """Return the most seats at any second of each step of ``[from_s, to_s)``.

    >>> highest([(0, 10, 5), (5, 25, 3)], 0, 30, 10)
    [8, 3, 3]
    """
    steps = -(-(to_s - from_s) // step_s)
    changes: dict[int, int] = {}
    for start_s, end_s, seats in spans:
        begin_s, over_s = max(start_s, from_s), min(end_s, to_s)
        if begin_s < over_s and seats:
            changes[begin_s] = changes.get(begin_s, 0) + seats
            changes[over_s] = changes.get(over_s, 0) - seats
    if not changes:
        return [0] * steps
    instants = sorted(changes)
    levels = list(accumulate(changes[at] for at in instants))
    return _by_step(instants, levels, from_s, step_s, steps)


def _by_step(
    instants: Sequence[int], levels: Sequence[int], from_s: int, step_s: int, steps: int
) -> list[int]:
    found: list[int] = []
    position, level = 0, 0
    for step in range(steps):
        begin_s = from_s + step * step_s
        # What holds from before the step counts, unless it ends where the step begins.
        if position < len(instants) and instants[position] == begin_s:
            level = levels[position]
            position += 1
        top = level
        while position < len(instants) and instants[position] < begin_s + step_s:
            level = levels[position]
            top = max(top, level)
            position += 1
        found.append(top)
    return found

"""How fast a calendar is, and whether it stays as fast with a million live reservations.

Measures one reservation and one release as a pair, on one calendar that holds 100, 10,000 or
1,000,000 reservations: seven in ten start now, the others are booked up to 28 days ahead. Random
load from a fixed seed. Called by ``seatkeep bench`` and by people.
"""

from __future__ import annotations

import json
import random
import time
from collections import deque

from scheduler.core.calendar import Calendar

_START_S = 1_800_000_000
_AHEAD_MINUTES = 28 * 24 * 60
_PAIRS_PER_SECOND = 8


def run(
    *, seconds: float = 6.0, live: tuple[int, ...] = (100, 10_000, 1_000_000)
) -> dict[str, object]:
    """Measure each number of live reservations for its share of `seconds`; times in microseconds.

    `largest_to_smallest` is the ratio of the medians of the last and the first number.
    """
    figures = {f"{count} live": _measure(count, seconds / len(live)) for count in live}
    medians = [figure["p50_us"] for figure in figures.values()]
    return {**figures, "largest_to_smallest": round(medians[-1] / medians[0], 2)}


def _window(chance: random.Random, now_s: int) -> tuple[int, int, int]:
    duration_s = chance.randint(30, 180) * 60
    if chance.random() < 0.7:  # noqa: PLR2004 - the share of meetings that start now
        start_s = now_s
    else:
        start_s = (now_s // 60 + chance.randint(1, _AHEAD_MINUTES)) * 60
    return start_s, start_s + duration_s, chance.randint(2, 60)


def _measure(live: int, seconds: float) -> dict[str, float]:
    chance = random.Random(11)
    now_s = _START_S
    calendar = Calendar(live * 60, now_s)
    held = deque(_window(chance, now_s) for _ in range(live))
    for window in held:
        calendar.add(*window)
    times_ns: list[int] = []
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s:
        now_s += 1
        for _ in range(_PAIRS_PER_SECOND):
            window = _window(chance, now_s)
            before_ns = time.perf_counter_ns()
            calendar.advance(now_s)
            if calendar.fits(*window):
                calendar.add(*window)
                held.append(window)
            calendar.remove(*held.popleft())
            times_ns.append(time.perf_counter_ns() - before_ns)
    times_ns.sort()
    count = len(times_ns)
    return {
        "pairs": count,
        "pairs_per_s": round(count / (sum(times_ns) / 1e9)),
        "p50_us": round(times_ns[count // 2] / 1e3, 1),
        "p99_us": round(times_ns[count * 99 // 100] / 1e3, 1),
    }


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))  # noqa: T201 - figures for people

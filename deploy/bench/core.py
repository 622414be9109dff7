"""How fast the decision core decides: creates over pools of 20, 200 and 1,000 nodes.

Measures one decision and its application in a steady state: meetings end, windows run out,
overtime is evicted, one in ten commands repeats a create. Random load from a fixed seed. Only
creates are timed, one by one. Called by ``seatkeep bench`` and by people.
"""

from __future__ import annotations

import heapq
import json
import random
import time
from collections.abc import Sequence

from scheduler.core import admission
from scheduler.core.books import Rules
from scheduler.core.commands import Admitted, Create
from scheduler.core.model import Pool
from schemas.values import Mode

#: Nodes and subscriptions of each measured pool.
SIZES = ((20, 50), (200, 1_000), (1_000, 5_000))
_NODE_SEATS = 200
_FIRST_TIME = 0.9


def run(*, seconds: float, sizes: Sequence[tuple[int, int]] = SIZES) -> dict[str, dict[str, float]]:
    """Measure each size for its share of `seconds`; rates per second, times in microseconds.

    Filling the pools comes on top, about five seconds for the largest.
    """
    share_s = seconds / (len(sizes) + 1)
    figures = {
        f"{nodes} nodes": _measure(nodes, subscriptions, Mode.SPREAD, share_s)
        for nodes, subscriptions in sizes
    }
    nodes, subscriptions = sizes[min(1, len(sizes) - 1)]
    figures[f"{nodes} nodes, pack"] = _measure(nodes, subscriptions, Mode.PACK, share_s)
    return figures


class _Load:
    """A pool and a random stream of creates at about nine tenths of its seats."""

    def __init__(self, nodes: int, subscriptions: int, mode: Mode) -> None:
        self.random = random.Random(7)
        self.now_s = 1_800_000_000
        self.pool = Pool(Rules(mode=mode), self.now_s)
        self.subscriptions = subscriptions
        for node in range(1, nodes + 1):
            self.pool.put_node(node, name=f"node-{node:04}", seats=_NODE_SEATS)
        seats = nodes * _NODE_SEATS // subscriptions
        for subscription in range(1, subscriptions + 1):
            self.pool.put_subscription(subscription, seats=max(seats, 40))
        self.ends: list[tuple[int, str]] = []
        self.count = 0
        # Meetings last about an hour and take about twelve seats.
        self.per_second = nodes * _NODE_SEATS * 0.9 / (12 * 3_600)
        self.due = 0.0

    def next_create(self) -> Create:
        """Return the next create; time has moved and meetings have ended before it."""
        chance = self.random
        self.due += 1 / self.per_second
        step_s, self.due = int(self.due), self.due % 1
        self.now_s += step_s
        pool = self.pool
        pool.advance(self.now_s)
        while self.ends and self.ends[0][0] <= self.now_s:
            pool.end(heapq.heappop(self.ends)[1])
        self.count += 1
        back = 0 if chance.random() < _FIRST_TIME else 50
        key = f"key-{max(self.count - back, 1)}"
        return Create(
            f"meeting-{self.count}",
            chance.randint(1, self.subscriptions),
            key,
            chance.choice((4, 6, 8, 10, 12, 14, 30)),
            chance.choice((1_800, 2_700, 3_600, 5_400)),
        )

    def settle(self, create: Create) -> None:
        """Let an admitted meeting start, fill and plan its end, sometimes far in overtime."""
        chance = self.random
        self.pool.confirm(create.meeting)
        self.pool.connected(create.meeting, chance.randint(0, create.seats))
        lasts_s = int(create.duration_s * chance.uniform(0.6, 1.5))
        heapq.heappush(self.ends, (self.now_s + lasts_s, create.meeting))


def _measure(nodes: int, subscriptions: int, mode: Mode, seconds: float) -> dict[str, float]:
    load = _Load(nodes, subscriptions, mode)
    # The pool is filled to its steady state first.
    for _ in range(int(load.per_second * 3_600 * 1.6)):
        _step(load)
    times_ns: list[int] = []
    admitted = evictions = 0
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s:
        for _ in range(100):
            taken_ns, verdict = _step(load)
            times_ns.append(taken_ns)
            if isinstance(verdict, Admitted):
                admitted += 1
                evictions += len(verdict.evicted)
    times_ns.sort()
    count = len(times_ns)
    return {
        "subscriptions": subscriptions,
        "live_meetings": len(load.pool.meetings),
        "creates": count,
        "admitted_percent": round(100 * admitted / count, 1),
        "evictions": evictions,
        "decisions_per_s": round(count / (sum(times_ns) / 1e9)),
        "p50_us": round(times_ns[count // 2] / 1e3, 1),
        "p99_us": round(times_ns[count * 99 // 100] / 1e3, 1),
        "p999_us": round(times_ns[count * 999 // 1000] / 1e3, 1),
    }


def _step(load: _Load) -> tuple[int, object]:
    create = load.next_create()
    before_ns = time.perf_counter_ns()
    verdict = admission.decide(load.pool, create, load.now_s)
    load.pool.apply(verdict)
    taken_ns = time.perf_counter_ns() - before_ns
    if isinstance(verdict, Admitted):
        load.settle(create)
    return taken_ns, verdict


if __name__ == "__main__":
    print(json.dumps(run(seconds=20), indent=2))  # noqa: T201 - figures for people

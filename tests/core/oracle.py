"""The promise by brute force: every second, every node, every set of victims.

Shares no code with the core. It knows meetings and capacities only, keeps no counters and is far
too slow for anything but tests.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scheduler.core.books import Meeting
from scheduler.core.model import Pool
from schemas.values import MeetingState as S

RESERVING = {S.BOOKED, S.PLACING, S.HELD, S.LOST}
RUNNING = {S.PLACING, S.HELD, S.OVERTIME}


def reserved_at(meetings: Iterable[Meeting], second: int) -> int:
    """Seats of all reservations covering this second."""
    return sum(
        one.seats
        for one in meetings
        if one.state in RESERVING and one.window.start_s <= second < one.window.end_s
    )


def overtime(meetings: Iterable[Meeting], now_s: int) -> int:
    """Seats of meetings that run although their window is over."""
    return sum(one.seats for one in meetings if one.state in RUNNING and one.window.end_s <= now_s)


def of_subscription(meetings: Iterable[Meeting], subscription: int) -> list[Meeting]:
    return [one for one in meetings if one.subscription == subscription]


def of_credential(meetings: Iterable[Meeting], credential: int) -> list[Meeting]:
    return [one for one in meetings if one.credential == credential]


def on_node(meetings: Iterable[Meeting], node: int) -> list[Meeting]:
    return [one for one in meetings if one.node == node and one.state is not S.LOST]


@dataclass(frozen=True)
class Wish:
    """A start now: seats until `end_s`, instead of `replaced` if that is given."""

    subscription: int
    seats: int
    end_s: int
    replaced: str | None = None
    exclude: frozenset[int] = frozenset()
    credential: int = 0


def groups(
    pool: Pool, meetings: Sequence[Meeting], subscription: int, credential: int, node: int
) -> list[tuple[list[Meeting], int]]:
    """The reservations that share seats with one of these, and how many seats there are."""
    found = [
        (of_subscription(meetings, subscription), pool.subscriptions[subscription].seats),
        (on_node(meetings, node), pool.nodes[node].seats),
    ]
    limits = pool.credentials.get(credential)
    if limits is not None and limits.account is not None:
        found.append((of_credential(meetings, credential), limits.account.seats))
    return found


def takes(pool: Pool, subscription: int, node: int, seconds: range) -> bool:
    """Whether the node has the tags of the subscription and no maintenance at these seconds."""
    known = pool.nodes[node]
    if not pool.subscriptions[subscription].node_tags <= known.tags:
        return False
    return not any(is_closed(pool, node, second) for second in seconds)


def is_closed(pool: Pool, node: int, second: int) -> bool:
    """Whether the node is in maintenance at this second."""
    return any(one.start_s <= second < one.end_s for one in pool.nodes[node].closed)


Key = tuple[int, int, tuple[int, ...], tuple[str, ...]]


def key_of(victims: Sequence[Meeting]) -> Key:
    """What the choice of victims minimises."""
    return (
        sum(one.connected for one in victims),
        len(victims),
        tuple(sorted(one.window.end_s for one in victims)),
        tuple(sorted(one.id for one in victims)),
    )


def holds(
    pool: Pool, meetings: Sequence[Meeting], wish: Wish, node: int, victims: Sequence[Meeting]
) -> bool:
    """Whether the promise holds at every second if these victims go and the wish is granted."""
    gone = {one.id for one in victims} | {wish.replaced}
    left = [one for one in meetings if one.id not in gone]
    for group, capacity in groups(pool, left, wish.subscription, wish.credential, node):
        if reserved_at(group, pool.now_s) + overtime(group, pool.now_s) + wish.seats > capacity:
            return False
        for second in range(pool.now_s, wish.end_s):
            if reserved_at(group, second) + wish.seats > capacity:
                return False
    return True


def best(pool: Pool, meetings: Sequence[Meeting], wish: Wish, *, foreign: bool) -> Key | None:
    """The cheapest set of victims over all nodes, or ``None`` if there is no way."""
    found: list[Key] = []
    for node in pool.nodes.values():
        limit = node.meeting_seats_max
        if not takes(pool, wish.subscription, node.id, range(pool.now_s, wish.end_s)):
            continue
        if not (node.active and node.alive) or node.id in wish.exclude:
            continue
        if limit is not None and wish.seats > limit:
            continue
        candidates = [
            one
            for one in meetings
            if one.state is S.OVERTIME
            and one.parent is None
            and (one.subscription == wish.subscription or (foreign and one.node == node.id))
        ]
        for size in range(len(candidates) + 1):
            found += [
                key_of(victims)
                for victims in itertools.combinations(candidates, size)
                if holds(pool, meetings, wish, node.id, victims)
            ]
    return min(found, default=None)


def expected(pool: Pool, meetings: Sequence[Meeting], wish: Wish) -> Key | None:
    """Own overtime first, that of others as the last resort."""
    own = best(pool, meetings, wish, foreign=False)
    if own is not None or not pool.rules.evict_across_subscriptions:
        return own
    return best(pool, meetings, wish, foreign=True)

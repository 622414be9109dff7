"""Which node takes a meeting, without evicting anybody for the node's sake.

Owns the two policies. ``spread`` takes the node with the fewest reserved seats relative to its
capacity and weight and holds the emptiest ones back for large meetings; ``pack`` takes the fullest
that still has room. Both count reserved seats of running meetings, never connected users; ties go
by name. Whether a node may take a meeting at all is ``can_hold``. Called by ``admission``.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping

from scheduler.core.accounts import Node
from scheduler.core.books import Meeting
from scheduler.core.model import Pool
from scheduler.core.order import Entry
from schemas.values import Mode, Window

_NOTHING: Mapping[int, int] = {}


@dataclasses.dataclass(slots=True)
class Ask:
    """Seats wanted over a window, and the reservation that they would replace, if any."""

    subscription: int
    seats: int
    window: Window
    own: Meeting | None = None
    exclude: frozenset[int] = frozenset()
    credential: int = 0
    #: What a node must have to take it.
    tags: frozenset[str] = frozenset()
    #: What a node had better have; never worth an eviction.
    prefers: frozenset[str] = frozenset()

    def own_span(self) -> tuple[int, int, int] | None:
        """Return what the own reservation is charged, as ``Calendar.fits`` takes it."""
        own = self.own
        return None if own is None else (own.window.start_s, own.window.end_s, own.seats)

    def own_seats_at(self, now_s: int) -> int:
        """Return the seats that the own reservation is charged at `now_s`."""
        own = self.own
        if own is None or not own.window.start_s <= now_s < own.window.end_s:
            return 0
        return own.seats


def suits(node: Node, ask: Ask) -> bool:
    """Whether the node could take the meeting if it were empty and open."""
    return ask.seats <= node.largest_seats and ask.tags <= node.tags


def can_hold(node: Node, ask: Ask, now_s: int) -> bool:
    """Whether the node takes such meetings, is open, and has room in its calendar.

    What is reserved is honoured on a node with fewer seats than before, but never in its
    maintenance: there a reservation can only be elsewhere.
    """
    limit = node.meeting_seats_max
    if (limit is not None and ask.seats > limit) or node.id in ask.exclude:
        return False
    if not ask.tags <= node.tags:
        return False
    if node.closed and node.closed_within(max(ask.window.start_s, now_s), ask.window.end_s):
        return False
    node.calendar.advance(now_s)
    own = ask.own_span() if ask.own is not None and ask.own.node == node.id else None
    return node.calendar.fits(ask.window.start_s, ask.window.end_s, ask.seats, own=own)


def shortage(node: Node, ask: Ask, now_s: int) -> int:
    """Return the seats to be freed on the node before the meeting can start there now."""
    on_it = ask.own is not None and ask.own.node == node.id
    return node.shortage(ask.seats, ask.own_seats_at(now_s) if on_it else 0)


def choose(pool: Pool, ask: Ask, freed: Mapping[int, int] = _NOTHING) -> Node | None:
    """Return the first node in policy order that can start the meeting now.

    `freed` are seats by node that evictions for the subscription's sake set free; the order is the
    one before them.
    """
    if ask.prefers:
        wished = dataclasses.replace(ask, tags=ask.tags | ask.prefers, prefers=frozenset())
        node = choose(pool, wished, freed)
        if node is not None:
            return node
    now_s = pool.now_s
    own = ask.own
    for _, _, node_id in walk(pool, ask, freed):
        node = pool.nodes[node_id]
        free = node.calendar.capacity - node.running_seats
        if free < ask.seats and own is None and node_id not in freed:
            continue  # full without a look at its calendar
        if can_hold(node, ask, now_s) and shortage(node, ask, now_s) <= freed.get(node_id, 0):
            return node
    return None


def choose_for_later(pool: Pool, ask: Ask) -> Node | None:
    """Return the node whose calendar takes a booking best; what runs now does not matter."""
    packs = pool.rules.mode is Mode.PACK
    entries: list[Entry] = []
    for _, name, node_id in pool.order.entries:
        node = pool.nodes[node_id]
        node.calendar.advance(pool.now_s)
        peak = node.calendar.peak(ask.window.start_s, ask.window.end_s)
        rank = node.seats - peak if packs else node.load(peak)
        entries.append((rank, name, node_id))
    entries.sort()
    for _, _, node_id in entries if packs else _held_back_last(pool, entries, ask.seats):
        node = pool.nodes[node_id]
        if can_hold(node, ask, pool.now_s):
            return node
    return None


def walk(pool: Pool, ask: Ask, freed: Mapping[int, int] = _NOTHING) -> Iterable[Entry]:
    """Return the nodes in the order in which the policy asks them, whether they fit or not."""
    entries = pool.order.entries
    if pool.rules.mode is Mode.SPREAD:
        return _held_back_last(pool, entries, ask.seats)
    # Nodes with fewer free seats than this cannot be made to fit by what is freed on them.
    least = ask.seats - max(freed.values(), default=0)
    if ask.own is not None:
        least -= ask.own.seats
    return itertools.islice(entries, bisect.bisect_left(entries, (least,)), None)


def first(pool: Pool, seats: int) -> int:
    """Return where in ``Pool.order`` the policy begins to look for so many seats."""
    if pool.rules.mode is Mode.SPREAD:
        return _kept_free(pool, seats)
    return bisect.bisect_left(pool.order.entries, (seats,))


def _kept_free(pool: Pool, seats: int) -> int:
    if seats >= pool.rules.large_seats:
        return 0
    keep_free = pool.rules.keep_free
    return len(pool.order.entries) // 7 if keep_free is None else keep_free


def _held_back_last(pool: Pool, entries: list[Entry], seats: int) -> Iterator[Entry]:
    """Walk the emptiest nodes last, unless the meeting is one they are kept for."""
    keep_free = _kept_free(pool, seats)
    yield from itertools.islice(entries, keep_free, None)
    yield from itertools.islice(entries, keep_free)

"""The books of a pool: every meeting that is not over, indexed, and what each account is charged.

Owns every counter and keeps them equal to the meetings at all times: a meeting enters and leaves as
a whole. Knows states, windows and ranks, but no facts and no verdicts; those are ``model``.
Called by ``model`` alone; the rest of the core reads.
"""

from __future__ import annotations

import dataclasses
import heapq

from scheduler.core.accounts import Account, Credential, Node, Subscription
from scheduler.core.lifecycle import RUNNING
from scheduler.core.order import NodeOrder
from schemas.values import MeetingState, Mode, Window


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """How a pool decides; ``keep_free=None`` holds back one node in seven."""

    mode: Mode = Mode.SPREAD
    keep_free: int | None = None
    large_seats: int = 100
    evict_across_subscriptions: bool = True
    adopt_early_s: int = 900


@dataclasses.dataclass(slots=True)
class Meeting:
    """One meeting or booking; `node` is ``None`` only when its node is gone.

    `connected` is what was last seen on the node; it counts for the choice of victims alone.
    A breakout room has a `parent`, charges nothing and never outlives it.
    """

    id: str
    subscription: int
    key: str
    seats: int
    window: Window
    node: int | None
    state: MeetingState
    connected: int = 0
    credential: int = 0
    parent: str | None = None
    #: What it asked of its node by itself, in order.
    tags: tuple[str, ...] = ()


class Books:
    """Accounts, meetings and indexes; every change but time raises ``revision``."""

    def __init__(self, rules: Rules, now_s: int) -> None:
        self.rules = rules
        self.now_s = now_s
        self.revision = 0
        self.subscriptions: dict[int, Subscription] = {}
        #: Those that have limits of their own.
        self.credentials: dict[int, Credential] = {}
        self.nodes: dict[int, Node] = {}
        self.order = NodeOrder()
        #: All meetings that are not over, by id.
        self.meetings: dict[str, Meeting] = {}
        #: The running or lost meeting of a key; neither bookings nor meetings that are ending.
        self.by_key: dict[str, str] = {}
        #: The bookings of a key, in no particular order.
        self.bookings_by_key: dict[str, list[str]] = {}
        #: The breakout rooms of a meeting that are not over, in the order of their making.
        self.rooms: dict[str, dict[str, None]] = {}
        self._ends: dict[int, dict[str, None]] = {}
        self._end_heap: list[int] = []
        self._ended_before_restore: list[str] = []

    def _enter(self, meeting: Meeting) -> None:
        """Index a meeting and charge what its state and its window say."""
        self.meetings[meeting.id] = meeting
        self.revision += 1
        if meeting.parent is not None:
            self.rooms.setdefault(meeting.parent, {})[meeting.id] = None
        state = meeting.state
        if state is MeetingState.ENDING:
            return
        now_s = self.now_s
        over = meeting.window.end_s <= now_s
        if state is MeetingState.BOOKED:
            self.bookings_by_key.setdefault(meeting.key, []).append(meeting.id)
        elif state in RUNNING or not over:
            self._take_key(meeting)
        if not over:
            self._watch_end(meeting)
        if meeting.parent is not None:
            return
        self.subscriptions[meeting.subscription].enter(meeting, now_s)
        limits = self.credentials.get(meeting.credential)
        if limits is not None and limits.account is not None:
            limits.account.enter(meeting, now_s)
        if meeting.node is not None:
            node = self.nodes[meeting.node]
            node.placed[meeting.id] = meeting
            node.enter(meeting, now_s)
            if state in RUNNING:
                node.running_seats += meeting.seats
                self._rank(node)

    def _leave(self, meeting: Meeting) -> None:
        """Take back exactly what ``_enter`` (and ``advance`` since) charged."""
        del self.meetings[meeting.id]
        self.revision += 1
        if meeting.parent is not None:
            self._leave_parent(meeting, meeting.parent)
        state = meeting.state
        if state is MeetingState.ENDING:
            return
        now_s = self.now_s
        over = meeting.window.end_s <= now_s
        if state is MeetingState.BOOKED:
            self._release_booking(meeting)
        elif state in RUNNING or not over:
            self._release_key(meeting)
        if not over:
            del self._ends[meeting.window.end_s][meeting.id]
        if meeting.parent is not None:
            return
        self.subscriptions[meeting.subscription].leave(meeting, now_s)
        limits = self.credentials.get(meeting.credential)
        if limits is not None and limits.account is not None:
            limits.account.leave(meeting, now_s)
        if meeting.node is not None:
            node = self.nodes[meeting.node]
            del node.placed[meeting.id]
            node.leave(meeting, now_s)
            if state in RUNNING:
                node.running_seats -= meeting.seats
                self._rank(node)

    def _release_booking(self, meeting: Meeting) -> None:
        bookings = self.bookings_by_key[meeting.key]
        bookings.remove(meeting.id)
        if not bookings:
            del self.bookings_by_key[meeting.key]

    def _leave_parent(self, room: Meeting, parent: str) -> None:
        rooms = self.rooms[parent]
        del rooms[room.id]
        if not rooms:
            del self.rooms[parent]

    def _take_key(self, meeting: Meeting) -> None:
        self.by_key[meeting.key] = meeting.id
        if meeting.parent is None:
            self.subscriptions[meeting.subscription].meetings += 1
            if meeting.credential in self.credentials:
                self.credentials[meeting.credential].meetings += 1

    def _release_key(self, meeting: Meeting) -> None:
        del self.by_key[meeting.key]
        if meeting.parent is None:
            self.subscriptions[meeting.subscription].meetings -= 1
            if meeting.credential in self.credentials:
                self.credentials[meeting.credential].meetings -= 1

    def payers(self, subscription: int, credential: int) -> tuple[Account, ...]:
        """Return the accounts that a reservation is charged to, wherever it runs."""
        own = self.credentials.get(credential)
        if own is None or own.account is None:
            return (self.subscriptions[subscription],)
        return self.subscriptions[subscription], own.account

    def _watch_end(self, meeting: Meeting) -> None:
        end_s = meeting.window.end_s
        watched = self._ends.get(end_s)
        if watched is None:
            watched = self._ends[end_s] = {}
            heapq.heappush(self._end_heap, end_s)
        watched[meeting.id] = None

    def node_of(self, meeting: Meeting) -> Node:
        """Return the node of a running meeting."""
        if meeting.node is None:
            raise AssertionError(f"meeting {meeting.id} runs on no node")
        return self.nodes[meeting.node]

    def _rank(self, node: Node) -> None:
        """Put the node where it belongs; users come and go without moving it."""
        if not (node.active and node.alive):
            self.order.drop(node.id)
        elif self.rules.mode is Mode.PACK:
            self.order.put(node.id, node.seats - node.running_seats, node.name)
        else:
            self.order.put(node.id, node.load(node.running_seats), node.name)

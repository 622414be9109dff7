"""One pool in memory: its subscriptions, its nodes and its meetings, and who is charged for what.

Owns every counter and keeps them equal to the meetings at all times; it never judges whether
something may happen (that is ``admission``), reads no clock and does no I/O. Called by the
placement loop, which feeds it time, facts and admitted verdicts, and by the rest of the core.
A placing or held meeting is charged to the calendars of its subscription and its node until its
window ends and to their overtime counters afterwards; a lost one to the subscription alone.
"""

from __future__ import annotations

import dataclasses
import heapq

from scheduler.core import fingerprint, lifecycle
from scheduler.core.accounts import Account
from scheduler.core.commands import Admitted, Book, Cancel, Create, Extend, Replace, Verdict
from scheduler.core.lifecycle import RUNNING, Fact
from scheduler.core.order import NodeOrder
from schemas.values import MeetingState, Mode, Window

#: Loads are compared as integers with this many binary digits: exact below 65,536 seats a node.
_LOAD_BITS = 32


class StaleVerdictError(Exception):
    """The pool changed after this verdict was decided; decide again."""


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
    """

    id: str
    subscription: int
    key: str
    seats: int
    window: Window
    node: int | None
    state: MeetingState
    connected: int = 0


class Subscription(Account):
    """A customer's contract; `meetings` counts the running and the lost ones."""

    __slots__ = ("meetings", "meetings_max")

    def __init__(self, account: int, *, seats: int, now_s: int) -> None:
        super().__init__(account, seats=seats, now_s=now_s)
        self.meetings_max: int | None = None
        self.meetings = 0


class Node(Account):
    """One server; `running_seats` ranks it, `placed` are the meetings charged to it."""

    __slots__ = ("active", "alive", "meeting_seats_max", "name", "placed", "running_seats")

    def __init__(self, account: int, *, seats: int, now_s: int) -> None:
        super().__init__(account, seats=seats, now_s=now_s)
        self.name = ""
        self.meeting_seats_max: int | None = None
        self.active = True
        self.alive = True
        self.running_seats = 0
        self.placed: dict[str, Meeting] = {}

    @property
    def largest_seats(self) -> int:
        """The largest meeting that it could ever take."""
        if self.meeting_seats_max is None:
            return self.seats
        return min(self.seats, self.meeting_seats_max)


class Pool:
    """What one serialised decision may look at; every change but time raises ``revision``."""

    def __init__(self, rules: Rules, now_s: int) -> None:
        self.rules = rules
        self.now_s = now_s
        self.revision = 0
        self.subscriptions: dict[int, Subscription] = {}
        self.nodes: dict[int, Node] = {}
        self.order = NodeOrder()
        #: The largest meeting that any node could ever take.
        self.largest_seats = 0
        #: All meetings that are not over, by id.
        self.meetings: dict[str, Meeting] = {}
        #: The running or lost meeting of a key; neither bookings nor meetings that are ending.
        self.by_key: dict[str, str] = {}
        #: The bookings of a key, in no particular order.
        self.bookings_by_key: dict[str, list[str]] = {}
        self._ends: dict[int, dict[str, None]] = {}
        self._end_heap: list[int] = []
        self._ended_before_restore: list[str] = []

    # What the provider sets up

    def put_subscription(
        self, subscription: int, *, seats: int, meetings_max: int | None = None
    ) -> None:
        """Add a subscription or change its plan; what is booked is honoured in any case."""
        account = self.subscriptions.get(subscription)
        if account is None:
            account = Subscription(subscription, seats=seats, now_s=self.now_s)
            self.subscriptions[subscription] = account
        account.calendar.capacity = seats
        account.meetings_max = meetings_max
        self.revision += 1

    def put_node(
        self,
        node: int,
        *,
        name: str,
        seats: int,
        meeting_seats_max: int | None = None,
        accepting: bool = True,
        alive: bool = True,
    ) -> None:
        """Add a node or change it; one that is not accepting keeps what it has.

        Raises ``ValueError`` for an id below 1 or without seats.
        """
        if node <= 0 or seats <= 0:
            raise ValueError(f"a node needs an id and seats above 0: {node}, {seats}")
        account = self.nodes.get(node)
        if account is None:
            account = self.nodes[node] = Node(node, seats=seats, now_s=self.now_s)
        account.name = name
        account.calendar.capacity = seats
        account.meeting_seats_max = meeting_seats_max
        account.active = accepting
        account.alive = alive
        self._rank(account)
        self._nodes_changed()

    def remove_node(self, node: int) -> None:
        """Forget a node; its bookings look for another one when they start.

        Raises ``ValueError`` while a meeting runs on it: ``lose`` or ``end`` it first.
        """
        account = self.nodes[node]
        running = [meeting.id for meeting in account.placed.values() if meeting.state in RUNNING]
        if running:
            raise ValueError(f"{len(running)} meetings still run on node {account.name}")
        for meeting in list(account.placed.values()):
            self.lose(meeting.id)
        self.order.drop(node)
        del self.nodes[node]
        self._nodes_changed()

    def _nodes_changed(self) -> None:
        self.largest_seats = max((node.largest_seats for node in self.nodes.values()), default=0)
        self.revision += 1

    def advance(self, now_s: int) -> tuple[str, ...]:
        """Move to `now_s` and return the meetings whose window ended since the last call.

        Held ones are in overtime from then on. Bookings that nobody adopted and lost meetings are
        returned too, charge nothing any more and wait for ``end``; a placing one keeps waiting for
        its node. In order of their ends, then of their ids. Time never goes back.
        """
        ended = sorted(self._ended_before_restore)
        self._ended_before_restore.clear()
        self.now_s = max(now_s, self.now_s)
        while self._end_heap and self._end_heap[0] <= self.now_s:
            for meeting_id in sorted(self._ends.pop(heapq.heappop(self._end_heap), ())):
                meeting = self.meetings[meeting_id]
                meeting.state = lifecycle.follow(meeting.state, Fact.WINDOW_END)
                if meeting.state in RUNNING:
                    self.subscriptions[meeting.subscription].charge_overtime(meeting)
                    self.node_of(meeting).charge_overtime(meeting)
                elif meeting.state is MeetingState.LOST:
                    self._release_key(meeting)
                ended.append(meeting_id)
        if ended:
            self.revision += 1
        return tuple(ended)

    def restore(self, *meetings: Meeting) -> None:
        """Put stored meetings back, in any state but ``ended``; the pool owns the objects now.

        Windows that ended unseen are reported by the next ``advance``. ``ValueError`` for one that
        is known, over or runs nowhere, ``KeyError`` for one of an unknown subscription or node.
        """
        for meeting in meetings:
            if (
                meeting.id in self.meetings
                or meeting.state is MeetingState.ENDED
                or (meeting.node is None and meeting.state in RUNNING)
            ):
                raise ValueError(f"meeting {meeting.id} cannot be restored as {meeting}")
            if meeting.window.end_s <= self.now_s and meeting.state not in {
                MeetingState.OVERTIME,
                MeetingState.ENDING,
            }:
                meeting.state = lifecycle.follow(meeting.state, Fact.WINDOW_END)
                self._ended_before_restore.append(meeting.id)
            self._enter(meeting)

    # Facts

    def confirm(self, meeting: str) -> bool:
        """Note that a node created it; return whether that changed anything."""
        return self._follow(meeting, Fact.CONFIRM)

    def doom(self, meeting: str) -> bool:
        """Free everything it is charged for, and its key: its end was asked for."""
        return self._follow(meeting, Fact.DOOM)

    def end(self, meeting: str) -> bool:
        """Remove it: it is gone, whoever caused it."""
        return self._follow(meeting, Fact.END)

    def lose(self, meeting: str) -> bool:
        """Note that its node died: the seats of the subscription stay until the window ends."""
        return self._follow(meeting, Fact.LOSE)

    def connected(self, meeting: str, count: int) -> bool:
        """Note how many users are on it."""
        known = self.meetings.get(meeting)
        if known is None or known.connected == count:
            return False
        known.connected = count
        self.revision += 1
        return True

    def _follow(self, meeting_id: str, fact: Fact) -> bool:
        """Apply one fact; facts about unknown meetings are late ones and change nothing."""
        meeting = self.meetings.get(meeting_id)
        if meeting is None:
            return False
        over = meeting.window.end_s <= self.now_s
        if fact is Fact.LOSE and over and meeting.state is MeetingState.PLACING:
            fact = Fact.END  # nothing is left to be kept for it
        after = lifecycle.follow(meeting.state, fact)
        if fact is Fact.CONFIRM and over and after is MeetingState.HELD:
            after = lifecycle.follow(after, Fact.WINDOW_END)
        loses_node = (
            fact is Fact.LOSE and after is not MeetingState.ENDED and meeting.node is not None
        )
        if after is meeting.state and not loses_node:
            return False
        self._leave(meeting)
        meeting.state = after
        if loses_node:
            meeting.node = None
            meeting.connected = 0
        if after is not MeetingState.ENDED:
            self._enter(meeting)
        return True

    # Verdicts

    def apply(self, verdict: Verdict) -> None:
        """Carry an admitted verdict out; others change nothing.

        Raises ``StaleVerdictError`` when the pool changed since it was decided.
        """
        if not isinstance(verdict, Admitted):
            return
        if verdict.revision != self.revision:
            raise StaleVerdictError(verdict.meeting)
        for victim in verdict.evicted:
            self.doom(victim)
        if verdict.replaces is not None:
            self.end(verdict.replaces)
        command = verdict.command
        if isinstance(command, Create | Book):
            self._enter(
                Meeting(
                    verdict.meeting,
                    command.subscription,
                    command.key,
                    verdict.seats,
                    verdict.window,
                    verdict.node,
                    MeetingState.PLACING if isinstance(command, Create) else MeetingState.BOOKED,
                )
            )
        elif isinstance(command, Cancel):
            self.end(verdict.meeting)
        else:
            self._move(self.meetings[verdict.meeting], verdict, command)

    def _move(self, meeting: Meeting, verdict: Admitted, command: Extend | Replace) -> None:
        fact = Fact.EXTEND if isinstance(command, Extend) else Fact.PLACE
        after = lifecycle.follow(meeting.state, fact)
        self._leave(meeting)
        meeting.state, meeting.window, meeting.node = after, verdict.window, verdict.node
        self._enter(meeting)

    # Charging

    def _enter(self, meeting: Meeting) -> None:
        """Index a meeting and charge what its state and its window say."""
        self.meetings[meeting.id] = meeting
        self.revision += 1
        state = meeting.state
        if state is MeetingState.ENDING:
            return
        now_s = self.now_s
        over = meeting.window.end_s <= now_s
        subscription = self.subscriptions[meeting.subscription]
        if state is MeetingState.BOOKED:
            self.bookings_by_key.setdefault(meeting.key, []).append(meeting.id)
        elif state in RUNNING or not over:
            subscription.meetings += 1
            self.by_key[meeting.key] = meeting.id
        if not over:
            self._watch_end(meeting)
        subscription.enter(meeting, now_s)
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
        self.subscriptions[meeting.subscription].leave(meeting, now_s)
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

    def _release_key(self, meeting: Meeting) -> None:
        self.subscriptions[meeting.subscription].meetings -= 1
        del self.by_key[meeting.key]

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
            load = (node.running_seats << _LOAD_BITS) // node.seats
            self.order.put(node.id, load, node.name)

    # Proof

    def state_hash(self) -> str:
        """SHA-256 of everything that decisions depend on, however the pool got there."""
        return fingerprint.digest(self)

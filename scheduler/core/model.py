"""One pool in memory: its subscriptions, its nodes and its meetings, and who is charged for what.

Owns what time, facts and admitted verdicts do to the meetings; the counters are kept in ``books``.
It never judges whether something may happen (that is ``admission``), reads no clock and does no
I/O. Called by the placement loop, and by the rest of the core.
A placing or held meeting is charged to the calendars of its subscription, its credential and its
node until its window ends and to their overtime counters afterwards; a lost one to the first two.
"""

from __future__ import annotations

import heapq

from scheduler.core import fingerprint, lifecycle
from scheduler.core.accounts import PLAIN, Account, Credential, Node, Subscription, Traits
from scheduler.core.books import Books, Meeting
from scheduler.core.commands import (
    Admitted,
    Book,
    Cancel,
    Create,
    OpenRoom,
    Rebook,
    Replace,
    Verdict,
)
from scheduler.core.lifecycle import RUNNING, Fact
from schemas.values import MeetingState


class StaleVerdictError(Exception):
    """The pool changed after this verdict was decided; decide again."""


class Pool(Books):
    """What one serialised decision may look at; every change but time raises ``revision``."""

    # What the provider sets up

    def put_subscription(
        self,
        subscription: int,
        *,
        seats: int,
        meetings_max: int | None = None,
        node_tags: frozenset[str] = frozenset(),
    ) -> None:
        """Add a subscription or change its plan; what is booked is honoured in any case."""
        account = self.subscriptions.get(subscription)
        if account is None:
            account = Subscription(subscription, seats=seats, now_s=self.now_s)
            self.subscriptions[subscription] = account
        account.calendar.capacity = seats
        account.meetings_max = meetings_max
        account.node_tags = node_tags
        self.revision += 1

    def put_credential(
        self, credential: int, *, seats: int | None = None, meetings_max: int | None = None
    ) -> None:
        """Set the limits of a credential inside its subscription; ``None`` lifts one.

        What it has is honoured in any case, and counts from now on.
        """
        known = self.credentials.get(credential)
        if seats is None and meetings_max is None:
            if known is not None:
                del self.credentials[credential]
                self.revision += 1
            return
        self.revision += 1
        if known is not None and (known.account is None) == (seats is None):
            known.meetings_max = meetings_max
            if known.account is not None and seats is not None:
                known.account.calendar.capacity = seats
            return
        account = None if seats is None else Account(credential, seats=seats, now_s=self.now_s)
        fresh = self.credentials[credential] = Credential(account, meetings_max)
        for meeting in self.meetings.values():
            if meeting.credential != credential or meeting.parent is not None:
                continue
            if self.by_key.get(meeting.key) == meeting.id:
                fresh.meetings += 1
            if account is not None and meeting.state is not MeetingState.ENDING:
                account.enter(meeting, self.now_s)

    def put_node(
        self,
        node: int,
        *,
        name: str,
        seats: int,
        meeting_seats_max: int | None = None,
        accepting: bool = True,
        alive: bool = True,
        traits: Traits = PLAIN,
    ) -> None:
        """Add a node or change it; one that is not accepting keeps what it has.

        So does one with maintenance ahead: nothing is added that would reach into it.
        Raises ``ValueError`` for an id below 1, and for seats or a weight below 1.
        """
        if node <= 0 or seats <= 0 or traits.weight <= 0:
            raise ValueError(
                f"a node needs an id, seats and a weight above 0: {node}, {seats}, {traits.weight}"
            )
        account = self.nodes.get(node)
        if account is None:
            account = self.nodes[node] = Node(node, seats=seats, now_s=self.now_s)
        account.name = name
        account.calendar.capacity = seats
        account.meeting_seats_max = meeting_seats_max
        account.weight = traits.weight
        account.tags = traits.tags
        account.closed = tuple(
            sorted(
                (window for window in traits.closed if window.end_s > self.now_s),
                key=lambda window: (window.start_s, window.end_s),
            )
        )
        account.active = accepting
        account.alive = alive
        self._rank(account)
        self.revision += 1

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
                if meeting.state is MeetingState.LOST:
                    self._release_key(meeting)
                elif meeting.state in RUNNING and meeting.parent is None:
                    for account in self.payers(meeting.subscription, meeting.credential):
                        account.charge_overtime(meeting)
                    self.node_of(meeting).charge_overtime(meeting)
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
        if fact is Fact.LOSE and (
            (over and meeting.state is MeetingState.PLACING) or meeting.parent is not None
        ):
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
        if meeting_id in self.rooms and after not in RUNNING:
            # A room goes the way of its meeting; of one that is lost nothing is kept.
            way = Fact.DOOM if after is MeetingState.ENDING else Fact.END
            for room in tuple(self.rooms[meeting_id]):
                self._follow(room, way)
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
        if isinstance(command, Create | Book | OpenRoom):
            self._enter(self._new(verdict, command))
        elif isinstance(command, Cancel):
            self.end(verdict.meeting)
        elif isinstance(command, Replace | Rebook):
            self._move(self.meetings[verdict.meeting], verdict, Fact.PLACE)
        else:
            self._move(self.meetings[verdict.meeting], verdict, Fact.EXTEND)

    def _new(self, verdict: Admitted, command: Create | Book | OpenRoom) -> Meeting:
        parent: str | None = None
        if isinstance(command, OpenRoom):
            parent = command.parent
            subscription = self.meetings[parent].subscription
        else:
            subscription = command.subscription
        return Meeting(
            verdict.meeting,
            subscription,
            command.key,
            verdict.seats,
            verdict.window,
            verdict.node,
            MeetingState.BOOKED if isinstance(command, Book) else MeetingState.PLACING,
            credential=command.credential,
            parent=parent,
            tags=tuple(sorted(command.tags)) if isinstance(command, Create) else (),
        )

    def _move(self, meeting: Meeting, verdict: Admitted, fact: Fact) -> None:
        after = lifecycle.follow(meeting.state, fact)
        self._leave(meeting)
        meeting.state, meeting.window, meeting.node = after, verdict.window, verdict.node
        if meeting.id == verdict.meeting:
            meeting.seats = verdict.seats
        self._enter(meeting)
        for room in tuple(self.rooms.get(meeting.id, ())):
            if self.meetings[room].state in RUNNING:
                self._move(self.meetings[room], verdict, fact)

    # Proof

    def state_hash(self) -> str:
        """SHA-256 of everything that decisions depend on, however the pool got there."""
        return fingerprint.digest(self)

"""A pool in the memory of its active placement worker, and the turn that changes it.

Owns the pairing of the decision core's state with the live meetings, and what a turn has to write,
answer, show and call once its batch is durable. Never commits, publishes or calls a node: the
placement loop does that with the finished turn. A turn that could not be committed voids the shard.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Final, TypeAlias

import orjson
import structlog

from scheduler import pool_rows
from scheduler.bus.interface import Envelope
from scheduler.core import model
from scheduler.directory_records import Directory, Node
from scheduler.ledger.records import AttendeeItem, Batch, MeetingRecord
from schemas import refusals
from schemas.events import Event, EventKind
from schemas.messages import Answer, NodeHealth
from schemas.values import EndReason, MeetingState, Reason
from workers import live as lives
from workers import moving, presence
from workers.announcements import Bookings, Refusals
from workers.live import About, Live
from workers.presence import Change
from workers.usage import Tally

log = structlog.get_logger()

#: A node that failed a call gets no new meeting until a later poll finds it well, at most for this
#: long: a fault of the network must not put every node aside.
_SUSPECT_MS: Final = 10_000


@dataclass(frozen=True, slots=True)
class PlaceCall:
    """Create the meeting on its node, after the victims there have been ended."""

    meeting: str
    node: int
    deadline_ms: int
    victims: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EndCall:
    """End the meeting on its node until that is confirmed."""

    meeting: str
    node: int


@dataclass(frozen=True, slots=True)
class CheckCall:
    """Ask the node whether the meeting, absent from a poll, is really gone."""

    meeting: str
    node: int


@dataclass(frozen=True, slots=True)
class OrphanCall:
    """End a meeting of ours that this node should not have."""

    meeting: str
    node: int


@dataclass(frozen=True, slots=True)
class NoticeCall:
    """Tell the people in a meeting something, in its chat; once, if the node takes it."""

    meeting: str
    node: int
    text: str


NodeCall: TypeAlias = PlaceCall | EndCall | CheckCall | OrphanCall | NoticeCall


@dataclass(slots=True)
class Turn:
    """One batch of decisions: everything that becomes true, and leaves, with its commit."""

    now_s: int
    now_ms: int
    batch: Batch = field(default_factory=Batch)
    answers: list[tuple[Envelope, str, Answer]] = field(default_factory=list)
    calls: list[NodeCall] = field(default_factory=list)
    #: Meetings whose view changed, in the order of their first change.
    shown: dict[str, Live] = field(default_factory=dict)
    #: Changes of node health, written to the directory after the commit.
    health: list[NodeHealth] = field(default_factory=list)
    #: Meetings whose gate changed; written once, with the commit (see `workers.joins`).
    gates: dict[str, Live] = field(default_factory=dict)
    #: Decisions by outcome, for the log and the metrics.
    counts: dict[str, int] = field(default_factory=dict)

    def look(self, item: Live) -> None:
        """Ask the node of a meeting, which seems to be gone, whether it is."""
        record = item.record
        running = record.state in (MeetingState.HELD, MeetingState.OVERTIME)
        if running and record.node_id is not None and not item.checking:
            item.checking = True
            self.calls.append(CheckCall(record.id, record.node_id))

    def count(self, outcome: str) -> None:
        """Count one outcome."""
        self.counts[outcome] = self.counts.get(outcome, 0) + 1


class Shard:
    """The pool as the active worker knows it."""

    def __init__(
        self,
        pool_id: int,
        pool: model.Pool,
        *,
        create_deadline_ms: int,
        booking_notice_s: float = 900,
    ) -> None:
        self.pool_id = pool_id
        self.pool = pool
        self.create_deadline_ms = create_deadline_ms
        #: How long a person who was let in counts without being seen.
        self.join_lease_ms = 60_000
        #: In which refusals tell times.
        self.zone: tzinfo = UTC
        self.lives: dict[str, Live] = {}
        self.directory: Directory | None = None
        #: Nodes that are down by the polls; nodes that failed a call, until a later poll.
        self.down: set[int] = set()
        self.suspect_ms: dict[int, int] = {}
        self.refusals = Refusals()
        #: Bookings that are to be announced before they begin.
        self.bookings = Bookings(booking_notice_s)
        #: What its meetings use.
        self.usage = Tally()
        #: When to look again for bookings whose node will not take them (see `workers.moving`).
        self.displaced_at_ms = 0
        self._recent: dict[str, Answer] = {}
        self._recent_until: deque[tuple[int, str]] = deque()

    def follow(self, directory: Directory) -> None:
        """Take over rules, nodes, subscriptions and credentials of this pool as configured."""
        self.directory = directory
        if (pool := directory.pools.get(self.pool_id)) is not None:
            self.pool.rules = pool_rows.rules_of(pool, self.pool.rules)
        nodes = {node.id: node for node in directory.nodes.values() if node.pool_id == self.pool_id}
        for node_id in [known for known in self.pool.nodes if known not in nodes]:
            if any(item.record.node_id == node_id for item in self.lives.values()):
                log.error("node was removed while meetings run on it", node=node_id)
            else:
                self.pool.remove_node(node_id)
        for node in nodes.values():
            self._put_node(node)
        self.displaced_at_ms = 0
        pool_rows.put_accounts(self.pool, directory, self.pool_id)

    def mark_node(self, node_id: int) -> None:
        """Tell the core whether the node takes meetings, after its health changed."""
        node = self.directory.nodes.get(node_id) if self.directory else None
        if node is not None and node.pool_id == self.pool_id:
            self._put_node(node)

    def _put_node(self, node: Node) -> None:
        accepting = (
            node.state == "active" and node.id not in self.down and node.id not in self.suspect_ms
        )
        pool_rows.put_node(self.pool, node, accepting=accepting)

    def restore(
        self,
        records: Iterable[MeetingRecord],
        attendees: Iterable[AttendeeItem],
    ) -> None:
        """Put the stored live meetings back into memory, the core's view included."""
        for record in records:
            self.lives[record.id] = lives.from_record(record)
            self.bookings.add(self.lives[record.id])
        for meeting_id, user, present, moderator, joins, changed_ms, visits in attendees:
            found = self.lives.get(meeting_id)
            if found is not None:
                found.users[user] = presence.stored(
                    *(present, moderator, joins), changed_ms=changed_ms, visits=visits
                )
        self.usage.restore(
            ((item.record, item.connected, item.changed_ms) for item in self.lives.values()),
            now_s=self.pool.now_s,
        )
        self.pool.restore(
            *(pool_rows.meeting_of(item.record, item.connected) for item in self.lives.values())
        )

    def resume(self, turn: Turn) -> None:
        """Start again every node call that the ledger says is unfinished."""
        for item in self.lives.values():
            record = item.record
            if record.node_id is None:
                continue
            if record.state == MeetingState.PLACING:
                deadline_ms = turn.now_ms + self.create_deadline_ms
                turn.calls.append(PlaceCall(record.id, record.node_id, deadline_ms))
            elif record.state == MeetingState.ENDING:
                turn.calls.append(EndCall(record.id, record.node_id))

    def begin(self, now_ms: int) -> Turn:
        """Start a turn: time passes first, so every decision sees the windows that have ended."""
        turn = Turn(now_s=now_ms // 1000, now_ms=now_ms)
        while self._recent_until and self._recent_until[0][0] < now_ms:
            self._recent.pop(self._recent_until.popleft()[1], None)
        for node in [n for n, at in self.suspect_ms.items() if at + _SUSPECT_MS < now_ms]:
            del self.suspect_ms[node]
            self.mark_node(node)
        for meeting_id in self.pool.advance(turn.now_s):
            item = self.lives[meeting_id]
            if item.record.state in (MeetingState.LOST, MeetingState.BOOKED):
                self.forget(turn, item, EndReason.EXPIRED)
                continue
            self.sync(turn, item)
            self.overtime(turn, item)
        moving.displaced(self, turn)
        for meeting_id in self.bookings.due(now_ms):
            booked = self.lives.get(meeting_id)
            if booked is not None and self.bookings.is_due(booked, now_ms):
                # Another worker may have told it: the fact is the same.
                fact = f"starting:{booked.record.start_s}"
                self.tell(turn, booked, EventKind.BOOKING_STARTING, fact)
        return turn

    def overtime(self, turn: Turn, item: Live) -> None:
        """Tell that a window is over, when the meeting goes on: outsiders, and those in it.

        A room reserves nothing, so nobody is told of its window.
        """
        record = item.record
        if record.state != MeetingState.OVERTIME or record.parent_id is not None:
            return
        self.tell(turn, item, EventKind.WINDOW_ENDED, f"window:{record.end_s}")
        directory = self.directory
        owner = directory.subscriptions.get(record.subscription_id) if directory else None
        if owner is not None and owner.overtime_text and record.node_id is not None:
            turn.calls.append(NoticeCall(record.id, record.node_id, owner.overtime_text))

    def sync(self, turn: Turn, item: Live) -> None:
        """Copy what the core says of the meeting into its record, and mark it changed."""
        record = item.record
        meeting = self.pool.meetings[record.id]
        record.state = meeting.state.value
        record.node_id = meeting.node
        record.seats = meeting.seats
        record.start_s = meeting.window.start_s
        record.end_s = meeting.window.end_s
        if meeting.state is MeetingState.ENDING:
            record.live_key = None
        self.touch(turn, item)

    def touch(self, turn: Turn, item: Live) -> None:
        """Mark the meeting's record and view changed."""
        record = item.record
        record.version += 1
        record.updated_ms = turn.now_ms
        if record.id not in turn.batch.created:
            turn.batch.changed[record.id] = record
        turn.shown[record.id] = item

    def rooms_of(self, item: Live) -> list[Live]:
        """Return the breakout rooms of a meeting that are not over."""
        return [self.lives[room] for room in self.pool.rooms.get(item.record.id, ())]

    def sync_rooms(self, turn: Turn, item: Live) -> None:
        """Copy what the core says of a meeting's rooms, after its window changed."""
        for room in self.rooms_of(item):
            if room.record.state != MeetingState.ENDING:
                self.sync(turn, room)

    def doom(self, turn: Turn, item: Live, reason: EndReason) -> None:
        """End the meeting as far as seats go; its node follows after the commit.

        Its rooms go with it. A node ends them by itself; asking it to is safe, and makes sure.
        """
        for room in self.rooms_of(item):
            if room.record.state != MeetingState.ENDING:
                room.seats_needed = item.seats_needed
                self.doom(turn, room, reason)
        self.pool.doom(item.record.id)
        item.record.end_reason = reason.value
        self.sync(turn, item)
        if item.record.node_id is not None:
            turn.calls.append(EndCall(item.record.id, item.record.node_id))

    def forget(self, turn: Turn, item: Live, reason: EndReason) -> None:
        """The meeting is gone: free everything, tell outsiders, keep the row as history.

        A meeting whose create failed was never there for outsiders, so nothing is told of it; one
        whose loss with its node was told is not told again. Its rooms are gone as well.
        """
        for room in self.rooms_of(item):
            self.forget(turn, room, reason)
        refused: Answer = {
            "ok": False,
            "reason": Reason.NOT_FOUND.value,
            "message": refusals.sentence(Reason.NOT_FOUND),
        }
        self.answer_waiters(turn, item, lambda _: refused, store=True)
        record = item.record
        was_lost = record.state == MeetingState.LOST
        self.pool.end(record.id)
        record.end_reason = record.end_reason or reason.value
        record.state = MeetingState.ENDED.value
        record.live = False
        record.live_key = None
        record.ended_ms = turn.now_ms
        self.touch(turn, item)
        if record.bound is not None and not was_lost:
            self.tell_ended(turn, item)
            succeeded: Answer = {"ok": True, "view": item.view(), "repeated": False}
            self.remember(turn, record.id, succeeded)
        del self.lives[record.id]

    def tell_ended(self, turn: Turn, item: Live) -> None:
        """Tell that everybody left and the meeting ended, once for this instance."""
        for user, person in list(item.users.items()):
            gone = person.ended(turn.now_ms)
            if gone:
                self.person_changed(turn, item, user, gone, at_ms=turn.now_ms)
        self.tell(turn, item, EventKind.MEETING_ENDED, "ended")

    def person_changed(
        self,
        turn: Turn,
        item: Live,
        user: str,
        changes: Sequence[Change],
        *,
        at_ms: int,
        about: About = lives.NOTHING,
    ) -> None:
        """Store a person, tell what changed with him at `at_ms`, and have it counted at the door.

        `about` is what a node told of a single change.
        """
        person = item.users[user]
        turn.batch.attendees.append(
            (
                *(item.record.id, user, person.present, person.moderator),
                *(person.joins, person.changed_ms, person.dumped()),
            )
        )
        came = sum(change.came for change in changes)
        stays, person.stays = person.stays, []
        self.usage.moved(
            *(turn.batch, item.record),
            came=came,
            went=len(changes) - came,
            stays=stays,
            now_s=turn.now_s,
        )
        gate = self.root(item).gate
        joins = person.joins - came
        for change in changes:
            joins += change.came
            kind = EventKind.USER_JOINED if change.came else EventKind.USER_LEFT
            fact = f"{'joined' if change.came else 'left'}:{user}:{joins}"
            known = About(
                user=user,
                visit=change.visit,
                name=about.name if change.came else "",
                data=about.data if len(changes) == 1 else None,
                at_ms=about.at_ms,
            )
            self.tell(turn, item, kind, fact, known)
            if gate is not None:
                if change.came:
                    gate.seen(user, at_ms)
                else:
                    gate.left(user)
                turn.gates[self.root(item).record.id] = self.root(item)

    def root(self, item: Live) -> Live:
        """Return the meeting on whose seats the people of a breakout room sit, else itself."""
        parent = item.record.parent_id
        return item if parent is None else self.lives.get(parent, item)

    def tell(
        self, turn: Turn, item: Live, kind: EventKind, fact: str, about: About = lives.NOTHING
    ) -> None:
        """Write one event; `fact` makes it unique within the meeting."""
        self.usage.told(turn.batch, item.record, kind, now_s=turn.now_s)
        self.write(turn, item.event(kind, turn.now_ms, about), fact)

    def write(self, turn: Turn, event: Event, fact: str) -> None:
        """Put an event into the batch."""
        turn.batch.events.append(
            (event["id"], event["meeting"], fact, orjson.dumps(event), turn.now_ms)
        )

    def answer(
        self, turn: Turn, envelope: Envelope, command_id: str, answer: Answer, *, store: bool
    ) -> None:
        """Answer a command after the commit; `store` keeps the answer for a redelivery."""
        if store:
            turn.batch.answers.append((command_id, turn.now_ms, orjson.dumps(answer)))
            self.remember(turn, command_id, answer)
        turn.answers.append((envelope, command_id, answer))

    def remember(self, turn: Turn, command_id: str, answer: Answer) -> None:
        """Keep an answer for the time in which the same command may come again."""
        self._recent[command_id] = answer
        self._recent_until.append((turn.now_ms + self.create_deadline_ms, command_id))

    def recent(self, command_id: str) -> Answer | None:
        """Return the answer of a command that this worker decided a moment ago."""
        return self._recent.get(command_id)

    def answer_waiters(
        self, turn: Turn, item: Live, make: Callable[[bool], Answer], *, store: bool
    ) -> None:
        """Answer everybody who waits for the node call of the meeting; `make` gets `repeated`."""
        for waiter in item.waiters:
            answer = make(waiter.repeated)
            self.answer(turn, waiter.envelope, waiter.command_id, answer, store=store)
        item.waiters.clear()

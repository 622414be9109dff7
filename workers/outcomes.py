"""Outcomes: what node calls came to, taken back into the decision loop.

Owns the second half of every journey: confirm or re-place or release after a create, gone after an
end. The binding reports, this module decides within a turn, so state changes and events of a node
call are committed like everything else. Safe to repeat: each handler looks at the state first.
"""

from dataclasses import dataclass
from typing import TypeAlias

import orjson

from scheduler import wording
from scheduler.core import commands as core
from scheduler.core.admission import decide
from schemas import refusals
from schemas.events import EventKind
from schemas.identifiers import node_meeting_id
from schemas.messages import Answer, NodeAnswer
from schemas.values import EndReason, MeetingState, Reason
from workers import commands, people
from workers.live import Live
from workers.shard import EndCall, OrphanCall, PlaceCall, Shard, Turn


@dataclass(frozen=True, slots=True)
class Placed:
    """The node has the meeting."""

    meeting: str
    node: int
    answer: NodeAnswer


@dataclass(frozen=True, slots=True)
class PlaceFailed:
    """The node did not make the meeting, or did not say so in time."""

    meeting: str
    node: int
    deadline_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The node confirmed that it has the meeting no more."""

    meeting: str
    node: int


@dataclass(frozen=True, slots=True)
class Checked:
    """A live look at a meeting that a poll did not list."""

    meeting: str
    node: int
    #: None: the node did not answer, which proves nothing.
    present: bool | None


Outcome: TypeAlias = Placed | PlaceFailed | Gone | Checked


def handle(shard: Shard, turn: Turn, outcome: Outcome, *, tries_max: int) -> None:
    """Take in one outcome."""
    item = shard.lives.get(outcome.meeting)
    if item is None or item.record.node_id != outcome.node:
        if isinstance(outcome, Placed):
            # The meeting was released or moved while the node was making it.
            turn.calls.append(OrphanCall(outcome.meeting, outcome.node))
        return
    if isinstance(outcome, Placed):
        placed(shard, turn, item, outcome)
    elif isinstance(outcome, PlaceFailed):
        failed(shard, turn, item, outcome, tries_max=tries_max)
    elif isinstance(outcome, Gone):
        if item.record.state == MeetingState.ENDING:
            shard.forget(turn, item, EndReason.ENDED)
    else:
        absent(shard, turn, item, outcome)


def placed(shard: Shard, turn: Turn, item: Live, outcome: Placed) -> None:
    """Confirm the reservation with what the node answered."""
    if item.record.bound is not None:
        return
    item.bound = outcome.answer
    item.record.internal_id = outcome.answer["internal_id"]
    if item.record.internal_id == node_meeting_id(item.record.id):
        # A node takes the id of a room as its internal one; callers see theirs in its place.
        item.bound["internal_id"] = item.record.external_id
    item.record.bound = orjson.dumps(item.bound)
    item.confirmed_ms = turn.now_ms
    if item.record.state == MeetingState.PLACING:
        shard.pool.confirm(item.record.id)
        shard.sync(turn, item)
        turn.count("placed")
        shard.tell(turn, item, EventKind.MEETING_CREATED, "created")
        # Its node may have taken longer than its window.
        shard.overtime(turn, item)
        shard.answer_waiters(
            turn, item, lambda repeated: commands.succeeded(item, repeated=repeated), store=False
        )
    else:
        # Ended while it was being made: now the node has it, so now it can be ended there.
        shard.touch(turn, item)
        _answer_ended(shard, turn, item)
        turn.calls.append(EndCall(item.record.id, outcome.node))


def failed(shard: Shard, turn: Turn, item: Live, outcome: PlaceFailed, *, tries_max: int) -> None:
    """Move the reservation to the next node, or release it and refuse."""
    node = outcome.node
    item.tried.add(node)
    if item.record.parent_id is None:
        # A room can fail for reasons of its own: it says nothing of the node.
        shard.suspect_ms[node] = turn.now_ms
        shard.mark_node(node)
    # Whatever the node did after all is ended by the next poll that lists it.
    if item.record.state != MeetingState.PLACING:
        _answer_ended(shard, turn, item)
        shard.forget(turn, item, EndReason.FAILED)
        return
    if len(item.tried) < tries_max and outcome.deadline_ms > turn.now_ms:
        asked = core.Replace(meeting=item.record.id, exclude=frozenset(item.tried))
        verdict = decide(shard.pool, asked, turn.now_s)
        if isinstance(verdict, core.Admitted):
            turn.count("replaced")
            shard.pool.apply(verdict)
            for victim_id in verdict.evicted:
                victim = shard.lives[victim_id]
                victim.seats_needed = item.record.seats
                commands.evict(shard, turn, victim)
            shard.sync(turn, item)
            turn.calls.append(
                PlaceCall(item.record.id, verdict.node, outcome.deadline_ms, verdict.evicted)
            )
            return
    turn.count("released")
    if item.record.parent_id is None:
        shard.usage.refused(
            *(turn.batch, Reason.NO_NODE),
            subscription=item.record.subscription_id,
            credential=item.record.credential_id,
            now_s=turn.now_s,
        )
    words = wording.wording_in(shard.directory, item.record.credential_id, shard.zone)
    message = f"No server could start the meeting ({outcome.reason}). No seats are held."
    if not words.is_plain:
        message = refusals.sentence(Reason.NO_NODE, words)
    answer: Answer = {"ok": False, "reason": Reason.NO_NODE.value, "message": message}
    shard.answer_waiters(turn, item, lambda _: answer, store=True)
    shard.forget(turn, item, EndReason.FAILED)


def _answer_ended(shard: Shard, turn: Turn, item: Live) -> None:
    """Whoever still waits for a create that was ended meanwhile gets no meeting."""
    answer: Answer = {
        "ok": False,
        "reason": Reason.NOT_FOUND.value,
        "message": refusals.sentence(Reason.NOT_FOUND),
    }
    shard.answer_waiters(turn, item, lambda _: answer, store=True)


def absent(shard: Shard, turn: Turn, item: Live, outcome: Checked) -> None:
    """A meeting that neither a poll nor a live look found has ended on its node."""
    item.checking = False
    if outcome.present is not False:
        return
    if item.record.state in (MeetingState.HELD, MeetingState.OVERTIME):
        turn.count("vanished")
        shard.forget(turn, item, people.why_ended(item, turn.now_ms))

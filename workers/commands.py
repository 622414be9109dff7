"""Commands, decided one after the other within a turn: create, end, extend.

Owns the translation between messages and the decision core, the rules of repetition (same id of a
command, same meeting id of a caller) and the answers. Called by the placement loop only; what is
decided here is true once the turn is committed.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import orjson

from scheduler import wishes
from scheduler.bus.interface import Envelope, Item
from scheduler.core import commands as core
from scheduler.core.admission import decide, due_booking
from scheduler.core.explanation import explain
from scheduler.ledger.reading import live_key
from scheduler.ledger.records import MeetingRecord
from schemas.events import EventKind
from schemas.messages import Answer, CreateCommand, EndCommand, ExtendCommand
from schemas.values import EndReason, MeetingState, Reason
from workers import answering, bookings, joins
from workers.answering import bare
from workers.live import Live, Waiter
from workers.shard import PlaceCall, Shard, Turn


def handle(shard: Shard, turn: Turn, envelope: Envelope, item: Item) -> None:
    """Decide one command. Safe to repeat: a known command id is answered, not decided again."""
    if item["deadline_ms"] < turn.now_ms:
        # Nobody waits any more, and a late reservation would be nobody's.
        turn.count("expired")
        shard.answer(turn, envelope, item["id"], bare(Reason.UNAVAILABLE), store=False)
    elif item["kind"] in _HANDLERS:
        _HANDLERS[item["kind"]](shard, turn, envelope, item)
    else:
        turn.count("unknown")
        shard.answer(turn, envelope, item["id"], bare(Reason.UNSUPPORTED), store=False)


def create(shard: Shard, turn: Turn, envelope: Envelope, command: CreateCommand) -> None:
    """Decide a create: admitted, repeated or refused."""
    same = shard.lives.get(command["id"])
    if same is not None:
        _attach(shard, turn, envelope, same, command["id"], repeated=False)
        return
    if not answering.enabled(shard, command["credential"], command["subscription"]):
        shard.answer(turn, envelope, command["id"], bare(Reason.DISABLED), store=True)
        return
    verdict = decide(shard.pool, _asked(command), turn.now_s)
    if isinstance(verdict, core.Admitted):
        _admitted(shard, turn, envelope, command, verdict)
    elif isinstance(verdict, core.Repeated):
        _repeated(shard, turn, envelope, command, shard.lives[verdict.meeting])
    else:
        turn.count(verdict.reason.value)
        shard.usage.refused(
            *(turn.batch, verdict.reason),
            subscription=command["subscription"],
            credential=command["credential"],
            now_s=turn.now_s,
        )
        words = answering.words_of(shard, command["credential"])
        answer = answering.refusal(verdict, turn.now_s, words)
        shard.answer(turn, envelope, command["id"], answer, store=True)
        if verdict.reason not in answering.WITHOUT_FIGURES:
            told = shard.refusals.event(
                *(command, verdict, answer["message"]), pool=shard.pool_id, now_ms=turn.now_ms
            )
            if told is not None:
                shard.write(turn, told, f"refused:{command['id']}")


def _asked(command: CreateCommand) -> core.Create | core.OpenRoom:
    key = live_key(command["credential"], command["external_id"])
    parent = command.get("parent")
    if parent is not None:
        return core.OpenRoom(command["id"], parent, key, command["credential"])
    tags, prefers = wishes.node_tags(command["doc"])
    return core.Create(
        meeting=command["id"],
        subscription=command["subscription"],
        key=key,
        seats=command["seats"],
        duration_s=command["duration_s"],
        credential=command["credential"],
        tags=tags,
        prefers=prefers,
    )


def _admitted(
    shard: Shard,
    turn: Turn,
    envelope: Envelope,
    command: CreateCommand,
    verdict: core.Admitted,
) -> None:
    turn.count("admitted")
    # Looked at before anything is applied: what it was like when the node was chosen.
    why = explain(shard.pool, verdict)
    if verdict.replaces is not None:
        _retire(shard, turn, shard.lives[verdict.replaces])
    shard.pool.apply(verdict)
    evicted_here: list[str] = []
    for victim_id in verdict.evicted:
        victim = shard.lives[victim_id]
        victim.seats_needed = verdict.seats
        if victim.record.node_id == verdict.node:
            evicted_here.append(victim_id)
        # The core dooms victims within apply; the record and the node follow.
        evict(shard, turn, victim)
    record = MeetingRecord(
        id=command["id"],
        pool_id=shard.pool_id,
        subscription_id=command["subscription"],
        credential_id=command["credential"],
        external_id=command["external_id"],
        live_key=live_key(command["credential"], command["external_id"]),
        live=True,
        node_id=verdict.node,
        state=MeetingState.PLACING.value,
        seats=verdict.seats,
        start_s=verdict.window.start_s,
        end_s=verdict.window.end_s,
        version=1,
        updated_ms=turn.now_ms,
        doc=orjson.dumps(command["doc"]),
        parent_id=command.get("parent"),
        why=None if why is None else orjson.dumps(why),
    )
    item = Live(record=record, doc=command["doc"], body_waits="body_bytes" in command["doc"])
    item.waiters.append(Waiter(envelope, record.id, repeated=False))
    shard.lives[record.id] = item
    turn.batch.created[record.id] = record
    turn.calls.append(
        PlaceCall(record.id, verdict.node, command["deadline_ms"], tuple(evicted_here))
    )


def evict(shard: Shard, turn: Turn, victim: Live) -> None:
    """Write that the core made the meeting yield, and have its node end it."""
    turn.count("evicted")
    if victim.record.bound is not None:
        shard.tell(turn, victim, EventKind.MEETING_EVICTED, "evicted")
    shard.doom(turn, victim, EndReason.EVICTED)


def _retire(shard: Shard, turn: Turn, item: Live) -> None:
    """A booking or a lost meeting whose reservation goes on in a new meeting."""
    record = item.record
    record.end_reason = record.end_reason or EndReason.ADOPTED.value
    record.state = MeetingState.ENDED.value
    record.live = False
    record.live_key = None
    record.ended_ms = turn.now_ms
    shard.touch(turn, item)
    del shard.lives[record.id]


def _repeated(
    shard: Shard, turn: Turn, envelope: Envelope, command: CreateCommand, item: Live
) -> None:
    given = (command["given_attendee_pw"], command["given_moderator_pw"])
    if given not in (("", ""), (item.doc["attendee_pw"], item.doc["moderator_pw"])):
        turn.count(Reason.NOT_UNIQUE.value)
        answer = bare(Reason.NOT_UNIQUE)
        shard.answer(turn, envelope, command["id"], answer, store=False)
        return
    turn.count("repeated")
    _take_over(shard, turn, item)
    if command["renew"]:
        asked = core.Extend(meeting=item.record.id, duration_s=command["duration_s"])
        verdict = decide(shard.pool, asked, turn.now_s)
        if isinstance(verdict, core.Refused):
            shard.usage.refused(
                *(turn.batch, verdict.reason),
                subscription=command["subscription"],
                credential=command["credential"],
                now_s=turn.now_s,
            )
            words = answering.words_of(shard, command["credential"])
            answer = answering.refusal(verdict, turn.now_s, words)
            shard.answer(turn, envelope, command["id"], answer, store=True)
            return
        if isinstance(verdict, core.Admitted):
            shard.pool.apply(verdict)
            _extended(shard, turn, item)
    _attach(shard, turn, envelope, item, command["id"], repeated=True)


def _take_over(shard: Shard, turn: Turn, item: Live) -> None:
    """Give a running meeting the window of its due booking, if that fits without evictions."""
    meeting = shard.pool.meetings[item.record.id]
    if due_booking(shard.pool, meeting.key) is None:
        return
    verdict = decide(shard.pool, core.TakeOver(meeting=meeting.id), turn.now_s)
    if isinstance(verdict, core.Admitted) and verdict.replaces is not None:
        _retire(shard, turn, shard.lives[verdict.replaces])
        shard.pool.apply(verdict)
        shard.sync(turn, item)
        shard.sync_rooms(turn, item)
        turn.count("adopted")


def _attach(
    shard: Shard, turn: Turn, envelope: Envelope, item: Live, command_id: str, *, repeated: bool
) -> None:
    """Answer with the meeting as it is, or once its node call has come to its end."""
    if item.record.bound is None:
        item.waiters.append(Waiter(envelope, command_id, repeated))
    else:
        answer = succeeded(item, repeated=repeated)
        shard.answer(turn, envelope, command_id, answer, store=False)


def end(shard: Shard, turn: Turn, envelope: Envelope, command: EndCommand) -> None:
    """Decide an end: the seats are free in the same decision, the node follows."""
    item = shard.lives.get(command["meeting"])
    managed = command.get("managed", False)
    if (
        item is None
        or item.record.state == MeetingState.BOOKED
        or not (managed or item.record.credential_id == command["credential"])
    ):
        turn.count(Reason.NOT_FOUND.value)
        shard.answer(turn, envelope, command["id"], bare(Reason.NOT_FOUND), store=True)
        return
    if not managed and command["password"] and command["password"] != item.doc["moderator_pw"]:
        turn.count(Reason.INVALID_PASSWORD.value)
        shard.answer(turn, envelope, command["id"], bare(Reason.INVALID_PASSWORD), store=True)
        return
    reason = EndReason(command.get("reason", EndReason.ENDED)) if managed else EndReason.ENDED
    if item.record.state == MeetingState.LOST:
        shard.forget(turn, item, reason)
    elif item.record.state != MeetingState.ENDING:
        shard.doom(turn, item, reason)
    turn.count("ended")
    shard.answer(turn, envelope, command["id"], {"ok": True}, store=True)


def extend(shard: Shard, turn: Turn, envelope: Envelope, command: ExtendCommand) -> None:
    """Decide an extension: the window grows if that takes nobody's seats, else it stays."""
    item = shard.lives.get(command["meeting"])
    if item is None:
        turn.count(Reason.NOT_FOUND.value)
        shard.answer(turn, envelope, command["id"], bare(Reason.NOT_FOUND), store=True)
        return
    end_s = command.get("until_s")
    if end_s is None:
        end_s = max(item.record.end_s, turn.now_s) + command.get("by_s", 0)
    asked = core.Extend(meeting=item.record.id, duration_s=max(1, end_s - turn.now_s))
    verdict = decide(shard.pool, asked, turn.now_s)
    answer: Answer
    if isinstance(verdict, core.Refused):
        turn.count(verdict.reason.value)
        answer = answering.refusal(verdict, turn.now_s)
    else:
        if isinstance(verdict, core.Admitted):
            shard.pool.apply(verdict)
            _extended(shard, turn, item)
        answer = {"ok": True, "view": item.view()}
    shard.answer(turn, envelope, command["id"], answer, store=True)


def _extended(shard: Shard, turn: Turn, item: Live) -> None:
    """Write down and tell that the window of a meeting and its rooms has grown."""
    shard.sync(turn, item)
    shard.sync_rooms(turn, item)
    turn.count("extended")
    if item.record.bound is not None:
        shard.tell(turn, item, EventKind.MEETING_EXTENDED, f"extended:{item.record.end_s}")


def succeeded(item: Live, *, repeated: bool) -> Answer:
    """Return the answer of a create whose meeting exists on its node."""
    return {"ok": True, "view": item.view(), "repeated": repeated}


_Handler: TypeAlias = Callable[[Shard, Turn, Envelope, Any], None]
_HANDLERS: Final[dict[str, _Handler]] = {
    "create": create,
    "end": end,
    "join": joins.join,
    "extend": extend,
    "book": bookings.book,
    "cancel": bookings.cancel,
    "move": bookings.move,
}
#: What is a command; anything else is a fact.
KINDS: Final = frozenset(_HANDLERS)

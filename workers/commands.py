"""Commands of callers: create and end, decided one after the other within a turn.

Owns the translation between messages and the decision core, the rules of repetition (same id of a
command, same meeting id of a caller) and the answers. Called by the placement loop only; what is
decided here is true once the turn is committed.
"""

from typing import Final, cast

import orjson

from scheduler.bus.interface import Envelope, Item
from scheduler.core import commands as core
from scheduler.core.admission import decide, due_booking
from scheduler.ledger.reading import live_key
from scheduler.ledger.records import MeetingRecord
from schemas import refusals
from schemas.events import EventKind
from schemas.messages import Answer, CreateCommand, EndCommand, JoinCommand
from schemas.values import EndReason, MeetingState, Reason
from workers import joins
from workers.live import Live, Waiter
from workers.shard import PlaceCall, Shard, Turn

#: Refusals of the core that are not about seats.
_WITHOUT_FIGURES: Final = frozenset((Reason.NO_PARENT, Reason.NOT_UNIQUE, Reason.NOT_FOUND))


def handle(shard: Shard, turn: Turn, envelope: Envelope, item: Item) -> None:
    """Decide one command. Safe to repeat: a known command id is answered, not decided again."""
    if item["deadline_ms"] < turn.now_ms:
        # Nobody waits any more, and a late reservation would be nobody's.
        turn.count("expired")
        shard.answer(turn, envelope, item["id"], _refused(Reason.UNAVAILABLE), store=False)
    elif item["kind"] == "create":
        create(shard, turn, envelope, cast("CreateCommand", item))
    elif item["kind"] == "end":
        end(shard, turn, envelope, cast("EndCommand", item))
    elif item["kind"] == "join":
        joins.join(shard, turn, envelope, cast("JoinCommand", item))
    else:
        turn.count("unknown")
        shard.answer(turn, envelope, item["id"], _refused(Reason.UNSUPPORTED), store=False)


def create(shard: Shard, turn: Turn, envelope: Envelope, command: CreateCommand) -> None:
    """Decide a create: admitted, repeated or refused."""
    same = shard.lives.get(command["id"])
    if same is not None:
        _attach(shard, turn, envelope, same, command["id"], repeated=False)
        return
    if not _enabled(shard, command):
        shard.answer(turn, envelope, command["id"], _refused(Reason.DISABLED), store=True)
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
        answer = refusal(verdict, turn.now_s)
        shard.answer(turn, envelope, command["id"], answer, store=True)
        if verdict.reason not in _WITHOUT_FIGURES:
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
    return core.Create(
        meeting=command["id"],
        subscription=command["subscription"],
        key=key,
        seats=command["seats"],
        duration_s=command["duration_s"],
        credential=command["credential"],
    )


def _enabled(shard: Shard, command: CreateCommand) -> bool:
    if shard.directory is None:
        return False
    credential = shard.directory.credentials.get(command["credential"])
    return (
        credential is not None
        and credential.enabled
        and credential.subscription.enabled
        and credential.subscription_id == command["subscription"]
        # It may have moved to another pool while the command was on its way.
        and credential.subscription.pool_id == shard.pool_id
        and credential.subscription_id in shard.pool.subscriptions
    )


def _admitted(
    shard: Shard,
    turn: Turn,
    envelope: Envelope,
    command: CreateCommand,
    verdict: core.Admitted,
) -> None:
    turn.count("admitted")
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
    record.end_reason = record.end_reason or EndReason.CANCELLED.value
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
        answer = _refused(Reason.NOT_UNIQUE)
        shard.answer(turn, envelope, command["id"], answer, store=False)
        return
    turn.count("repeated")
    _take_over(shard, turn, item)
    if command["renew"]:
        asked = core.Extend(meeting=item.record.id, duration_s=command["duration_s"])
        verdict = decide(shard.pool, asked, turn.now_s)
        if isinstance(verdict, core.Refused):
            answer = refusal(verdict, turn.now_s)
            shard.answer(turn, envelope, command["id"], answer, store=True)
            return
        if isinstance(verdict, core.Admitted):
            shard.pool.apply(verdict)
            shard.sync(turn, item)
            shard.sync_rooms(turn, item)
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
    if item is None or item.record.credential_id != command["credential"]:
        turn.count(Reason.NOT_FOUND.value)
        shard.answer(turn, envelope, command["id"], _refused(Reason.NOT_FOUND), store=True)
        return
    if command["password"] and command["password"] != item.doc["moderator_pw"]:
        turn.count(Reason.INVALID_PASSWORD.value)
        shard.answer(turn, envelope, command["id"], _refused(Reason.INVALID_PASSWORD), store=True)
        return
    if item.record.state == MeetingState.LOST:
        shard.forget(turn, item, EndReason.ENDED)
    elif item.record.state != MeetingState.ENDING:
        shard.doom(turn, item, EndReason.ENDED)
    turn.count("ended")
    shard.answer(turn, envelope, command["id"], {"ok": True}, store=True)


def succeeded(item: Live, *, repeated: bool) -> Answer:
    """Return the answer of a create whose meeting exists on its node."""
    return {"ok": True, "view": item.view(), "repeated": repeated}


def refusal(verdict: core.Refused, now_s: int) -> Answer:
    """Return the answer of a refused create, with its figures as a sentence."""
    detail = verdict.detail
    figures = refusals.Figures(
        free_seats=detail.free_seats,
        seats=detail.seats,
        asked_seats=detail.asked_seats,
        duration_s=detail.duration_s,
        fits_at_s=detail.fits_at_s,
        permanent=detail.permanent,
        of_credential=detail.of_credential,
    )
    if verdict.reason in _WITHOUT_FIGURES:
        message = refusals.sentence(verdict.reason)
    else:
        message = refusals.seats_sentence(verdict.reason, figures, now_s=now_s)
    return {"ok": False, "reason": verdict.reason.value, "message": message}


def _refused(reason: Reason) -> Answer:
    return {"ok": False, "reason": reason.value, "message": refusals.sentence(reason)}

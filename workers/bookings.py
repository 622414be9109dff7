"""Bookings: made, moved and given back, decided within a turn like everything else.

Owns the rule that several windows are booked together or not at all, and what a booking is as a
row: a meeting without a key, whose create will adopt it. Called by `commands` only.
"""

from typing import Final, cast

import orjson

from scheduler.bus.interface import Envelope
from scheduler.core import commands as core
from scheduler.core.admission import decide
from scheduler.ledger.reading import live_key
from scheduler.ledger.records import MeetingRecord
from schemas.events import EventKind
from schemas.identifiers import new_id
from schemas.messages import Answer, BookCommand, CancelCommand, MeetingDoc, MoveCommand
from schemas.values import EndReason, MeetingState, Reason, Window
from workers import answering
from workers.live import Live
from workers.shard import Shard, Turn

#: Windows of one command: a year of weeks.
WINDOWS_MAX: Final = 100


def book(shard: Shard, turn: Turn, envelope: Envelope, command: BookCommand) -> None:
    """Book all windows, or say which one does not fit."""
    if not answering.enabled(shard, command["credential"], command["subscription"]):
        shard.answer(turn, envelope, command["id"], answering.bare(Reason.DISABLED), store=True)
        return
    if not 1 <= len(command["windows"]) <= WINDOWS_MAX:
        shard.answer(turn, envelope, command["id"], answering.bare(Reason.TOO_LARGE), store=True)
        return
    key = live_key(command["credential"], command["external_id"])
    admitted: list[core.Admitted] = []
    for start_s, end_s in command["windows"]:
        asked = core.Book(
            new_id(),
            command["subscription"],
            key,
            command["seats"],
            Window(start_s, end_s),
            command["credential"],
        )
        verdict = decide(shard.pool, asked, turn.now_s)
        if isinstance(verdict, core.Refused):
            _undo(shard, admitted)
            turn.count(verdict.reason.value)
            answer = answering.refusal(verdict, turn.now_s)
            shard.answer(turn, envelope, command["id"], answer, store=True)
            return
        made = cast("core.Admitted", verdict)
        shard.pool.apply(made)
        admitted.append(made)
    answer = {"ok": True, "views": []}
    for made in admitted:
        item = _booked(shard, turn, command, made)
        answer["views"].append(item.view())
    turn.count("booked")
    shard.answer(turn, envelope, command["id"], answer, store=True)


def _undo(shard: Shard, admitted: list[core.Admitted]) -> None:
    """Take back what was booked before the window that does not fit; nobody has seen it."""
    for made in admitted:
        shard.pool.end(made.meeting)


def _booked(shard: Shard, turn: Turn, command: BookCommand, made: core.Admitted) -> Live:
    doc: MeetingDoc = {
        "name": "",
        "params": [],
        "attendee_pw": "",
        "moderator_pw": "",
        "duration_min": 0,
        "callbacks": [],
        "meta": {},
    }
    record = MeetingRecord(
        id=made.meeting,
        pool_id=shard.pool_id,
        subscription_id=command["subscription"],
        credential_id=command["credential"],
        external_id=command["external_id"],
        # The key belongs to the meeting that runs.
        live_key=None,
        live=True,
        node_id=made.node,
        state=MeetingState.BOOKED.value,
        seats=made.seats,
        start_s=made.window.start_s,
        end_s=made.window.end_s,
        version=1,
        updated_ms=turn.now_ms,
        doc=orjson.dumps(doc),
    )
    item = Live(record=record, doc=doc)
    shard.lives[record.id] = item
    turn.batch.created[record.id] = record
    turn.shown[record.id] = item
    shard.bookings.add(item)
    shard.tell(turn, item, EventKind.BOOKING_MADE, "booked")
    return item


def cancel(shard: Shard, turn: Turn, envelope: Envelope, command: CancelCommand) -> None:
    """Give a booking back."""
    item = _booking(shard, turn, envelope, command)
    if item is None:
        return
    item.record.end_reason = EndReason.CANCELLED.value
    shard.tell(turn, item, EventKind.BOOKING_CANCELLED, "cancelled")
    shard.forget(turn, item, EndReason.CANCELLED)
    turn.count("cancelled")
    shard.answer(turn, envelope, command["id"], {"ok": True, "view": item.view()}, store=True)


def move(shard: Shard, turn: Turn, envelope: Envelope, command: MoveCommand) -> None:
    """Give a booking another window, other seats or another node, all of it or nothing."""
    item = _booking(shard, turn, envelope, command)
    if item is None:
        return
    record = item.record
    start_s, end_s = command.get("start_s", record.start_s), command.get("end_s", record.end_s)
    if start_s >= end_s:
        shard.answer(turn, envelope, command["id"], answering.bare(Reason.UNSUPPORTED), store=True)
        return
    asked = core.Rebook(
        record.id, Window(start_s, end_s), command.get("seats", record.seats), command.get("node")
    )
    verdict = decide(shard.pool, asked, turn.now_s)
    answer: Answer
    if isinstance(verdict, core.Refused):
        turn.count(verdict.reason.value)
        answer = answering.refusal(verdict, turn.now_s)
    else:
        if isinstance(verdict, core.Admitted):
            told = (verdict.window, verdict.seats) != (
                Window(record.start_s, record.end_s),
                record.seats,
            )
            shard.pool.apply(verdict)
            shard.sync(turn, item)
            shard.bookings.add(item)
            turn.count("moved")
            if told:
                # The node is the provider's affair.
                shard.tell(turn, item, EventKind.BOOKING_MOVED, f"moved:{command['id']}")
        answer = {"ok": True, "view": item.view()}
    shard.answer(turn, envelope, command["id"], answer, store=True)


def _booking(
    shard: Shard, turn: Turn, envelope: Envelope, command: CancelCommand | MoveCommand
) -> Live | None:
    """Return the booking, or None once it was answered that there is none."""
    item = shard.lives.get(command["meeting"])
    if item is not None and item.record.state == MeetingState.BOOKED:
        return item
    turn.count(Reason.NOT_FOUND.value)
    shard.answer(turn, envelope, command["id"], answering.bare(Reason.NOT_FOUND), store=True)
    return None

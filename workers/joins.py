"""Joins: who gets a seat at the door of a meeting, decided by the one writer of its pool.

Owns the command by which a gateway asks for one person, and the fact by which it reports whom it
let in by a grant. The count itself is `workers.gate`; it is written with the turn, so the limit
holds whoever dies. A breakout room has no gate: its people sit on the seats of its parent. Called
by the placement loop and by the facts.
"""

from scheduler.bus.interface import Envelope
from schemas.messages import Answer, JoinCommand, Joins
from schemas.values import MeetingState, Reason
from workers import gate as gates
from workers.gate import Gate
from workers.live import Live
from workers.shard import Shard, Turn

_RUNNING = frozenset({MeetingState.HELD.value, MeetingState.OVERTIME.value})
_FULL = "The number of participants allowed for this meeting has been reached."


def join(shard: Shard, turn: Turn, envelope: Envelope, command: JoinCommand) -> None:
    """Decide whether a person gets in. Safe to repeat: who has a seat is let in again."""
    item = shard.lives.get(command["meeting"])
    if (
        item is None
        or item.record.credential_id != command["credential"]
        or item.record.state not in _RUNNING
    ):
        turn.count("joinNotFound")
        answer: Answer = {"ok": False, "reason": Reason.NOT_FOUND.value}
        shard.answer(turn, envelope, command["id"], answer, store=False)
        return
    item = shard.root(item)
    gate = opened(shard, item)
    seats = item.record.seats
    if gate.admit(command["user"], seats=seats, now_ms=turn.now_ms, passes=command["passes"]):
        turn.count("joined")
        turn.gates[item.record.id] = item
        answer = {"ok": True}
        granted = gate.grant(
            command["id"],
            command["gateway"],
            user=command["user"],
            want=command["want"],
            seats=seats,
            now_ms=turn.now_ms,
        )
        if granted is not None:
            answer["granted"] = granted
    else:
        turn.count("joinRefused")
        if not gate.contested():  # else the gateway asks again
            record = item.record
            shard.usage.add(turn.batch, record, "refused_joins", now_s=turn.now_s)
        answer = {
            "ok": False,
            "reason": Reason.MAX_PARTICIPANTS.value,
            "message": _FULL,
            "contested": gate.contested(),
        }
    shard.answer(turn, envelope, command["id"], answer, store=False)


def reported(shard: Shard, turn: Turn, fact: Joins) -> None:
    """Take in whom a gateway let in. Safe to repeat: a report ends its grant."""
    item = shard.lives.get(fact["meeting"])
    if item is None:
        return  # the meeting is over
    item = shard.root(item)
    gate = opened(shard, item)
    turn.gates[item.record.id] = item
    if fact["grant"]:
        gate.reported(fact["grant"], fact["users"], turn.now_ms)
        return
    # Nobody could be asked: they are in, whether there was a seat or not.
    since_ms = min(fact["at_ms"], turn.now_ms)
    until_ms = since_ms + gate.lease_ms
    if until_ms > turn.now_ms:
        for user in fact["users"]:
            gate.expect(user, since_ms, until_ms)


def opened(shard: Shard, item: Live) -> Gate:
    """Return the gate of a meeting, as it was left when nobody has come to it yet."""
    if item.gate is None:
        present = [
            user
            for room in (item, *shard.rooms_of(item))
            for user, seen in room.users.items()
            if seen.present
        ]
        item.gate = gates.loaded(present, item.record.gate, lease_ms=shard.join_lease_ms)
    return item.gate


def write(turn: Turn) -> None:
    """Put the gates that changed into the batch; readers see nothing of it, so no new version."""
    for item in turn.gates.values():
        if item.gate is None or not item.record.live:
            continue
        stored = item.gate.dumped()
        if stored != item.record.gate:
            item.record.gate = stored
            if item.record.id not in turn.batch.created:
                turn.batch.changed[item.record.id] = item.record

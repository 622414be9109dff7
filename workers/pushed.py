"""What nodes push: each message is one fact, beside and before what polls see.

Owns what a pushed fact changes and which event it makes. A message that comes twice makes one
event; one that a poll has told already makes none. Messages of a breakout room that a node opened
by itself are told to its parent's owner and change nothing. Called by the facts, within a turn.
"""

from typing import Final

from schemas.events import EventKind
from schemas.messages import Pushed
from schemas.values import MeetingState
from workers import people
from workers.live import About, Live
from workers.shard import Shard, Turn

_PRESENCE: Final = frozenset((EventKind.USER_JOINED.value, EventKind.USER_LEFT.value))
_THERE: Final = frozenset(
    (MeetingState.HELD.value, MeetingState.OVERTIME.value, MeetingState.ENDING.value)
)


def handle(shard: Shard, turn: Turn, fact: Pushed) -> None:
    """Take in one message. Safe to repeat: states are compared, other events are told once."""
    item = shard.lives.get(fact["meeting"])
    if item is None or item.record.node_id != fact["node"] or item.record.bound is None:
        return  # the meeting is over, or went elsewhere
    if item.record.state not in _THERE:
        return
    if fact.get("room"):
        _tell(shard, turn, item, fact)
        return
    known = item.record.internal_id
    if known and fact["internal_id"] and fact["internal_id"] != known:
        return  # another instance
    if fact.get("marked") or fact["event"] == EventKind.MEETING_RECORDING_STARTED:
        _mark(shard, turn, item)
    if fact.get("hint"):
        turn.look(item)
    elif fact["event"] == EventKind.MEETING_ENDED:
        turn.count("told ended")
        shard.forget(turn, item, people.why_ended(item, turn.now_ms))
    elif fact["event"] in _PRESENCE:
        people.pushed(shard, turn, item, fact)
    elif fact["event"] != EventKind.MEETING_CREATED:  # which we know of ourselves
        _tell(shard, turn, item, fact)


def _mark(shard: Shard, turn: Turn, item: Live) -> None:
    """Note that the meeting is being recorded: its end will say so."""
    if not item.record.marked:
        item.record.marked = True
        shard.touch(turn, item)


def _tell(shard: Shard, turn: Turn, item: Live, fact: Pushed) -> None:
    """Write an event that changes nothing."""
    event = item.event(
        EventKind(fact["event"]),
        fact["at_ms"],
        About(fact["user"], fact["visit"], fact.get("name", ""), fact["data"]),
    )
    event["moderator"] = fact["moderator"] or event["moderator"]
    if room := fact.get("room"):
        event["meeting_id"], event["internal_meeting_id"] = room, fact["internal_id"]
        event["callbacks"] = []
    shard.write(turn, event, f"pushed:{fact['digest']}")

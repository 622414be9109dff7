"""A live meeting as the placement worker holds it: ledger record, decoded documents, users seen.

Owns the making of views (for readers) and of events (for outsiders) from it. Never writes anywhere:
the worker puts what is made here into a batch or onto the bus.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from scheduler.bus.interface import Envelope
from scheduler.ledger.records import MeetingRecord
from schemas.events import Event, EventKind
from schemas.identifiers import new_id
from schemas.messages import MeetingDoc, MeetingView, NodeAnswer
from workers.gate import Gate
from workers.presence import Presence

#: Kinds of the callbacks that the end of a meeting fires; the others wait for something else.
END_CALLBACKS: Final = frozenset(("endCallbackUrl", "meetingEndedURL"))
_OF_BOOKINGS: Final = frozenset(
    (
        EventKind.BOOKING_STARTING,
        EventKind.BOOKING_MADE,
        EventKind.BOOKING_MOVED,
        EventKind.BOOKING_CANCELLED,
    )
)
#: Longer user ids are stored by their digest; real ones have some dozen characters.
_USER_ID_MAX: Final = 512


@dataclass(frozen=True, slots=True)
class About:
    """What an event tells besides its kind."""

    #: The caller's id of the person, the node's id of the visit, and the name where it is wanted.
    user: str = ""
    visit: str = ""
    name: str = ""
    #: What the kind carries by the catalogue; None: what we know of it ourselves.
    data: dict[str, Any] | None = None
    #: When it happened; None: just now.
    at_ms: int | None = None


NOTHING: Final = About()


@dataclass(slots=True)
class Waiter:
    """A command that is answered when the node call of the meeting has come to its end."""

    envelope: Envelope
    command_id: str
    repeated: bool


@dataclass(slots=True)
class Live:
    """One live meeting."""

    record: MeetingRecord
    doc: MeetingDoc
    bound: NodeAnswer | None = None
    users: dict[str, Presence] = field(default_factory=dict)
    waiters: list[Waiter] = field(default_factory=list)
    #: When the node's answer was recorded; a poll that started earlier proves no absence.
    confirmed_ms: int = 0
    #: Seats of the request that made this meeting yield.
    seats_needed: int = 0
    #: Nodes that failed to create it.
    tried: set[int] = field(default_factory=set)
    #: A live check of its absence is under way.
    checking: bool = False
    #: Its request body may still be stored.
    body_waits: bool = False
    #: Who counts against its seats at the door; None until somebody comes (see `workers.joins`).
    gate: Gate | None = None

    @property
    def connected(self) -> int:
        """Number of distinct users present."""
        return sum(user.present for user in self.users.values())

    @property
    def changed_ms(self) -> int:
        """When it changed last, or somebody came or went."""
        return max(self.record.updated_ms, *(user.changed_ms for user in self.users.values()), 0)

    def view(self) -> MeetingView:
        """Return the meeting as readers see it."""
        record = self.record
        view: MeetingView = {
            "kind": "meeting",
            "id": record.id,
            "pool": record.pool_id,
            "subscription": record.subscription_id,
            "credential": record.credential_id,
            "external_id": record.external_id,
            "node": record.node_id,
            "state": record.state,
            "seats": record.seats,
            "start_s": record.start_s,
            "end_s": record.end_s,
            "version": record.version,
            "doc": self.doc,
            "bound": self.bound,
            "end_reason": record.end_reason,
            "live": record.live,
        }
        if record.parent_id is not None:
            view["parent"] = record.parent_id
        return view

    def event(self, kind: EventKind, now_ms: int, about: About = NOTHING) -> Event:
        """Return an event of this meeting; ids shown are the caller's own."""
        record, user = self.record, about.user
        ended = kind is EventKind.MEETING_ENDED
        return {
            "id": new_id(),
            "kind": kind.value,
            "seq": 0,
            "at_ms": now_ms if about.at_ms is None else about.at_ms,
            "pool": record.pool_id,
            "subscription": record.subscription_id,
            "credential": record.credential_id,
            "meeting": record.id,
            "meeting_id": record.external_id,
            "internal_meeting_id": self.bound["internal_id"] if self.bound else "",
            "user_id": user,
            "user_internal_id": about.visit,
            "user_name": about.name,
            "moderator": self.users[user].moderator if user in self.users else False,
            "reason": record.end_reason if ended else "",
            "seats_needed": self.seats_needed if ended else 0,
            # As with BBB, the end of a breakout room calls nobody back.
            "callbacks": self._end_callbacks() if ended and record.parent_id is None else [],
            "data": self._data(kind) if about.data is None else about.data,
        }

    def _end_callbacks(self) -> list[tuple[str, str]]:
        return [(url, kind) for url, kind in self.doc["callbacks"] if kind in END_CALLBACKS]

    def _data(self, kind: EventKind) -> dict[str, Any]:
        """Return what an event of ours carries."""
        record = self.record
        if kind is EventKind.MEETING_CREATED:
            return self._created()
        if kind is EventKind.MEETING_ENDED:
            return {"recordingMarks": record.marked}
        if kind is EventKind.MEETING_EVICTED:
            return {"seatsNeeded": self.seats_needed}
        if kind in (EventKind.WINDOW_ENDED, EventKind.MEETING_EXTENDED):
            return {"seats": record.seats, "windowEnd": record.end_s * 1_000}
        if kind in _OF_BOOKINGS:
            window = {"windowStart": record.start_s * 1_000, "windowEnd": record.end_s * 1_000}
            return {"seats": record.seats, **window}
        return {}

    def _created(self) -> dict[str, Any]:
        """Return what is told of a new meeting: what was asked for, and what came of it."""
        doc, bound, record = self.doc, self.bound, self.record
        params = dict(doc["params"])
        created: dict[str, Any] = {
            "name": doc["name"],
            "isBreakout": record.parent_id is not None,
            "duration": doc["duration_min"],
            "createTime": bound["create_time_ms"] if bound else 0,
            "createDate": bound["create_date"] if bound else "",
            "moderatorPW": doc["moderator_pw"],
            "attendeePW": doc["attendee_pw"],
            "record": params.get("record", "").lower() == "true",
            "voiceBridge": bound["voice_bridge"] if bound else "",
            "dialNumber": bound["dial_number"] if bound else "",
            "maxUsers": record.seats,
            "metadata": doc["meta"],
        }
        return created


def user_key(user_id: str) -> str:
    """Return the id under which a user is stored."""
    if len(user_id) <= _USER_ID_MAX:
        return user_id
    return "sha256:" + hashlib.sha256(user_id.encode()).hexdigest()


def from_record(record: MeetingRecord) -> Live:
    """Return a stored meeting as it was before the restart."""
    doc: MeetingDoc = orjson.loads(record.doc)
    return Live(
        record=record,
        doc=doc,
        bound=orjson.loads(record.bound) if record.bound else None,
        body_waits=record.bound is None and "body_bytes" in doc,
        confirmed_ms=record.updated_ms if record.bound else 0,
    )

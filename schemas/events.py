"""Events: what outsiders are told.

Owns the names of the kinds and the shape of an event as stored in the outbox and handed to the
deliveries. Ids are the caller's own, never the ones that nodes see.
"""

from enum import StrEnum
from typing import TypedDict


class EventKind(StrEnum):
    """Names of the field; an endpoint filters by them."""

    MEETING_CREATED = "meetingCreated"
    MEETING_ENDED = "meetingEnded"
    WINDOW_ENDED = "windowEnded"
    USER_JOINED = "userJoined"
    USER_LEFT = "userLeft"


class Event(TypedDict):
    """One event, complete: a delivery needs nothing else."""

    id: str
    kind: str
    #: Order within the meeting: the sequence number of the outbox, filled in by the relay.
    seq: int
    at_ms: int
    pool: int
    subscription: int
    credential: int
    meeting: str  # our id
    meeting_id: str  # the caller's meetingID
    internal_meeting_id: str
    user_id: str  # "" unless a user's event
    moderator: bool
    reason: str  # meetingEnded: an EndReason
    seats_needed: int  # meetingEnded with reason evicted: the seats of the request that needed them
    #: `[url, kind]` of the create call, on meetingEnded only.
    callbacks: list[tuple[str, str]]

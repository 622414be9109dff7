"""What travels on the bus, and what the ledger keeps of it: plain dicts with a written shape.

Owns the shapes of commands, answers, facts and views as TypedDicts; the bus encodes them with
orjson. Nothing here is secret: node and tenant secrets never travel, only ids. Used by the gateway,
the workers and the ledger.
"""

from typing import Any, Literal, NotRequired, TypedDict


class MeetingDoc(TypedDict):
    """What the caller asked for; immutable, stored with the meeting."""

    name: str
    #: Decoded parameters that go to the node (passwords, `maxParticipants` and metadata included;
    #: never `meetingID`, `duration`, callbacks or vendor parameters).
    params: list[tuple[str, str]]
    attendee_pw: str
    moderator_pw: str
    #: Whether the caller gave passwords; generated ones are not compared on repetition.
    duration_min: int  # as the caller sent it, 0 when it sent none: shown in every answer
    #: `[url, kind]`, kind `endCallbackUrl` (recordingmarks and meetingID are appended),
    #: `meetingEndedURL` (called as it is), `recordingReadyUrl` or `analyticsCallbackUrl`.
    callbacks: list[tuple[str, str]]
    #: Metadata as the caller sent it (names in lower case), shown in answers and events.
    meta: dict[str, str]
    #: Request body for the node (XML modules) and its content type, when there was one. A long one
    #: is stored apart, under the id of the meeting, and only its length stands here.
    body: NotRequired[str]
    body_bytes: NotRequired[int]
    body_type: NotRequired[str]


class NodeAnswer(TypedDict):
    """What the node answered to the create call."""

    internal_id: str
    create_time_ms: int
    create_date: str
    voice_bridge: str
    dial_number: str


class CreateCommand(TypedDict):
    """Reserve seats and make a meeting; its id becomes the meeting's id."""

    kind: Literal["create"]
    id: str
    deadline_ms: int
    subscription: int
    credential: int
    external_id: str
    seats: int
    duration_s: int
    doc: MeetingDoc
    #: Passwords as given by the caller, "" when absent: what a repetition is compared by.
    given_attendee_pw: str
    given_moderator_pw: str
    renew: bool
    #: A breakout room: our id of the meeting whose node, seats and window it shares.
    parent: NotRequired[str]
    #: Id of the request as in the logs, and its trace (W3C traceparent).
    request: NotRequired[str]
    trace: NotRequired[str]


class EndCommand(TypedDict):
    """End a meeting."""

    kind: Literal["end"]
    id: str
    deadline_ms: int
    credential: int
    meeting: str
    #: "" when the caller gave none: then it is not compared.
    password: str
    #: By management: neither credential nor password are asked for.
    managed: NotRequired[bool]
    #: Why, a `schemas.values.EndReason`, when it is not `ended`; by management only.
    reason: NotRequired[str]
    #: As with a create.
    request: NotRequired[str]
    trace: NotRequired[str]


class ExtendCommand(TypedDict):
    """Promise the seats of a running meeting for longer, evicting nobody."""

    kind: Literal["extend"]
    id: str
    deadline_ms: int
    meeting: str
    #: The new end of its window (Unix seconds), or by how much the end moves; from now on when the
    #: window is over.
    until_s: NotRequired[int]
    by_s: NotRequired[int]


class BookCommand(TypedDict):
    """Reserve seats for one or several later windows, all of them or none."""

    kind: Literal["book"]
    id: str
    deadline_ms: int
    subscription: int
    credential: int
    #: The `meetingID` of the creates that will adopt the bookings.
    external_id: str
    seats: int
    #: Begin and end in Unix seconds; whole minutes of them are booked.
    windows: list[tuple[int, int]]


class CancelCommand(TypedDict):
    """Give a booking back."""

    kind: Literal["cancel"]
    id: str
    deadline_ms: int
    meeting: str


class MoveCommand(TypedDict):
    """Give a booking another window, another number of seats or another node; all or nothing."""

    kind: Literal["move"]
    id: str
    deadline_ms: int
    meeting: str
    start_s: NotRequired[int]
    end_s: NotRequired[int]
    seats: NotRequired[int]
    node: NotRequired[int]


class JoinCommand(TypedDict):
    """Let one more person into a meeting, if there is a seat; its id becomes that of a grant."""

    kind: Literal["join"]
    id: str
    deadline_ms: int
    credential: int
    meeting: str
    #: The caller's id of the person.
    user: str
    #: Whether the person may enter although all seats are taken.
    passes: bool
    #: The gateway that asks, and how many persons more it would like to let in without asking.
    gateway: str
    want: int
    #: As with a create.
    request: NotRequired[str]
    trace: NotRequired[str]


class Answer(TypedDict):
    """The answer of a command (`done`)."""

    ok: bool
    #: A `schemas.values.Reason` when not ok.
    reason: NotRequired[str]
    #: Sentence for people: what is free, when it would fit.
    message: NotRequired[str]
    #: The meeting as it is now (create, renew).
    view: NotRequired["MeetingView"]
    #: The bookings that were made (book), in the order of their windows.
    views: NotRequired[list["MeetingView"]]
    #: When a refused request would fit (Unix seconds), as far as that is known.
    fits_at_s: NotRequired[int]
    #: The meeting was there already.
    repeated: NotRequired[bool]
    #: Persons that the gateway may let in by itself (join), under the id of the command, besides
    #: the one who was asked for; 0 is the right to let this one in again.
    granted: NotRequired[int]
    #: Refused only because gateways may still give seats away: worth asking again in a moment.
    contested: NotRequired[bool]


class MeetingView(TypedDict):
    """A meeting as readers see it: the row of the ledger, decoded."""

    kind: Literal["meeting"]
    id: str
    pool: int
    subscription: int
    credential: int
    external_id: str
    node: int | None
    state: str
    seats: int
    start_s: int
    end_s: int
    version: int
    doc: MeetingDoc
    bound: NodeAnswer | None
    end_reason: str
    live: bool
    #: A breakout room: our id of its parent.
    parent: NotRequired[str]


class SeenUser(TypedDict):
    """A user in a meeting as a poll saw it."""

    user: str  # external user id
    moderator: bool
    #: How often the person is there (tabs, devices), when that is not once.
    visits: NotRequired[int]
    #: Only when the subscription wants names.
    name: NotRequired[str]


class SeenMeeting(TypedDict):
    """One of our meetings as a poll saw it."""

    meeting: str
    running: bool
    ended: bool  # hasBeenForciblyEnded
    users: list[SeenUser]


class NodeSeen(TypedDict):
    """Fact: all meetings of ours that a node has, from one poll that started at `as_of_ms`."""

    kind: Literal["nodeSeen"]
    node: int
    as_of_ms: int
    #: Complete: a live meeting of this node that is not listed is absent.
    meetings: list[SeenMeeting]


class NodeHealth(TypedDict):
    """Fact: the health of a node changed (hysteresis already applied)."""

    kind: Literal["nodeHealth"]
    node: int
    up: bool
    reason: str
    #: The node did not answer for so long that its meetings count as lost.
    lost: bool
    at_ms: int
    #: The check that it failed, a `scheduler.node_faults.Fault`.
    fault: NotRequired[str]
    #: When it answered last, unless it never did, and the polls that it missed since.
    answered_ms: NotRequired[int]
    misses: NotRequired[int]
    #: What it says of itself, when it was asked.
    version: NotRequired[str]
    #: While its secret is changed: whether it still takes the previous one only.
    previous_in_use: NotRequired[bool]


class Pushed(TypedDict):
    """Fact: a node told of something in one of our meetings."""

    kind: Literal["pushed"]
    node: int
    #: Our id; for a breakout room that the node opened by itself, that of its parent.
    meeting: str
    #: A `schemas.events.EventKind`.
    event: str
    #: By the node's clock, but never later than we heard of it.
    at_ms: int
    #: What tells it from others: the same message again has the same.
    digest: str
    #: The node's id of the conference, "" when it was not told.
    internal_id: str
    #: The node's id of the visit and the caller's id of the person, or "".
    visit: str
    user: str
    #: Only when the subscription wants names.
    name: NotRequired[str]
    moderator: bool
    #: What the kind carries, by the names of the catalogue.
    data: dict[str, Any]
    #: A breakout room that the node opened by itself: its external id.
    room: NotRequired[str]
    #: A meeting that ended: whether anybody pressed the record button, when the node said so.
    marked: NotRequired[bool]
    #: Nobody signed it, so it is no proof: the node is asked.
    hint: NotRequired[bool]


class Joins(TypedDict):
    """Fact: whom a gateway has let into a meeting without asking; ends the grant it had."""

    kind: Literal["joins"]
    meeting: str
    #: The grant that it had for this, "" when the placement worker did not answer.
    grant: str
    users: list[str]
    at_ms: int


class Tick(TypedDict):
    """Fact: time has passed; windows may have ended."""

    kind: Literal["tick"]


class RoomSeen(TypedDict):
    """A breakout room that a node opened by itself in one of our meetings."""

    #: Our id of the meeting.
    parent: str
    #: As the node listed it.
    fields: dict[str, Any]


class NodeSnapshot(TypedDict):
    """View: what a poll saw in full (names included); never stored, for readers only."""

    kind: Literal["node"]
    node: int
    as_of_ms: int
    #: By our meeting id: counters, times and attendees as the node listed them.
    meetings: dict[str, dict[str, Any]]
    #: By the node's internal id.
    rooms: NotRequired[dict[str, RoomSeen]]


class GateContested(TypedDict):
    """View: seats of a meeting are wanted; who holds a grant for it hands back the rest."""

    kind: Literal["gateContested"]
    meeting: str


class NodeTold(TypedDict):
    """View: a node reached us just now; `recording` when it may have a new recording."""

    kind: Literal["nodeTold"]
    node: int
    at_ms: int
    recording: bool


class JoinedThrough(TypedDict):
    """View: a join went through a gateway, so `not running` must be checked live for a moment."""

    kind: Literal["joined"]
    meeting: str
    at_ms: int

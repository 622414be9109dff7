"""The things a simulated node knows: meetings, users, hooks, recordings, events.

Owns plain records that are stored as they are; no behaviour beyond counting. Never touches
clocks, sockets or files. Changed by `state` alone, read by the answers, the control API and the
store.
"""

from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, TypeAlias

Role: TypeAlias = Literal["MODERATOR", "VIEWER"]
Table: TypeAlias = Literal["meeting", "user", "hook", "recording", "clock", "all"]

#: What `parentMeetingID` says for an ordinary meeting.
NO_PARENT: Final = "bbb-none"


@dataclass(slots=True)
class Meeting:
    """One live meeting; instants in milliseconds, 0 for an instant that has not come."""

    external_id: str
    internal_id: str
    name: str
    attendee_pw: str
    moderator_pw: str
    create_ms: int
    create_date: str
    voice_bridge: str
    dial_number: str
    duration_min: int = 0
    max_users: int = 0
    record: bool = False
    auto_start_recording: bool = False
    recording_marks: bool = False
    keep_events: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    welcome: str = ""
    moderator_only_message: str = ""
    logout_url: str = ""
    ended_url: str = ""
    guest_policy: str = "ALWAYS_ACCEPT"
    is_breakout: bool = False
    parent_id: str = NO_PARENT
    sequence: int = 0
    free_join: bool = False
    start_ms: int = 0
    end_ms: int = 0
    has_user_joined: bool = False
    #: The instant at which the node ends the meeting by itself unless something changes; 0: never.
    expires_ms: int = 0
    documents: list[str] = field(default_factory=list)
    messages: list[dict[str, str]] = field(default_factory=list)
    #: Who was there, for the dashboard, by internal user id; only when events are kept.
    attended: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Session-token calls do without the cookie of the join.
    without_session: bool = False


@dataclass(slots=True)
class User:
    """Somebody in a meeting, with one session or more; present once `connected_ms` is not 0."""

    internal_id: str
    external_id: str
    name: str
    role: Role
    meeting_id: str
    token: str
    registered_ms: int
    connected_ms: int = 0
    #: Counts the openings of the client page, so that a closing page cannot end a newer one.
    connection: int = 0
    guest: bool = False
    guest_status: str = "ALLOW"
    presenter: bool = False
    listening_only: bool = False
    voice: bool = False
    video: bool = False
    userdata: dict[str, str] = field(default_factory=dict)
    #: The `JSESSIONID` of each session token, `token` first.
    cookies: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Hook:
    """One webhook; `meeting_id` is an external id, `None` for a global hook."""

    hook_id: str
    callback_url: str
    meeting_id: str | None = None
    event_ids: list[str] | None = None
    raw: bool = False


@dataclass(slots=True)
class Recording:
    """One recording; `record_id` is the internal id of the meeting it came from."""

    record_id: str
    meeting_id: str
    name: str
    start_ms: int
    end_ms: int
    participants: int = 0
    state: str = "published"
    metadata: dict[str, str] = field(default_factory=dict)
    formats: list[str] = field(default_factory=lambda: ["presentation"])
    #: Text tracks as they are listed, but with their size; at most one per kind and language.
    tracks: list[dict[str, str]] = field(default_factory=list)


class Change(NamedTuple):
    """One record to be stored; `record` is `None` when it is gone."""

    table: Table
    key: str
    record: "Meeting | User | Hook | Recording | int | None"


class Event(NamedTuple):
    """Something that the node tells the outside; `kind` is a mapped event name."""

    kind: str
    meeting: Meeting
    at_ms: int
    user: User | None = None
    recording: Recording | None = None
    message: dict[str, str] | None = None

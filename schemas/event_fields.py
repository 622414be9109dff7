"""What each kind of event carries besides the ids of its meeting and person.

Owns the fields: their names here, where bbb-webhooks has them, their JSON schema and an example.
Pure data. Read by the catalogue and by the dialects; whoever makes an event fills these names into
its `data`.
"""

# ruff: noqa: FBT003  # these booleans are examples and values, not switches

from dataclasses import dataclass
from typing import Any, Final

from schemas.events import EventKind

_TYPES: Final[dict[type, str]] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    dict: "object",
    list: "array",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a kind."""

    name: str
    example: Any
    #: Where a mapped event of bbb-webhooks has it, below `attributes`; empty: nowhere.
    at: tuple[str, ...] = ()
    #: What a mapped event says when it is not known; None: nothing.
    default: Any = None
    #: Whether it tells who somebody is.
    personal: bool = False
    #: Whether only mapped events show it, since applications written for them expect it.
    mapped_only: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of its value."""
        return {"type": _TYPES[type(self.example)]}


def _meeting(name: str, key: str, example: Any, *, mapped_only: bool = False) -> Field:
    return Field(name, example, ("meeting", key), mapped_only=mapped_only)


def _user(
    name: str, key: str, example: Any, default: Any = None, *, personal: bool = False
) -> Field:
    return Field(name, example, ("user", key), default, personal=personal)


_CREATED: Final = (
    _meeting("name", "name", "Weekly sync"),
    _meeting("isBreakout", "is-breakout", False),
    Field("parentID", "bbb-none", ("meeting", "parent-id"), "bbb-none"),
    _meeting("duration", "duration", 60),
    _meeting("createTime", "create-time", 1718000000000),
    _meeting("createDate", "create-date", "Mon Jun 10 06:13:20 UTC 2024"),
    _meeting("moderatorPW", "moderator-pass", "mp", mapped_only=True),
    _meeting("attendeePW", "viewer-pass", "ap", mapped_only=True),
    _meeting("record", "record", False),
    _meeting("voiceBridge", "voice-conf", "70000"),
    _meeting("dialNumber", "dial-number", "613-555-1234"),
    _meeting("maxUsers", "max-users", 15),
    _meeting("metadata", "metadata", {"origin": "lms"}),
)
_GUEST: Final = _user("guest", "guest", False, False)
_JOINED: Final = (
    _user("role", "role", "VIEWER"),
    _user("presenter", "presenter", False, False),
    _GUEST,
    _user("userdata", "userdata", {"bbb_custom_style": ""}, personal=True),
    _user("ipAddress", "ip-address", "192.0.2.7", personal=True),
    _user("userAgent", "user-agent", "Mozilla/5.0", personal=True),
    _user("referer", "referer", "https://lms.example/course/7", personal=True),
)
_MUTED: Final = (_user("muted", "muted", True, True),)
_UNMUTED: Final = (_user("muted", "muted", False, False),)
_VOICE_ON: Final = (
    _user("listeningOnly", "listening-only", False, False),
    _user("sharingMic", "sharing-mic", True, True),
    _user("muted", "muted", False, False),
)
_VOICE_OFF: Final = (
    _user("listeningOnly", "listening-only", False, False),
    _user("sharingMic", "sharing-mic", False, False),
    *_MUTED,
)
_STREAM: Final = (_user("stream", "stream", "w_abc-camera"),)
_CHAT: Final = (
    Field("messageID", "1718000040000-x1", ("chat-message", "id")),
    Field("message", "Hello", ("chat-message", "message")),
    Field("time", 1718000040000, ("chat-message", "sender", "time")),
    Field("chatID", "MAIN-PUBLIC-GROUP-CHAT", ("chat-id",), "MAIN-PUBLIC-GROUP-CHAT"),
)
_PAD: Final = (
    Field("padID", "g.x1$notes", ("pad", "id")),
    Field("externalPadID", "notes", ("pad", "external-pad-id")),
    Field("rev", 12, ("pad", "rev")),
    Field("start", 0, ("pad", "start")),
    Field("end", 5, ("pad", "end")),
    Field("text", "Hello", ("pad", "text")),
)
_POLL: Final = Field("pollID", "p1/1", ("poll", "id"))
_POLL_STARTED: Final = (
    _POLL,
    Field("question", "Coffee?", ("poll", "question")),
    Field("answers", [{"id": 0, "key": "Yes"}, {"id": 1, "key": "No"}], ("poll", "answers")),
)
_POLL_RESPONDED: Final = (_POLL, Field("answerIDs", [0], ("poll", "answerIds")))
_TRANSCRIPT: Final = (
    Field("transcriptID", "t1", ("transcript", "id")),
    Field("transcript", "Hello everybody", ("transcript", "transcript")),
    Field("locale", "en-US", ("transcript", "locale")),
    Field("final", True, ("transcript", "final")),
)
_RECORD_ID: Final = Field("recordID", "5f1d0ad3b7b4-1718000000000", ("record-id",))
_SUCCESS: Final = Field("success", True, ("success",))
_STEP_TIME: Final = Field("stepTime", 1200, ("step-time",))
_WORKFLOW: Final = Field("workflow", "presentation", ("workflow",))
_RAP_STARTED: Final = (_RECORD_ID, _WORKFLOW)
_RAP_ENDED: Final = (_RECORD_ID, _SUCCESS, _STEP_TIME, _WORKFLOW)
_ARCHIVED: Final = (
    *_RAP_ENDED,
    Field("recorded", True, ("recorded",)),
    Field("duration", 0, ("duration",)),
)
_PUBLISHED: Final = (
    *_RAP_ENDED,
    Field("recording", {"name": "Weekly sync", "size": 4096, "playback": {}}, ("recording",)),
)
#: `format` is never filled by the servers that were seen.
_RAP_CHANGED: Final = (_RECORD_ID, Field("format", "presentation", ("format",)))

_SEATS: Final = Field("seats", 15)
_STEPS: Final = (
    ("SANITY", _RAP_STARTED, _RAP_ENDED),
    ("POST_ARCHIVE", _RAP_STARTED, _RAP_ENDED),
    ("PROCESS", _RAP_STARTED, _RAP_ENDED),
    ("POST_PROCESS", _RAP_STARTED, _RAP_ENDED),
    ("POST_PUBLISH", _RAP_STARTED, _RAP_ENDED),
    ("ARCHIVE", _RAP_STARTED, _ARCHIVED),
    ("PUBLISH", _RAP_STARTED, _PUBLISHED),
)

_BOOKED: Final = (
    _SEATS,
    Field("windowStart", 1718000000000),
    Field("windowEnd", 1718003600000),
)

FIELDS: Final[dict[EventKind, tuple[Field, ...]]] = {
    EventKind.MEETING_CREATED: _CREATED,
    EventKind.MEETING_ENDED: (Field("recordingMarks", False),),
    EventKind.MEETING_PRESENTATION_CHANGED: (
        _meeting("presentationID", "presentation-id", "d2d9a672040fbde2a47a10bf6c37b6a4b5ae187f-1"),
    ),
    EventKind.USER_JOINED: _JOINED,
    EventKind.USER_LEFT: (_GUEST,),
    EventKind.USER_AUDIO_VOICE_ENABLED: _VOICE_ON,
    EventKind.USER_AUDIO_VOICE_DISABLED: _VOICE_OFF,
    EventKind.USER_AUDIO_MUTED: _MUTED,
    EventKind.USER_AUDIO_UNMUTED: _UNMUTED,
    EventKind.USER_CAM_BROADCAST_START: _STREAM,
    EventKind.USER_CAM_BROADCAST_END: _STREAM,
    EventKind.USER_EMOJI_CHANGED: (_user("emoji", "emoji", "none", "none"),),
    EventKind.USER_RAISE_HAND_CHANGED: (_user("raiseHand", "raise-hand", True, False),),
    EventKind.CHAT_GROUP_MESSAGE_SENT: _CHAT,
    EventKind.PAD_CONTENT: _PAD,
    EventKind.POLL_STARTED: _POLL_STARTED,
    EventKind.POLL_RESPONDED: _POLL_RESPONDED,
    EventKind.TRANSCRIPT_UPDATED: _TRANSCRIPT,
    **{EventKind[f"RAP_{step}_STARTED"]: started for step, started, _ in _STEPS},
    **{EventKind[f"RAP_{step}_ENDED"]: ended for step, _, ended in _STEPS},
    EventKind.RAP_PUBLISHED: _RAP_CHANGED,
    EventKind.RAP_UNPUBLISHED: _RAP_CHANGED,
    EventKind.RAP_DELETED: _RAP_CHANGED,
    EventKind.WINDOW_ENDED: (_SEATS, Field("windowEnd", 1718003600000)),
    EventKind.MEETING_EVICTED: (Field("seatsNeeded", 6),),
    EventKind.RESERVATION_REFUSED: (
        Field("reason", "noSeats"),
        Field("message", "5 of 20 seats are free; 6 seats for 60 minutes fit at 16:40 UTC."),
        _SEATS,
        Field("free", 5),
    ),
    EventKind.NODE_LOST: (Field("meetings", ["room-42"]),),
    EventKind.BOOKING_STARTING: _BOOKED,
    EventKind.BOOKING_MADE: _BOOKED,
    EventKind.BOOKING_MOVED: _BOOKED,
    EventKind.BOOKING_CANCELLED: _BOOKED,
    EventKind.MEETING_EXTENDED: (_SEATS, Field("windowEnd", 1718003600000)),
    EventKind.ENDPOINT_DISABLED: (
        Field("endpoint", 7),
        Field("label", "billing"),
        Field("reason", "failing"),
        Field("failingSince", 1717568000000),
    ),
    EventKind.PING: (Field("endpoint", 7),),
    EventKind.RECORDING_READY: (_RECORD_ID,),
    EventKind.ANALYTICS_READY: (
        Field("analytics", {"version": "1.0", "data": {"duration": 3600}}, personal=True),
    ),
}

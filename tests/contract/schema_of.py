"""What the documents of the API consist of: elements, their order, their types, which may miss.

Owns the tables of the contract in a form that documents can be held against, and the holding. An
element that is in no table is a fault, as are one out of order and one that is there twice. Used by
the test of the answers.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lxml import etree

_KINDS: Final = {
    "text": r".*",
    "filled": r".+",
    "empty": r"",
    "bool": r"true|false",
    "int": r"-?[0-9]+",
    "count": r"[0-9]+",
    "ms": r"0|[0-9]{13}",
    "created": r"[0-9]{13}",
    "internal": r"[0-9a-f]{40}-[0-9]{13}",
    "parent": r"bbb-none|[0-9a-f]{40}-[0-9]{13}",
    "date": r"[A-Z][a-z]{2} [A-Z][a-z]{2} [0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} [A-Z]{2,5} [0-9]{4}",
    "digits": r"[0-9]+",
    "role": r"MODERATOR|VIEWER|DIAL-IN-USER",
    "client": r"HTML5|DIAL-IN|FLASH",
    "state": r"processing|processed|published|unpublished|deleted",
    "guest": r"ALLOW|WAIT|DENY",
    "url": r"https?://[^ ]+",
    "token": r"[0-9a-z]+",
    "success": r"SUCCESS",
    "failed": r"FAILED",
    "true": r"true",
    "uuid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "version": r"2\.0",
}


@dataclass(frozen=True)
class Element:
    """One row of a table: a name, what it holds, how often."""

    name: str
    #: A kind of text, the rows of its children, or None for children of any name that hold text.
    holds: "str | Sequence[Element] | None" = "text"
    optional: bool = False
    many: bool = False


def required(names: str, kind: str = "text") -> list[Element]:
    """Return rows of one kind."""
    return [Element(name, kind) for name in names.split()]


def faults(element: etree._Element, holds: "str | Sequence[Element] | None") -> list[str]:
    """Return what is wrong with an element; nothing when it is as its table says."""
    where = str(element.tag)
    text = element.text or ""
    if isinstance(holds, str):
        right = re.fullmatch(_KINDS[holds], text, re.DOTALL)
        if len(element) or not right:
            return [f"{where}: {text[:60]!r} with {len(element)} children is no {holds}"]
        return []
    if text.strip():
        return [f"{where} holds text beside elements"]
    if holds is None:
        return [f"{where}/{child.tag} has children" for child in element if len(child)]
    return _ordered(element, holds)


def _ordered(element: etree._Element, rows: Sequence[Element]) -> list[str]:
    found, children = [], list(element)
    for row in rows:
        count = 0
        while children and children[0].tag == row.name and (row.many or count == 0):
            found += faults(children.pop(0), row.holds)
            count += 1
        if not (count or row.optional or row.many):
            found.append(f"{element.tag}: {row.name} is missing or out of order")
    found += [f"{element.tag}: {child.tag} is too much or out of order" for child in children]
    return found


_OK: Final = Element("returncode", "success")
_SAID: Final = required("messageKey message", "filled")
FAILED: Final = [Element("returncode", "failed"), *_SAID]
#: Calls that have no keys.
FAILED_PLAINLY: Final = [Element("returncode", "failed"), Element("message", "filled")]

INDEX: Final = [
    _OK,
    *required("version apiVersion", "version"),
    Element("bbbVersion", "empty"),
]
_CREATED: Final = [
    _OK,
    Element("meetingID", "filled"),
    Element("internalMeetingID", "internal"),
    Element("parentMeetingID", "parent"),
    *required("attendeePW moderatorPW", "filled"),
    Element("createTime", "created"),
    Element("voiceBridge", "digits"),
    Element("dialNumber", "filled"),
    Element("createDate", "date"),
    Element("hasUserJoined", "bool"),
    Element("duration", "count"),
    Element("hasBeenForciblyEnded", "bool"),
]
CREATED: Final = [*_CREATED, *required("messageKey message", "empty")]
#: A breakout room goes by the id that it was asked for, everywhere.
CREATED_BREAKOUT: Final = [
    *CREATED[:2],
    Element("internalMeetingID", "filled"),
    Element("parentMeetingID", "internal"),
    *CREATED[4:],
]
REPEATED: Final = [*_CREATED, *_SAID]
JOINED: Final = [
    _OK,
    *_SAID,
    Element("meeting_id", "internal"),
    *required("user_id", "filled"),
    *required("auth_token session_token", "token"),
    Element("guestStatus", "guest"),
    Element("url", "url"),
]
RUNNING: Final = [_OK, Element("running", "bool")]
ENDED: Final = [_OK, *_SAID]
_ATTENDEE: Final = [
    Element("userID", "filled"),
    Element("fullName", "filled"),
    Element("role", "role"),
    *required("isPresenter isListeningOnly hasJoinedVoice hasVideo", "bool"),
    Element("clientType", "client"),
    Element("customdata", None, optional=True),
]
_MEETING: Final = [
    *required("meetingName meetingID internalMeetingID", "filled"),
    Element("createTime", "created"),
    Element("createDate", "date"),
    Element("voiceBridge", "digits"),
    Element("dialNumber", "filled"),
    *required("attendeePW moderatorPW", "filled"),
    Element("running", "bool"),
    Element("duration", "count"),
    *required("hasUserJoined recording hasBeenForciblyEnded", "bool"),
    *required("startTime endTime", "ms"),
    *required("participantCount listenerCount voiceParticipantCount videoCount", "count"),
    *required("maxUsers moderatorCount", "count"),
    Element("attendees", [Element("attendee", _ATTENDEE, many=True)]),
    Element("metadata", None),
    Element("isBreakout", "bool"),
    Element("parentMeetingID", "internal", optional=True),
    Element("sequence", "count", optional=True),
    Element("freeJoin", "bool", optional=True),
    Element("breakoutRooms", [Element("breakout", "filled", many=True)], optional=True),
]
INFO: Final = [_OK, *_MEETING]
MEETINGS: Final = [_OK, Element("meetings", [Element("meeting", _MEETING, many=True)])]
NO_MEETINGS: Final = [_OK, Element("meetings", []), *_SAID]
_SESSION: Final = [
    Element("meetingID", "internal"),
    Element("meetingName", "filled"),
    Element("userName", "filled"),
]
SESSIONS: Final = [_OK, Element("sessions", [Element("meeting", _SESSION, many=True)])]
NO_SESSIONS: Final = [_OK, Element("sessions", []), *_SAID]
INSERTED: Final = [_OK, Element("message", "filled")]
SENT: Final = [_OK, *required("messageKey message", "empty")]
_FORMAT: Final = [
    Element("type", "filled"),
    Element("url", "url"),
    *required("processingTime length", "count"),
    Element("size", "count", optional=True),
    Element("preview", [Element("images", [Element("image", "url", many=True)])], optional=True),
]
_RECORDING: Final = [
    Element("recordID", "internal"),
    Element("meetingID", "filled"),
    Element("internalMeetingID", "internal"),
    Element("name", "filled"),
    *required("isBreakout published", "bool"),
    Element("state", "state"),
    *required("startTime endTime", "created"),
    Element("participants", "count"),
    Element("rawSize", "count", optional=True),
    Element("metadata", None, optional=True),
    Element("breakout", None, optional=True),
    Element("breakoutRooms", None, optional=True),
    Element("size", "count", optional=True),
    Element("playback", [Element("format", _FORMAT, many=True)]),
    Element("data", [Element("format", _FORMAT, many=True)], optional=True),
]
_RECORDINGS: Final = Element("recordings", [Element("recording", _RECORDING, many=True)])
RECORDINGS: Final = [_OK, _RECORDINGS]
RECORDINGS_PAGE: Final = [_OK, _RECORDINGS, Element("totalElements", "count")]
NO_RECORDINGS: Final = [_OK, Element("recordings", []), *_SAID]
NO_RECORDINGS_PAGE: Final = [*NO_RECORDINGS, Element("totalElements", "count")]
PUBLISHED: Final = [_OK, Element("published", "bool")]
DELETED: Final = [_OK, Element("deleted", "true")]
UPDATED: Final = [_OK, Element("updated", "true")]
_HOOK: Final = [
    Element("hookID", "uuid"),
    Element("callbackURL", "url"),
    Element("meetingID", "filled", optional=True),
    Element("eventID", "filled", optional=True),
    *required("permanentHook rawData", "bool"),
]
HOOK_MADE: Final = [_OK, Element("hookID", "uuid"), *required("permanentHook rawData", "bool")]
HOOK_AGAIN: Final = [_OK, Element("hookID", "uuid"), *_SAID]
HOOKS: Final = [_OK, Element("hooks", [Element("hook", _HOOK, many=True)])]
HOOK_GONE: Final = [_OK, Element("removed", "true")]
SIGNED_OUT: Final = [_OK]
CONFIG_TOKEN: Final = [_OK, Element("configToken", "filled")]

"""What a node says of its meetings, read out of getMeetings and getMeetingInfo.

Owns the reading of one `meeting` element (contract 3.6 and 3.7) and its tolerance: numbers with
thousands separators, missing elements, users listed twice. Never calls anybody and never raises on
odd values: what cannot be read is 0 or "". Called by the observer and by the gateway.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from schemas import identifiers
from schemas.messages import RoomSeen

#: Elements that hold numbers; BBB prints some of them as `1,202`.
NUMBERS: Final = frozenset(
    (
        "createTime",
        "duration",
        "startTime",
        "endTime",
        "participantCount",
        "listenerCount",
        "voiceParticipantCount",
        "videoCount",
        "maxUsers",
        "moderatorCount",
        "sequence",
    )
)
#: Elements that hold `true` or `false`.
FLAGS: Final = frozenset(
    ("running", "hasUserJoined", "recording", "hasBeenForciblyEnded", "isBreakout", "freeJoin")
)
_CONTAINERS: Final = frozenset(("attendees", "metadata", "breakoutRooms"))
#: Longest user id that is kept, characters: the width of its column.
_USER_ID_MAX: Final = 512


@dataclass(frozen=True, slots=True)
class MeetingSeen:
    """One meeting as a node listed it."""

    #: `meetingID` as the node knows it, foreign meetings included.
    node_meeting_id: str
    running: bool
    #: `hasBeenForciblyEnded`: the meeting is on its way out.
    ended: bool
    breakout: bool
    #: Moderator or not, by external user id; a user listed twice is one.
    users: dict[str, bool]
    #: All elements of contract 3.6 by name: numbers as int, flags as bool, the rest as str;
    #: `attendees` a list of dicts, `metadata` a dict, `breakoutRooms` a list of ids.
    fields: dict[str, Any]


def meeting_id(seen: MeetingSeen) -> str | None:
    """Return our id of a meeting on a node; None when it is not one that we made.

    A node takes the id that we give a breakout room as its internal one.
    """
    found = identifiers.meeting_id_of(seen.node_meeting_id)
    if found is None and seen.breakout:
        found = identifiers.meeting_id_of(seen.fields.get("internalMeetingID", ""))
    return found


def rooms(ours: dict[str, MeetingSeen], listed: Iterable[MeetingSeen]) -> dict[str, RoomSeen]:
    """Return the breakout rooms that were opened inside of our meetings, by their internal id."""
    parents = {
        meeting.fields.get("internalMeetingID", ""): known for known, meeting in ours.items()
    }
    return {
        meeting.fields["internalMeetingID"]: RoomSeen(parent=parent, fields=meeting.fields)
        for meeting in listed
        if meeting.breakout
        and meeting.fields.get("internalMeetingID")
        and meeting_id(meeting) is None
        and (parent := parents.get(meeting.fields.get("parentMeetingID", "")))
    }


def number(text: str | None) -> int:
    """Return the digits of `text` as a number, 0 when there are none."""
    if not text:
        return 0
    if text.isdecimal():
        return int(text)
    digits = "".join(sign for sign in text if sign.isdecimal())
    return int(digits) if digits else 0


def read_meetings(root: etree._Element) -> list[MeetingSeen]:
    """Return the meetings of a getMeetings answer; without `meetingID` one is left out."""
    listed = root.find("meetings")
    if listed is None:
        return []
    seen = (read_meeting(element) for element in listed.iterchildren("meeting"))
    return [meeting for meeting in seen if meeting.node_meeting_id]


def read_meeting(element: etree._Element) -> MeetingSeen:
    """Return one meeting: a `meeting` element, or the `response` of getMeetingInfo."""
    fields: dict[str, Any] = {}
    for child in element.iterchildren():
        name = str(child.tag)
        if name in _CONTAINERS:
            fields[name] = _READERS[name](child)
        elif name in NUMBERS:
            fields[name] = number(child.text)
        elif name in FLAGS:
            fields[name] = child.text == "true"
        else:
            fields[name] = child.text or ""
    users: dict[str, bool] = {}
    for attendee in fields.get("attendees", ()):
        user = attendee.get("userID", "")
        if user:
            users[user] = users.get(user, False) or attendee.get("role") == "MODERATOR"
    return MeetingSeen(
        node_meeting_id=fields.get("meetingID", ""),
        running=fields.get("running", False),
        ended=fields.get("hasBeenForciblyEnded", False),
        breakout=fields.get("isBreakout", False),
        users=users,
        fields=fields,
    )


def _read_attendees(element: etree._Element) -> list[dict[str, Any]]:
    """Return the attendees: text by element name, flags as bool, `customdata` as a dict."""
    attendees = []
    for attendee in element.iterchildren("attendee"):
        fields: dict[str, Any] = {}
        for child in attendee.iterchildren():
            name = str(child.tag)
            if name == "customdata":
                fields[name] = _read_names(child)
            elif name.startswith(("is", "has")):
                fields[name] = child.text == "true"
            elif name == "userID":
                fields[name] = (child.text or "")[:_USER_ID_MAX]
            else:
                fields[name] = child.text or ""
        attendees.append(fields)
    return attendees


def _read_names(element: etree._Element) -> dict[str, str]:
    """Return the children as text by name."""
    return {str(child.tag): child.text or "" for child in element.iterchildren()}


def _read_breakouts(element: etree._Element) -> list[str]:
    """Return the ids of the breakout rooms."""
    return [child.text or "" for child in element.iterchildren("breakout")]


_READERS: Final = {
    "attendees": _read_attendees,
    "metadata": _read_names,
    "breakoutRooms": _read_breakouts,
}

"""The draft dialect of 2009: its keys, its meeting tokens, and its answers.

Owns what differs from today's answers, which are its raw material: the elements of a meeting are
taken from a finished getMeetingInfo or getMeetings. Pure; never decides who may see what. Used by
the gateway.
"""

import re
import uuid
from collections.abc import Iterable
from typing import Final

from lxml import etree

from schemas import documents, identifiers
from schemas.documents import Pair, Raw
from schemas.params import Violation

NO_QUERY: Final = ("noQueryString", "No query string was found in your request.")
NO_ACTION: Final = ("noActionSpecified", "You did not specify an API action.")
NO_NAME: Final = ("missingParamName", "You must specify a name for the meeting.")
NO_FULL_NAME: Final = (
    "missingParamFullName",
    "You must specify a name for the attendee who will be joining the meeting.",
)
NO_RANDOM: Final = (
    "missingParamRandom",
    "You must specify a random value, so that the query can be signed.",
)
UNKNOWN_TOKEN: Final = ("invalidTokenID", "No conference exists with that token ID.")
NOT_IDENTIFIED: Final = (
    "invalidMeetingIdentifier",
    "The meeting ID or token that you supplied did not match any existing meetings",
)
NOT_FOUND: Final = ("notFound", "We could not find a meeting with that token or ID")
NOT_RUNNING: Final = (
    "notFound",
    "We could not find a meeting with that token or ID - perhaps the meeting is not yet running?",
)
WRONG_PASSWORD: Final = (
    "invalidPassword",
    (
        "You either did not supply a password or the password supplied is neither the attendee or"
        " moderator password for this conference."
    ),
)
NOT_MODERATOR: Final = (
    "invalidPassword",
    "You must supply the moderator password for this call.",
)

_TOKEN: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_MADE_UP: Final = "draft-"
_MADE_UP_ID: Final = re.compile(r"draft-[0-9a-f]{32}\Z")
_MODERN: Final = b"<response><returncode>"
_CLOSED: Final = b"</returncode>"
_PLAIN: Final = (
    "running",
    "hasBeenForciblyEnded",
    "startTime",
    "endTime",
    "participantCount",
    "moderatorCount",
)
_PASSWORDS: Final = ("attendeePW", "moderatorPW")
_ATTENDEE: Final = ("userID", "fullName", "role")


def token_of(meeting_id: str) -> str:
    """Return the token of a meeting: our id of it, written as the UUID it was in those days."""
    return str(uuid.UUID(hex=meeting_id))


def meeting_id_of(token: str) -> str:
    """Return our meeting id of a token; "" when the text can be no token of ours."""
    return token.replace("-", "") if _TOKEN.match(token) else ""


def made_up_id() -> str:
    """Return a meeting id for a caller who gave none."""
    return _MADE_UP + identifiers.new_id()


def shown_id(meeting_id: str) -> str | None:
    """Return the caller's meeting id; None when he gave none, and the token is all he has."""
    return None if _MADE_UP_ID.match(meeting_id) else meeting_id


def violation_of_binding(call: str, names: Iterable[str]) -> Violation | None:
    """Return why a signed query is not meant for this call.

    The signature does not say which call it is for. What only one call takes says it instead, so
    that the link by which somebody joins opens nothing else.
    """
    for name, only in (("fullName", "join"), ("name", "create")):
        if call != only and name in names:
            return "checksumError", f"A query with {name} is good for {only} only."
    return None


def retitled(document: bytes) -> bytes:
    """Return a finished answer with `returnCode` in its first element, as the dialect spells it."""
    if not document.startswith(_MODERN):
        return document
    start, _, rest = document[len(_MODERN) :].partition(_CLOSED)
    return b"<response><returnCode>" + start + b"</returnCode>" + rest


def created(answer: bytes, *, token: str, meeting_id: str) -> str:
    """Return the answer of create from today's."""
    root = etree.fromstring(answer)
    return documents.success(
        (
            ("meetingToken", token),
            ("meetingID", shown_id(meeting_id)),
            *_taken(root, _PASSWORDS),
            *_taken(root, ("messageKey", "message")),
        )
    )


def entry(url: str) -> str:
    """Return the answer of a join that names the address to send the user to."""
    return documents.success((("entryURL", url),))


def ended() -> str:
    """Return the answer of endMeeting."""
    return documents.success((("ended", True),))


def attendees(answer: bytes) -> str:
    """Return the answer of listAttendees from today's getMeetingInfo."""
    return documents.success(_attendees(etree.fromstring(answer)))


def meeting_info(answer: bytes, *, token: str, passwords: bool) -> str:
    """Return the answer of getMeetingInfo from today's; passwords only for who has shown one."""
    root = etree.fromstring(answer)
    return documents.success((*_meeting(root, token, passwords=passwords), *_attendees(root)))


def internal_ids(answer: bytes) -> list[str]:
    """Return the internal ids in today's getMeetings, in order."""
    found = etree.fromstring(answer).findall("meetings/meeting")
    return [meeting.findtext("internalMeetingID") or "" for meeting in found]


def meetings(answer: bytes, tokens: dict[str, str]) -> str:
    """Return the answer of getMeetings from today's; meetings without a token are left out."""
    root = etree.fromstring(answer)
    rendered = [
        documents.element("meeting", _meeting(meeting, token, passwords=False))
        for meeting in root.findall("meetings/meeting")
        if (token := tokens.get(meeting.findtext("internalMeetingID") or ""))
    ]
    more = _taken(root, ("messageKey", "message"))
    return documents.success((("meetings", Raw("".join(rendered))), *more))


def _meeting(element: etree._Element, token: str, *, passwords: bool) -> list[Pair]:
    name = element.findtext("meetingName") or ""
    return [
        ("meetingToken", token),
        ("meetingID", shown_id(element.findtext("meetingID") or "")),
        ("meetingName", name),
        *(_taken(element, _PASSWORDS) if passwords else ()),
        *_taken(element, _PLAIN),
    ]


def _attendees(element: etree._Element) -> list[Pair]:
    rendered = [
        documents.element("attendee", _taken(attendee, _ATTENDEE))
        for attendee in element.findall("attendees/attendee")
    ]
    return [("attendees", Raw("".join(rendered)))]


def _taken(element: etree._Element, names: Iterable[str]) -> list[Pair]:
    """Return children by name, with their texts; what is not there is left out."""
    return [(name, found.text or "") for name in names if (found := element.find(name)) is not None]

"""The validation of API calls and which of several violations is reported.

Owns the keys and texts of the master table, and the order in which a real server reports them
(its hash map order, which is fixed by the keys). Pure; never changes anything. Used by `calls`.
"""

import re
from typing import Final, NamedTuple

from deploy.simulator.model import Meeting
from deploy.simulator.wire import ApiCall

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}\Z")
_BOOLEANS: Final = frozenset({"true", "false", "0", "1"})
_ID_UNITS: Final = (2, 256)
_PASSWORD_UNITS: Final = (2, 64)
_MESSAGE_UNITS_MAX: Final = 500
_USER_NAME_UNITS_MAX: Final = 255

#: Lower is reported first.
_PRECEDENCE: Final = {
    "checksumError": 1,
    "unsupportedContentType": 1,
    "emptyError": 4,
    "missingParamFullName": 6,
    "meetingForciblyEnded": 7,
    "invalidPassword": 8,
    "meetingNotFound": 8,
    "invalidMeetingIdentifier": 10,
    "notFound": 10,
    "sizeError": 11,
    "validationError": 14,
    "nullError": 14,
    "missingParamMeetingID": 15,
}


class Violation(NamedTuple):
    """A key and a text of a FAILED answer."""

    key: str
    message: str


NO_CHECKSUM: Final = Violation("checksumError", "You must provide the checksum")
BAD_CHECKSUM: Final = Violation("checksumError", "Checksums do not match")
BAD_TYPE: Final = Violation(
    "unsupportedContentType", "POST request Content-Type is missing or unsupported"
)
NOT_FOUND: Final = Violation("notFound", "A meeting with that ID does not exist")
NO_MEETING_ID: Final = Violation("missingParamMeetingID", "You must provide a meeting ID")


def signature(call: ApiCall, secret: str) -> Violation | None:
    """Return what is wrong with the checksum of a meeting call."""
    if not any(call.checksums):
        return NO_CHECKSUM
    return None if call.is_signed(secret) else BAD_CHECKSUM


def check(call: ApiCall, meeting: Meeting | None) -> Violation | None:
    """Return the violation that a real server would report, if any."""
    found: list[Violation] = []
    if call.has_foreign_type():
        found.append(BAD_TYPE)
    found += _meeting_id(call.params.get("meetingID"))
    for name in ("attendeePW", "moderatorPW", "password"):
        if call.given(name) and not _fits(call.given(name), _PASSWORD_UNITS):
            found.append(Violation("invalidPassword", "Invalid password"))
    match call.name:
        case "create":
            found += _create(call)
        case "join":
            found += _join(call, meeting)
        case "end":
            found += _end(call, meeting)
        case "getMeetingInfo" if meeting is None and call.params.get("meetingID") != "":
            found.append(NOT_FOUND)
        case "sendChatMessage":
            found += _chat(call)
        case _:
            pass
    return min(found, key=_precedence, default=None)


def _precedence(violation: Violation) -> int:
    return _PRECEDENCE[violation.key]


def _fits(text: str, units: tuple[int, int]) -> bool:
    count = len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
    return units[0] <= count <= units[1]


def _meeting_id(meeting_id: str | None) -> list[Violation]:
    if meeting_id is None:
        return []
    found = []
    if not meeting_id:
        found.append(NO_MEETING_ID)
    if not _fits(meeting_id, _ID_UNITS):
        text = "Meeting ID must be between 2 and 256 characters"
        found.append(Violation("sizeError", text))
    if "," in meeting_id:
        found.append(Violation("validationError", "Meeting ID cannot contain ','"))
    return found


def _create(call: ApiCall) -> list[Violation]:
    found = []
    name = call.params.get("name")
    if name is None:
        found.append(Violation("nullError", "You must provide a meeting name"))
    else:
        if not name:
            found.append(Violation("emptyError", "You must provide a meeting name"))
        if not _fits(name, _ID_UNITS):
            text = "Meeting name must be between 2 and 256 characters"
            found.append(Violation("sizeError", text))
    if call.given("voiceBridge") and not _INTEGER.match(call.given("voiceBridge")):
        found.append(Violation("validationError", "Voice bridge must be an integral value"))
    if not _is_boolean(call, "record"):
        text = "Record must be a boolean value (true or false)"
        found.append(Violation("validationError", text))
    if not _is_boolean(call, "isBreakoutRoom"):
        text = "You must provide a boolean value (true or false) for the breakout room"
        found.append(Violation("validationError", text))
    return found


def _join(call: ApiCall, meeting: Meeting | None) -> list[Violation]:
    found = []
    if not call.given("fullName"):
        found.append(Violation("missingParamFullName", "You must provide your name"))
    if call.params.get("meetingID") == "":
        found.append(Violation("emptyError", "You must provide the meeting ID"))
    if meeting is None:
        text = "You can not join a meeting that has already been forcibly ended"
        found.append(Violation("meetingForciblyEnded", text))
    for name in ("guest", "auth"):
        if not _is_boolean(call, name):
            text = f"{name.capitalize()} must be a boolean value (true or false)"
            found.append(Violation("validationError", text))
    if call.given("createTime") and not _INTEGER.match(call.given("createTime")):
        found.append(Violation("validationError", "Value must be an integral number"))
    return found


def _end(call: ApiCall, meeting: Meeting | None) -> list[Violation]:
    found = [NOT_FOUND] if meeting is None else []
    if call.params.get("meetingID") == "":
        found.append(Violation("emptyError", "You must provide the meeting ID"))
    return found


def _chat(call: ApiCall) -> list[Violation]:
    message = call.params.get("message")
    if message is None:
        return [Violation("nullError", "You must provide the param message")]
    found = []
    if not _fits(message, (1, _MESSAGE_UNITS_MAX)):
        text = "Param message must be between 1 and 500 characters"
        found.append(Violation("sizeError", text))
    if not _fits(call.given("userName"), (0, _USER_NAME_UNITS_MAX)):
        text = "Param userName must not exceed 255 characters"
        found.append(Violation("sizeError", text))
    return found


def _is_boolean(call: ApiCall, name: str) -> bool:
    value = call.given(name)
    return not value or value.lower() in _BOOLEANS

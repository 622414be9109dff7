"""The parameters of a BigBlueButton call: decoded, sanitised, typed and judged.

Owns the reading rules of the API (first occurrence wins, control characters vanish, bad numbers are
absent) and the order in which one of several violations is reported. Pure: never looks a meeting up
and never signs; what a rule needs to know of meetings is handed in. Used by the gateway.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote_plus, unquote_to_bytes, urlsplit

#: More parameters than this in one query or form are refused.
PARAMS_MAX: Final = 4_000
#: Bounds of ids, names and passwords, in UTF-16 code units as BBB counts them.
TEXT_UNITS_MIN: Final = 2
TEXT_UNITS_MAX: Final = 256
PASSWORD_UNITS_MAX: Final = 64
MESSAGE_UNITS_MAX: Final = 500
USER_NAME_UNITS_MAX: Final = 255
#: BBB reads numbers as 32-bit integers; longer ones count as absent.
_NUMBER_MAX: Final = 2**31 - 1

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
#: What was no UTF-8, and what no answer can hold: an id must come back as it was given.
_UNSHOWN: Final = re.compile("[\ufffd-\uffff]")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,10}\Z")
_INTEGRAL: Final = re.compile(r"[+-]?[0-9]{1,19}\Z")
_META: Final = re.compile(r"meta_[A-Za-z][A-Za-z0-9-]*\Z")
#: What Python clients send for an unset value.
_UNSET: Final = frozenset(("", "none", "null"))
_BOOLEANS: Final = frozenset(("", "true", "false", "0", "1"))
#: What a join of a known meeting is refused for, besides the name.
_JUDGED_IN_JOIN: Final = frozenset(("password", "guest", "auth", "createTime"))

#: The order in which BBB reports: of several violated keys, the first of this list wins.
KEY_ORDER: Final = (
    "checksumError",
    "unsupportedContentType",
    "guestDeny",
    "emptyError",
    "missingParamFullName",
    "meetingForciblyEnded",
    "invalidPassword",
    "meetingNotFound",
    "invalidMeetingIdentifier",
    "notFound",
    "sizeError",
    "missingParamMessage",
    "validationError",
    "nullError",
    "missingParamMeetingID",
    "missingToken",
    "missingSession",
)

#: A violated rule: `messageKey` and `message`.
Violation = tuple[str, str]

NOT_FOUND: Final = ("notFound", "A meeting with that ID does not exist")
NOT_IDENTIFIED: Final = ("invalidMeetingIdentifier", "A meeting with that ID does not exist")
FORCIBLY_ENDED: Final = (
    "meetingForciblyEnded",
    "You can not join a meeting that has already been forcibly ended",
)
MISSING_MEETING_ID: Final = ("missingParamMeetingID", "You must provide a meeting ID")
INVALID_MEETING_ID: Final = ("validationError", "Invalid meeting ID")
INVALID_PASSWORD: Final = ("invalidPassword", "Invalid password")
EMPTY_MEETING_ID: Final = ("emptyError", "You must provide the meeting ID")
CONTENT_TYPE: Final = (
    "unsupportedContentType",
    "POST request Content-Type is missing or unsupported",
)


class TooManyParamsError(ValueError):
    """The query or form has more parameters than are read."""


@dataclass(slots=True)
class Params:
    """Decoded parameters; `values` keeps the order of first occurrences."""

    values: dict[str, str]
    #: Names whose value was changed by sanitising.
    altered: set[str] = field(default_factory=set)

    def get(self, name: str) -> str:
        """Return the value, "" when absent."""
        return self.values.get(name, "")

    def flag(self, name: str) -> bool:
        """Return a boolean as BBB reads it: true only for `true` in any case."""
        return self.values.get(name, "").lower() == "true"

    def number(self, name: str) -> int | None:
        """Return a number as BBB reads it; None when absent or not a 32-bit number."""
        text = self.values.get(name, "")
        if not _NUMBER.match(text):
            return None
        number = int(text)
        return number if -_NUMBER_MAX - 1 <= number <= _NUMBER_MAX else None

    def merge(self, other: "Params") -> None:
        """Add parameters of a form; what the query has stays."""
        for name, value in other.values.items():
            if name not in self.values:
                self.values[name] = value
                if name in other.altered:
                    self.altered.add(name)


def decode(query: str, *, clean: bool = False) -> Params:
    """Return the parameters of an encoded query or form.

    `clean` says that `query` holds no raw control characters or blanks, which is true of every
    request line. Invalid UTF-8 becomes U+FFFD. Raises `TooManyParamsError`.
    """
    values: dict[str, str] = {}
    params = Params(values)
    if not query:
        return params
    items = query.split("&")
    if len(items) > PARAMS_MAX:
        raise TooManyParamsError(f"more than {PARAMS_MAX} parameters")
    for item in items:
        name, _, value = item.partition("=")
        if not clean or "%" in item:
            name = _sanitised(_unquoted(name))
            plain = _unquoted(value)
            value = _sanitised(plain)
        elif "+" in item:
            # Blanks alone cannot bring in what has to be taken out.
            name = name.replace("+", " ").strip()
            plain = value.replace("+", " ")
            value = plain.strip()
        else:
            plain = value
        if value != plain and name not in values:
            params.altered.add(name)
        if name and name not in values:
            values[name] = value
    return params


def _unquoted(text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    if "%" in text:
        return unquote_to_bytes(text).decode("utf-8", "replace")
    return text


def _sanitised(text: str) -> str:
    if _CONTROL.search(text):
        text = _CONTROL.sub("", text)
    return text.strip()


def occurrences(form: str, name: str) -> int:
    """Return how often a parameter stands in a form, however its name is spelled."""
    names = (item.partition("=")[0] for item in form.split("&"))
    return sum(_sanitised(_unquoted(found)) == name for found in names)


def sorted_query(form: str) -> str:
    """Return the query that servers before 2.6.18 rebuilt from a form for the checksum.

    Sorted by name, without `checksum`, encoded as Java does: blank to `+`, `*-._` literal.
    """
    pairs = []
    for item in form.split("&"):
        name, _, value = item.partition("=")
        if name and _unquoted(name).strip() != "checksum":
            pairs.append((_unquoted(name), _unquoted(value)))
    pairs.sort()
    return "&".join(f"{_java_encoded(name)}={_java_encoded(value)}" for name, value in pairs)


def _java_encoded(text: str) -> str:
    return quote_plus(text, safe="*").replace("~", "%7E")


def first_violation(violations: list[Violation]) -> Violation | None:
    """Return the one violation that BBB reports, None when there is none."""
    if not violations:
        return None
    return min(violations, key=lambda violation: KEY_ORDER.index(violation[0]))


def units(text: str) -> int:
    """Return the length in UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "replace")) // 2


def _id_violations(values: Mapping[str, str]) -> list[Violation]:
    meeting_id = values.get("meetingID")
    if meeting_id is None:
        return []
    found: list[Violation] = []
    if not meeting_id:
        found.append(MISSING_MEETING_ID)
    if not TEXT_UNITS_MIN <= units(meeting_id) <= TEXT_UNITS_MAX:
        found.append(("sizeError", "Meeting ID must be between 2 and 256 characters"))
    if "," in meeting_id:
        found.append(("validationError", "Meeting ID cannot contain ','"))
    return found


def _password_violations(values: Mapping[str, str], *names: str) -> list[Violation]:
    return [
        INVALID_PASSWORD
        for name in names
        if values.get(name) and not TEXT_UNITS_MIN <= units(values[name]) <= PASSWORD_UNITS_MAX
    ]


def is_unset(text: str) -> bool:
    """Tell whether a typed parameter carries no value (Python clients send `None`)."""
    return text.lower() in _UNSET


def _not_boolean(values: Mapping[str, str], name: str) -> bool:
    return values.get(name, "").lower() not in _BOOLEANS


def create_violation(params: Params) -> Violation | None:
    """Return what BBB would report of a create call."""
    values = params.values
    found = _id_violations(values)
    found += _password_violations(values, "attendeePW", "moderatorPW")
    name = values.get("name")
    if name is None:
        found.append(("nullError", "You must provide a meeting name"))
    else:
        if not name:
            found.append(("emptyError", "You must provide a meeting name"))
        if not TEXT_UNITS_MIN <= units(name) <= TEXT_UNITS_MAX:
            found.append(("sizeError", "Meeting name must be between 2 and 256 characters"))
    voice_bridge = values.get("voiceBridge", "")
    if not is_unset(voice_bridge) and not _INTEGRAL.match(voice_bridge):
        found.append(("validationError", "Voice bridge must be an integral value"))
    # What stands for "unset" is never forwarded, so it must not fail a create.
    if not is_unset(values.get("record", "")) and _not_boolean(values, "record"):
        found.append(("validationError", "Record must be a boolean value (true or false)"))
    if not is_unset(values.get("isBreakoutRoom", "")) and _not_boolean(values, "isBreakoutRoom"):
        found.append(
            (
                "validationError",
                "You must provide a boolean value (true or false) for the breakout room",
            )
        )
    upload_url = values.get("presentationUploadExternalUrl", "")
    if upload_url and web_url(upload_url) is None:
        found.append(
            ("validationError", "Param 'presentationUploadExternalUrl' is not a valid URL")
        )
    reported = first_violation(found)
    if reported is None and (
        "meetingID" not in values
        or "meetingID" in params.altered
        or _UNSHOWN.search(values["meetingID"])
    ):
        # BBB compares the sent id with its sanitised form, after all other rules.
        return INVALID_MEETING_ID
    return reported


def running_violation(params: Params) -> Violation | None:
    """Return what BBB would report of an isMeetingRunning call."""
    if "meetingID" not in params.values:
        return MISSING_MEETING_ID
    return first_violation(_id_violations(params.values))


def info_violation(params: Params, *, known: bool) -> Violation | None:
    """Return what BBB would report of a getMeetingInfo call."""
    if params.values.get("meetingID") == "":
        return first_violation(_id_violations(params.values))
    return None if known else NOT_FOUND


def chat_violation(params: Params) -> Violation | None:
    """Return what BBB would report of a sendChatMessage call, except of a missing meeting."""
    values = params.values
    found = _id_violations(values)
    message = values.get("message")
    if message is None:
        found.append(("nullError", "You must provide the param message"))
    elif not 1 <= units(message) <= MESSAGE_UNITS_MAX:
        found.append(("sizeError", "Param message must be between 1 and 500 characters"))
    if units(values.get("userName", "")) > USER_NAME_UNITS_MAX:
        found.append(("sizeError", "Param userName must not exceed 255 characters"))
    return first_violation(found)


def end_violation(params: Params, *, known: bool) -> Violation | None:
    """Return what BBB would report of an end call."""
    found = _password_violations(params.values, "password")
    if params.values.get("meetingID") == "":
        found.append(EMPTY_MEETING_ID)
    if not known:
        found.append(NOT_FOUND)
    return first_violation(found)


def join_violation(params: Params, *, known: bool) -> Violation | None:
    """Return what BBB would report of a join call."""
    values = params.values
    if known and values.get("fullName") and values.keys().isdisjoint(_JUDGED_IN_JOIN):
        return None  # as most joins are: nothing in it could be wrong
    found = _password_violations(values, "password")
    if values.get("meetingID") == "":
        found.append(EMPTY_MEETING_ID)
    if not values.get("fullName"):
        found.append(("missingParamFullName", "You must provide your name"))
    if not known:
        found += [FORCIBLY_ENDED, NOT_IDENTIFIED]
    if _not_boolean(values, "guest"):
        found.append(("validationError", "Guest must be a boolean value (true or false)"))
    if _not_boolean(values, "auth"):
        found.append(("validationError", "Auth must be a boolean value (true or false)"))
    create_time = values.get("createTime", "")
    if create_time and not _INTEGRAL.match(create_time):
        found.append(("validationError", "Value must be an integral number"))
    return first_violation(found)


def meta_name(name: str) -> str | None:
    """Return the metadata name of a parameter, lower-cased; None when BBB would drop it."""
    return name[5:].lower() if _META.match(name) else None


def web_url(text: str) -> str | None:
    """Return `text` when it is an absolute http or https URL that is safe to redirect to."""
    if "\\" in text or any(sign.isspace() for sign in text):
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return None
    return text

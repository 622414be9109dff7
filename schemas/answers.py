"""The answers of the BigBlueButton API: which elements, in which order, with which texts.

Owns the shape of every document the gateway returns. Pure: gets a meeting's view and what was
observed of it, and never shows an id that only nodes know. Used by the gateway.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

import orjson

from schemas import documents, inward
from schemas.documents import Pair, Raw
from schemas.identifiers import node_meeting_id
from schemas.messages import MeetingDoc, MeetingView, NodeAnswer

#: The default sentence of each key that this product answers itself.
MESSAGES: Final = {
    "checksumError": "Checksums do not match",
    "notFound": "A meeting with that ID does not exist",
    "invalidPassword": "Invalid password",
    "idNotUnique": (
        "A meeting already exists with that meeting ID.  Please use a different meeting ID."
    ),
    "parentMeetingIDMissing": "No parent meeting ID was provided for the breakout room",
    "parentMeetingDoesNotExist": "No parent meeting exists for the breakout room",
    "malformedXml": "The request body contains malformed XML.",
    "mismatchCreateTimeParam": (
        "The createTime parameter submitted mismatches with the current meeting."
    ),
    "maxParticipantsReached": "There are not enough free seats for this meeting.",
    "maxMeetingsReached": "The number of simultaneous meetings has been reached.",
    "maxConcurrent": "There are not enough free seats for this meeting.",
    "noNodesAvailable": "No server can take this meeting at the moment.",
    "requestTooLarge": "The request is too large.",
    "requestRateLimited": "Too many requests are waiting. Please try again in a few seconds.",
    "serviceUnavailable": "The service is not available at the moment. Please try again.",
    "integrationDisabled": "The API of this subscription is switched off.",
    "unsupportedRequest": "This call is not offered.",
}
CHECKSUM_MISSING: Final = "You must provide the checksum"

_DUPLICATE: Final = "This conference was already in existence and may currently be in progress."
_END_SENT: Final = (
    "A request to end the meeting was sent.  Please wait a few seconds, and then use the"
    " getMeetingInfo or isMeetingRunning API calls to verify that it was ended."
)
_UNBOUND: Final = NodeAnswer(
    internal_id="", create_time_ms=0, create_date="", voice_bridge="", dial_number=""
)
#: Metadata that tell us our own meetings on a node.
_OWN_META: Final = "seatkeep-"
_COUNTERS: Final = (
    "participantCount",
    "listenerCount",
    "voiceParticipantCount",
    "videoCount",
    "maxUsers",
    "moderatorCount",
)
_ATTENDEE: Final = (
    "userID",
    "fullName",
    "role",
    "isPresenter",
    "isListeningOnly",
    "hasJoinedVoice",
    "hasVideo",
    "clientType",
)
_ATTENDEE_FLAGS: Final = frozenset(("isPresenter", "isListeningOnly", "hasJoinedVoice", "hasVideo"))

INDEX: Final = documents.success((("version", "2.0"), ("apiVersion", "2.0"), ("bbbVersion", "")))
RUNNING: Final = documents.success((("running", True),))
NOT_RUNNING: Final = documents.success((("running", False),))
END_SENT: Final = documents.success(
    (("messageKey", "sentEndMeetingRequest"), ("message", _END_SENT))
)
NO_MEETINGS: Final = documents.success(
    (
        ("meetings", ()),
        ("messageKey", "noMeetings"),
        ("message", "no meetings were found on this server"),
    )
)


def failure(key: str, message: str = "") -> str:
    """Return a FAILED document; without a message the key's own sentence."""
    return documents.failure(key, message or MESSAGES.get(key, ""))


def created(
    view: MeetingView, *, repeated: bool, has_user_joined: bool = False, parent: str = "bbb-none"
) -> str:
    """Return the answer of create; `parent` is the internal id of a breakout room's parent."""
    doc, bound = view["doc"], view["bound"] or _UNBOUND
    return documents.success(
        (
            ("meetingID", view["external_id"]),
            ("internalMeetingID", bound["internal_id"]),
            ("parentMeetingID", parent),
            ("attendeePW", doc["attendee_pw"] or None),
            ("moderatorPW", doc["moderator_pw"] or None),
            ("createTime", bound["create_time_ms"]),
            ("voiceBridge", bound["voice_bridge"]),
            ("dialNumber", bound["dial_number"]),
            ("createDate", bound["create_date"]),
            ("hasUserJoined", has_user_joined),
            ("duration", doc["duration_min"]),
            ("hasBeenForciblyEnded", False),
            ("messageKey", "duplicateWarning" if repeated else ""),
            ("message", _DUPLICATE if repeated else ""),
        )
    )


def joined(view: MeetingView, fields: Mapping[str, str]) -> str:
    """Return the answer of join with `redirect=false`; `fields` is the node's answer by name."""
    bound = view["bound"] or _UNBOUND
    return documents.success(
        (
            ("messageKey", fields.get("messageKey") or "successfullyJoined"),
            ("message", fields.get("message") or "You have joined successfully."),
            ("meeting_id", bound["internal_id"]),
            ("user_id", fields.get("user_id", "")),
            ("auth_token", fields.get("auth_token", "")),
            ("session_token", fields.get("session_token", "")),
            ("guestStatus", fields.get("guestStatus") or None),
            ("url", fields.get("url", "")),
        )
    )


def error_location(target: str, key: str, message: str) -> str:
    """Return `target` with the error of a join appended, as BBB does before it redirects."""
    listed = orjson.dumps([{"message": message, "key": key}]).decode()
    start, hash_sign, fragment = target.partition("#")
    joint = "&" if "?" in start else "?"
    return f"{start}{joint}errors={quote(listed, safe='[]:,')}{hash_sign}{fragment}"


def meeting_elements(view: MeetingView, seen: Mapping[str, Any]) -> str:
    """Return the elements of one meeting from `meetingName` to the end, in BBB's order.

    `seen` holds what the node said, by element name (see `scheduler.sightings`); without it the
    meeting shows as created and empty. Ids, passwords, duration and metadata are the caller's own.
    """
    return _scrubbed(_elements(view, seen), view)


def room_elements(parent: MeetingView, seen: Mapping[str, Any]) -> str:
    """Return the elements of a breakout room that the node of a meeting opened by itself.

    All of it is the node's; the metadata of the meeting, which a room inherits, are without ours.
    """
    metadata = seen.get("metadata") or {}
    doc = MeetingDoc(
        name=str(seen.get("meetingName", "")),
        params=[],
        attendee_pw=str(seen.get("attendeePW", "")),
        moderator_pw=str(seen.get("moderatorPW", "")),
        duration_min=_number(seen, "duration"),
        callbacks=[],
        meta={
            key: text
            for key, text in metadata.items()
            if not (key.startswith(_OWN_META) or inward.is_ours(key, text))
        },
    )
    bound = NodeAnswer(
        internal_id=str(seen.get("internalMeetingID", "")),
        create_time_ms=_number(seen, "createTime"),
        create_date=str(seen.get("createDate", "")),
        voice_bridge=str(seen.get("voiceBridge", "")),
        dial_number=str(seen.get("dialNumber", "")),
    )
    view = parent.copy()
    view["external_id"] = str(seen.get("meetingID", ""))
    view["doc"], view["bound"], view["seats"] = doc, bound, 0
    return _scrubbed(_elements(view, seen), parent)


def _scrubbed(elements: str, view: MeetingView) -> str:
    """Put the caller's id where a node names the meeting by the one that it knows."""
    return elements.replace(node_meeting_id(view["id"]), documents.escape(view["external_id"]))


def _elements(view: MeetingView, seen: Mapping[str, Any]) -> str:
    doc, bound = view["doc"], view["bound"] or _UNBOUND
    params = dict(doc["params"])
    pairs: list[Pair] = [
        ("meetingName", doc["name"]),
        ("meetingID", view["external_id"]),
        ("internalMeetingID", bound["internal_id"]),
        ("createTime", bound["create_time_ms"]),
        ("createDate", bound["create_date"]),
        ("voiceBridge", bound["voice_bridge"]),
        ("dialNumber", bound["dial_number"]),
        ("attendeePW", doc["attendee_pw"] or None),
        ("moderatorPW", doc["moderator_pw"] or None),
        ("running", bool(seen.get("running", False))),
        ("duration", doc["duration_min"]),
        ("hasUserJoined", bool(seen.get("hasUserJoined", False))),
        ("recording", bool(seen.get("recording", params.get("record", "").lower() == "true"))),
        ("hasBeenForciblyEnded", bool(seen.get("hasBeenForciblyEnded", False))),
        ("startTime", _number(seen, "startTime")),
        ("endTime", _number(seen, "endTime")),
    ]
    for name in _COUNTERS:
        count = _number(seen, name)
        pairs.append((name, (_limit(view, params) or count) if name == "maxUsers" else count))
    pairs += [
        ("attendees", Raw(_attendees(seen.get("attendees") or ()))),
        ("metadata", Raw(_named(doc["meta"].items()))),
    ]
    pairs += _messages(seen)
    breakout = bool(seen.get("isBreakout", params.get("isBreakout", "").lower() == "true"))
    pairs.append(("isBreakout", breakout))
    if breakout:
        pairs.append(("parentMeetingID", str(seen.get("parentMeetingID", ""))))
        sequence = params.get("sequence", "")
        number = int(sequence) if sequence.isdecimal() else 0
        pairs.append(("sequence", _number(seen, "sequence") if "sequence" in seen else number))
        free = params.get("freeJoin", "").lower() == "true"
        pairs.append(("freeJoin", bool(seen.get("freeJoin", free))))
    if rooms := seen.get("breakoutRooms"):
        pairs.append(("breakoutRooms", [("breakout", str(room)) for room in rooms]))
    return documents.elements(pairs)


def meeting_info(elements: str) -> str:
    """Return the answer of getMeetingInfo around rendered elements."""
    return documents.element("response", Raw(f"<returncode>SUCCESS</returncode>{elements}"))


def meetings(rendered: Iterable[str]) -> str:
    """Return the answer of getMeetings around the rendered elements of each meeting."""
    inner = "".join([f"<meeting>{elements}</meeting>" for elements in rendered])
    return documents.success((("meetings", Raw(inner)),)) if inner else NO_MEETINGS


def _limit(view: MeetingView, params: Mapping[str, str]) -> int:
    """Return how many people a meeting is for; a breakout room reserves no seats of its own."""
    asked = params.get("maxParticipants", "")
    return view["seats"] or (int(asked) if asked.isdecimal() else 0)


def _number(seen: Mapping[str, Any], name: str) -> int:
    value = seen.get(name, 0)
    return value if isinstance(value, int) else 0


def _messages(seen: Mapping[str, Any]) -> list[Pair]:
    key = seen.get("messageKey")
    return [("messageKey", str(key)), ("message", str(seen.get("message", "")))] if key else []


def _named(values: Iterable[tuple[str, Any]]) -> str:
    return documents.elements(
        [(name, str(value)) for name, value in values if documents.is_element_name(name)]
    )


def _attendees(attendees: Iterable[Mapping[str, Any]]) -> str:
    rendered = []
    for attendee in attendees:
        pairs: list[Pair] = [
            (
                name,
                bool(attendee.get(name, False))
                if name in _ATTENDEE_FLAGS
                else str(attendee.get(name, "")),
            )
            for name in _ATTENDEE
        ]
        if (custom := attendee.get("customdata")) is not None:
            pairs.append(("customdata", Raw(_named(custom.items()))))
        rendered.append(documents.element("attendee", pairs))
    return "".join(rendered)

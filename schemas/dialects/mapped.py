"""Mapped events: the documents that bbb-webhooks sends, written for others and read from nodes.

Owns both ways between an event's fields and their places in such a document. A name that the
subscription does not want told is an empty text, since applications expect the field. Pure.
Written when an event is expanded, read when a node tells us.
"""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from schemas import catalogue
from schemas.events import Event, EventKind

_JOINED: Final = EventKind.USER_JOINED
_CHAT: Final = EventKind.CHAT_GROUP_MESSAGE_SENT
_SENDER: Final = ("chat-message", "sender")
#: Screens are shared by somebody, but older servers do not say by whom.
_PERSON_OPTIONAL: Final = frozenset(
    (EventKind.MEETING_SCREENSHARE_STARTED, EventKind.MEETING_SCREENSHARE_STOPPED)
)
#: One server writes it in this spelling when it makes the event up itself.
_ALSO: Final = {("user", "raise-hand"): ("user", "raiseHand")}


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a mapped event of a node says; ids are those that the node knows."""

    kind: EventKind
    at_ms: int
    internal_meeting_id: str
    external_meeting_id: str
    internal_user_id: str
    external_user_id: str
    user_name: str
    moderator: bool
    data: dict[str, Any]


def document(event: Event) -> bytes:
    """Return the mapped event, without the array around it."""
    kind = EventKind(event["kind"])
    attributes: dict[str, Any] = {
        "meeting": {
            "internal-meeting-id": event["internal_meeting_id"],
            "external-meeting-id": event["meeting_id"],
        }
    }
    _person(attributes, kind, event)
    for field in catalogue.ENTRIES[kind].fields:
        value = _value(event, field.name, field.default)
        if not field.at or value is None:
            continue
        place = attributes
        for key in field.at[:-1]:
            place = place.setdefault(key, {})
        place[field.at[-1]] = value
    entry = catalogue.ENTRIES[kind]
    if not entry.of_webhooks:
        attributes |= {k: v for k, v in catalogue.public_data(event).items() if k not in _KNOWN}
    data = {"type": "event", "id": entry.alias, "attributes": attributes}
    return orjson.dumps({"data": {**data, "event": {"ts": event["at_ms"]}}})


_KNOWN: Final = frozenset(("meetingID", "internalMeetingID"))


def _person(attributes: dict[str, Any], kind: EventKind, event: Event) -> None:
    """Write who it is about, where the kind has the person."""
    if not catalogue.ENTRIES[kind].about_person:
        return
    ids = {
        "internal-user-id": event.get("user_internal_id", ""),
        "external-user-id": event["user_id"],
    }
    if kind is _CHAT:
        if not event["user_id"]:
            del ids["external-user-id"]
        data = event.get("data", {})
        attributes["chat-message"] = {
            "id": data.get("messageID", ""),
            "message": data.get("message", ""),
            "sender": {**ids, "name": event.get("user_name", "")},
        }
        return
    if kind in _PERSON_OPTIONAL and not any(ids.values()):
        return
    attributes["user"] = ids
    if kind is _JOINED:
        attributes["user"]["name"] = event.get("user_name", "")
        attributes["user"]["role"] = "MODERATOR" if event["moderator"] else "VIEWER"


def _value(event: Event, name: str, default: Any) -> Any:
    data = event.get("data", {})
    if name == "sharingMic" and name not in data and "listeningOnly" in data:
        return not data["listeningOnly"]
    if name == "parentID" and data.get("isBreakout"):
        default = None  # there is a parent, but its id is not known
    return data.get(name, default)


def read(text: str | bytes) -> list[Mapped]:
    """Return the events of the field `event` of a form: an array of documents.

    Kinds that are not known are left out. Raises `ValueError` for what is no such array.
    """
    try:
        documents = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the events are no JSON: {error}") from error
    if not isinstance(documents, list):
        raise ValueError("the events are no array")  # noqa: TRY004  # a fault of the text
    found = (_read(document) for document in documents)
    return [event for event in found if event is not None]


def _read(document: Any) -> Mapped | None:
    data = _object(_object(document, "data") if isinstance(document, dict) else None)
    kind = catalogue.kind_of(_text(data.get("id")))
    if kind is None or not catalogue.ENTRIES[kind].of_webhooks:
        return None
    attributes = _object(data.get("attributes"))
    meeting = _object(attributes.get("meeting"))
    sender = _at(attributes, _SENDER) if kind is _CHAT else attributes.get("user")
    user = _object(sender)
    told: dict[str, Any] = {}
    for field in catalogue.ENTRIES[kind].fields:
        value = _at(attributes, field.at)
        if value is None and field.at in _ALSO:
            value = _at(attributes, _ALSO[field.at])
        if value is not None:
            told[field.name] = value
    at_ms = _object(data.get("event")).get("ts")
    return Mapped(
        kind=kind,
        at_ms=at_ms if isinstance(at_ms, int) and not isinstance(at_ms, bool) else 0,
        internal_meeting_id=_text(meeting.get("internal-meeting-id")),
        external_meeting_id=_text(meeting.get("external-meeting-id")),
        internal_user_id=_text(user.get("internal-user-id")),
        external_user_id=_text(user.get("external-user-id")),
        user_name=_text(user.get("name")),
        moderator=user.get("role") == "MODERATOR",
        data=told,
    )


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree if path else None


def _object(value: Any, key: str | None = None) -> dict[str, Any]:
    found = value.get(key) if key is not None else value
    return found if isinstance(found, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

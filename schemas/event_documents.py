"""The catalogue of events as documents for programs: AsyncAPI 3, and OpenAPI 3.1 with webhooks.

Owns their shape, the JSON schema of each kind, and an example of each in the dialects. Pure; made
from `schemas.catalogue` alone, so that nothing can be described that is not sent. Served by the
gateway and shown by the command line.
"""

from typing import Any, Final

import orjson

from schemas import catalogue
from schemas.dialects import draft, mapped, signed
from schemas.events import Event, EventKind, about_subscription

#: Of the catalogue: raised when a kind or a field is added (middle) or changes meaning (first).
VERSION: Final = "1.1.0"
_TITLE: Final = "Events of seatkeep"
_ABOUT: Final = (
    "What applications are told about their meetings: one POST for each event, a CloudEvent signed"
    " after Standard Webhooks. Any 2xx answer takes it; otherwise it comes again with the same id."
)
_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "webhook-id": {"type": "string", "description": "Id of the event, the same in every attempt."},
    "webhook-timestamp": {"type": "string", "description": "Time of this attempt, Unix seconds."},
    "webhook-signature": {
        "type": "string",
        "description": "v1 and the HMAC-SHA256 (base64) of id.timestamp.body; two of them, divided"
        " by a blank, while a secret is being replaced.",
    },
}
_IDS: Final[dict[str, dict[str, Any]]] = {
    "meetingID": {"type": "string", "description": "The caller's own id of the meeting."},
    "internalMeetingID": {"type": "string", "description": "The id of this one run of it."},
}
_PERSON: Final[dict[str, dict[str, Any]]] = {
    "userID": {"type": "string", "description": "The caller's own id of the person, or its hash."},
    "internalUserID": {"type": "string", "description": "The id of this one visit."},
    "userName": {"type": "string", "description": "Only if the subscription wants names."},
    "moderator": {"type": "boolean"},
}
_ENDED: Final[dict[str, dict[str, Any]]] = {
    "reason": {
        "type": "string",
        "description": "Why: ended, evicted, expired, nodeLost or nodeEmptied.",
    },
    "seatsNeeded": {"type": "integer", "description": "Seats that it made way for."},
}
_EXAMPLE_MS: Final = 1_718_000_040_000
_EXAMPLE_URL: Final = "https://app.example/hook"
_MEDIA_TYPE: Final = "application/cloudevents+json"
#: Kinds that no meeting is named in, or not always.
_NO_MEETING: Final = frozenset((EventKind.NODE_LOST, EventKind.ENDPOINT_DISABLED, EventKind.PING))


def data_schema(kind: EventKind) -> dict[str, Any]:
    """Return the JSON schema of what the kind carries."""
    entry = catalogue.ENTRIES[kind]
    properties: dict[str, Any] = {} if kind in _NO_MEETING else dict(_IDS)
    if entry.about_person:
        properties |= _PERSON
    if kind is EventKind.MEETING_ENDED:
        properties |= _ENDED
    properties |= {field.name: field.schema for field in entry.fields if not field.mapped_only}
    required = [] if kind in _NO_MEETING else ["meetingID"]
    return {"type": "object", "properties": properties, "required": required}


def example(kind: EventKind) -> Event:
    """Return an event of the kind, as one that wants names would get it."""
    event = about_subscription(
        kind,
        _EXAMPLE_MS,
        pool=1,
        subscription=1,
        data={field.name: field.example for field in catalogue.ENTRIES[kind].fields},
    )
    event["id"] = "01900000a1b2c3d4e5f60718293a4b5c"
    if kind not in _NO_MEETING:
        event["meeting_id"] = "room-42"
        event["internal_meeting_id"] = "5f1d0ad3b7b44e3b8d1b6a2b6f0ac2f1c1d2e3f4-1718000000000"
    if catalogue.ENTRIES[kind].about_person:
        event["user_id"], event["user_internal_id"] = "staff-7", "w_x1y2z3"
        event["user_name"] = "Ada"
    if kind is EventKind.MEETING_ENDED:
        event["reason"] = "ended"
    return event


def examples(kind: EventKind) -> dict[str, str]:
    """Return an example in each dialect, without the signatures."""
    event = example(kind)
    return {
        "draft": f"GET {draft.url(_EXAMPLE_URL, event)}",
        "webhooks": f"[{mapped.document(event).decode()}]",
        "signed": signed.document(event, "/t/acme").decode(),
    }


def asyncapi() -> bytes:
    """Return the AsyncAPI document."""
    kinds = [kind.value for kind in EventKind]
    document = {
        "asyncapi": "3.0.0",
        "info": {"title": _TITLE, "version": VERSION, "description": _ABOUT},
        "defaultContentType": _MEDIA_TYPE,
        "channels": {
            "events": {
                "description": "The address that was registered for the events.",
                "messages": {kind: {"$ref": f"#/components/messages/{kind}"} for kind in kinds},
                "bindings": {"http": {}},
            }
        },
        "operations": {
            "tell": {
                "action": "send",
                "summary": "Tell an application what happened.",
                "channel": {"$ref": "#/channels/events"},
                "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
            }
        },
        "components": {
            "messages": {kind.value: _message(kind) for kind in EventKind},
            "schemas": {kind.value: _envelope_schema(kind) for kind in EventKind},
        },
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def openapi() -> bytes:
    """Return the OpenAPI document."""
    document = {
        "openapi": "3.1.0",
        "info": {"title": _TITLE, "version": VERSION, "description": _ABOUT},
        "webhooks": {kind.value: {"post": _operation(kind)} for kind in EventKind},
        "components": {"schemas": {kind.value: _envelope_schema(kind) for kind in EventKind}},
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def _message(kind: EventKind) -> dict[str, Any]:
    entry = catalogue.ENTRIES[kind]
    return {
        "name": kind.value,
        "title": entry.alias,
        "summary": entry.summary,
        "contentType": _MEDIA_TYPE,
        "headers": {"type": "object", "properties": _HEADERS, "required": list(_HEADERS)},
        "payload": {"$ref": f"#/components/schemas/{kind.value}"},
        "examples": [{"payload": _document(kind)}],
    }


def _operation(kind: EventKind) -> dict[str, Any]:
    media = {"schema": {"$ref": f"#/components/schemas/{kind.value}"}, "example": _document(kind)}
    return {
        "operationId": kind.value,
        "summary": catalogue.ENTRIES[kind].summary,
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "schema": {"type": schema["type"]},
                "description": schema["description"],
            }
            for name, schema in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {_MEDIA_TYPE: media}},
        "responses": {
            "2XX": {"description": "Taken; it does not come again."},
            "410": {"description": "Nobody listens here any more: the endpoint is switched off."},
            "default": {"description": "Not taken; it comes again later."},
        },
    }


def _envelope_schema(kind: EventKind) -> dict[str, Any]:
    """Return the JSON schema of the CloudEvent around the data."""
    properties: dict[str, Any] = {
        "specversion": {"type": "string", "const": "1.0"},
        "id": {"type": "string", "description": "The same in every attempt, and in a replay."},
        "source": {"type": "string", "description": "Whose it is: /t/ and the credential."},
        "type": {"type": "string", "const": signed.TYPE_PREFIX + kind.value},
        "time": {"type": "string", "format": "date-time"},
        "subject": {"type": "string", "description": "The meetingID."},
        "datacontenttype": {"type": "string", "const": "application/json"},
        "data": data_schema(kind),
    }
    required = [name for name in properties if name != "subject"]
    return {
        "description": catalogue.ENTRIES[kind].summary,
        "type": "object",
        "properties": properties,
        "required": required,
    }


def _document(kind: EventKind) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(signed.document(example(kind), "/t/acme"))
    return document

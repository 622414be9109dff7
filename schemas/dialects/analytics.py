"""The callback with the learning dashboard of a meeting that ended.

Owns its document, as the node made it but with the caller's ids, and the bearer in its header.
Pure. Called when the event is expanded (document) and when it leaves (headers).
"""

from typing import Final

import orjson

from schemas.dialects import tokens
from schemas.events import Event

#: The field of the event's data that holds the document.
FIELD: Final = "analytics"
_HEADERS: Final = {
    "Content-Type": "application/json",
    # Receivers may know the sender by it.
    "User-Agent": "BigBlueButton Analytics Callback",
}


def document(event: Event) -> bytes:
    """Return the body of all attempts."""
    shown = {**event["data"][FIELD], "meeting_id": event["meeting_id"]}
    if event["internal_meeting_id"]:
        shown["internal_meeting_id"] = event["internal_meeting_id"]
    return orjson.dumps(shown)


def headers(now_ms: int, secret: str) -> dict[str, str]:
    """Return the headers of one attempt; the bearer is new each time, since it expires."""
    return _HEADERS | {"Authorization": f"Bearer {tokens.analytics(now_ms, secret)}"}

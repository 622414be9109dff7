"""The callback that says that a recording can be watched: a form with one signed token.

Owns what the token says: the caller's `meetingID` and the id of the recording. Pure. Called when
the event is expanded (claims) and when it leaves (token).
"""

from typing import Any, Final
from urllib.parse import urlencode

import orjson

from schemas.dialects import tokens
from schemas.events import Event

HEADERS: Final = {"Content-Type": "application/x-www-form-urlencoded"}
FIELD: Final = "signed_parameters"


def claims(event: Event) -> bytes:
    """Return what the token will say; this is what is stored."""
    return orjson.dumps(
        {"meeting_id": event["meeting_id"], "record_id": str(event["data"]["recordID"])}
    )


def body(said: dict[str, Any], secret: str) -> bytes:
    """Return the body of one attempt."""
    return urlencode({FIELD: tokens.recording(said, secret)}).encode()

"""The draft dialect: an event as the query of a GET.

Owns the parameters, their order, and the checksum over them. Pure: never looks at the host and
never connects. Called when an event is expanded, and again when it leaves.
"""

import hashlib
import hmac
from typing import Final

from schemas.dialects.appending import appended
from schemas.events import Event, EventKind

_CHECKSUM: Final = "checksum"


def url(registered: str, event: Event) -> str:
    """Return the URL of one event, without its checksum.

    `event=userLeft&userID=…&meetingID=…` and its siblings come behind the query that the URL has.
    """
    pairs = [("event", event["kind"])]
    if event["user_id"]:
        pairs.append(("userID", event["user_id"]))
    if event["meeting_id"]:
        pairs.append(("meetingID", event["meeting_id"]))
    if event["kind"] == EventKind.MEETING_ENDED and event["reason"]:
        pairs.append(("reason", event["reason"]))
    if record_id := event.get("data", {}).get("recordID"):
        pairs.append(("recordID", str(record_id)))
    pairs += [("timestamp", str(event["at_ms"])), ("eventID", event["id"])]
    return appended(registered, pairs)


def signed(unsigned: str, secret: str) -> str:
    """Return the URL with its checksum as the last parameter."""
    return appended(unsigned, [(_CHECKSUM, _digest(_query(unsigned), secret))])


def verified(called: str, secret: str) -> bool:
    """Tell whether a URL that was called ends with the right checksum."""
    query, found, given = _query(called).rpartition(f"&{_CHECKSUM}=")
    return bool(found) and hmac.compare_digest(
        _digest(query, secret), given.encode("ascii", "replace").decode()
    )


def _query(full: str) -> str:
    return full.partition("#")[0].partition("?")[2]


def _digest(query: str, secret: str) -> str:
    """Return SHA-256 (hex) of the complete query, still encoded, and the secret."""
    return hashlib.sha256((query + secret).encode("utf-8", "surrogatepass")).hexdigest()

"""The URLs that third-party applications are called at.

Owns how an event becomes the query of a callback, in the draft dialect and in BBB's two end
callbacks. Pure: never looks at the host and never connects, which is the outbound client's duty.
Called by the delivery worker when it expands an event.
"""

from typing import Final
from urllib.parse import urlencode

from schemas.events import Event, EventKind

USER_AGENT: Final = "seatkeep"
_USER_KINDS: Final = frozenset((EventKind.USER_JOINED, EventKind.USER_LEFT))


def headers(event_id: str) -> dict[str, str]:
    """Return the headers of every callback; the id is the same in every attempt."""
    return {"webhook-id": event_id, "User-Agent": USER_AGENT}


def draft_url(url: str, event: Event) -> str:
    """Return the URL of one event in the draft dialect.

    `event=userLeft&userID=…&meetingID=…` and its siblings are appended, behind a query that the
    URL has already and before its fragment, which never goes on the wire.
    """
    kind = EventKind(event["kind"])
    pairs = [("event", kind.value)]
    if kind in _USER_KINDS:
        pairs.append(("userID", event["user_id"]))
    pairs.append(("meetingID", event["meeting_id"]))
    if kind is EventKind.MEETING_ENDED and event["reason"]:
        pairs.append(("reason", event["reason"]))
    pairs += [("timestamp", str(event["at_ms"])), ("eventID", event["id"])]
    return _appended(url, pairs)


def end_callback_url(url: str, kind: str, event: Event) -> str:
    """Return the URL of an end callback: kind `endCallbackUrl` or `meetingEndedURL`.

    The first gets BBB's two parameters appended, even if the URL carries a `meetingID` already;
    the second is called as it is. Whether somebody recorded is not known here: `false`.
    """
    if kind == "meetingEndedURL":
        return url
    return _appended(url, [("recordingmarks", "false"), ("meetingID", event["meeting_id"])])


def _appended(url: str, pairs: list[tuple[str, str]]) -> str:
    """Append parameters to the query; what the caller wrote stays byte for byte."""
    base, _, fragment = url.partition("#")
    joint = "?" if "?" not in base else "&"
    if base.endswith(("?", "&")) and joint == "&":
        joint = ""
    # Not through yarl: it would normalise the caller's own part, which a receiver may have signed.
    appended = f"{base}{joint}{urlencode(pairs, errors='replace')}"
    return f"{appended}#{fragment}" if fragment else appended

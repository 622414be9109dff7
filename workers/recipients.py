"""Who is told of an event, and at which URL.

Owns the expansion of one event into deliveries: the endpoints of its subscription, and for an ended
meeting the callbacks of its create call. Pure: the directory is handed in, nothing is stored.
Called by the delivery worker.
"""

from typing import Any, Final

from scheduler.directory import Directory, Endpoint
from schemas import callbacks, identifiers
from schemas.events import Event, EventKind

#: The width of the column; a longer URL cannot be stored, nor would servers take it.
URL_LENGTH_MAX: Final = 4_096
DIALECT_DRAFT: Final = "draft"
#: BBB's own callbacks at the end of a meeting, given with the create call.
DIALECT_CALLBACK: Final = "callback"

#: The columns of a delivery.
Row = dict[str, Any]


def expand(event: Event, directory: Directory, *, now_ms: int, first_step_s: float) -> list[Row]:
    """Return the deliveries of an event, none when nobody wants to know.

    They wait for their turn in their lane. A URL that cannot be stored makes a parked delivery,
    so that people see it. Raises `KeyError`, `TypeError` or `ValueError` for what is no event.
    """
    kind = EventKind(event["kind"])
    wanted: list[tuple[str, str, str, str]] = []
    for endpoint in directory.endpoints_of(event["subscription"]):
        if _wants(endpoint, event, kind):
            target = f"endpoint:{endpoint.id}"
            lane = f"{target}/{event['meeting']}"
            wanted.append((target, lane, DIALECT_DRAFT, callbacks.draft_url(endpoint.url, event)))
    if kind is EventKind.MEETING_ENDED:
        for index, (url, callback) in enumerate(event["callbacks"]):
            target = f"callback:{event['meeting']}:{index}"
            full_url = callbacks.end_callback_url(url, callback, event)
            wanted.append((target, target, DIALECT_CALLBACK, full_url))
    return [
        _row(event, target, lane, dialect, url, now_ms=now_ms, first_step_s=first_step_s)
        for target, lane, dialect, url in wanted
    ]


def _wants(endpoint: Endpoint, event: Event, kind: EventKind) -> bool:
    """Tell whether an endpoint is to be told of the event."""
    if not endpoint.enabled or endpoint.dialect != DIALECT_DRAFT:
        return False
    if endpoint.credential_id is not None and endpoint.credential_id != event["credential"]:
        return False
    return not endpoint.kinds or kind.value in endpoint.kinds


def _row(
    event: Event,
    target: str,
    lane: str,
    dialect: str,
    url: str,
    *,
    now_ms: int,
    first_step_s: float,
) -> Row:
    storable = len(url) <= URL_LENGTH_MAX and "\x00" not in url
    return {
        "id": identifiers.new_id(),
        "event_id": event["id"],
        "target": target,
        "lane": lane,
        "seq": event["seq"],
        "url": url if storable else url[:URL_LENGTH_MAX].replace("\x00", ""),
        "dialect": dialect,
        "body": b"",
        "state": "waiting" if storable else "parked",
        "attempts": 0,
        "next_attempt_ms": now_ms + round(first_step_s * 1_000),
        "claimed_until_ms": 0,
        "created_ms": now_ms,
        "finished_ms": None if storable else now_ms,
    }

"""What of an event leaves this product: no ids of nodes, names only when they are wanted.

Owns the removal of what tells who somebody is, and the hashing of people's ids. Pure. Applied to
every event before it is written for endpoints; whoever makes events leaves names out as well, so
that they are not even stored.
"""

import hashlib
import hmac
import re
from typing import Any, Final, cast

from schemas import catalogue
from schemas.events import Event, EventKind

_NODE_ID: Final = re.compile(r"sk-([0-9a-f]{32})")
#: Begins a hashed id, so that nobody takes it for one of the caller's.
HASHED_PREFIX: Final = "u-"
_HASHED_DIGITS: Final = 32
#: Hidden from everybody: who has one takes over a person's session.
_NEVER: Final = frozenset(("sessionToken",))


def disclosed(event: Event, *, names: bool, id_key: bytes) -> Event:
    """Return the event as its subscription wants it; `id_key` hashes ids unless it is empty."""
    kind = EventKind(event["kind"])
    hidden = _NEVER
    if not names:
        hidden = hidden | {f.name for f in catalogue.ENTRIES[kind].fields if f.personal}
    data = {name: value for name, value in event.get("data", {}).items() if name not in hidden}
    shown = event | {
        "user_id": hashed(event["user_id"], id_key) if id_key else event["user_id"],
        "user_name": event.get("user_name", "") if names else "",
        "data": _without_node_ids(data, event["meeting"], event["meeting_id"]),
    }
    return cast("Event", shown)


def hashed(user_id: str, key: bytes) -> str:
    """Return what stands for an id: the same for the same key, and no way back without it."""
    if not user_id:
        return ""
    digest = hmac.new(key, user_id.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
    return HASHED_PREFIX + digest[:_HASHED_DIGITS]


def _without_node_ids(value: Any, meeting: str, meeting_id: str) -> Any:
    """Return the value with the caller's id of the meeting wherever a node's stood in it."""
    match value:
        case str() if "sk-" in value:
            return _NODE_ID.sub(lambda found: meeting_id if found[1] == meeting else "", value)
        case list():
            return [_without_node_ids(item, meeting, meeting_id) for item in value]
        case dict():
            return {
                _without_node_ids(name, meeting, meeting_id): _without_node_ids(
                    item, meeting, meeting_id
                )
                for name, item in value.items()
            }
    return value

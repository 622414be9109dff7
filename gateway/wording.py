"""What a node says, with the caller's `meetingID` where the node has its own.

Owns that translation, for sentences and for JSON documents. Never decides what is shown. Used by
the calls that pass a node's answer on.
"""

from typing import Any, Final

import orjson

from gateway.meetings import Entry

#: Documents are not nested deeper by any node; what is deeper is cut off.
_DEPTH_MAX: Final = 64


def text(entry: Entry, said: str) -> str:
    """Return a node's sentence with the caller's id in it."""
    return said.replace(entry.node_meeting_id, entry.view["external_id"])


def document(entry: Entry, found: Any, depth: int = 0) -> Any:
    """Return a JSON document with the caller's id in it, also inside documents kept as text."""
    if depth > _DEPTH_MAX:
        return None
    if isinstance(found, dict):
        return {
            text(entry, name): document(entry, value, depth + 1) for name, value in found.items()
        }
    if isinstance(found, list):
        return [document(entry, value, depth + 1) for value in found]
    if not isinstance(found, str) or entry.node_meeting_id not in found:
        return found
    if found.lstrip()[:1] in ("{", "["):
        # The caller's id may need escapes there, which a plain replacement would not have.
        try:
            inner = orjson.loads(found)
        except ValueError:
            return text(entry, found)
        return orjson.dumps(document(entry, inner, depth + 1)).decode()
    return text(entry, found)

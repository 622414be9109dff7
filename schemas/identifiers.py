"""Identifiers: commands, meetings, events, and the meeting ids that nodes see.

Owns their making and shape. A create command's id becomes the id of the meeting that it makes. The
node sees `sk-` and that id, never the caller's `meetingID`, so two credentials, or two instances of
one meeting, cannot meet on a node.
"""

import os
import re
import time
from typing import Final

_NODE_PREFIX: Final = "sk-"
_ID: Final = re.compile(r"[0-9a-f]{32}\Z")


def new_id() -> str:
    """Return 32 hex digits: 48 bit of Unix milliseconds, then 80 random bits; sorts by time."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def made_ms(identifier: str) -> int:
    """Return when an id was made, in Unix milliseconds; 0 for a text that is no id of ours."""
    return int(identifier[:12], 16) if _ID.match(identifier) else 0


def node_meeting_id(meeting_id: str) -> str:
    """Return the `meetingID` under which a node knows the meeting."""
    return _NODE_PREFIX + meeting_id


def meeting_id_of(node_id: str) -> str | None:
    """Return our meeting id of a `meetingID` seen on a node; None when the meeting is foreign."""
    if not node_id.startswith(_NODE_PREFIX):
        return None
    meeting_id = node_id[len(_NODE_PREFIX) :]
    return meeting_id if _ID.match(meeting_id) else None

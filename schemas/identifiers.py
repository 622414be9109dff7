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


#: Random hex digits that are not used yet. The system is asked for many at once: each question
#: gives the interpreter lock away, and getting it back beside a busy thread can take milliseconds.
_digits: list[str] = []
_RANDOM_BYTES: Final = 10
_AT_ONCE: Final = 256


def new_id() -> str:
    """Return 32 hex digits: 48 bit of Unix milliseconds, then 80 random bits; sorts by time."""
    try:
        digits = _digits.pop()
    except IndexError:
        fresh = os.urandom(_RANDOM_BYTES * _AT_ONCE).hex()
        width = 2 * _RANDOM_BYTES
        _digits.extend(fresh[at : at + width] for at in range(0, len(fresh), width))
        digits = _digits.pop()
    return f"{time.time_ns() // 1_000_000:012x}{digits}"


# A child must not hand out the ids that its parent hands out.
os.register_at_fork(after_in_child=_digits.clear)


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

"""Events for tests: what one looks like when nothing is said about it."""

from typing import Any

from schemas.events import Event

SECRET = "gw-example-secret-7Hq2"
INTERNAL = "5f1d0ad3b7b44e3b8d1b6a2b6f0ac2f1c1d2e3f4-1718000000000"
MEETING = "0190000000007000800000000000002a"
AT_MS = 1_718_000_040_000


def event(kind: str = "userLeft", **fields: Any) -> Event:
    """Return an event of the meeting `room-42`."""
    personal = kind.startswith(("user", "poll", "chat", "transcript"))
    made: dict[str, Any] = {
        "id": "e1",
        "kind": kind,
        "seq": 1,
        "at_ms": AT_MS,
        "pool": 1,
        "subscription": 1,
        "credential": 1,
        "meeting": MEETING,
        "meeting_id": "room-42",
        "internal_meeting_id": INTERNAL,
        "user_id": "staff-7" if personal else "",
        "user_internal_id": "w_x1" if personal else "",
        "user_name": "Ada" if personal else "",
        "moderator": False,
        "reason": "ended" if kind == "meetingEnded" else "",
        "seats_needed": 0,
        "callbacks": [],
        "data": {},
    }
    return made | fields  # type: ignore[return-value]

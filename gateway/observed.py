"""What was seen on the nodes, as far as this process was told.

Owns the newest snapshot of each node, the answers of live questions, and when somebody was sent to
a meeting; in memory only. Decides how far an observation may be trusted. Fed by the meetings'
cache, read by the queries.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from schemas.messages import JoinedThrough, MeetingView, NodeSnapshot, RoomSeen

#: A "not running" older than this is not believed.
STALE_AFTER_MS: Final = 1_000
#: Whom a join sent to a meeting may be there this much later; nodes forget him then. Until then
#: nobody knows from here whether the meeting runs.
ARRIVES_WITHIN_MS: Final = 45_000
#: Joins through one gateway are told to the others at most this often per meeting, so each telling
#: stands for all joins of the time that follows it.
JOINS_TOLD_EVERY_MS: Final = 250

_NOTHING: Final[Mapping[str, Any]] = {}


@dataclass(slots=True)
class _Snapshot:
    as_of_ms: int
    meetings: dict[str, dict[str, Any]]
    #: Rooms that the node opened by itself, by its internal id.
    rooms: dict[str, RoomSeen]


class Observed:
    """Observations by node and meeting."""

    def __init__(self) -> None:
        self._snapshots: dict[int, _Snapshot] = {}
        self._answers: dict[str, tuple[int, bool]] = {}
        self._joined_ms: dict[str, int] = {}
        self._told_ms: dict[str, int] = {}

    def apply(self, snapshot: NodeSnapshot) -> list[str]:
        """Take a snapshot; return the ids of the meetings that look different now."""
        node, as_of_ms = snapshot["node"], snapshot["as_of_ms"]
        known = self._snapshots.get(node)
        if known is not None and known.as_of_ms > as_of_ms:
            return []
        before = known.meetings if known is not None else {}
        after = snapshot["meetings"]
        changed = [name for name, fields in after.items() if before.get(name) != fields]
        changed += [name for name in before if name not in after]
        rooms_before = known.rooms if known is not None else {}
        rooms = snapshot.get("rooms", {})
        if rooms != rooms_before:
            changed += [room["parent"] for room in (*rooms_before.values(), *rooms.values())]
        self._snapshots[node] = _Snapshot(as_of_ms, after, rooms)
        return changed

    def rooms(self, view: MeetingView) -> list[Mapping[str, Any]]:
        """Return the breakout rooms that were opened inside of a meeting, as its node has them."""
        snapshot = self._snapshots.get(view["node"] or 0)
        if snapshot is None or not snapshot.rooms:
            return []
        return [room["fields"] for room in snapshot.rooms.values() if room["parent"] == view["id"]]

    def room(self, room_id: str) -> RoomSeen | None:
        """Return the room with this external or internal id that was opened inside of a meeting."""
        for snapshot in self._snapshots.values():
            for internal_id, room in snapshot.rooms.items():
                if room_id in (internal_id, room["fields"].get("meetingID")):
                    return room
        return None

    def fields(self, view: MeetingView) -> Mapping[str, Any]:
        """Return what the meeting's node said of it, by element name; empty when nothing."""
        if view["node"] is None:
            return _NOTHING
        snapshot = self._snapshots.get(view["node"])
        return _NOTHING if snapshot is None else snapshot.meetings.get(view["id"], _NOTHING)

    def running(self, view: MeetingView, now_ms: int) -> bool | None:
        """Return whether the meeting runs; None when only the node itself can tell."""
        as_of_ms, running = self._latest(view)
        if running:
            return True
        fresh = as_of_ms >= now_ms - STALE_AFTER_MS
        settled_ms = self._joined_ms.get(view["id"], -ARRIVES_WITHIN_MS) + ARRIVES_WITHIN_MS
        return False if fresh and as_of_ms > settled_ms else None

    def last_running(self, view: MeetingView) -> bool:
        """Return the newest observation, however old."""
        return self._latest(view)[1]

    def _latest(self, view: MeetingView) -> tuple[int, bool]:
        meeting_id, node = view["id"], view["node"]
        answer = self._answers.get(meeting_id)
        snapshot = self._snapshots.get(node) if node is not None else None
        if snapshot is not None and (answer is None or answer[0] <= snapshot.as_of_ms):
            fields = snapshot.meetings.get(meeting_id)
            if fields is not None:
                return snapshot.as_of_ms, bool(fields.get("running", False))
        return answer or (0, False)

    def note(self, meeting_id: str, *, running: bool, as_of_ms: int) -> None:
        """Keep the answer of a live question that was sent at `as_of_ms`."""
        known = self._answers.get(meeting_id)
        if known is None or known[0] <= as_of_ms:
            self._answers[meeting_id] = (as_of_ms, running)

    def join_here(self, meeting_id: str, now_ms: int) -> JoinedThrough | None:
        """Note a join through this process; return the view to tell the others, if it is due."""
        self._joined_ms[meeting_id] = now_ms
        if now_ms - self._told_ms.get(meeting_id, 0) < JOINS_TOLD_EVERY_MS:
            return None
        self._told_ms[meeting_id] = now_ms
        return JoinedThrough(kind="joined", meeting=meeting_id, at_ms=now_ms)

    def join_elsewhere(self, view: JoinedThrough) -> None:
        """Note that joins went through another process."""
        at_ms = view["at_ms"] + JOINS_TOLD_EVERY_MS
        meeting_id = view["meeting"]
        # Our own telling comes back as well; the exact time known here is not made coarser.
        if self._told_ms.get(meeting_id) == view["at_ms"]:
            return
        self._joined_ms[meeting_id] = max(at_ms, self._joined_ms.get(meeting_id, 0))

    def forget(self, meeting_id: str) -> None:
        """Drop what is known of a meeting that is gone."""
        self._answers.pop(meeting_id, None)
        self._joined_ms.pop(meeting_id, None)
        self._told_ms.pop(meeting_id, None)

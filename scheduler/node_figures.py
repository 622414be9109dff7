"""What is on nodes: seats, meetings, users, from one reading of the ledger.

Owns this reading and the arithmetic of windows in it. Needs no running worker; decides nothing.
Called by the management of nodes.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.tables import MeetingRow
from schemas.values import MeetingState

#: The peak is looked for so far ahead.
AHEAD_S: Final = 7_200

_MEETING: Final = MeetingRow.metadata.tables["meeting"]
_ATTENDEE: Final = MeetingRow.metadata.tables["attendee"]
#: States that reserve seats of the node over their window.
_RESERVING: Final = (MeetingState.BOOKED, MeetingState.PLACING, MeetingState.HELD)


@dataclass(slots=True)
class Figures:
    """What is on one node."""

    held_seats: int = 0
    overtime_seats: int = 0
    peak_seats: int = 0
    meetings: int = 0
    users: int = 0
    #: Ids, so that somebody can end them.
    overtime: list[str] = field(default_factory=list)
    bookings: int = 0
    #: When the last window of a running meeting ends (Unix seconds).
    windows_end_s: int | None = None


async def on_nodes(
    connection: AsyncConnection, node_ids: Iterable[int], *, now_s: int
) -> Mapping[int, Figures]:
    """Return what is on each of these nodes; one that is empty has figures of 0."""
    here = select(_ATTENDEE.c.meeting_id, func.count().label("users")).where(
        _ATTENDEE.c.present.is_(True)
    )
    users = here.group_by(_ATTENDEE.c.meeting_id).subquery()
    statement = (
        select(
            *(_MEETING.c.id, _MEETING.c.node_id, _MEETING.c.state, _MEETING.c.seats),
            *(_MEETING.c.start_s, _MEETING.c.end_s),
            func.coalesce(users.c.users, 0).label("users"),
        )
        .select_from(_MEETING.outerjoin(users, users.c.meeting_id == _MEETING.c.id))
        .where(
            _MEETING.c.live.is_(True),
            _MEETING.c.parent_id.is_(None),
            _MEETING.c.node_id.in_(list(node_ids)),
        )
        .order_by(_MEETING.c.end_s, _MEETING.c.id)
    )
    by_node: dict[int, list[Any]] = defaultdict(list)
    for row in (await connection.execute(statement)).mappings():
        by_node[row["node_id"]].append(row)
    return {node_id: _figures(by_node[node_id], now_s) for node_id in node_ids}


def _figures(rows: Sequence[Mapping[str, Any]], now_s: int) -> Figures:
    found = Figures()
    #: Change of seats by second.
    steps: dict[int, int] = defaultdict(int)
    for row in rows:
        if row["state"] in _RESERVING and row["end_s"] > now_s:
            steps[max(row["start_s"], now_s)] += row["seats"]
            steps[row["end_s"]] -= row["seats"]
        if row["state"] == MeetingState.BOOKED:
            found.bookings += 1
            continue
        if row["state"] == MeetingState.LOST:
            continue
        found.meetings += 1
        found.users += row["users"]
        if row["state"] == MeetingState.OVERTIME:
            found.overtime.append(row["id"])
            found.overtime_seats += row["seats"]
        elif row["state"] in _RESERVING:
            found.windows_end_s = max(found.windows_end_s or 0, row["end_s"])
    level = 0
    for at_s in sorted(steps):
        if at_s >= now_s + AHEAD_S:
            break
        level += steps[at_s]
        found.peak_seats = max(found.peak_seats, level)
        if at_s == now_s:
            found.held_seats = level
    return found


def sentence(found: Figures, clock: str, *, ends_overtime: bool) -> str:
    """Return when the node will be empty, for people; `clock` shows the end of the last window."""
    if not found.meetings:
        return "empty"
    said = []
    late = len(found.overtime)
    if found.windows_end_s is not None:
        said.append(f"empty at {clock} at the latest")
        if not ends_overtime:
            said[0] += " if overtime is ended"
    elif found.meetings > late:
        said.append(f"{_count(found.meetings - late)} being ended")
    if late:
        said.append(f"{late} overtime meeting{'' if late == 1 else 's'} can go now")
    return "; ".join(said)


def _count(meetings: int) -> str:
    return "1 meeting is" if meetings == 1 else f"{meetings} meetings are"

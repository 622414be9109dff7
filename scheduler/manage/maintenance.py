"""Maintenance of nodes: windows in which they take no meetings, known in advance.

Owns the windows and who is in their way. That nothing new reaches into one is the decision core's
(`scheduler.core.accounts.Traits`), that bookings move out of it the placement worker's
(`workers.moving`). Ends nothing.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from scheduler import changes, checks
from scheduler.checks import ConflictError, NotFoundError, OperationError
from scheduler.manage import instants, paging
from scheduler.manage.context import Context
from scheduler.manage.nodes import maintenance_of, row_of
from scheduler.manage.operation import Access, Operation
from schemas.management.nodes import (
    InTheWay,
    MaintenanceAsked,
    MaintenancesAsked,
    MaintenanceShown,
    NewMaintenance,
)
from schemas.management.paging import Listed
from schemas.management_tables import MaintenanceRow

#: Windows of one node that are not over: every decision may look at all of them.
WINDOWS_MAX: Final = 100
_LISTED_MAX: Final = 100
_AHEAD_MAX_S: Final = 2 * 366 * 86_400
_MINUTE_S: Final = 60

_TABLES: Final = MaintenanceRow.metadata.tables
_MAINTENANCE: Final = _TABLES["maintenance"]
_MEETING: Final = _TABLES["meeting"]
_SUBSCRIPTION: Final = _TABLES["subscription"]


async def list_windows(context: Context, asked: MaintenancesAsked) -> Listed[MaintenanceShown]:
    """List the maintenance of a node that is not over, and who is in its way."""
    node = await row_of(context, asked.node)
    after = paging.read_cursor(asked.after, int, int)
    statement = (
        select(_MAINTENANCE)
        .where(_MAINTENANCE.c.node_id == node["id"], _MAINTENANCE.c.end_s > _now_s())
        .order_by(_MAINTENANCE.c.start_s, _MAINTENANCE.c.id)
        .limit(asked.limit + 1)
    )
    if after is not None:
        start_s, number = after
        later = _MAINTENANCE.c.start_s > start_s
        same = (_MAINTENANCE.c.start_s == start_s) & (_MAINTENANCE.c.id > number)
        statement = statement.where(later | same)
    async with context.database.snapshot() as connection:
        rows = [dict(row) for row in (await connection.execute(statement)).mappings()]
        shown = [(row, await _shown(connection, row)) for row in rows]
    return paging.page(
        shown,
        asked.limit,
        keys=lambda one: (one[0]["start_s"], one[0]["id"]),
        shown=lambda one: one[1],
    )


async def show(context: Context, asked: MaintenanceAsked) -> MaintenanceShown:
    """Show one window of maintenance, and who is in its way."""
    node = await row_of(context, asked.node)
    statement = select(_MAINTENANCE).where(
        _MAINTENANCE.c.id == asked.maintenance, _MAINTENANCE.c.node_id == node["id"]
    )
    async with context.database.snapshot() as connection:
        row = (await connection.execute(statement)).mappings().first()
        if row is None:
            raise NotFoundError(f"node {asked.node} has no maintenance {asked.maintenance}")
        return await _shown(connection, dict(row))


async def add(context: Context, asked: NewMaintenance) -> MaintenanceShown:
    """Plan maintenance: new meetings keep out of it, bookings in it move to where there is room."""
    context.operate("maintenance can be planned")
    checks.text("note", asked.note)
    node = await row_of(context, asked.node)
    now_s = _now_s()
    start_s = now_s if asked.start_at is None else int(asked.start_at.timestamp())
    start_s = max(start_s, now_s) // _MINUTE_S * _MINUTE_S
    end_s = -(-instants.seconds(asked.end_at) // _MINUTE_S) * _MINUTE_S
    if end_s <= max(start_s, now_s):
        raise OperationError("maintenance must end in the future, and after its begin")
    if end_s > now_s + _AHEAD_MAX_S:
        raise OperationError("maintenance can be planned for two years ahead at most")
    async with changes.change(context.database) as session:
        ahead = select(func.count()).where(
            _MAINTENANCE.c.node_id == node["id"], _MAINTENANCE.c.end_s > now_s
        )
        if (await session.scalar(ahead) or 0) >= WINDOWS_MAX:
            raise ConflictError(f"node {asked.node} has {WINDOWS_MAX} windows already")
        row = MaintenanceRow(
            node_id=node["id"],
            start_s=start_s,
            end_s=end_s,
            note=asked.note,
            created_ms=changes.now_ms(),
        )
        await changes.insert(session, row)
        number = changes.row_id(row.id)
    return await show(context, MaintenanceAsked(node=asked.node, maintenance=number))


async def remove(context: Context, asked: MaintenanceAsked) -> None:
    """Give maintenance up, or end it early: the node takes meetings again within a second."""
    context.operate("maintenance can be removed")
    node = await row_of(context, asked.node)
    async with changes.change(context.database) as session:
        row = await session.get(MaintenanceRow, asked.maintenance)
        if row is None or row.node_id != node["id"]:
            raise NotFoundError(f"node {asked.node} has no maintenance {asked.maintenance}")
        await changes.remove(session, row)


async def _shown(connection: AsyncConnection, row: Mapping[str, Any]) -> MaintenanceShown:
    """Return a window with the meetings and bookings that overlap it."""
    overlap = (
        (_MEETING.c.node_id == row["node_id"])
        & _MEETING.c.live.is_(True)
        & _MEETING.c.parent_id.is_(None)
        & (_MEETING.c.start_s < row["end_s"])
        # A meeting in overtime may go on for as long as it likes.
        & ((_MEETING.c.end_s > row["start_s"]) | (_MEETING.c.state == "overtime"))
    )
    count = await connection.scalar(select(func.count()).select_from(_MEETING).where(overlap))
    listed = (
        select(_MEETING, _SUBSCRIPTION.c.slug)
        .join(_SUBSCRIPTION, _SUBSCRIPTION.c.id == _MEETING.c.subscription_id)
        .where(overlap)
        .order_by(_MEETING.c.start_s, _MEETING.c.id)
        .limit(_LISTED_MAX)
    )
    found = (await connection.execute(listed)).mappings().all()
    return MaintenanceShown(
        **maintenance_of(row).model_dump(),
        in_the_way=[
            InTheWay(
                meeting=one["id"],
                subscription=one["slug"],
                external_id=one["external_id"],
                state=one["state"],
                seats=one["seats"],
                start_at=instants.of_s(one["start_s"]),
                end_at=instants.of_s(one["end_s"]),
            )
            for one in found
        ],
        in_the_way_count=count or 0,
    )


def _now_s() -> int:
    return changes.now_ms() // 1_000


_PATH: Final = "/nodes/{node}/maintenance"

OPERATIONS: Final = (
    Operation(
        *("maintenance.list", "GET", _PATH, list_windows, MaintenancesAsked),
        Listed[MaintenanceShown],
    ),
    Operation(
        *("maintenance.add", "POST", _PATH, add, NewMaintenance, MaintenanceShown),
        access=Access.OPERATE,
        status=201,
    ),
    Operation(
        *("maintenance.show", "GET", _PATH + "/{maintenance}", show, MaintenanceAsked),
        MaintenanceShown,
    ),
    Operation(
        *("maintenance.remove", "DELETE", _PATH + "/{maintenance}", remove, MaintenanceAsked, None),
        access=Access.OPERATE,
        status=204,
        shown_by=show,
    ),
)

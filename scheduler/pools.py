"""Pools: their making, changing and removing, and what they have at present.

Owns what must be gone before a pool goes. Never touches nodes or meetings. Called by the operations
of management.
"""

from collections.abc import Sequence
from typing import Any, Final, TypedDict, Unpack

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from scheduler import changes, checks
from scheduler.checks import ConflictError, OperationError
from scheduler.database import Database
from schemas.tables import MeetingRow, PoolRow
from schemas.values import MeetingState

_TABLES: Final = PoolRow.metadata.tables
_POOL: Final = _TABLES["pool"]
_NODE: Final = _TABLES["node"]
_SUBSCRIPTION: Final = _TABLES["subscription"]
_MEETING: Final = MeetingRow.metadata.tables["meeting"]
#: States whose seats are a guarantee; a lost meeting keeps those of its subscription.
HELD: Final = (MeetingState.PLACING.value, MeetingState.HELD.value, MeetingState.LOST.value)


class PoolRules(TypedDict, total=False):
    """What can be set on a pool."""

    mode: str
    keep_free: int | None
    large_seats: int
    evict_across_subscriptions: bool


async def add(database: Database, name: str, **rules: Unpack[PoolRules]) -> int:
    """Add a pool and return its id."""
    checks.name("pool", name)
    stored = checks.fields(rules, PoolRules)
    async with changes.change(database) as session:
        if await changes.find(session, PoolRow, "name", name):
            raise ConflictError(f"there is a pool {name} already")
        row = PoolRow(name=name)
        row.sqlmodel_update(stored)
        await changes.insert(session, row)
    return changes.row_id(row.id)


async def change(database: Database, name: str, **rules: Unpack[PoolRules]) -> None:
    """Change rules of a pool; its worker follows them within a second."""
    if not rules:
        raise OperationError("there is nothing to change")
    stored = checks.fields(rules, PoolRules)
    async with changes.change(database) as session:
        row = await changes.get(session, PoolRow, "name", name, what="pool")
        row.sqlmodel_update(stored)


async def remove(database: Database, name: str) -> None:
    """Remove a pool that has neither nodes nor subscriptions nor meetings."""
    async with changes.change(database) as session:
        row = await changes.get(session, PoolRow, "name", name, what="pool")
        for table, what, way in (
            (_NODE, "node", "remove them first"),
            (_SUBSCRIPTION, "subscription", "move or remove them first"),
        ):
            count = await _count(session, table, row.id)
            if count:
                left = f"{count} {what}" if count == 1 else f"{count} {what}s"
                raise ConflictError(f"the pool {name} has {left}: {way}")
        live = select(_MEETING.c.id).where(_MEETING.c.pool_id == row.id, _MEETING.c.live).limit(1)
        if (await session.execute(live)).first():
            raise ConflictError(f"meetings of the pool {name} are not over yet: wait for their end")
        await changes.remove(session, row)


async def described(
    database: Database, *, name: str | None = None, after: str | None = None, limit: int = 1
) -> list[dict[str, Any]]:
    """Return pools by name, with what they have at present."""
    statement = select(_POOL).order_by(_POOL.c.name).limit(limit)
    if name is not None:
        statement = statement.where(_POOL.c.name == name)
    if after is not None:
        statement = statement.where(_POOL.c.name > after)
    async with database.snapshot() as connection:
        rows = [dict(row) for row in (await connection.execute(statement)).mappings()]
        ids = [row["id"] for row in rows]
        seats = func.sum(case((_NODE.c.state != "disabled", _NODE.c.seats), else_=0))
        nodes = await _sums(connection, _NODE, ids, func.count(), seats)
        plans = await _sums(
            connection, _SUBSCRIPTION, ids, func.count(), func.sum(_SUBSCRIPTION.c.seats)
        )
        held = _MEETING.c.state.in_(HELD)
        over = _MEETING.c.state == MeetingState.OVERTIME.value
        meetings = await _sums(
            *(connection, _MEETING, ids),
            func.sum(case((held, _MEETING.c.seats), else_=0)),
            func.sum(case((over, _MEETING.c.seats), else_=0)),
            func.sum(case((held | over, 1), else_=0)),
            where=(_MEETING.c.live.is_(True), _MEETING.c.parent_id.is_(None)),
        )
    for row in rows:
        row["nodes"], row["node_seats"] = nodes.get(row["id"], (0, 0))
        row["subscriptions"], row["sold_seats"] = plans.get(row["id"], (0, 0))
        row["held_seats"], row["overtime_seats"], row["meetings"] = meetings.get(
            row["id"], (0, 0, 0)
        )
    return rows


async def _count(session: AsyncSession, table: Any, pool_id: int | None) -> int:
    counted = select(func.count()).select_from(table).where(table.c.pool_id == pool_id)
    return int((await session.execute(counted)).scalar_one())


async def _sums(
    connection: AsyncConnection, table: Any, ids: Sequence[int], *sums: Any, where: Any = ()
) -> dict[int, tuple[int, ...]]:
    """Return sums over the rows of pools, by pool."""
    statement = (
        select(table.c.pool_id, *sums)
        .where(table.c.pool_id.in_(ids), *where)
        .group_by(table.c.pool_id)
    )
    return {row[0]: tuple(map(int, row[1:])) for row in await connection.execute(statement)}

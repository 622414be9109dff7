"""The state of an installation at a glance: what is held, in overtime and free right now.

Owns the one reading of the database behind `seatkeep status`. Reads only; needs no running worker,
because it is wanted most when none runs.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.schema import Column

from scheduler.database import Database
from schemas.tables import MeetingRow
from schemas.values import MeetingState

_TABLES: Final = MeetingRow.metadata.tables
_MEETING: Final = _TABLES["meeting"]
_ATTENDEE: Final = _TABLES["attendee"]
_DELIVERY: Final = _TABLES["delivery"]
_OUTBOX: Final = _TABLES["outbox"]

#: States whose seats are a guarantee; a lost meeting keeps those of its subscription.
_HELD: Final = (MeetingState.PLACING.value, MeetingState.HELD.value, MeetingState.LOST.value)
_OVERTIME: Final = MeetingState.OVERTIME.value


async def read(database: Database) -> dict[str, Any]:
    """Return pools, nodes, subscriptions and queues as plain, JSON-able values."""
    async with database.connect() as connection:
        by_node = await _used(connection, _MEETING.c.node_id)
        by_subscription = await _used(connection, _MEETING.c.subscription_id)
        pools = await _rows(connection, "pool", "name")
        nodes = await _rows(connection, "node", "name")
        subscriptions = await _rows(connection, "subscription", "slug")
        events = await _events(connection)
    return {
        "pools": [
            {name: pool[name] for name in ("name", "mode", "epoch", "holder")} for pool in pools
        ],
        "nodes": [
            {"node": node["name"], "state": node["state"], "health": node["health"]}
            | _seats(node["seats"], by_node.get(node["id"]))
            for node in nodes
        ],
        "subscriptions": [
            {"subscription": plan["slug"]} | _seats(plan["seats"], by_subscription.get(plan["id"]))
            for plan in subscriptions
        ],
        "events": events,
    }


async def _used(connection: AsyncConnection, key: Column[Any]) -> dict[int, Mapping[str, Any]]:
    """Return held and overtime seats, meetings and users by node or subscription.

    A breakout room is a part of its meeting: it holds no seats, and its people are there already.
    """
    users = (
        select(_ATTENDEE.c.meeting_id, func.count().label("users"))
        .where(_ATTENDEE.c.present.is_(True))
        .group_by(_ATTENDEE.c.meeting_id)
        .subquery()
    )
    held = _MEETING.c.state.in_(_HELD)
    overtime = _MEETING.c.state == _OVERTIME
    statement = (
        select(
            key.label("key"),
            func.sum(case((held, _MEETING.c.seats), else_=0)).label("held"),
            func.sum(case((overtime, _MEETING.c.seats), else_=0)).label("overtime"),
            func.sum(case((held | overtime, 1), else_=0)).label("meetings"),
            func.coalesce(func.sum(users.c.users), 0).label("users"),
        )
        .select_from(_MEETING.outerjoin(users, users.c.meeting_id == _MEETING.c.id))
        .where(_MEETING.c.live.is_(True), _MEETING.c.parent_id.is_(None))
        .group_by(key)
    )
    return {row["key"]: row for row in await _mappings(connection, statement)}


async def _rows(connection: AsyncConnection, table: str, order: str) -> list[Mapping[str, Any]]:
    chosen = _TABLES[table]
    return await _mappings(connection, select(chosen).order_by(chosen.c[order]))


async def _mappings(connection: AsyncConnection, statement: Select[Any]) -> list[Mapping[str, Any]]:
    return [dict(row) for row in (await connection.execute(statement)).mappings()]


async def _events(connection: AsyncConnection) -> dict[str, int]:
    waiting = _DELIVERY.c.state.in_(("waiting", "queued", "sending"))
    [outbox] = await _mappings(
        connection,
        select(func.count().label("unpublished")).where(_OUTBOX.c.published_ms.is_(None)),
    )
    [deliveries] = await _mappings(
        connection,
        select(
            func.coalesce(func.sum(case((waiting, 1), else_=0)), 0).label("queued"),
            func.coalesce(func.sum(case((_DELIVERY.c.state == "parked", 1), else_=0)), 0).label(
                "parked"
            ),
            func.min(case((waiting, _DELIVERY.c.created_ms))).label("oldest_ms"),
        ),
    )
    now_ms = time.time_ns() // 1_000_000
    oldest_ms = deliveries["oldest_ms"] or now_ms
    return {
        "unpublished": int(outbox["unpublished"]),
        "queued": int(deliveries["queued"]),
        "parked": int(deliveries["parked"]),
        "oldest_s": max(0, now_ms - oldest_ms) // 1000,
    }


def _seats(seats: int, used: Mapping[str, Any] | None) -> dict[str, int]:
    held, overtime = (int(used["held"]), int(used["overtime"])) if used else (0, 0)
    return {
        "seats": seats,
        "held": held,
        "overtime": overtime,
        "free": seats - held - overtime,
        "meetings": int(used["meetings"]) if used else 0,
        "users": int(used["users"]) if used else 0,
    }

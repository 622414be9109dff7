"""Commands that show: status and settings.

Owns what an operator sees of a running installation. Reads the database only, so it works while
every worker is down, which is when it is needed.
"""

import time
from typing import Any

import typer
from sqlalchemy import case, func, select

from scheduler.assembly import Assembly
from scheduler.cli import printing
from scheduler.cli.manage import JsonOption, perform
from scheduler.cli.root import app, settings_or_fail
from schemas.tables import (
    AttendeeRow,
    DeliveryRow,
    MeetingRow,
    NodeRow,
    OutboxRow,
    PoolRow,
    SubscriptionRow,
)
from schemas.values import MeetingState

_HELD = (MeetingState.PLACING.value, MeetingState.HELD.value, MeetingState.LOST.value)
_RUNNING = (*_HELD, MeetingState.OVERTIME.value)


@app.command()
def status(*, json: JsonOption = False) -> None:
    """Show nodes, subscriptions, queues: what is held, in overtime and free right now."""
    shown = perform(_status)
    if json:
        printing.document(shown)
        return
    for pool in shown["pools"]:
        typer.echo(
            f"pool {pool['name']}  {pool['mode']}  epoch {pool['epoch']}  {pool['holder'] or '-'}"
        )
    typer.echo("")
    node_columns = ["node", "state", "health", "seats", "held", "overtime", "free", "meetings"]
    printing.table(shown["nodes"], [*node_columns, "users"], as_json=False)
    typer.echo("")
    columns = ["subscription", "seats", "held", "overtime", "free", "meetings", "users"]
    printing.table(shown["subscriptions"], columns, as_json=False)
    typer.echo("")
    events = shown["events"]
    typer.echo(
        f"events  {events['unpublished']} not yet relayed   deliveries  {events['queued']} queued,"
        f" {events['parked']} parked, oldest {events['oldest_s']} s"
    )


async def _status(parts: Assembly) -> dict[str, Any]:
    async with parts.database.connect() as connection:
        seats = {
            "held": func.sum(case((MeetingRow.state.in_(_HELD), MeetingRow.seats), else_=0)),
            "overtime": func.sum(
                case((MeetingRow.state == MeetingState.OVERTIME.value, MeetingRow.seats), else_=0)
            ),
            "meetings": func.sum(case((MeetingRow.state.in_(_RUNNING), 1), else_=0)),
        }
        users = (
            select(AttendeeRow.meeting_id, func.count().label("users"))
            .where(AttendeeRow.present)
            .group_by(AttendeeRow.meeting_id)
            .subquery()
        )
        columns = [column.label(name) for name, column in seats.items()]
        columns.append(func.coalesce(func.sum(users.c.users), 0).label("users"))

        def by(key: Any) -> Any:
            return (
                select(key.label("key"), *columns)
                .select_from(
                    MeetingRow.__table__.outerjoin(users, users.c.meeting_id == MeetingRow.id)
                )
                .where(MeetingRow.live)
                .group_by(key)
            )

        by_node = {
            row["key"]: row for row in (await connection.execute(by(MeetingRow.node_id))).mappings()
        }
        by_plan = {
            row["key"]: row
            for row in (await connection.execute(by(MeetingRow.subscription_id))).mappings()
        }
        pools = (await connection.execute(select(PoolRow.__table__))).mappings().all()
        nodes = (
            (await connection.execute(select(NodeRow.__table__).order_by(NodeRow.name)))
            .mappings()
            .all()
        )
        plans = (
            (await connection.execute(select(SubscriptionRow.__table__).order_by("slug")))
            .mappings()
            .all()
        )
        unpublished = await connection.scalar(
            select(func.count()).where(OutboxRow.published_ms.is_(None))
        )
        queued, parked, oldest_ms = (
            await connection.execute(
                select(
                    func.sum(case((DeliveryRow.state.in_(("queued", "sending")), 1), else_=0)),
                    func.sum(case((DeliveryRow.state == "parked", 1), else_=0)),
                    func.min(case((DeliveryRow.state == "queued", DeliveryRow.created_ms))),
                )
            )
        ).one()
    now_ms = time.time_ns() // 1_000_000
    return {
        "pools": [
            {key: pool[key] for key in ("name", "mode", "epoch", "holder")} for pool in pools
        ],
        "nodes": [
            {"node": node["name"], "state": node["state"], "health": node["health"]}
            | _seats(node["seats"], by_node.get(node["id"]))
            for node in nodes
        ],
        "subscriptions": [
            {"subscription": plan["slug"]} | _seats(plan["seats"], by_plan.get(plan["id"]))
            for plan in plans
        ],
        "events": {
            "unpublished": unpublished or 0,
            "queued": queued or 0,
            "parked": parked or 0,
            "oldest_s": (now_ms - oldest_ms) // 1000 if oldest_ms else 0,
        },
    }


def _seats(seats: int, used: Any) -> dict[str, int]:
    held, overtime = (int(used["held"]), int(used["overtime"])) if used else (0, 0)
    return {
        "seats": seats,
        "held": held,
        "overtime": overtime,
        "free": seats - held - overtime,
        "meetings": int(used["meetings"]) if used else 0,
        "users": int(used["users"]) if used else 0,
    }


@app.command()
def settings(*, json: JsonOption = False) -> None:
    """Show the settings in force; secrets are masked."""
    loaded = settings_or_fail()
    rows = [
        {"setting": f"SEATKEEP_{name.upper()}", "value": str(getattr(loaded, name))}
        for name in type(loaded).model_fields
    ]
    printing.table(rows, ["setting", "value"], as_json=json)

"""Rows of meetings and bookings as management finds and names them.

Owns the filters that lists have in common, what is a booking among the rows, and who sees servers:
the provider alone. Only reads. Called by the operations about meetings, bookings and seats.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Integer, Select, and_, cast, func, or_, select

from scheduler.checks import NotFoundError
from scheduler.directory_records import Credential, Pool, Subscription, credential_name
from scheduler.manage.context import Context
from schemas.tables import AttendeeRow, MeetingRow
from schemas.values import EndReason, MeetingState

MEETING: Final = MeetingRow.metadata.tables["meeting"]
_ATTENDEE: Final = AttendeeRow.metadata.tables["attendee"]
#: All that is shown of a row; the gate and the answer of the node are the product's own.
COLUMNS: Final = [
    MEETING.c[name]
    for name in (
        *("id", "pool_id", "subscription_id", "credential_id", "external_id", "live", "node_id"),
        *("state", "seats", "start_s", "end_s", "doc", "end_reason", "ended_ms", "internal_id"),
        *("parent_id", "why", "bound"),
    )
]
#: How a booking ends that no node ever heard of.
_ENDS: Final = (EndReason.CANCELLED, EndReason.ADOPTED, EndReason.EXPIRED)


def is_booking() -> ColumnElement[bool]:
    """Return the condition for rows that are, or ended as, bookings."""
    ended = and_(
        MEETING.c.live.is_(False),
        MEETING.c.bound.is_(None),
        MEETING.c.end_reason.in_([reason.value for reason in _ENDS]),
    )
    return or_(MEETING.c.state == MeetingState.BOOKED.value, ended)


def seen(
    context: Context,
    statement: Select[Any],
    *,
    subscription: str | None = None,
    credential: str | None = None,
    node: str | None = None,
) -> Select[Any]:
    """Narrow a statement down to what the actor sees, and to what is asked for.

    Raises `NotFoundError` for a filter that names something that is not seen.
    """
    if subscription is not None:
        owner = context.subscription(subscription)
        statement = statement.where(MEETING.c.subscription_id == owner.id)
    elif context.only is not None:
        statement = statement.where(MEETING.c.subscription_id == context.only)
    if credential is not None:
        statement = statement.where(
            MEETING.c.credential_id == credential_of(context, credential).id
        )
    if node is not None:
        statement = statement.where(MEETING.c.node_id == node_id(context, node))
    return statement


def credential_of(context: Context, name: str) -> Credential:
    """Return a credential of the directory; raises `NotFoundError` when it is not seen."""
    found = context.directory.current.credential_by_name.get(name)
    if found is None or not context.sees(found.subscription_id):
        raise NotFoundError(f"there is no credential {name}")
    return found


def node_id(context: Context, name: str) -> int:
    """Return the id of a node; raises `NotFoundError` when it is not seen."""
    for node in context.directory.current.nodes.values():
        if node.name == name and context.only is None:
            return node.id
    raise NotFoundError(f"there is no node {name}")


def main_credential(context: Context, owner: Subscription, name: str | None) -> Credential:
    """Return the named credential of a subscription, else its main one."""
    found = credential_of(context, name or owner.slug)
    if found.subscription_id != owner.id:
        raise NotFoundError(f"there is no credential {name} of subscription {owner.slug}")
    return found


def pool_of(context: Context, owner: Subscription) -> Pool:
    """Return the pool of a subscription."""
    return context.directory.current.pools[owner.pool_id]


def names(context: Context, row: Mapping[str, Any]) -> dict[str, str | None]:
    """Return subscription, credential, pool and node of a row by their names, as far as seen."""
    directory = context.directory.current
    owner = directory.subscriptions.get(row["subscription_id"])
    credential = directory.credentials.get(row["credential_id"])
    pool = directory.pools.get(row["pool_id"])
    node = directory.nodes.get(row["node_id"] or 0) if context.only is None else None
    return {
        "subscription": owner.slug if owner else None,
        "credential": credential_name(credential.subscription.slug, credential.sub)
        if credential
        else None,
        "pool": pool.name if pool else None,
        "node": node.name if node else None,
    }


async def fetched(context: Context, statement: Select[Any]) -> list[dict[str, Any]]:
    """Return rows as dictionaries."""
    async with context.database.connect() as connection:
        return [dict(row) for row in (await connection.execute(statement)).mappings()]


async def one(context: Context, meeting_id: str, *, what: str) -> dict[str, Any]:
    """Return a row by our id; raises `NotFoundError` when there is none that the actor sees."""
    rows = await fetched(context, select(*COLUMNS).where(MEETING.c.id == meeting_id))
    if not rows or not context.sees(rows[0]["subscription_id"]):
        raise NotFoundError(f"there is no {what} {meeting_id}")
    return rows[0]


async def users_of(context: Context, meeting_ids: list[str]) -> dict[str, tuple[int, int, int]]:
    """Return by meeting: who is there now, times that somebody came, different persons."""
    present = func.sum(cast(_ATTENDEE.c.present, Integer))
    statement = (
        select(_ATTENDEE.c.meeting_id, present, func.sum(_ATTENDEE.c.joins), func.count())
        .where(_ATTENDEE.c.meeting_id.in_(meeting_ids))
        .group_by(_ATTENDEE.c.meeting_id)
    )
    async with context.database.connect() as connection:
        rows = (await connection.execute(statement)).all()
    return {row[0]: (int(row[1] or 0), int(row[2] or 0), int(row[3])) for row in rows}

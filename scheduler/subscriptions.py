"""Subscriptions beyond their settings: what they use at present, moving them, removing them.

Owns what must be over before a subscription moves to another pool or goes. A pool has one placement
worker, so a move must not meet a decision under way: hence it is only made while the subscription
has been off for a moment. Called by the operations of management.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import SQLModel, col

from scheduler import changes
from scheduler.checks import ConflictError
from scheduler.database import Database
from scheduler.pools import HELD
from schemas.management_tables import AssetRow, AuditRow, TokenRow
from schemas.tables import (
    CredentialRow,
    EndpointRow,
    MeetingRow,
    PoolRow,
    SubscriptionRow,
)
from schemas.values import MeetingState

#: All processes know of a change of the directory after this time, with much to spare.
SETTLED_MS: Final = 5_000

_TABLES: Final = MeetingRow.metadata.tables
_MEETING: Final = _TABLES["meeting"]
_ATTENDEE: Final = _TABLES["attendee"]
_CREDENTIAL: Final = _TABLES["credential"]
_ENDPOINT: Final = _TABLES["endpoint"]
_HOOK: Final = _TABLES["hook"]
_SUMS: Final = ("held_seats", "overtime_seats", "meetings", "bookings", "largest_seats")


async def use(
    connection: AsyncConnection, ids: Sequence[int], *, by_credential: bool = False
) -> Mapping[int, Mapping[str, int]]:
    """Return seats, meetings, bookings and users at present, by subscription or credential.

    A breakout room is a part of its meeting: it holds no seats, and its people are there already.
    """
    held = _MEETING.c.state.in_(HELD)
    over = _MEETING.c.state == MeetingState.OVERTIME.value
    booked = _MEETING.c.state == MeetingState.BOOKED.value
    key = _MEETING.c.credential_id if by_credential else _MEETING.c.subscription_id
    theirs = (
        _MEETING.c.live.is_(True),
        _MEETING.c.parent_id.is_(None),
        _MEETING.c.subscription_id.in_(ids),
    )
    counted = select(
        key.label("key"),
        func.sum(case((held, _MEETING.c.seats), else_=0)).label("held_seats"),
        func.sum(case((over, _MEETING.c.seats), else_=0)).label("overtime_seats"),
        func.sum(case((held | over, 1), else_=0)).label("meetings"),
        func.sum(case((booked, 1), else_=0)).label("bookings"),
        func.max(case((held | over, _MEETING.c.seats), else_=0)).label("largest_seats"),
    )
    # Apart from the sums: one row for each person.
    people = (
        select(key, func.count())
        .join(_ATTENDEE, _ATTENDEE.c.meeting_id == _MEETING.c.id)
        .where(*theirs, _ATTENDEE.c.present.is_(True))
        .group_by(key)
    )
    found = (await connection.execute(counted.where(*theirs).group_by(key))).mappings().all()
    users = {row[0]: int(row[1]) for row in await connection.execute(people)}
    used = {
        row["key"]: {name: int(row[name]) for name in _SUMS} | {"users": users.get(row["key"], 0)}
        for row in found
    }
    unused = dict.fromkeys((*_SUMS, "users"), 0)
    return used if by_credential else {key: used.get(key, unused) for key in ids}


async def belongings(
    connection: AsyncConnection, ids: Sequence[int]
) -> Mapping[int, Mapping[str, int]]:
    """Return how many credentials and endpoints subscriptions have, and how many are off."""
    found: dict[int, dict[str, int]] = {
        key: {"credentials": 0, "endpoints": 0, "endpoints_off": 0} for key in ids
    }
    for table, name, what in (
        (_CREDENTIAL, "credentials", func.count()),
        (_ENDPOINT, "endpoints", func.count()),
        (_ENDPOINT, "endpoints_off", func.sum(case((_ENDPOINT.c.enabled, 0), else_=1))),
    ):
        counted = (
            select(table.c.subscription_id, what)
            .where(table.c.subscription_id.in_(ids))
            .group_by(table.c.subscription_id)
        )
        for key, number in await connection.execute(counted):
            found[key][name] = int(number)
    return found


async def hooks_of(connection: AsyncConnection, subscription_id: int) -> dict[int, int]:
    """Return how many webhooks the credentials of a subscription have."""
    counted = (
        select(_HOOK.c.credential_id, func.count())
        .select_from(_HOOK.join(_CREDENTIAL, _CREDENTIAL.c.id == _HOOK.c.credential_id))
        .where(_CREDENTIAL.c.subscription_id == subscription_id)
        .group_by(_HOOK.c.credential_id)
    )
    return {row[0]: int(row[1]) for row in await connection.execute(counted)}


async def move(session: AsyncSession, row: SubscriptionRow, pool: str) -> None:
    """Let another pool serve a subscription, within a change; nothing may run or be booked."""
    target = await changes.get(session, PoolRow, "name", pool, what="pool")
    if target.id != row.pool_id:
        await check_movable(session, row)
        row.pool_id = changes.row_id(target.id)


async def check_movable(session: AsyncSession, row: SubscriptionRow) -> None:
    """Refuse a move that could meet a decision: on, off for too short, or something live."""
    if row.enabled and not row.suspended:
        raise ConflictError(
            f"suspend {row.slug} first, and switch it on again when it has moved: nothing new may"
            " begin meanwhile"
        )
    recent = select(AuditRow.id).where(  # type: ignore[call-overload]  # SQLModel types a column as its value
        col(AuditRow.subscription_id) == row.id,
        col(AuditRow.action) == "subscription.changed",
        col(AuditRow.at_ms) > changes.now_ms() - SETTLED_MS,
    )
    if (await session.execute(recent.limit(1))).first():
        raise ConflictError(
            f"{row.slug} was changed a moment ago, which some process may not know yet: try again"
            f" in {SETTLED_MS // 1_000} seconds"
        )
    await _refuse_live(session, row, "can move")


async def remove(database: Database, slug: str) -> None:
    """Remove a subscription without credentials, with its endpoints, assets and tokens.

    What it used, and what was audited, stays.
    """
    async with changes.change(database) as session:
        row = await changes.get(session, SubscriptionRow, "slug", slug, what="subscription")
        await _refuse_live(session, row, "can be removed")
        left = await session.scalars(
            select(CredentialRow).where(col(CredentialRow.subscription_id) == row.id)
        )
        if count := len(left.all()):
            has = "a credential" if count == 1 else f"{count} credentials"
            raise ConflictError(f"{slug} has {has} still: remove what gives access first")
        owned: type[EndpointRow | TokenRow]
        for owned in (EndpointRow, TokenRow):
            mine = col(owned.subscription_id) == row.id
            for belonging in list(await session.scalars(select(owned).where(mine))):
                await changes.remove(session, belonging)
        assets = await session.scalars(
            select(AssetRow).where(col(AssetRow.subscription_id) == row.id)
        )
        asset: SQLModel
        for asset in list(assets):
            await session.delete(asset)
        await session.flush()
        await changes.remove(session, row)


async def _refuse_live(session: AsyncSession, row: SubscriptionRow, what: str) -> None:
    live = select(func.count()).where(
        _MEETING.c.subscription_id == row.id,
        _MEETING.c.live.is_(True),
        _MEETING.c.parent_id.is_(None),
    )
    count = int((await session.execute(live)).scalar_one())
    if count:
        has = "a meeting or booking" if count == 1 else f"{count} meetings and bookings"
        raise ConflictError(f"{row.slug} has {has}: it {what} when they are over")

"""The usage ledger as it is read, and what its retention folds together.

Owns the queries of the `usage` table. What goes on at present is not in it yet: reports add it from
the live meetings, seen in the same snapshot, so that nothing is missing and nothing counts twice.
Written by the placement worker alone, and by the folding here. Called by management and the timers.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from scheduler import usage
from scheduler.checks import OperationError
from scheduler.database import Database
from scheduler.usage import COLUMNS, DAY_S, FOLDED, KEY, PEAKS, SUMS, WHOLE, UsageKey
from schemas.management_tables import UsageRow
from schemas.tables import MeetingRow

#: Rows that one report may read; a year of a thousand customers with one credential each.
ROWS_MAX: Final = 800_000
#: Days that one call of the folding takes at most; the rest waits for the next.
_DAYS_MAX: Final = 400

_TABLES: Final = MeetingRow.metadata.tables
_USAGE: Final = UsageRow.metadata.tables["usage"]
_MEETING: Final = _TABLES["meeting"]
_ATTENDEE: Final = _TABLES["attendee"]

Rows = dict[UsageKey, list[int]]


async def rows(
    database: Database,
    *,
    first_day: int,
    last_day: int,
    subscription_id: int | None = None,
    now_s: int | None = None,
) -> Rows:
    """Return the usage of a span of days, up to the present second."""
    now_s = int(time.time()) if now_s is None else now_s
    chosen = (_USAGE.c.day >= max(first_day, FOLDED + 1)) & (_USAGE.c.day <= last_day)
    if subscription_id is not None:
        chosen &= _USAGE.c.subscription_id == subscription_id
    statement = select(*(_USAGE.c[name] for name in (*KEY, *COLUMNS))).where(chosen)
    async with database.snapshot() as connection:
        found: Rows = {
            (row[0], row[1], row[2]): list(row[3:])
            for row in await connection.execute(statement.limit(ROWS_MAX + 1))
        }
        if len(found) > ROWS_MAX:
            raise OperationError("that is too much at once: ask for fewer days or one subscription")
        await _add_present(connection, found, now_s, subscription_id)
    return {key: row for key, row in found.items() if first_day <= key[0] <= last_day}


async def fold(database: Database, keep_days: int, *, now_s: int | None = None) -> int:
    """Add what is older than the retention to day 0; returns the number of rows that went."""
    today = (int(time.time()) if now_s is None else now_s) // DAY_S
    old = (_USAGE.c.day != FOLDED) & (_USAGE.c.day < today - keep_days)
    async with database.connect() as connection:
        days = list(
            await connection.scalars(
                select(_USAGE.c.day).where(old).distinct().order_by(_USAGE.c.day).limit(_DAYS_MAX)
            )
        )
    count = 0
    for day in days:
        async with database.write_lock, database.begin() as connection:
            taken = (
                delete(_USAGE)
                .where(_USAGE.c.day == day)
                .returning(*(_USAGE.c[name] for name in (*KEY, *COLUMNS)))
            )
            gone = (await connection.execute(taken)).all()
            for row in gone:
                await _fold_row(connection, dict(row._mapping))  # noqa: SLF001  # its public way
            count += len(gone)
    return count


async def _fold_row(connection: AsyncConnection, row: Mapping[str, Any]) -> None:
    key = {"subscription_id": row["subscription_id"], "credential_id": row["credential_id"]}
    same = (_USAGE.c.day == FOLDED) & (
        (_USAGE.c.subscription_id == key["subscription_id"])
        & (_USAGE.c.credential_id == key["credential_id"])
    )
    known = (await connection.execute(select(_USAGE).where(same))).mappings().first()
    if known is None:
        await connection.execute(insert(_USAGE).values({**row, "day": FOLDED}))
        return
    values = {name: known[name] + row[name] for name in SUMS}
    values |= {name: max(known[name], row[name]) for name in PEAKS}
    await connection.execute(_USAGE.update().where(same).values(values))


async def _add_present(
    connection: AsyncConnection, found: Rows, now_s: int, subscription_id: int | None
) -> None:
    """Add what the live meetings have used since they were counted, and their present levels."""
    names = ("state", "seats", "start_s", "end_s", "counted_s")
    payers = (_MEETING.c.subscription_id, _MEETING.c.credential_id)
    mine = _MEETING.c.live.is_(True) & _MEETING.c.parent_id.is_(None)
    if subscription_id is not None:
        mine &= _MEETING.c.subscription_id == subscription_id
    statement = select(*payers, *(_MEETING.c[name] for name in names)).where(mine)
    levels: dict[tuple[int, int], list[int]] = {}
    for subscription, credential, state, *numbers in await connection.execute(statement):
        seats, start_s, end_s, counted_s = numbers
        charge = usage.charge(
            state, seats=seats, start_s=start_s, end_s=end_s, counted_s=counted_s, room=False
        )
        if charge is None:
            continue
        for day, column, amount in charge.spent(now_s):
            usage.add(found, (day, subscription, credential), column, amount)
        reserved, running = charge.level(now_s)
        _raise(levels, subscription, credential, (reserved, 0, running))
    people = (
        select(*payers, _ATTENDEE.c.changed_ms)
        .join(_MEETING, _MEETING.c.id == _ATTENDEE.c.meeting_id)
        .where(_ATTENDEE.c.present.is_(True), mine)
    )
    for subscription, credential, since_ms in await connection.execute(people):
        for day, seconds in usage.by_day(since_ms // 1_000, now_s):
            usage.add(found, (day, subscription, credential), "used_seat_s", seconds)
        _raise(levels, subscription, credential, (0, 1, 0))
    for payer, level in levels.items():
        for name, amount in zip(PEAKS, level, strict=True):
            usage.add(found, (now_s // DAY_S, *payer), name, amount)


def _raise(
    levels: dict[tuple[int, int], list[int]],
    subscription: int,
    credential: int,
    by: tuple[int, int, int],
) -> None:
    for payer in (credential, WHOLE):
        level = levels.setdefault((subscription, payer), [0, 0, 0])
        for which, amount in enumerate(by):
            level[which] += amount

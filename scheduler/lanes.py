"""The lanes of deliveries: which of those that go out in order may go next.

Owns the lock under which that is decided, and the step by which the first waiting delivery of a
lane becomes its head. Whatever adds to a lane or takes from it does so in one transaction: lock,
change, move on. Never sends. Used by the delivery worker, and by people who replay.
"""

from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from scheduler import bulk

#: Stuck lanes that are repaired at a time.
REPAIR_MAX: Final = 1_000
_LOCKS: Final = text(
    "SELECT pg_advisory_xact_lock(hashtextextended(meeting, 7328532711))"
    " FROM unnest(CAST(:meetings AS text[])) AS meeting"
)
#: Word for word the condition of the index on lanes: SQLite recognises no other.
_IN_LANE: Final = "state IN ('waiting', 'queued', 'sending')"
_STUCK: Final = text(
    "SELECT DISTINCT lane, meeting_id FROM delivery WHERE state = 'waiting'"  # noqa: S608  # ours
    f" AND {_IN_LANE} AND NOT EXISTS (SELECT 1 FROM delivery AS open WHERE open.lane"
    f" = delivery.lane AND open.{_IN_LANE} AND open.state <> 'waiting') LIMIT :number"
)


def is_relaxed(lane: str, delivery_id: str) -> bool:
    """Tell whether a delivery is alone in its lane, so that nothing waits for it."""
    return lane.endswith(delivery_id)


async def lock(connection: AsyncConnection, meetings: Collection[str]) -> None:
    """Keep other transactions from changing the lanes of these meetings until this one ends.

    Without it a delivery that is taken in while the one before it is finished would be seen by
    neither of the two, and wait for ever. By meeting, since an event has a lane per target. On
    SQLite there is one writer at a time anyway.
    """
    if meetings and connection.dialect.name == "postgresql":
        # One order everywhere, so that two transactions cannot wait for each other.
        await connection.execute(_LOCKS, {"meetings": sorted(set(meetings))})


async def move_on(connection: AsyncConnection, lanes: Collection[str]) -> None:
    """Queue the first waiting delivery of each lane that has no head; they are locked.

    One look into the index per lane. Subqueries with a limit and no condition on the state of what
    is changed keep planners from reading all that waits instead, which they do when they believe
    that it is little.
    """
    if not lanes:
        return
    listed, argument = bulk.texts(connection, sorted(set(lanes)))
    await connection.execute(
        text(
            "UPDATE delivery SET state = 'queued' WHERE id IN (SELECT"  # noqa: S608  # names of ours
            " (SELECT next.id FROM delivery AS next WHERE next.lane = value"
            f" AND next.{_IN_LANE} AND next.state = 'waiting' ORDER BY next.seq LIMIT 1)"
            f" FROM {listed} WHERE (SELECT head.id FROM delivery AS head WHERE head.lane = value"
            f" AND head.{_IN_LANE} AND head.state IN ('queued', 'sending') LIMIT 1) IS NULL)"
        ),
        {"texts": argument},
    )


async def with_head(connection: AsyncConnection, lanes: Sequence[str]) -> set[str]:
    """Return those of the lanes in which something is on its way or waits for it."""
    listed, argument = bulk.texts(connection, lanes)
    found = await connection.execute(
        text(
            f"SELECT value FROM {listed} WHERE (SELECT open.id FROM delivery AS open"  # noqa: S608
            f" WHERE open.lane = value AND open.{_IN_LANE} LIMIT 1) IS NOT NULL"
        ),
        {"texts": argument},
    )
    return {row[0] for row in found}


async def stuck(connection: AsyncConnection) -> dict[str, str]:
    """Return lanes that wait without a head, which nobody should leave, and their meetings."""
    found = await connection.execute(_STUCK, {"number": REPAIR_MAX})
    return {row[0]: row[1] for row in found}

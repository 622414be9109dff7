"""Taking events in: from the outbox and the bus to the rows of deliveries.

Owns the transaction by which the events of a meeting become deliveries in the order of the outbox,
whichever worker is handed which event: under the lock of the meeting it takes in every earlier
event that is not expanded yet, and marks what it has. Never decides who is told. Used by the
intake.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from scheduler import bulk, lanes
from scheduler.database import Database
from schemas.delivery_tables import DeliveryRow

#: Rows of deliveries in one statement.
ROWS_MAX: Final = 500
#: Meetings whose forgotten events are looked for at a time.
MEETINGS_MAX: Final = 100
_NO_END: Final = 2**63 - 1
_TABLES: Final = DeliveryRow.metadata.tables
_DELIVERY: Final = _TABLES["delivery"]
_OUTBOX: Final = _TABLES["outbox"]

Row = dict[str, Any]
#: Returns the deliveries of events, by event id; what makes no sense is left out.
Expand = Callable[[Sequence[dict[str, Any]]], Awaitable[dict[str, list[Row]]]]


class IntakeStore:
    """New deliveries in the database; each method is one transaction or one read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect: Any = sqlite if database.is_sqlite else postgresql
        self._insert = dialect.insert(_DELIVERY).on_conflict_do_nothing(
            index_elements=["target", "event_id"]
        )

    async def add(
        self,
        events: Sequence[dict[str, Any]],
        expand: Expand,
        *,
        now_ms: int,
        meetings: Collection[str] = (),
    ) -> set[str]:
        """Take in events, those of their meetings before them, and all of `meetings`.

        What comes behind the events is left to the bus: with it a transaction, and the lock of its
        lanes, would last as long as the backlog. What is there already (same target and event) is
        left alone. Returns the ids of those `events` that make no sense; one of the outbox that
        makes none is given up.
        """
        concerned = sorted({event["meeting"] for event in events}.union(meetings))
        async with self._database.write_lock, self._database.begin() as connection:
            await bulk.by_index(connection)
            await lanes.lock(connection, concerned)
            handed = {event["id"]: event for event in events}
            last = None if meetings else max(int(event["seq"]) for event in events)
            unexpanded = await _unexpanded(connection, concerned, handed, last)
            stale = await _expanded(connection, [i for i in handed if i not in unexpanded])
            for event_id in stale:
                del handed[event_id]
            todo = unexpanded | handed
            ordered = sorted(todo.values(), key=lambda event: int(event["seq"]))
            made = await expand(ordered)
            rows = [row for event in ordered for row in made.get(event["id"], ())]
            await self._store(connection, rows, safe=handed.keys() <= unexpanded.keys())
            senseless = {event_id for event_id in handed if event_id not in made}
            done = [event["seq"] for key, event in unexpanded.items() if key not in senseless]
            if done:
                await _mark(connection, sorted(done), now_ms=now_ms)
        return senseless

    async def _store(self, connection: AsyncConnection, rows: list[Row], *, safe: bool) -> None:
        """Insert deliveries; `safe`: none of them can be there already."""
        if not rows:
            return
        strict = [row for row in rows if not lanes.is_relaxed(row["lane"], row["id"])]
        names = list({row["lane"]: None for row in strict})
        busy = await lanes.with_head(connection, names) if names else set()
        for row in rows:
            if row["state"] != "waiting":
                continue
            lane = row["lane"]
            if lane not in busy:
                row["state"] = "queued"
            if not lanes.is_relaxed(lane, row["id"]):
                busy.add(lane)
        for at in range(0, len(rows), ROWS_MAX):
            await connection.execute(self._insert, rows[at : at + ROWS_MAX])
        if not safe:
            # A head that was there already leaves its lane without one.
            await lanes.move_on(connection, names)

    async def forgotten(self, *, before_ms: int) -> list[str]:
        """Return meetings with events that were published before this time and never taken in."""
        statement = (
            select(_OUTBOX.c.meeting_id)
            .where(_OUTBOX.c.expanded_ms.is_(None), _OUTBOX.c.published_ms < before_ms)
            .distinct()
            .limit(MEETINGS_MAX)
        )
        async with self._database.connect() as connection:
            return [row[0] for row in await connection.execute(statement)]


async def _unexpanded(
    connection: AsyncConnection, meetings: Sequence[str], handed: Collection[str], last: int | None
) -> dict[str, dict[str, Any]]:
    """Return the events of these meetings up to `last` that have no deliveries yet, in order.

    Of those at hand only what tells them apart: their bodies are there.
    """
    listed, argument = bulk.texts(connection, meetings)
    found = await connection.execute(
        text(
            "SELECT seq, event_id FROM outbox WHERE expanded_ms IS NULL"  # noqa: S608
            f" AND meeting_id IN (SELECT value FROM {listed}) AND seq <= :last ORDER BY seq"
        ),
        {"texts": argument, "last": _NO_END if last is None else last},
    )
    events: dict[str, dict[str, Any]] = {
        event_id: {"id": event_id, "seq": int(seq)} for seq, event_id in found
    }
    earlier = [event["seq"] for event_id, event in events.items() if event_id not in handed]
    if earlier:
        bodies = await connection.execute(
            select(_OUTBOX.c.event_id, _OUTBOX.c.body).where(_OUTBOX.c.seq.in_(earlier))
        )
        for event_id, body in bodies:
            events[event_id] = orjson.loads(body) | events[event_id]
    return events


async def _expanded(connection: AsyncConnection, event_ids: Sequence[str]) -> set[str]:
    """Return those of the events that the outbox knows to be done."""
    if not event_ids:
        return set()
    found = await connection.execute(
        select(_OUTBOX.c.event_id).where(
            _OUTBOX.c.event_id.in_(event_ids), _OUTBOX.c.expanded_ms.is_not(None)
        )
    )
    return {row[0] for row in found}


async def _mark(connection: AsyncConnection, seqs: Sequence[int], *, now_ms: int) -> None:
    """Note that these events have their deliveries; the relay need not hand them over again."""
    listed, argument = bulk.texts(connection, [str(seq) for seq in seqs])
    await connection.execute(
        text(
            "UPDATE outbox SET expanded_ms = :now, published_ms = COALESCE(published_ms, :now)"  # noqa: S608
            f" WHERE seq IN (SELECT CAST(value AS bigint) FROM {listed})"
        ),
        {"texts": argument, "now": now_ms},
    )

"""The rows of deliveries and attempts, as the sender sees them.

Owns every statement of its turn: writing down what became of attempts, moving lanes on, and
claiming what is due. A delivery that stands behind another one of its lane is `waiting`; only the
head of a lane is `queued`. Never talks to receivers and never decides when to try again. Used by
the sender.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ColumnElement, func, literal_column, select, text, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from scheduler import bulk, lanes
from scheduler.database import Database
from schemas.delivery_tables import DeliveryRow
from workers import target_store
from workers.breaker import Change, Health, Probe

#: Due deliveries that are looked at in one turn.
CANDIDATES_MAX: Final = 512
#: Those of targets that have more due than places.
CROWDED_CANDIDATES_MAX: Final = 64
#: Expired claims that are repaired at a time.
REPAIR_MAX: Final = 1_000

_TABLES: Final = DeliveryRow.metadata.tables
_DELIVERY: Final = _TABLES["delivery"]
# Written out, not arguments: the planner must see that the partial indexes fit.
_QUEUED: Final = _DELIVERY.c.state == literal_column("'queued'")
_SENDING: Final = _DELIVERY.c.state == literal_column("'sending'")

_ATTEMPT: Final = {
    "delivery_id": "text",
    "number": "integer",
    "at_ms": "bigint",
    "took_ms": "integer",
    "status": "integer",
    "error": "text",
}
_RESULT: Final = {
    "id": "text",
    "claim": "bigint",
    "state": "text",
    "attempts": "integer",
    "next_ms": "bigint",
    "finished_ms": "bigint",
    "reason": "text",
}


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery whose time has come."""

    id: str
    event_id: str
    target: str
    lane: str
    url: str
    #: Attempts so far.
    attempts: int
    dialect: str
    credential_id: int
    meeting_id: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that this worker, and nobody else, may send as long as it renews the claim."""

    due: Due
    #: As first claimed; what it is now is known to the sender.
    until_ms: int
    body: bytes
    #: The one attempt at a target that is left alone otherwise: until then nobody makes another.
    probe_until_ms: int = 0

    @property
    def probe(self) -> bool:
        """Whether it is such a probe."""
        return self.probe_until_ms > 0


@dataclass(slots=True)
class Finished:
    """What became of a claim."""

    claim: Claim
    #: The state it is in now: delivered, parked, or queued for another attempt.
    state: str
    next_attempt_ms: int
    #: The row of the attempt; None when nothing was tried.
    attempt: dict[str, Any] | None
    reason: str = ""
    #: The receiver works again: what was put off for its sake is due now.
    recovered: bool = False
    #: Until when it is claimed by now, filled in when it is written down: a former holder changes
    #: nothing.
    claimed_until_ms: int = 0


@dataclass(frozen=True, slots=True)
class Ends:
    """Until when what is claimed in a turn belongs to its worker."""

    claim_ms: int
    #: Until then nobody makes another probe of the same target.
    probe_ms: int


@dataclass(slots=True)
class Choice:
    """What to do with the deliveries that are due."""

    claimed: list[Due] = field(default_factory=list)
    #: Deliveries by the instant in ms until which they are put off.
    put_off: dict[int, list[str]] = field(default_factory=dict)
    #: Attempts that need the permission of the database, as one of all workers makes them.
    probes: dict[str, tuple[Due, Probe]] = field(default_factory=dict)
    #: Deliveries of targets that get nothing at present, with the reason.
    parked: dict[str, list[Due]] = field(default_factory=dict)


@dataclass(slots=True)
class Turn:
    """What came of one turn."""

    claims: list[Claim]
    #: Deliveries that were looked at.
    seen: int
    #: How the targets stand that something was written down of.
    health: dict[str, Health]


class DeliveryStore:
    """Deliveries in the database; each method is one transaction or one read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        async with self._database.write_lock, self._database.begin() as connection:
            await bulk.by_index(connection)
            yield connection

    async def next_due_ms(self) -> int | None:
        """Return when the next delivery is due, None when none is queued."""
        statement = select(func.min(_DELIVERY.c.next_attempt_ms)).where(_QUEUED)
        async with self._database.connect() as connection:
            found = (await connection.execute(statement)).scalar_one()
        return None if found is None else int(found)

    async def unwell(self) -> dict[str, Health]:
        """Return the targets that fail or are left alone."""
        async with self._database.connect() as connection:
            return await target_store.unwell(connection)

    async def turn(
        self,
        finished: Sequence[Finished],
        changes: Sequence[Change],
        *,
        now_ms: int,
        ends: Ends,
        choose: Callable[[list[Due], dict[str, str]], Choice],
        is_on: Callable[[str], bool] = lambda _: False,
        crowded: Collection[str] = (),
        number: int = CANDIDATES_MAX,
    ) -> Turn:
        """Write down what became of attempts, move their lanes on, and claim what is due.

        `choose` sees the due deliveries, longest due first but those for the `crowded` targets
        last, and the targets that get nothing; it must not block. Of what is not known to be on by
        `is_on` the database is asked. A claim that somebody else has taken over in the meantime is
        not changed by its former holder.
        """
        async with self._writing() as connection:
            if finished:
                await _write_down(connection, finished, now_ms=now_ms)
            health = await target_store.store(connection, changes)
            due = await _due(connection, now_ms, crowded, number)
            doubtful = {row.target for row in due if not is_on(row.target)}
            off = await target_store.switched_off(connection, doubtful)
            choice = choose(due, off)
            claims = await _claim(connection, choice, ends)
            for until_ms, ids in choice.put_off.items():
                await connection.execute(
                    update(_DELIVERY)
                    .where(_DELIVERY.c.id.in_(ids))
                    .values(next_attempt_ms=until_ms)
                )
            for reason, rows in choice.parked.items():
                await _park(connection, rows, reason, now_ms=now_ms)
        return Turn(claims, len(due), health)

    async def renew(self, claims: Mapping[str, int], *, until_ms: int) -> set[str]:
        """Claim until later what is claimed, by id and present end; return what could be."""
        if not claims:
            return set()
        rows = [{"id": key, "claim": end_ms} for key, end_ms in sorted(claims.items())]
        async with self._writing() as connection:
            table, argument = bulk.records(connection, {"id": "text", "claim": "bigint"}, rows)
            found = await connection.execute(
                text(
                    f"UPDATE delivery SET claimed_until_ms = :until FROM {table}"  # noqa: S608
                    " WHERE delivery.id = r.id AND delivery.state = 'sending'"
                    " AND delivery.claimed_until_ms = r.claim RETURNING delivery.id"
                ),
                {"records": argument, "until": until_ms},
            )
            return {row[0] for row in found}

    async def free_claims(self, *, now_ms: int, every_claim: bool = False) -> int:
        """Queue what a dead worker was sending; with `every_claim` before the claims expire.

        Returns how many deliveries can go on.
        """
        over = _SENDING if every_claim else _SENDING & (_DELIVERY.c.claimed_until_ms <= now_ms)
        expired = select(_DELIVERY.c.id).where(over).limit(REPAIR_MAX)
        async with self._database.connect() as connection:
            ids = [row[0] for row in await connection.execute(expired)]
        if ids:
            async with self._writing() as connection:
                await connection.execute(
                    update(_DELIVERY)
                    .where(_DELIVERY.c.id.in_(ids), over)
                    .values(state="queued", next_attempt_ms=now_ms, claimed_until_ms=0)
                )
        return len(ids)

    async def free_lanes(self) -> int:
        """Move on lanes without a head, which nobody should leave; returns how many there were."""
        async with self._database.connect() as connection:
            stuck = await lanes.stuck(connection)
        if stuck:
            async with self._writing() as connection:
                await lanes.lock(connection, stuck.values())
                await lanes.move_on(connection, stuck)
        return len(stuck)


async def _due(
    connection: AsyncConnection, now_ms: int, crowded: Collection[str], number: int
) -> list[Due]:
    """Return deliveries that are due, those of crowded targets last, and lock them."""
    if not crowded:
        return await _select_due(connection, now_ms, true(), number)
    target = _DELIVERY.c.target
    due = await _select_due(connection, now_ms, target.not_in(crowded), number)
    few = min(number, CROWDED_CANDIDATES_MAX)
    return due + await _select_due(connection, now_ms, target.in_(crowded), few)


async def _select_due(
    connection: AsyncConnection, now_ms: int, wanted: ColumnElement[bool], number: int
) -> list[Due]:
    statement = (
        select(*(_DELIVERY.c[name] for name in Due.__dataclass_fields__))
        .where(_QUEUED, _DELIVERY.c.next_attempt_ms <= now_ms, wanted)
        .order_by(_DELIVERY.c.next_attempt_ms)
        .limit(number)
        .with_for_update(skip_locked=True)  # SQLite has no such clause and needs none
    )
    return [Due(*row) for row in await connection.execute(statement)]


async def _claim(connection: AsyncConnection, choice: Choice, ends: Ends) -> list[Claim]:
    """Claim what was chosen; a probe that another worker makes is put off."""
    claimed = list(choice.claimed)
    probing: set[str] = set()
    for due, probe in choice.probes.values():
        if await target_store.take_probe(connection, probe, ends.probe_ms):
            claimed.append(due)
            probing.add(due.id)
        else:
            choice.put_off.setdefault(ends.probe_ms, []).append(due.id)
    if not claimed:
        return []
    listed, argument = bulk.texts(connection, [due.id for due in claimed])
    found = await connection.execute(
        text(
            "UPDATE delivery SET state = 'sending', claimed_until_ms = :until"  # noqa: S608
            f" WHERE id IN (SELECT value FROM {listed}) RETURNING id, body"
        ),
        {"texts": argument, "until": ends.claim_ms},
    )
    bodies: dict[str, Any] = {row[0]: row[1] for row in found}
    return [
        Claim(
            due,
            ends.claim_ms,
            bytes(bodies[due.id]),
            ends.probe_ms if due.id in probing else 0,
        )
        for due in claimed
        if due.id in bodies
    ]


async def _park(
    connection: AsyncConnection, rows: Sequence[Due], reason: str, *, now_ms: int
) -> None:
    """Park deliveries that were due; what waits behind them comes next."""
    strict = [row for row in rows if not lanes.is_relaxed(row.lane, row.id)]
    await lanes.lock(connection, [row.meeting_id for row in strict])
    await connection.execute(
        update(_DELIVERY)
        .where(_DELIVERY.c.id.in_([row.id for row in rows]))
        .values(state="parked", finished_ms=now_ms, parked_reason=reason)
    )
    await lanes.move_on(connection, [row.lane for row in strict])


async def _write_down(
    connection: AsyncConnection, finished: Sequence[Finished], *, now_ms: int
) -> None:
    """Store attempts and new states, and move the lanes of what is over on."""
    over = [item.claim.due for item in finished if item.state != "queued"]
    strict = [due for due in over if not lanes.is_relaxed(due.lane, due.id)]
    await lanes.lock(connection, [due.meeting_id for due in strict])
    attempts = [item.attempt for item in finished if item.attempt is not None]
    if attempts:
        table, argument = bulk.records(connection, _ATTEMPT, attempts)
        names = ", ".join(_ATTEMPT)
        await connection.execute(
            text(f"INSERT INTO attempt ({names}) SELECT {names} FROM {table} WHERE true"),  # noqa: S608
            {"records": argument},
        )
    results = [
        {
            "id": item.claim.due.id,
            "claim": item.claimed_until_ms,
            "state": item.state,
            "attempts": item.claim.due.attempts + (item.attempt is not None),
            "next_ms": item.next_attempt_ms,
            "finished_ms": None if item.state == "queued" else now_ms,
            "reason": item.reason,
        }
        for item in sorted(finished, key=lambda item: item.claim.due.id)
    ]
    table, argument = bulk.records(connection, _RESULT, results)
    await connection.execute(
        text(
            "UPDATE delivery SET state = r.state, attempts = r.attempts,"  # noqa: S608  # names of ours
            " next_attempt_ms = r.next_ms, claimed_until_ms = 0, finished_ms = r.finished_ms,"
            f" parked_reason = r.reason FROM {table} WHERE delivery.id = r.id"
            " AND delivery.state = 'sending' AND delivery.claimed_until_ms = r.claim"
        ),
        {"records": argument},
    )
    await lanes.move_on(connection, [due.lane for due in strict])
    recovered = [item.claim for item in finished if item.recovered]
    if recovered:
        await _call_back(connection, recovered, now_ms=now_ms)


async def _call_back(
    connection: AsyncConnection, recovered: Sequence[Claim], *, now_ms: int
) -> None:
    """Make due what was put off for the sake of a receiver that works again.

    That is what was never tried, and what was put off until the end of the probe; other retries
    keep to their steps.
    """
    targets = sorted({claim.due.target for claim in recovered})
    untils_ms = sorted({claim.probe_until_ms for claim in recovered if claim.probe})
    put_off = (_DELIVERY.c.attempts == 0) | _DELIVERY.c.next_attempt_ms.in_(untils_ms)
    await connection.execute(
        update(_DELIVERY)
        .where(_DELIVERY.c.target.in_(targets), _QUEUED, put_off)
        .where(_DELIVERY.c.next_attempt_ms > now_ms)
        .values(next_attempt_ms=now_ms)
    )

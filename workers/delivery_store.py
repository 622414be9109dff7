"""The rows of deliveries and attempts.

Owns every statement on them: taking in new deliveries once, writing down what became of attempts,
moving lanes on, and claiming what is due. A delivery that stands behind another one of its lane is
`waiting`; only the head of a lane is `queued`. Never talks to receivers and never decides when to
try again. Used by the delivery worker.
"""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, bindparam, func, insert, or_, select, text, true, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from scheduler.database import Database
from schemas.tables import DeliveryRow

#: Due deliveries that are looked at in one turn.
CANDIDATES_MAX: Final = 512
#: Stuck lanes and expired claims that are repaired at a time.
REPAIR_MAX: Final = 1_000

_TABLES: Final = DeliveryRow.metadata.tables
_DELIVERY: Final = _TABLES["delivery"]
_ATTEMPT: Final = _TABLES["attempt"]
_OUTBOX: Final = _TABLES["outbox"]
_OPEN: Final = ("queued", "sending")
_LANE_LOCKS: Final = text(
    "SELECT pg_advisory_xact_lock(hashtextextended(lane, 7328532711))"
    " FROM unnest(CAST(:lanes AS text[])) AS lane"
)


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


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that this worker, and nobody else, may send until the claim ends."""

    due: Due
    until_ms: int


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of a claim."""

    claim: Claim
    #: The state it is in now: delivered, parked, or queued for another attempt.
    state: str
    next_attempt_ms: int
    #: The row of the attempt; None when nothing was tried.
    attempt: dict[str, Any] | None
    #: The receiver works again: what was put off for its sake is due now.
    recovered: bool = False


@dataclass(slots=True)
class Choice:
    """What to do with the deliveries that are due: send them, or put them off."""

    claimed: list[Due]
    #: Delivery ids by the instant in ms until which they are put off.
    put_off: dict[int, list[str]]


class DeliveryStore:
    """Deliveries in the database; each method is one transaction or one read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect: Any = sqlite if database.is_sqlite else postgresql
        self._insert = dialect.insert(_DELIVERY).on_conflict_do_nothing(
            index_elements=["target", "event_id"]
        )

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        async with self._database.write_lock, self._database.begin() as connection:
            yield connection

    async def add(
        self, rows: Sequence[dict[str, Any]], *, handed_over: Sequence[str] = (), now_ms: int
    ) -> None:
        """Take in deliveries; what is there already (same target and event) is left alone.

        `handed_over` are ids of events that the outbox need not keep for another publication.
        """
        lanes = sorted({row["lane"] for row in rows})
        # One order everywhere: two workers that take in the same events cannot block each other.
        ordered = sorted(rows, key=lambda row: (row["target"], row["event_id"]))
        async with self._writing() as connection:
            if ordered:
                await _lock_lanes(connection, lanes)
                await connection.execute(self._insert, ordered)
                await _move_on(connection, lanes)
            if handed_over:
                await connection.execute(
                    update(_OUTBOX)
                    .where(_OUTBOX.c.event_id.in_(handed_over), _OUTBOX.c.published_ms.is_(None))
                    .values(published_ms=now_ms)
                )

    async def next_due_ms(self) -> int | None:
        """Return when the next delivery is due, None when none is queued."""
        statement = select(func.min(_DELIVERY.c.next_attempt_ms)).where(
            _DELIVERY.c.state == "queued"
        )
        async with self._database.connect() as connection:
            found = (await connection.execute(statement)).scalar_one()
        return None if found is None else int(found)

    async def turn(
        self,
        finished: Sequence[Finished],
        *,
        now_ms: int,
        claim_until_ms: int,
        choose: Callable[[list[Due]], Choice],
        crowded: Collection[str] = (),
    ) -> tuple[list[Claim], int]:
        """Write down what became of attempts, move their lanes on, and claim what is due.

        `choose` sees the due deliveries, longest due first but those for the `crowded` targets
        last, and must not block. Returns the claims and how many deliveries were looked at. A claim
        that somebody else has taken over in the meantime is not changed by its former holder.
        """
        async with self._writing() as connection:
            if finished:
                await _write_down(connection, finished, now_ms=now_ms)
            if crowded:
                target = _DELIVERY.c.target
                due = await _due(connection, now_ms, target.not_in(crowded))
                due += await _due(connection, now_ms, target.in_(crowded))
            else:
                due = await _due(connection, now_ms, true())
            choice = choose(due)
            if choice.claimed:
                await connection.execute(
                    update(_DELIVERY)
                    .where(_DELIVERY.c.id.in_([row.id for row in choice.claimed]))
                    .values(state="sending", claimed_until_ms=claim_until_ms)
                )
            for until_ms, ids in choice.put_off.items():
                await connection.execute(
                    update(_DELIVERY)
                    .where(_DELIVERY.c.id.in_(ids))
                    .values(next_attempt_ms=until_ms)
                )
        return [Claim(row, claim_until_ms) for row in choice.claimed], len(due)

    async def free_claims(self, *, now_ms: int, every_claim: bool = False) -> int:
        """Queue what a dead worker was sending; with `every_claim` before the claims expire.

        Returns how many deliveries can go on.
        """
        over = _DELIVERY.c.state == "sending"
        if not every_claim:
            over &= _DELIVERY.c.claimed_until_ms <= now_ms
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
        headless = _headless().with_only_columns(_DELIVERY.c.lane).limit(REPAIR_MAX)
        async with self._database.connect() as connection:
            lanes = sorted({row[0] for row in await connection.execute(headless)})
        if lanes:
            async with self._writing() as connection:
                await _lock_lanes(connection, lanes)
                await _move_on(connection, lanes)
        return len(lanes)


async def _due(connection: AsyncConnection, now_ms: int, wanted: ColumnElement[bool]) -> list[Due]:
    """Return deliveries that are due, longest due first, and lock them."""
    statement = (
        select(*(_DELIVERY.c[name] for name in Due.__dataclass_fields__))
        .where(_DELIVERY.c.state == "queued", _DELIVERY.c.next_attempt_ms <= now_ms, wanted)
        .order_by(_DELIVERY.c.next_attempt_ms)
        .limit(CANDIDATES_MAX)
        .with_for_update(skip_locked=True)  # SQLite has no such clause and needs none
    )
    return [Due(*row) for row in await connection.execute(statement)]


def _headless() -> Any:
    """Return a query of waiting deliveries that nothing in their lane stands before."""
    other = _DELIVERY.alias("other")
    before = (
        select(other.c.id)
        .where(other.c.lane == _DELIVERY.c.lane)
        .where(
            or_(
                other.c.state.in_(_OPEN),
                (other.c.state == "waiting") & (other.c.seq < _DELIVERY.c.seq),
            )
        )
        .exists()
    )
    return select(_DELIVERY.c.id).where(_DELIVERY.c.state == "waiting", ~before)


async def _lock_lanes(connection: AsyncConnection, lanes: Sequence[str]) -> None:
    """Keep other transactions from deciding who is next in these lanes; `lanes` are sorted.

    Without it a delivery that is taken in while the one before it is finished would be seen by
    neither of the two, and wait for ever. On SQLite there is one writer at a time anyway.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(_LANE_LOCKS, {"lanes": list(lanes)})


async def _move_on(connection: AsyncConnection, lanes: Sequence[str]) -> None:
    """Queue the first waiting delivery of each lane that has no head."""
    heads = _headless().where(_DELIVERY.c.lane.in_(lanes))
    await connection.execute(
        update(_DELIVERY)
        .where(_DELIVERY.c.id.in_(heads), _DELIVERY.c.state == "waiting")
        .values(state="queued")
    )


async def _write_down(
    connection: AsyncConnection, finished: Sequence[Finished], *, now_ms: int
) -> None:
    """Store attempts and new states, and move the lanes of what is over on."""
    lanes = sorted({item.claim.due.lane for item in finished if item.state != "queued"})
    if lanes:
        await _lock_lanes(connection, lanes)
    attempts = [item.attempt for item in finished if item.attempt is not None]
    if attempts:
        await connection.execute(insert(_ATTEMPT), attempts)
    await connection.execute(
        update(_DELIVERY)
        .where(_DELIVERY.c.id == bindparam("b_id"), _DELIVERY.c.state == "sending")
        .where(_DELIVERY.c.claimed_until_ms == bindparam("b_claim"))
        .values(
            state=bindparam("b_state"),
            attempts=bindparam("b_attempts"),
            next_attempt_ms=bindparam("b_next"),
            claimed_until_ms=0,
            finished_ms=bindparam("b_finished"),
        ),
        [
            {
                "b_id": item.claim.due.id,
                "b_claim": item.claim.until_ms,
                "b_state": item.state,
                "b_attempts": item.claim.due.attempts + (item.attempt is not None),
                "b_next": item.next_attempt_ms,
                "b_finished": None if item.state == "queued" else now_ms,
            }
            for item in sorted(finished, key=lambda item: item.claim.due.id)
        ],
    )
    if lanes:
        await _move_on(connection, lanes)
    targets = sorted({item.claim.due.target for item in finished if item.recovered})
    if targets:
        await connection.execute(
            update(_DELIVERY)
            .where(_DELIVERY.c.target.in_(targets), _DELIVERY.c.state == "queued")
            .where(_DELIVERY.c.attempts == 0, _DELIVERY.c.next_attempt_ms > now_ms)
            .values(next_attempt_ms=now_ms)
        )

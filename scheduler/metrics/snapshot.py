"""What stands in the database, read now and then for the metrics.

Owns one reading at a time and how old it is. A scrape is answered from the last one and may start
the next, but never waits for it; a database that does not answer only makes it old. Reads only.
Called by `exposition`.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import structlog
from sqlalchemy import case, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from scheduler.bus.errors import BusError
from scheduler.bus.interface import Bus
from scheduler.database import Database
from schemas.delivery_tables import DeliveryRow
from schemas.tables import MeetingRow

FRESH_S: Final = 5.0
_TIMEOUT_S: Final = 10.0
#: The first scrape of a process may wait this long, so that it shows something.
_FIRST_S: Final = 2.0
_PARKED_EVERY_S: Final = 60.0
_PARKED_MAX: Final = 100

_TABLES: Final = MeetingRow.metadata.tables
_MEETING: Final = _TABLES["meeting"]
_ATTENDEE: Final = _TABLES["attendee"]
_OUTBOX: Final = _TABLES["outbox"]
_POOL: Final = _TABLES["pool"]
_DELIVERY: Final = DeliveryRow.metadata.tables["delivery"]
_TARGET: Final = _TABLES["target"]

log = structlog.get_logger(__name__)


class Seats(NamedTuple):
    """A live meeting or booking, as far as seats go."""

    pool: int
    subscription: int
    node: int | None
    state: str
    seats: int
    start_s: int
    end_s: int


class Users(NamedTuple):
    """How many people are in the meetings of one subscription on one node."""

    pool: int
    subscription: int
    node: int | None
    users: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found at one time."""

    now_s: int
    seats: Sequence[Seats] = ()
    users: Sequence[Users] = ()
    #: Epochs by pool.
    epochs: dict[int, int] = field(default_factory=dict)
    #: Deliveries by state.
    deliveries: dict[str, int] = field(default_factory=dict)
    delivery_age_s: float = 0.0
    unpublished: int = 0
    outbox_age_s: float = 0.0
    #: Targets that fail, and those that are left alone at present.
    failing: int = 0
    open: int = 0


class Snapshot:
    """The last reading; started by the first scrape."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus
        self._parked_s = float("-inf")
        #: Messages that were given up, a hundred at most; None while nobody could tell.
        self.parked: int | None = None
        self._task: asyncio.Task[None] | None = None
        self._read_s = float("-inf")
        self._tried_s = float("-inf")
        self.reading: Reading | None = None
        #: Whether the database answered when it was asked last.
        self.up = True

    @property
    def age_s(self) -> float:
        """How old the reading is; infinite before the first."""
        return time.monotonic() - self._read_s

    async def refreshed(self) -> Reading | None:
        """Return the last reading; begins a new one when it is not fresh."""
        busy = self._task is not None and not self._task.done()
        if not busy and time.monotonic() - self._tried_s >= FRESH_S:
            self._tried_s = time.monotonic()
            self._task = asyncio.create_task(self._read())
        if self.reading is None and self._task is not None:
            await asyncio.wait([self._task], timeout=_FIRST_S)
        return self.reading

    async def close(self) -> None:
        """Give up a reading under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look_for_parked(self) -> None:
        """Count the parked messages now and then: looking takes them out for a moment."""
        if time.monotonic() - self._parked_s < _PARKED_EVERY_S:
            return
        self._parked_s = time.monotonic()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                self.parked = len(await self._bus.parked(limit=_PARKED_MAX))
        except (BusError, TimeoutError) as error:
            self.parked = None
            log.info("parked messages could not be counted", error=str(error))

    async def _read(self) -> None:
        await self._look_for_parked()
        try:
            async with asyncio.timeout(_TIMEOUT_S), self._database.connect() as connection:
                self.reading = await read(connection, int(time.time()))
        except (SQLAlchemyError, OSError) as error:  # a TimeoutError is an OSError
            self.up = False
            log.warning("metrics could not be read from the database", error=str(error))
        else:
            self.up = True
            self._read_s = time.monotonic()


async def read(connection: AsyncConnection, now_s: int) -> Reading:
    """Read everything once."""
    mine = _MEETING.c.live.is_(True) & _MEETING.c.parent_id.is_(None)
    # By way of the pools: the index of live meetings begins with them.
    mine &= _MEETING.c.pool_id.in_(select(_POOL.c.id))
    payer = (_MEETING.c.pool_id, _MEETING.c.subscription_id, _MEETING.c.node_id)
    what = (_MEETING.c.state, _MEETING.c.seats, _MEETING.c.start_s, _MEETING.c.end_s)
    seats = [Seats(*row) for row in await connection.execute(select(*payer, *what).where(mine))]
    people = (
        select(*payer, func.count())
        .join(_ATTENDEE, _ATTENDEE.c.meeting_id == _MEETING.c.id)
        .where(mine, _ATTENDEE.c.present.is_(True))
        .group_by(*payer)
    )
    users = [Users(*row) for row in await connection.execute(people)]
    pools = await connection.execute(select(_POOL.c.id, _POOL.c.epoch))
    epochs = {pool: epoch for pool, epoch in pools}  # noqa: C416  # a row is no tuple
    now_ms = now_s * 1_000
    queues = await _queues(connection, now_ms)
    opened = case((_TARGET.c.open_until_ms > now_ms, 1), else_=0)
    failing = await connection.execute(
        select(func.count(), func.coalesce(func.sum(opened), 0)).where(
            (_TARGET.c.failures > 0) | (_TARGET.c.open_until_ms > now_ms)
        )
    )
    failed, left_alone = failing.one()
    return Reading(
        now_s=now_s,
        seats=seats,
        users=users,
        epochs=epochs,
        failing=int(failed),
        open=int(left_alone),
        **queues,
    )


async def _queues(connection: AsyncConnection, now_ms: int) -> dict[str, Any]:
    state = _DELIVERY.c.state
    open_ones = ("waiting", "queued", "sending")
    counted = await connection.execute(
        select(state, func.count(), func.min(_DELIVERY.c.created_ms))
        .where(state.in_((*open_ones, "parked")))
        .group_by(state)
    )
    rows = [tuple(row) for row in counted]
    outbox = await connection.execute(
        select(func.count(), func.min(_OUTBOX.c.at_ms)).where(_OUTBOX.c.published_ms.is_(None))
    )
    unpublished, oldest_ms = outbox.one()
    first_ms = min((first for name, _, first in rows if name in open_ones), default=now_ms)
    return {
        "deliveries": dict.fromkeys((*open_ones, "parked"), 0)
        | {name: count for name, count, _ in rows},
        "delivery_age_s": max(0, now_ms - first_ms) / 1_000,
        "unpublished": int(unpublished),
        "outbox_age_s": max(0, now_ms - (oldest_ms or now_ms)) / 1_000,
    }

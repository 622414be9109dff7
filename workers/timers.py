"""The role `timers`: tells the pools that time has passed, and has old rows removed.

Owns two clocks: every second it looks whether the window of a held meeting has ended, or that of a
booking begins soon, and publishes a tick for that pool; every hour it calls the cleaner. Never
changes a meeting: the placement worker does, when the tick arrives. Two of them are harmless, a
tick says nothing but "look".
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC
from typing import Any, Final

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from scheduler import credentials, endpoints, node_operations, usage_reading
from scheduler.bus.errors import BusError
from scheduler.bus.interface import Bus
from scheduler.database import Database
from scheduler.directory import DirectoryWatch
from scheduler.ledger import cleaner
from scheduler.ledger.errors import StoreDown
from scheduler.settings import Settings
from schemas.tables import MeetingRow
from schemas.values import MeetingState

TICK_S: Final = 1.0
CLEAN_S: Final = 3_600.0
#: Meetings last a minute at least, so a window that begins and ends in between is not missed.
LOOK_AHEAD_S: Final = 5
#: A tick that changed nothing is repeated ever more slowly: without a worker they would pile up.
REPEAT_MAX_S: Final = 60
_TIMEOUT_S: Final = 10.0
_CLOSE_TIMEOUT_S: Final = 5.0

log = structlog.get_logger(__name__)


class Timers:
    """Ticks for all pools until it is closed."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        directory: DirectoryWatch,
        bus: Bus,
        *,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._database = database
        self._directory = directory
        self._bus = bus
        self._now_s = now_s
        #: When to look again, and by pool: the window end that was ticked for, next tick, wait.
        self._look_s = 0.0
        #: Up to when bookings that begin soon have been announced.
        self._announced_s = 0.0
        self._ticked: dict[int, tuple[int, float, float]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._timetable = AsyncIOScheduler(
            timezone=UTC,
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
        )

    async def start(self) -> None:
        """Begin to tick."""
        self._timetable.add_job(
            self._guarded, IntervalTrigger(seconds=TICK_S, timezone=UTC), args=[self.look]
        )
        hourly = IntervalTrigger(seconds=CLEAN_S, jitter=CLEAN_S / 10, timezone=UTC)
        self._timetable.add_job(self._guarded, hourly, args=[self.clean])
        self._timetable.start()

    async def close(self) -> None:
        """Stop; what runs is cancelled and waited for."""
        if self._timetable.running:
            self._timetable.shutdown(wait=False)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=_CLOSE_TIMEOUT_S)
        await asyncio.sleep(0)  # the timetable shuts down in a callback of the loop

    async def clean(self) -> None:
        """Have removed what is older than the retention, and secrets whose rotation is over."""
        await credentials.drop_previous(self._database)
        await endpoints.drop_previous(self._database)
        await node_operations.drop_previous(self._database)
        settings = self._settings
        await cleaner.remove_old(
            self._database,
            settings.keep_days,
            hook_keep_days=settings.hook_keep_days,
            delivery_keep_days=settings.delivery_keep_days,
            audit_keep_days=settings.audit_keep_days,
        )
        await usage_reading.fold(self._database, settings.usage_keep_days)

    async def look(self) -> None:
        """Publish a tick to every pool in which a window has ended; cheap when none is near."""
        now_s = self._now_s()
        if now_s < self._look_s:
            return
        for pool_id in await self._announcing(now_s):
            await self._tick(pool_id)
        self._announced_s = now_s
        ends_s = await self._next_ends_s()
        for pool_id in self._ticked.keys() - ends_s.keys():
            del self._ticked[pool_id]
        for pool_id, end_s in ends_s.items():
            if end_s <= now_s and self._is_due(pool_id, end_s, now_s):
                await self._tick(pool_id)
        coming_s = [end_s for end_s in ends_s.values() if end_s > now_s]
        overdue = len(coming_s) < len(ends_s)
        latest_s = now_s + (TICK_S / 2 if overdue else LOOK_AHEAD_S)
        self._look_s = min([latest_s, *coming_s])

    async def _announcing(self, now_s: float) -> list[int]:
        """Return the pools in which a booking is to be announced since the last look."""
        # A second late rather than early: the worker may have another clock.
        ahead_s = self._settings.booking_notice_s - TICK_S
        table: Any = MeetingRow
        statement = (
            select(table.pool_id)
            .where(table.live.is_(True), table.state == MeetingState.BOOKED.value)
            .where(table.start_s > self._announced_s + ahead_s, table.start_s <= now_s + ahead_s)
            .distinct()
        )
        async with asyncio.timeout(_TIMEOUT_S), self._database.connect() as connection:
            return [int(row[0]) for row in (await connection.execute(statement)).all()]

    async def _next_ends_s(self) -> dict[int, int]:
        """Return the earliest end of a held window, by pool."""
        table: Any = MeetingRow
        statement = (
            select(table.pool_id, func.min(table.end_s))
            .where(table.live.is_(True), table.state == MeetingState.HELD.value)
            .group_by(table.pool_id)
        )
        async with asyncio.timeout(_TIMEOUT_S), self._database.connect() as connection:
            rows = (await connection.execute(statement)).all()
        return {int(pool_id): int(end_s) for pool_id, end_s in rows}

    def _is_due(self, pool_id: int, end_s: int, now_s: float) -> bool:
        """Tell whether to tick for this window end now, the first time or once more."""
        known = self._ticked.get(pool_id)
        if known is None or known[0] != end_s:
            self._ticked[pool_id] = (end_s, now_s + TICK_S, TICK_S)
            return True
        _, next_s, wait_s = known
        if now_s < next_s:
            return False
        wait_s = min(wait_s * 2, REPEAT_MAX_S)
        self._ticked[pool_id] = (end_s, now_s + wait_s, wait_s)
        return True

    async def _tick(self, pool_id: int) -> None:
        pool = self._directory.current.pools.get(pool_id)
        if pool is None:
            log.warning("a window ended in an unknown pool", pool=pool_id)
            return
        async with asyncio.timeout(_TIMEOUT_S):
            await self._bus.publish_facts(pool.name, [{"kind": "tick"}])

    async def _guarded(self, job: Callable[[], Awaitable[object]]) -> None:
        """Run a job; a failure is logged, and the next turn tries again."""
        task = asyncio.current_task()
        if task is None:
            return
        self._running.add(task)
        try:
            await job()
        except (
            BusError,
            StoreDown,
            SQLAlchemyError,
            OSError,
        ) as error:  # a TimeoutError is an OSError
            log.warning("timer could not do its work", error=str(error))
        except Exception:
            log.exception("timer failed")
        finally:
            self._running.discard(task)

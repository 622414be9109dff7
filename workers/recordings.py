"""The role `recordings`: keeps the index of recordings as the nodes have them.

Owns the timetable: every node is asked on its own, with its own patience, so that a hanging one
delays nobody, and a slow one is asked less often. A node that does not answer changes nothing: what
it listed last stays in the index. Never decides whose a recording is; that is the intake's. Two of
them are harmless, only what differs is written.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy.exc import SQLAlchemyError

from scheduler.database import Database
from scheduler.directory import DirectoryWatch
from scheduler.directory_records import Node
from scheduler.ledger.errors import StoreDown
from scheduler.nodes import NodeClient
from scheduler.recording_intake import OVERLAP_MS, Cursor, Intake, unix_ms
from scheduler.recordings import RecordingIndex
from scheduler.settings import Settings
from workers.harvest import Harvest

_JITTER: Final = 0.2
_CLOSE_TIMEOUT_S: Final = 5.0
#: Meetings are looked through this often; one stays on its node for longer than that.
_SCAN_S: Final = 10.0
_FORGET_S: Final = 3_600.0
#: The meeting of a row without a recording ended long before: the node would have made it by now.
_UNRECORDED_DAYS: Final = 90
#: Conferences remembered, so that meetings are not read again and again.
_DONE_MAX: Final = 50_000
#: Of its time, a node is asked for its list for a tenth at most.
_REST: Final = 9.0
#: Pages of all nodes that are read and written at once.
_SLOTS: Final = 4
#: Formats of one recording are told one after the other: a look takes in what comes together.
_GATHER_S: Final = 0.2
_DISABLED: Final = "disabled"

log = structlog.get_logger(__name__)


class Recordings:
    """Harvests the nodes of one pool until it is closed."""

    def __init__(
        self,
        settings: Settings,
        pool_name: str,
        database: Database,
        directory: DirectoryWatch,
        client: NodeClient,
        *,
        now_ms: Callable[[], int] = unix_ms,
    ) -> None:
        self._settings = settings
        self._pool_name = pool_name
        self._directory = directory
        self._client = client
        self._now_ms = now_ms
        self._intake = Intake(database, now_ms=now_ms)
        self._index = RecordingIndex(database, now_ms=now_ms)
        self._harvests: dict[int, Harvest] = {}
        self._rest_until_s: dict[int, float] = {}
        self._cursor: Cursor | None = None
        self._done: set[str] = set()
        self._scanning = asyncio.Lock()
        self._slots = asyncio.Semaphore(_SLOTS)
        self._running: set[asyncio.Task[None]] = set()
        self._timetable = AsyncIOScheduler(
            timezone=UTC,
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
        )
        #: One look at a node at a time.
        self._looking: dict[int, asyncio.Lock] = {}
        #: Nodes that are about to be looked at because they asked for it.
        self._wished: set[int] = set()
        self._closed = False

    async def start(self) -> None:
        """Begin to harvest; the first looks are spread over one interval, at most ten seconds."""
        self._timetable.start()
        self._every(_SCAN_S, self.scan)
        self._every(_FORGET_S, self.forget)
        self._directory.subscribe(self._follow)
        self._follow()

    async def close(self) -> None:
        """Stop; what runs is cancelled and waited for."""
        if self._closed:
            return
        self._closed = True
        if self._timetable.running:
            self._timetable.shutdown(wait=False)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=_CLOSE_TIMEOUT_S)
        await asyncio.sleep(0)  # the timetable shuts down in a callback of the loop

    async def scan(self) -> None:
        """Look through the meetings that changed since the last look; some may be recorded."""
        pool = self._directory.current.pool_by_name.get(self._pool_name)
        if pool is None:
            return
        async with self._scanning:
            cursor = self._cursor
            if cursor is None:
                cursor = await self._intake.resume(node.id for node in self._nodes())
            if len(self._done) > _DONE_MAX:
                self._done.clear()
            while True:
                after = await self._intake.note_recorded(pool.id, cursor, self._done)
                if after == cursor:
                    break
                cursor = after
            self._cursor = Cursor(max(0, cursor.updated_ms - OVERLAP_MS))

    def on_view(self, view: dict[str, Any]) -> None:
        """Look at once at a node that says that it has a new recording; returns at once."""
        if view.get("kind") != "nodeTold" or not view.get("recording") or self._closed:
            return
        node_id = int(view["node"])
        known = node_id in {node.id for node in self._nodes()}
        if known and node_id not in self._wished:
            self._wished.add(node_id)
            task = asyncio.get_running_loop().create_task(self._guarded(self._wish, node_id))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _wish(self, node_id: int) -> None:
        """Harvest a node that asked for it; what it says meanwhile makes another look."""
        await asyncio.sleep(_GATHER_S)
        self._wished.discard(node_id)
        await self.harvest(node_id, at_once=True)

    async def harvest(self, node_id: int, *, at_once: bool = False) -> None:
        """Bring the index up to date with one node; one that took long the last time may rest."""
        node = self._directory.current.nodes.get(node_id)
        now_s = time.monotonic()
        rests = now_s < self._rest_until_s.get(node_id, 0.0) and not at_once
        if node is None or rests:
            return
        if self._cursor is None:
            # The meetings first: what the node lists is looked up among them.
            await self.scan()
        if node_id not in self._harvests:
            self._harvests[node_id] = Harvest(
                self._settings,
                self._client,
                self._intake,
                self._index,
                slots=self._slots,
                now_ms=self._now_ms,
            )
        async with self._looking.setdefault(node_id, asyncio.Lock()):
            began_s = time.monotonic()
            if await self._harvests[node_id].run(node):
                took_s = time.monotonic() - began_s
                self._rest_until_s[node_id] = began_s + took_s * (1 + _REST)

    async def forget(self) -> None:
        """Remove the rows of meetings that left no recording."""
        before_ms = self._now_ms() - _UNRECORDED_DAYS * 86_400_000
        removed = await self._intake.forget_unrecorded(before_ms)
        if removed:
            log.info("removed meetings that left no recording", meetings=removed)

    def _nodes(self) -> list[Node]:
        current = self._directory.current
        pool = current.pool_by_name.get(self._pool_name)
        return [] if pool is None else list(current.nodes_of_pool.get(pool.id, ()))

    def _every(self, interval_s: float, work: Callable[[], Awaitable[None]]) -> None:
        self._timetable.add_job(
            self._guarded, IntervalTrigger(seconds=interval_s, timezone=UTC), args=[work]
        )

    def _follow(self, _directory: object = None) -> None:
        """Make the timetable fit the directory: one job per node that is not disabled."""
        if self._closed:
            return
        wanted = {node.id for node in self._nodes() if node.state != _DISABLED}
        jobs = {int(job.name) for job in self._timetable.get_jobs() if job.name.isdecimal()}
        for node_id in jobs - wanted:
            self._timetable.remove_job(str(node_id))
            self._harvests.pop(node_id, None)
            self._rest_until_s.pop(node_id, None)
            self._looking.pop(node_id, None)
        interval_s = self._settings.recordings_interval_s
        for node_id in sorted(wanted - jobs):
            spread_s = random.SystemRandom().uniform(0, min(10.0, interval_s))
            self._timetable.add_job(
                self._guarded,
                IntervalTrigger(seconds=interval_s, jitter=interval_s * _JITTER, timezone=UTC),
                args=[self.harvest, node_id],
                id=str(node_id),
                name=str(node_id),
                next_run_time=datetime.now(UTC) + timedelta(seconds=spread_s),
            )

    async def _guarded(self, work: Callable[..., Awaitable[None]], *args: int) -> None:
        """Run one duty; the job of the timetable."""
        task = asyncio.current_task()
        if task is None or self._closed:
            return
        self._running.add(task)
        try:
            await work(*args)
        except (SQLAlchemyError, OSError, StoreDown) as error:
            log.warning("recordings wait for the database", error=str(error))
        except Exception:
            # One odd answer must not end the harvest.
            log.exception("harvest of recordings failed", work=work.__name__)
        finally:
            self._running.discard(task)

"""The role `relay`: takes events from the outbox to the bus.

Owns the order (that of the outbox) and the rule that a row is marked only once the event is safe
elsewhere: a crash before that publishes again, with the same event id. The delivery worker marks
what it has stored, most often a moment later; what it leaves is marked here, if a broker confirmed
it: the in-process bus is not safe. Runs beside the placement worker, which wakes it after each
commit, or alone.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson
import structlog
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from scheduler import bulk, failpoints
from scheduler.bus.errors import BusError
from scheduler.bus.interface import Bus
from scheduler.database import Database
from scheduler.settings import Settings
from schemas.tables import OutboxRow

#: Events per publication.
CHUNK_EVENTS_MAX: Final = 500
#: Events that the bus may hold before the relay waits for the delivery worker, or marks them.
HANDED_EVENTS_MAX: Final = 5_000
#: Time for the delivery worker to mark what a broker has.
MARK_AFTER_MS: Final = 5_000
#: Without a wake-up the outbox is looked at this often; after a failure too.
IDLE_S: Final = 0.5
#: One turn may take this long.
TURN_TIMEOUT_S: Final = 30.0
_CLOSE_TIMEOUT_S: Final = 5.0

_OUTBOX: Final = OutboxRow.metadata.tables["outbox"]

log = structlog.get_logger(__name__)


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


class Relay:
    """Publishes what the outbox holds until it is closed; two of them do no harm."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        bus: Bus,
        *,
        now_ms: Callable[[], int] = _unix_ms,
    ) -> None:
        #: The in-process bus dies with the process: the mark is left to the delivery worker.
        self._unsafe_bus = settings.embedded_bus
        #: When the bus took events that are not marked yet, in ms by sequence number.
        self._handed: dict[int, int] = {}
        self._database = database
        self._bus = bus
        self._now_ms = now_ms
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to publish."""
        self._task = asyncio.create_task(self._run(), name="relay")

    async def close(self) -> None:
        """Stop; a publication that runs is cut off and comes again with the next relay."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task], timeout=_CLOSE_TIMEOUT_S)

    def wake(self) -> None:
        """Say that there is something new in the outbox; never blocks."""
        self._woken.set()

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                async with asyncio.timeout(TURN_TIMEOUT_S):
                    relayed = await self.relay_once()
            except (BusError, SQLAlchemyError, OSError) as error:  # a TimeoutError is an OSError
                log.warning("events were not relayed", error=str(error))
                await asyncio.sleep(IDLE_S)
                continue
            except Exception:
                log.exception("relay failed")
                await asyncio.sleep(IDLE_S)
                continue
            if relayed < CHUNK_EVENTS_MAX:
                await self._idle()

    async def _idle(self) -> None:
        """Wait for a wake-up, for a moment at most."""
        try:
            async with asyncio.timeout(IDLE_S):
                await self._woken.wait()
        except TimeoutError:
            return

    async def relay_once(self) -> int:
        """Publish the oldest unpublished events; return how many there were."""
        statement = (
            select(_OUTBOX.c.seq)
            .where(_OUTBOX.c.published_ms.is_(None))
            .order_by(_OUTBOX.c.seq)
            .limit(CHUNK_EVENTS_MAX + len(self._handed))
        )
        async with self._database.connect() as connection:
            unmarked = list((await connection.execute(statement)).scalars())
            known = set(unmarked)
            self._handed = {seq: at_ms for seq, at_ms in self._handed.items() if seq in known}
            room = min(CHUNK_EVENTS_MAX, HANDED_EVENTS_MAX - len(self._handed))
            fresh = [seq for seq in unmarked if seq not in self._handed][: max(0, room)]
            events = await _events(connection, fresh) if fresh else []
        if events:
            await self._bus.publish_events(events)
            failpoints.hit("r.before_mark")
            self._handed.update(dict.fromkeys(fresh, self._now_ms()))
        if not self._unsafe_bus:
            await self._mark()
        return len(events)

    async def _mark(self) -> None:
        """Mark what the delivery worker has not marked for a while, and make room for a chunk.

        What the worker is about to mark at this moment is locked, and left to it.
        """
        since_ms = self._now_ms() - MARK_AFTER_MS
        over = len(self._handed) + CHUNK_EVENTS_MAX - HANDED_EVENTS_MAX
        seqs = [
            seq
            for number, (seq, at_ms) in enumerate(self._handed.items())
            if number < over or at_ms <= since_ms
        ][:CHUNK_EVENTS_MAX]
        if not seqs:
            return
        mine = (
            select(_OUTBOX.c.seq)
            .where(_OUTBOX.c.seq.in_(seqs), _OUTBOX.c.published_ms.is_(None))
            .order_by(_OUTBOX.c.seq)
            .with_for_update(skip_locked=True)
        )
        async with self._database.write_lock, self._database.begin() as connection:
            found = list((await connection.execute(mine)).scalars())
            await connection.execute(
                update(_OUTBOX).where(_OUTBOX.c.seq.in_(found)).values(published_ms=self._now_ms())
            )
        for seq in found:
            del self._handed[seq]


async def _events(connection: AsyncConnection, seqs: Sequence[int]) -> list[dict[str, Any]]:
    """Return events of the outbox with their sequence numbers."""
    await bulk.by_index(connection)
    statement = (
        select(_OUTBOX.c.seq, _OUTBOX.c.body).where(_OUTBOX.c.seq.in_(seqs)).order_by(_OUTBOX.c.seq)
    )
    rows = await connection.execute(statement)
    return [orjson.loads(body) | {"seq": int(seq)} for seq, body in rows]

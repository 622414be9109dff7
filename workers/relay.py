"""The role `relay`: takes events from the outbox to the bus.

Owns the order (that of the outbox) and the rule that a row is marked only once the event is safe
elsewhere: a crash before that publishes again, with the same event id. A broker's confirm is safe;
the in-process bus is not, so there the delivery worker marks what it has stored. Runs beside the
placement worker, which wakes it after each commit, or alone.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson
import structlog
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from scheduler import failpoints
from scheduler.bus.errors import BusError
from scheduler.bus.interface import Bus
from scheduler.database import Database
from scheduler.settings import Settings
from schemas.tables import OutboxRow

#: Events per publication.
CHUNK_EVENTS_MAX: Final = 500
#: Events that the in-process bus may hold before the relay waits for the delivery worker.
HANDED_EVENTS_MAX: Final = 5_000
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
        #: Events that the in-process bus holds, by sequence number.
        self._handed: set[int] = set()
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
        """Publish the oldest unpublished events and mark them; return how many there were."""
        statement = (
            select(_OUTBOX.c.seq, _OUTBOX.c.body)
            .where(_OUTBOX.c.published_ms.is_(None))
            .order_by(_OUTBOX.c.seq)
            .limit(CHUNK_EVENTS_MAX + len(self._handed))
        )
        async with self._database.connect() as connection:
            rows = list((await connection.execute(statement)).all())
        if self._unsafe_bus:
            self._handed.intersection_update(seq for seq, _ in rows)
            room = HANDED_EVENTS_MAX - len(self._handed)
            rows = [row for row in rows if row[0] not in self._handed][: max(0, room)]
        if not rows:
            return 0
        seqs = [int(seq) for seq, _ in rows]
        await self._bus.publish_events([_event(int(seq), body) for seq, body in rows])
        failpoints.hit("r.before_mark")
        if self._unsafe_bus:
            self._handed.update(seqs)
        else:
            await self._mark(seqs)
        return len(rows)

    async def _mark(self, seqs: Sequence[int]) -> None:
        statement = (
            update(_OUTBOX)
            # Where the delivery worker was faster there is nothing left to note.
            .where(_OUTBOX.c.seq.in_(seqs), _OUTBOX.c.published_ms.is_(None))
            .values(published_ms=self._now_ms())
        )
        async with self._database.write_lock, self._database.begin() as connection:
            await connection.execute(statement)


def _event(seq: int, body: bytes) -> dict[str, Any]:
    """Return an event of the outbox with its sequence number."""
    event: dict[str, Any] = orjson.loads(body)
    event["seq"] = seq
    return event

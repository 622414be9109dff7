"""The role `deliveries`: brings events to third-party applications.

Owns the start and the end of its two halves: the intake stores events as deliveries, the sender
sends what is due. Several such workers share the work, and any of them may die at any moment.
Nothing is only in memory.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from scheduler.bus.interface import Bus
from scheduler.database import Database
from scheduler.directory import DirectoryWatch
from scheduler.ledger.errors import StoreDown
from scheduler.settings import Settings
from workers.intake import Intake
from workers.outbound import Outbound
from workers.sender import Sender

#: Events that the bus has lost are looked for this often.
RECOVER_S: Final = 10.0
_CLOSE_TIMEOUT_S: Final = 5.0

log = structlog.get_logger(__name__)


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


class Deliveries:
    """Delivers until it is closed."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        directory: DirectoryWatch,
        bus: Bus,
        *,
        client: Outbound | None = None,
        now_ms: Callable[[], int] = _unix_ms,
    ) -> None:
        self._client = client or Outbound(settings)
        self.sender = Sender(settings, database, directory, client=self._client, now_ms=now_ms)
        self.intake = Intake(
            settings, database, directory, bus, now_ms=now_ms, wake=self.sender.wake
        )
        self._closing = False
        self.loops: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to take in events and to send; raises what the database raises."""
        await self.sender.start()
        await self._client.start()
        self.loops = [
            asyncio.create_task(self.sender.run(), name="deliveries sender"),
            asyncio.create_task(self.sender.claims.run(), name="deliveries claims"),
            asyncio.create_task(self.intake.run(), name="deliveries intake"),
            asyncio.create_task(self._recover(), name="deliveries recovery"),
        ]

    async def close(self) -> None:
        """Stop: attempts under way may finish for a moment, and what became of them is stored."""
        if self._closing:
            return
        self._closing = True
        self.sender.stop()
        for task in self.loops[1:]:
            task.cancel()  # what is not acknowledged comes again; the sender ends its turn
        if self.loops:
            _, stuck = await asyncio.wait(self.loops, timeout=_CLOSE_TIMEOUT_S)
            for loop in stuck:
                loop.cancel()
        await self.sender.drain()
        await self._client.close()

    def wake(self) -> None:
        """Look at the table now; for clocks that are driven, and after changes by people."""
        self.sender.wake()

    async def _recover(self) -> None:
        while True:
            try:
                await self.intake.recover()
            except (SQLAlchemyError, OSError, StoreDown) as error:
                log.warning("lost events cannot be looked for", error=str(error))
            except Exception:
                log.exception("search for lost events failed")
            await asyncio.sleep(RECOVER_S)

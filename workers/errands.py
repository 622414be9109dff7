"""Errands: commands of those who are not on the bus, taken from their table to the bus and back.

Owns the submission and the storing of the answer. Decides nothing; an errand that two workers see
is sent twice under one id, which the placement worker answers once. Called by the role `jobs`.
"""

import asyncio
import time
from typing import Any, Final

import orjson
import structlog
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from scheduler.bus.errors import BusError, BusOverloaded
from scheduler.bus.interface import Bus, Item
from scheduler.database import Database
from schemas import refusals
from schemas.management_tables import ErrandRow
from schemas.values import Reason

log = structlog.get_logger(__name__)

#: Errands that one worker has under way.
AT_ONCE: Final = 200

_ERRAND: Final = ErrandRow.metadata.tables["errand"]


class Errands:
    """What one worker runs for others."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def look(self) -> None:
        """Send the errands that nobody has answered yet."""
        statement = (
            select(_ERRAND.c.id, _ERRAND.c.pool, _ERRAND.c.command)
            .where(_ERRAND.c.answer.is_(None), _ERRAND.c.deadline_ms > _now_ms())
            .order_by(_ERRAND.c.at_ms)
            .limit(AT_ONCE)
        )
        async with self._database.connect() as connection:
            rows = (await connection.execute(statement)).all()
        for errand_id, pool, command in rows:
            if errand_id not in self._under_way and len(self._under_way) < AT_ONCE:
                running = self._run(errand_id, pool, orjson.loads(command))
                task = asyncio.get_running_loop().create_task(running)
                self._under_way[errand_id] = task

    async def close(self) -> None:
        """Leave what is under way: whoever asked finds the answer in the ledger."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, errand_id: str, pool: str, command: Item) -> None:
        try:
            await self._send(errand_id, pool, command)
        finally:
            self._under_way.pop(errand_id, None)

    async def _send(self, errand_id: str, pool: str, command: Item) -> None:
        try:
            answer = await asyncio.shield(self._bus.submit(pool, command).done)
        except BusOverloaded:
            answer = _refused(Reason.RATE_LIMITED)
        except BusError as error:
            # Whoever asked looks into the ledger at the deadline.
            log.warning("errand was not answered", command=errand_id, error=str(error))
            return
        store = update(_ERRAND).where(_ERRAND.c.id == errand_id)
        try:
            async with self._database.write_lock, self._database.begin() as connection:
                await connection.execute(store.values(answer=orjson.dumps(answer)))
        except (SQLAlchemyError, OSError) as error:
            log.warning("answer of an errand was not stored", command=errand_id, error=str(error))


def _refused(reason: Reason) -> dict[str, Any]:
    return {"ok": False, "reason": reason.value, "message": refusals.sentence(reason)}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

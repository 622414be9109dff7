"""Bodies of creates on their way to a node: in the database, piece by piece.

Owns the rows and their size. A body is written before its command is sent, read as often as a node
is tried, and removed when the meeting is bound or failed. Each piece is a transaction of its own,
so that no decision waits for a whole body. Never looks into one. Used by the gateway, which writes,
the placement worker, which reads, and the cleaner.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

import structlog
from sqlalchemy import Executable, delete, exists, insert, select

from scheduler import store
from scheduler.database import Database
from scheduler.ledger.errors import StoreDown
from schemas.tables import MeetingRow
from schemas.values import MeetingState

#: Short enough that a decision waits for the embedded database some milliseconds only.
PART_BYTES: Final = 524_288
#: A body that nobody has removed by then is nobody's.
STALE_MS: Final = 3_600_000
#: Bodies that one cleaning removes; what is left is removed by the next.
_STALE_MAX: Final = 1_000

_SPOOL: Final = MeetingRow.metadata.tables["spool"]
_MEETING: Final = MeetingRow.metadata.tables["meeting"]

log = structlog.get_logger(__name__)


class StoredBodies:
    """The bodies in one database, by the id of their command."""

    def __init__(self, database: Database) -> None:
        self._database = database
        #: One body after the other: decisions write to the same database, and come first.
        self._writing = asyncio.Lock()

    async def put(self, body_id: str, pieces: AsyncIterator[bytes]) -> None:
        """Store a body; raises `StoreDown`, and then some of it may be left."""
        async with self._writing:
            await self._put(body_id, pieces)

    async def _put(self, body_id: str, pieces: AsyncIterator[bytes]) -> None:
        number = 0
        waiting = bytearray()
        async for piece in pieces:
            waiting += piece
            while len(waiting) >= PART_BYTES:
                await self._put_part(body_id, number, bytes(waiting[:PART_BYTES]))
                del waiting[:PART_BYTES]
                number += 1
        if waiting:
            await self._put_part(body_id, number, bytes(waiting))

    async def _put_part(self, body_id: str, number: int, content: bytes) -> None:
        row = {"id": body_id, "part": number, "content": content, "at_ms": _now_ms()}
        await self._write(insert(_SPOOL).values(row))

    async def _write(self, statement: Executable) -> None:
        """Write a piece, then leave the database to others for as long as that took."""
        async with store.writing(self._database) as connection:
            begun_s = time.monotonic()
            await connection.execute(statement)
        await asyncio.sleep(time.monotonic() - begun_s)

    async def stream(self, body_id: str, size: int) -> AsyncIterator[bytes]:
        """Return a body of a known size part by part; raises `StoreDown` when it is not there."""
        number = 0
        while size > 0:
            part = await self._part(body_id, number)
            if not part:
                raise StoreDown("a stored body is not complete")
            yield part
            size -= len(part)
            number += 1

    async def _part(self, body_id: str, number: int) -> bytes | None:
        wanted = select(_SPOOL.c.content).where(_SPOOL.c.id == body_id, _SPOOL.c.part == number)
        found = await store.rows(self._database, wanted)
        return found[0][0] if found else None

    async def remove(self, body_id: str) -> None:
        """Remove a body; one that cannot be removed now is left to the cleaner."""
        try:
            async with self._writing:
                await self._remove(body_id)
        except StoreDown as error:
            log.warning("a stored body is left to the cleaner", body=body_id, error=str(error))

    async def _remove(self, body_id: str) -> int:
        mine = _SPOOL.c.id == body_id
        parts = await store.rows(self._database, select(_SPOOL.c.part).where(mine))
        for (number,) in parts:
            await self._write(delete(_SPOOL).where(mine, _SPOOL.c.part == number))
        return len(parts)

    async def remove_stale(self, *, now_ms: int | None = None) -> int:
        """Remove what nobody removed; returns the rows removed. Raises `StoreDown`.

        The body of a meeting that is still being made stays, however long that takes.
        """
        before_ms = (_now_ms() if now_ms is None else now_ms) - STALE_MS
        placing = exists().where(
            _MEETING.c.id == _SPOOL.c.id, _MEETING.c.state == MeetingState.PLACING.value
        )
        stale = (
            select(_SPOOL.c.id)
            .where(_SPOOL.c.at_ms < before_ms, ~placing)
            .distinct()
            .limit(_STALE_MAX)
        )
        found = await store.rows(self._database, stale)
        return sum([await self._remove(body_id) for (body_id,) in found])


class StoredBody:
    """One stored body, as the client of the nodes sends it."""

    def __init__(self, bodies: StoredBodies, body_id: str, size: int) -> None:
        self._bodies = bodies
        self._id = body_id
        self.size = size

    def stream(self) -> AsyncIterator[bytes]:
        """Return the body piece by piece, each time from its beginning."""
        return self._bodies.stream(self._id, self.size)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

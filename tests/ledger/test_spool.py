"""Bodies on their way to a node: stored in pieces, read as often as needed, never forgotten."""

import hashlib
import random
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import insert, update

from scheduler.database import Database
from scheduler.ledger import cleaner
from scheduler.ledger.errors import StoreDown
from scheduler.spool import PART_BYTES, STALE_MS, StoredBodies, StoredBody
from schemas.identifiers import new_id
from schemas.tables import MeetingRow, SpoolRow
from schemas.values import MeetingState
from tests.ledger.conftest import count

HOUR_MS = 3_600_000


async def pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


async def read(body: StoredBody) -> bytes:
    return b"".join([piece async for piece in body.stream()])


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 5_000_000])
@pytest.mark.parametrize("piece", [70_001, 3_000_000])
async def test_a_body_comes_back_as_it_was_each_time(
    database: Database, size: int, piece: int
) -> None:
    content = random.Random(size).randbytes(size)
    bodies, body_id = StoredBodies(database), new_id()
    await bodies.put(body_id, pieces(content, piece))
    assert await count(database, "spool") == -(-size // PART_BYTES)
    for _ in range(2):
        found = await read(StoredBody(bodies, body_id, size))
        assert hashlib.sha256(found).digest() == hashlib.sha256(content).digest()
    await bodies.remove(body_id)
    assert await count(database, "spool") == 0


async def test_a_body_that_is_not_complete_is_never_taken_for_one(database: Database) -> None:
    bodies, body_id = StoredBodies(database), new_id()
    await bodies.put(body_id, pieces(b"x" * PART_BYTES, PART_BYTES))
    stream = bodies.stream(body_id, PART_BYTES + 1)
    assert await anext(stream) == b"x" * PART_BYTES
    with pytest.raises(StoreDown):
        await anext(stream)


async def test_only_what_nobody_removed_is_removed_after_an_hour(
    database: Database, pool_id: int
) -> None:
    bodies = StoredBodies(database)
    fresh, stale, placing = new_id(), new_id(), new_id()
    for body_id in (fresh, stale, placing):
        await bodies.put(body_id, pieces(b"x" * (PART_BYTES + 1), PART_BYTES))
    now_ms = 1_800_000_000_000
    table = SpoolRow.metadata.tables["spool"]
    async with database.write_lock, database.begin() as connection:
        await connection.execute(update(table).values(at_ms=now_ms - STALE_MS - 1))
        kept = update(table).where(table.c.id == fresh).values(at_ms=now_ms - STALE_MS + 1)
        await connection.execute(kept)
        await connection.execute(insert(MeetingRow).values(**_placing(placing, pool_id)))
    removed = await cleaner.remove_old(database, 7, now_ms=now_ms)
    assert removed["spool"] == 2
    assert await count(database, "spool") == 4
    assert await read(StoredBody(bodies, placing, PART_BYTES + 1))
    with pytest.raises(StoreDown):
        await read(StoredBody(bodies, stale, PART_BYTES + 1))


async def test_a_body_that_cannot_be_removed_now_waits_for_the_cleaner(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies, body_id = StoredBodies(database), new_id()
    await bodies.put(body_id, pieces(b"x", 1))

    async def down(*_: object) -> None:
        raise StoreDown("the database does not answer")

    with monkeypatch.context() as broken:
        broken.setattr("scheduler.store.rows", down)
        await bodies.remove(body_id)
    assert await count(database, "spool") == 1


def _placing(meeting_id: str, pool_id: int) -> dict[str, object]:
    return {
        "id": meeting_id,
        "pool_id": pool_id,
        "subscription_id": 1,
        "credential_id": 1,
        "external_id": "room-42",
        "live": True,
        "state": MeetingState.PLACING.value,
        "seats": 1,
        "start_s": 0,
        "end_s": 60,
        "version": 1,
        "updated_ms": 1_800_000_000_000 - 2 * HOUR_MS,
        "doc": b"{}",
        "end_reason": "",
    }

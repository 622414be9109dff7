"""What the ledger says when PostgreSQL dies under it, and how it goes on."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from scheduler.database import Database
from scheduler.ledger.errors import CommitUnknown, StoreDown
from scheduler.ledger.opening import open_ledger
from scheduler.ledger.postgresql import PostgresqlLedger
from scheduler.ledger.reading import Reader
from scheduler.settings import Settings
from tests.ledger.builders import creating, meeting
from tests.ledger.conftest import make_pool
from tests.services.postgresql import PostgreSQL

RECOVERY_S = 15.0


@pytest_asyncio.fixture
async def database(postgresql: PostgreSQL, tmp_path: Path) -> AsyncIterator[Database]:
    """Yield a database on a server that the test may kill."""
    name = f"fault_{uuid.uuid4().hex[:16]}"
    url = await asyncio.to_thread(postgresql.create_database, name)
    database = Database(Settings(data_dir=tmp_path, database_url=url))
    await database.migrate()
    yield database
    await database.close()
    if not postgresql.running:
        await asyncio.to_thread(postgresql.start)
    await asyncio.to_thread(postgresql.drop_database, name)


@pytest_asyncio.fixture
async def ledger(database: Database, tmp_path: Path) -> AsyncIterator[PostgresqlLedger]:
    url = database.url.render_as_string(hide_password=False)
    ledger = open_ledger(database, Settings(data_dir=tmp_path, database_url=url))
    assert isinstance(ledger, PostgresqlLedger)
    yield ledger
    await ledger.close()


async def _kill_backend(database: Database) -> None:
    async with database.connect() as connection:
        killed = await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'seatkeep ledger' AND datname = current_database()"
            )
        )
        assert killed.scalars().all() == [True]


async def _until_blocked(database: Database) -> None:
    """Wait until the ledger's connection waits for a lock."""
    async with asyncio.timeout(RECOVERY_S):
        while True:
            async with database.connect() as connection:
                waiting = await connection.execute(
                    text(
                        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                        " AND application_name = 'seatkeep ledger'"
                        " AND datname = current_database()"
                    )
                )
                if waiting.first():
                    return


async def test_a_commit_on_a_connection_cut_before_is_unknown_or_made_on_a_new_one(
    ledger: PostgresqlLedger, database: Database
) -> None:
    """Which of the two depends on whether the loss was noticed; never is a commit made twice."""
    pool_id = await make_pool(database, "default")
    epoch = await ledger.take_over(pool_id, "worker")
    acknowledged: list[str] = []
    for turn in range(20):
        record = meeting(pool_id)
        await _kill_backend(database)
        for _ in range(turn % 4):
            await asyncio.sleep(0)
        try:
            await ledger.commit(pool_id, epoch, creating(record))
        except CommitUnknown:
            epoch = await ledger.take_over(pool_id, "worker")
            found = {record.id for record in (await ledger.load(pool_id, epoch)).meetings}
            assert found == set(acknowledged)
            await ledger.commit(pool_id, epoch, creating(record))
        acknowledged.append(record.id)
    found = {record.id for record in (await ledger.load(pool_id, epoch)).meetings}
    assert found == set(acknowledged)


async def test_a_ledger_can_be_closed_whatever_became_of_its_connection(
    ledger: PostgresqlLedger, database: Database
) -> None:
    await ledger.close()
    pool_id = await make_pool(database, "default")
    epoch = await ledger.take_over(pool_id, "worker")
    await _kill_backend(database)
    await ledger.close()
    await ledger.commit(pool_id, epoch, creating(meeting(pool_id)))
    await ledger.close()


async def test_a_reader_asks_again_when_its_connection_was_cut(database: Database) -> None:
    pool_id = await make_pool(database, "default")
    reader = Reader(database)
    for _ in range(5):
        async with database.connect() as first, database.connect() as second:
            pid = (await first.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            cut = await second.execute(text(f"SELECT pg_terminate_backend({pid})"))
            assert cut.scalar_one() is True
        epochs = await asyncio.gather(reader.epoch(pool_id), reader.epoch(pool_id))
        assert list(epochs) == [0, 0]


async def test_a_cut_connection_is_always_told_as_lost(database: Database) -> None:
    """Whatever asyncpg makes of it, which depends on what it has read by then."""
    for turn in range(40):
        async with database.connect() as doomed, database.connect() as other:
            pid = (await doomed.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            await other.execute(text(f"SELECT pg_terminate_backend({pid})"))
            for _ in range(turn % 4):
                await asyncio.sleep(0)
            with pytest.raises(DBAPIError) as caught:
                await doomed.execute(text("SELECT 1"))
            assert caught.value.connection_invalidated


async def test_a_connection_cut_during_a_commit_makes_it_unknown(
    ledger: PostgresqlLedger, database: Database
) -> None:
    pool_id = await make_pool(database, "default")
    epoch = await ledger.take_over(pool_id, "worker")
    async with database.begin() as other:
        await other.execute(text("SELECT 1 FROM pool FOR UPDATE"))
        committing = asyncio.ensure_future(
            ledger.commit(pool_id, epoch, creating(meeting(pool_id)))
        )
        await _until_blocked(database)
        await _kill_backend(database)
        with pytest.raises(CommitUnknown):
            await committing
    epoch = await ledger.take_over(pool_id, "worker")
    assert (await ledger.load(pool_id, epoch)).meetings == []


async def test_a_take_over_waits_for_the_write_that_its_predecessor_has_begun(
    ledger: PostgresqlLedger, database: Database
) -> None:
    pool_id = await make_pool(database, "default")
    epoch = await ledger.take_over(pool_id, "worker")
    fence = "SELECT FROM pool WHERE id = :pool AND epoch = :epoch FOR NO KEY UPDATE"
    async with database.begin() as predecessor:
        await predecessor.execute(text(fence), {"pool": pool_id, "epoch": epoch})
        taking = asyncio.ensure_future(ledger.take_over(pool_id, "successor"))
        await _until_blocked(database)
        assert not taking.done()
    assert await taking == epoch + 1


async def test_a_lock_that_is_never_released_does_not_hold_a_commit_for_ever(
    ledger: PostgresqlLedger, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ledger.commit.__globals__["_SERVER_SETTINGS"], "lock_timeout", "100")
    pool_id = await make_pool(database, "default")
    epoch = await ledger.take_over(pool_id, "worker")
    async with database.begin() as other:
        await other.execute(text("SELECT 1 FROM pool FOR UPDATE"))
        with pytest.raises(CommitUnknown):
            await ledger.commit(pool_id, epoch, creating(meeting(pool_id)))
    assert (await ledger.load(pool_id, epoch)).meetings == []


async def test_no_acknowledged_batch_is_lost_and_none_is_torn_when_the_server_crashes(
    ledger: PostgresqlLedger, database: Database, postgresql: PostgreSQL
) -> None:
    pool_id = await make_pool(database, "default")
    reader = Reader(database)
    acknowledged: set[str] = set()
    tried: set[str] = set()
    begun = asyncio.Event()

    async def write(epoch: int) -> None:
        while True:
            records = [meeting(pool_id) for _ in range(50)]
            tried.update(record.id for record in records)
            await ledger.commit(pool_id, epoch, creating(*records))
            acknowledged.update(record.id for record in records)
            begun.set()

    for _ in range(3):
        begun.clear()
        writing = asyncio.ensure_future(write(await ledger.take_over(pool_id, "worker")))
        await begun.wait()
        await asyncio.to_thread(postgresql.kill)
        with pytest.raises(CommitUnknown):
            await writing
        with pytest.raises(StoreDown):
            await ledger.take_over(pool_id, "worker")
        with pytest.raises(StoreDown):
            await reader.live_meetings()
        await asyncio.to_thread(postgresql.start)
        epoch = await _taken_over(ledger, pool_id)
        found = {record.id for record in (await ledger.load(pool_id, epoch)).meetings}
        assert acknowledged <= found <= tried
        assert len(found) % 50 == 0
        acknowledged = found


async def _taken_over(ledger: PostgresqlLedger, pool_id: int) -> int:
    started_s = time.monotonic()
    while True:
        try:
            return await ledger.take_over(pool_id, "worker")
        except StoreDown:
            assert time.monotonic() - started_s < RECOVERY_S

"""What is particular to the embedded database."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text

from scheduler import database as databases
from scheduler.database import Database
from scheduler.ledger.errors import CommitUnknown, StoreDown
from scheduler.ledger.opening import open_ledger
from scheduler.ledger.sqlite import SqliteLedger
from scheduler.settings import Settings
from tests.ledger.builders import creating, meeting
from tests.ledger.conftest import make_pool


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(Settings(data_dir=tmp_path))
    await database.migrate()
    yield database
    await database.close()


@pytest_asyncio.fixture
async def ledger(database: Database, tmp_path: Path) -> AsyncIterator[SqliteLedger]:
    ledger = open_ledger(database, Settings(data_dir=tmp_path))
    assert isinstance(ledger, SqliteLedger)
    yield ledger
    await ledger.close()


async def test_every_connection_syncs_each_commit_to_the_disk(database: Database) -> None:
    async with database.connect() as connection:
        for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
            found = await connection.execute(text(f"PRAGMA {pragma}"))
            assert found.scalar_one() == value
    own = databases.sqlite_connection(database.sqlite_path)
    assert own.execute("PRAGMA synchronous").fetchone() == (2,)
    own.close()


async def test_a_commit_waits_for_another_writer_of_the_process_without_trying(
    ledger: SqliteLedger, database: Database
) -> None:
    pool_id = await make_pool(database, "default")
    epoch = await ledger.take_over(pool_id, "worker")
    async with database.write_lock:
        committing = asyncio.ensure_future(
            ledger.commit(pool_id, epoch, creating(meeting(pool_id)))
        )
        # The other writer takes as long as it likes, and its transaction meets no lock.
        for number in range(20):
            async with database.begin() as connection:
                await connection.execute(text("UPDATE pool SET holder = :n"), {"n": str(number)})
        assert not committing.done()
    await committing


async def test_a_lock_of_another_process_that_stays_makes_the_commit_fail(
    ledger: SqliteLedger, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "SQLITE_PRAGMAS", ("PRAGMA busy_timeout = 50",))
    pool_id = await make_pool(database, "default")
    epoch = await ledger.take_over(pool_id, "worker")
    other = sqlite3.connect(database.sqlite_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    record = meeting(pool_id)
    with pytest.raises(CommitUnknown):
        await ledger.commit(pool_id, epoch, creating(record))
    with pytest.raises(StoreDown):
        await ledger.take_over(pool_id, "worker")
    other.execute("ROLLBACK")
    other.close()
    await ledger.commit(pool_id, epoch, creating(record))
    assert (await ledger.load(pool_id, epoch)).meetings == [record]


async def test_a_database_without_its_tables_is_a_store_that_is_down(
    ledger: SqliteLedger, database: Database
) -> None:
    pool_id = await make_pool(database, "default")
    epoch = await ledger.take_over(pool_id, "worker")
    async with database.write_lock, database.begin() as connection:
        await connection.execute(text("DROP TABLE meeting"))
    with pytest.raises(CommitUnknown):
        await ledger.commit(pool_id, epoch, creating(meeting(pool_id)))
    with pytest.raises(StoreDown):
        await ledger.load(pool_id, epoch)


async def test_a_write_transaction_keeps_other_processes_out_from_its_beginning(
    database: Database,
) -> None:
    other = sqlite3.connect(database.sqlite_path, isolation_level=None, timeout=0)
    async with database.write_lock, database.begin():
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()


async def test_a_reader_sees_the_last_commit_while_a_writer_is_at_work(
    database: Database,
) -> None:
    await make_pool(database, "default")
    async with database.write_lock, database.begin() as writer:
        await writer.execute(text("UPDATE pool SET holder = 'new'"))
        async with database.connect() as reader:
            found = await reader.execute(text("SELECT holder FROM pool"))
            assert found.scalar_one() == ""


async def test_a_snapshot_does_not_move_while_others_write(database: Database) -> None:
    await make_pool(database, "default")
    async with database.snapshot() as snapshot:
        before = (await snapshot.execute(text("SELECT holder FROM pool"))).scalar_one()
        async with database.write_lock, database.begin() as writer:
            await writer.execute(text("UPDATE pool SET holder = 'new'"))
        after = (await snapshot.execute(text("SELECT holder FROM pool"))).scalar_one()
    assert before == after == ""

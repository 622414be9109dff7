"""Fixtures of one migrated database with a pool, once per kind of database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import insert, text
from sqlmodel import SQLModel, col

from scheduler.database import Database
from scheduler.ledger.interface import Ledger
from scheduler.ledger.opening import open_ledger
from scheduler.ledger.reading import Reader
from scheduler.settings import Settings
from schemas.tables import PoolRow


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Return settings that name an empty database of the kind."""
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    return Settings(data_dir=tmp_path, database_url=url)


@pytest_asyncio.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    database = Database(settings)
    await database.migrate()
    yield database
    await database.close()


@pytest_asyncio.fixture
async def pool_id(database: Database) -> int:
    return await make_pool(database, "default")


@pytest_asyncio.fixture
async def ledger(database: Database, settings: Settings) -> AsyncIterator[Ledger]:
    ledger = open_ledger(database, settings)
    yield ledger
    await ledger.close()


@pytest_asyncio.fixture
async def successor(settings: Settings) -> AsyncIterator[Ledger]:
    """Yield another worker's ledger: on connections, and a write lock, of its own."""
    database = Database(settings)
    ledger = open_ledger(database, settings)
    yield ledger
    await ledger.close()
    await database.close()


@pytest.fixture
def reader(database: Database) -> Reader:
    return Reader(database)


async def make_pool(database: Database, name: str) -> int:
    async with database.write_lock, database.begin() as connection:
        statement = insert(PoolRow).values(name=name).returning(col(PoolRow.id))
        return int((await connection.execute(statement)).scalar_one() or 0)


async def count(database: Database, table: str) -> int:
    """Return the number of rows of a table."""
    assert table in SQLModel.metadata.tables
    async with database.connect() as connection:
        return int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())

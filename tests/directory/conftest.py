"""Fixtures of one migrated database and a vault, once per kind of database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from scheduler.database import Database
from scheduler.settings import Settings
from scheduler.vault import Vault


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


@pytest.fixture
def vault() -> Vault:
    return Vault(b"k" * 32)

"""One installation for a test, and both kinds of database for the index."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from scheduler.database import Database
from scheduler.settings import Settings
from tests.recordings.studio import Studio, studio


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Studio]:
    async with studio(tmp_path, node_timeout_s=1, recordings_timeout_s=1) as running:
        yield running


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

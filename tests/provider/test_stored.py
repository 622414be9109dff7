"""What is stored of files and use, on both kinds of database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import insert

from gateway.provider import figures
from scheduler import assets, operations
from scheduler.database import Database
from scheduler.directory import load_directory
from scheduler.settings import Settings
from scheduler.vault import Vault
from schemas.management_tables import UsageRow
from tests.provider import files


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    database = Database(Settings(data_dir=tmp_path, database_url=url))
    await database.migrate()
    await operations.ensure_pool(database, "default")
    await operations.add_subscription(database, "acme", seats=20)
    yield database
    await database.close()


async def test_files_and_sums_are_the_same_everywhere(database: Database, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    for content in (files.PNG, files.JPEG):
        await assets.put(database, settings, subscription="acme", kind="logo", content=content)
    [stored] = await assets.listed(database, 1)
    assert (stored.media_type, stored.length_bytes) == ("image/jpeg", len(files.JPEG))
    assert await assets.content(database, 1, "logo") == (stored.digest, files.JPEG)
    directory = await load_directory(database, Vault.from_settings(settings))
    [logo] = directory.subscriptions[1].assets.values()
    assert (logo.digest, logo.filename) == (stored.digest, "logo.jpg")
    assert await assets.content(database, 1, "css") is None
    table = UsageRow.metadata.tables["usage"]
    async with database.begin() as connection:
        for day in (0, 20_000, 20_001):
            row = UsageRow(
                day=day, subscription_id=1, credential_id=5, joins=2**40, refused_joins=1
            )
            await connection.execute(insert(table).values(row.model_dump()))
    past = await figures.read(database)
    assert (past.by_subscription[1].joins, past.by_credential[5].seat_refusals) == (3 * 2**40, 3)

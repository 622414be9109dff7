"""A migrated database of either kind with the subscriptions `acme` and `other`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from scheduler import operations
from scheduler.database import Database
from scheduler.settings import Settings
from scheduler.vault import Vault


@pytest.fixture
def vault() -> Vault:
    return Vault(b"k" * 32)


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def database(
    request: pytest.FixtureRequest, tmp_path: Path, vault: Vault
) -> AsyncIterator[Database]:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    database = Database(Settings(data_dir=tmp_path, database_url=url))
    await database.migrate()
    await operations.ensure_pool(database, "default")
    for slug in ("acme", "other"):
        await operations.add_subscription(database, slug, seats=20)
        for sub in (None, 5):
            await operations.add_credential(
                database, vault, subscription=slug, sub=sub, secret=f"secret-of-{slug}-{sub}"
            )
    yield database
    await database.close()

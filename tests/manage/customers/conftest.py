"""An installation without processes, and who manages it: an operator and two customers."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from sqlalchemy import insert

from scheduler import changes, operations
from scheduler.database import Database
from scheduler.directory import DirectoryWatch
from scheduler.manage.context import Actor, Context, Scope
from scheduler.nodes import NodeClient
from scheduler.settings import Settings
from scheduler.vault import Vault
from schemas.tables import MeetingRow


@dataclass
class Office:
    """The opened parts, and contexts of those who act."""

    settings: Settings
    database: Database
    vault: Vault
    directory: DirectoryWatch
    ids: dict[str, int] = field(default_factory=dict)

    @property
    def operator(self) -> Context:
        return self._context(Actor("token:1 operator"))

    def owner(self, slug: str) -> Context:
        """Return the context of a customer's own token."""
        return self._context(Actor(f"token:2 {slug}", Scope.OWNER, self.ids[slug], 2))

    def _context(self, actor: Actor) -> Context:
        return Context(
            settings=self.settings,
            database=self.database,
            vault=self.vault,
            directory=self.directory,
            nodes=NodeClient(self.settings),
            bus=None,
            actor=actor,
        )

    async def meeting(self, slug: str, **fields: Any) -> str:
        """Store a live meeting of a subscription, without any worker."""
        row: dict[str, Any] = {
            "id": f"{len(self.ids):032x}",
            "pool_id": self.ids["default"],
            "subscription_id": self.ids[slug],
            "credential_id": 1,
            "external_id": "room",
            "state": "held",
            "seats": 5,
            "start_s": 0,
            "end_s": 60,
            "doc": orjson.dumps({}),
        } | fields
        self.ids[str(row["id"])] = 0
        async with self.database.write_lock, self.database.begin() as connection:
            filled = MeetingRow(**row).model_dump()
            await connection.execute(insert(MeetingRow).values(filled))
        return str(row["id"])


@pytest.fixture(params=["sqlite"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Return settings of an empty database; tests with real SQL ask for both kinds."""
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    return Settings(data_dir=tmp_path, database_url=url)


@pytest_asyncio.fixture
async def office(settings: Settings) -> AsyncIterator[Office]:
    """Yield an installation with the pool `default` and the subscriptions `acme` and `other`."""
    database = Database(settings)
    await database.migrate()
    vault = Vault(b"k" * 32)
    directory = DirectoryWatch(database, vault)
    made = Office(settings, database, vault, directory)
    made.ids["default"] = await operations.ensure_pool(database, "default")
    for slug, seats in (("acme", 20), ("other", 50)):
        made.ids[slug] = await operations.add_subscription(database, slug, seats=seats)
    await directory.refresh()
    yield made
    await directory.close()
    await database.close()


def aged(monkeypatch: pytest.MonkeyPatch, *, by_s: int) -> None:
    """Let the clock of changes go on."""
    before = changes.now_ms
    monkeypatch.setattr(changes, "now_ms", lambda: before() + by_s * 1_000)

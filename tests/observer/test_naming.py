"""Whose people polls may name."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from scheduler import operations
from scheduler.assembly import Assembly, assembled
from scheduler.database import Database
from scheduler.settings import Settings
from schemas.tables import MeetingRow
from workers.naming import Naming


@pytest.fixture
async def assembly(tmp_path: Path) -> AsyncIterator[Assembly]:
    """Two subscriptions with a meeting each, of which the first wants names."""
    settings = Settings(data_dir=tmp_path)
    database = Database(settings)
    await database.migrate()
    await database.close()
    async with assembled(settings) as made:
        await operations.ensure_pool(made.database, "default")
        for slug in ("open", "closed"):
            number = await operations.add_subscription(made.database, slug, seats=10)
            await _meeting(made.database, slug, number)
        await operations.change_subscription(made.database, "open", event_names=True)
        await made.directory.refresh()
        yield made


async def _meeting(database: Database, name: str, subscription: int) -> None:
    row = MeetingRow(
        id=name,
        pool_id=1,
        subscription_id=subscription,
        credential_id=1,
        external_id=name,
        seats=5,
        start_s=0,
        end_s=1,
        doc=b"{}",
    )
    async with database.session() as session:
        session.add(row)
        await session.commit()


async def test_people_of_meetings_whose_subscription_wants_it_are_named(
    assembly: Assembly,
) -> None:
    naming = Naming(assembly.database, assembly.directory)
    assert await naming.among(("open", "closed", "unknown")) == {"open"}
    await operations.change_subscription(assembly.database, "open", event_names=False)
    await assembly.directory.refresh()
    assert await naming.among(("open", "closed")) == set()


async def test_the_database_is_asked_once_for_a_meeting_and_only_if_names_are_wanted(
    assembly: Assembly, monkeypatch: pytest.MonkeyPatch
) -> None:
    naming = Naming(assembly.database, assembly.directory)
    assert await naming.among(("open",)) == {"open"}

    def refused() -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(assembly.database, "connect", refused)
    assert await naming.among(("open",)) == {"open"}
    await operations.change_subscription(assembly.database, "open", event_names=False)
    monkeypatch.undo()
    await assembly.directory.refresh()
    monkeypatch.setattr(assembly.database, "connect", refused)
    assert await naming.among(("open", "closed")) == set()


async def test_without_the_database_people_stay_nameless_and_the_poll_goes_on(
    assembly: Assembly, monkeypatch: pytest.MonkeyPatch
) -> None:
    naming = Naming(assembly.database, assembly.directory)

    def refused() -> None:
        raise OperationalError("SELECT", {}, OSError("gone"))

    monkeypatch.setattr(assembly.database, "connect", refused)
    assert await naming.among(("open",)) == set()
    monkeypatch.undo()
    assert await naming.among(("open",)) == {"open"}

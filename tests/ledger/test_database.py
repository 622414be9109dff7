"""Migrations and start-up checks."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import autogenerate, command
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlmodel import SQLModel

from scheduler import database as databases
from scheduler.database import Database, UnfitDatabaseError
from scheduler.settings import Settings
from schemas import migrations, tables
from tests.services import tables as remembered
from tests.services.postgresql import PostgreSQL

PROGRAM = """
import asyncio, pathlib, sys
from scheduler.database import Database
from scheduler.settings import Settings

async def main():
    database = Database(Settings(data_dir=pathlib.Path(sys.argv[1]), database_url=sys.argv[2]))
    sys.stdin.readline()
    await database.migrate()
    await database.check()
    await database.close()

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def migrated_for_real() -> Iterator[None]:
    """Have the migrations make the tables, not the memory of what they made."""
    with remembered.forgotten():
        yield


@pytest.fixture
def postgresql_url(empty_postgresql_url: str) -> str:
    return empty_postgresql_url


def _difference(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(autogenerate.compare_metadata(context, SQLModel.metadata))


async def test_the_migrations_make_the_tables_that_the_program_uses(database: Database) -> None:
    assert tables.MeetingRow.metadata is SQLModel.metadata
    async with database.begin() as connection:
        assert await connection.run_sync(_difference) == []


async def test_the_newest_revision_is_the_one_that_is_named(database: Database) -> None:
    def head(connection: Connection) -> str | None:
        return ScriptDirectory.from_config(databases._configuration(connection)).get_current_head()

    async with database.connect() as connection:
        assert await connection.run_sync(head) == migrations.NEWEST
    assert await database.revisions() == (migrations.NEWEST, migrations.NEWEST)


async def test_migrating_again_changes_nothing(database: Database) -> None:
    async with database.write_lock, database.begin() as connection:
        await connection.execute(text("UPDATE installation SET directory_version = 5"))
    await database.migrate()
    async with database.connect() as connection:
        found = await connection.execute(text("SELECT directory_version FROM installation"))
        assert found.scalar_one() == 5
    await database.check()


async def test_the_migrations_can_be_undone(database: Database) -> None:
    def downgrade(connection: Connection) -> None:
        command.downgrade(databases._configuration(connection), "base")

    async with database.write_lock, database.begin() as connection:
        await connection.run_sync(downgrade)
    assert (await database.revisions())[0] is None
    await database.migrate()
    await database.check()


async def test_a_database_that_was_not_migrated_is_refused_with_a_sentence(
    settings: Settings,
) -> None:
    database = Database(settings)
    with pytest.raises(UnfitDatabaseError, match="run seatkeep migrate"):
        await database.check()
    await database.close()


async def test_processes_that_start_at_once_migrate_once(settings: Settings) -> None:
    arguments = [sys.executable, "-c", PROGRAM, str(settings.data_dir), settings.database_url]
    processes = [
        await asyncio.create_subprocess_exec(
            *arguments, stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        for _ in range(3)
    ]
    outcomes = await asyncio.gather(*(process.communicate(b"\n") for process in processes))
    assert [process.returncode for process in processes] == [0, 0, 0], outcomes


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("synchronous_commit", "off"),
        ("synchronous_commit", "local"),
        ("default_transaction_read_only", "on"),
    ],
)
async def test_a_server_that_could_lose_reservations_is_refused(
    postgresql_url: str, tmp_path: Path, setting: str, value: str
) -> None:
    database = Database(Settings(data_dir=tmp_path, database_url=postgresql_url))
    await database.migrate()
    async with database.begin() as connection:
        name = database.url.database
        await connection.execute(text(f'ALTER DATABASE "{name}" SET {setting} = {value}'))
    await database.close()
    again = Database(Settings(data_dir=tmp_path, database_url=postgresql_url))
    with pytest.raises(UnfitDatabaseError, match=setting.removeprefix("default_")):
        await again.check()
    await again.close()


async def test_a_server_that_risks_its_files_or_follows_another_one_is_refused(
    services_directory: Path, tmp_path: Path
) -> None:
    server = PostgreSQL(services_directory / "unfit")
    await asyncio.to_thread(server.start)
    try:
        settings = Settings(data_dir=tmp_path, database_url=server.url("postgres"))
        database = Database(settings)
        await database.migrate()
        server.execute("ALTER SYSTEM SET full_page_writes = off")
        server.execute("SELECT pg_reload_conf()")
        with pytest.raises(UnfitDatabaseError, match="full_page_writes"):
            await _check_until_reloaded(database)
        await database.close()
        await asyncio.to_thread(server.stop)
        (server.directory / "data" / "standby.signal").touch()
        await asyncio.to_thread(server.start)
        with pytest.raises(UnfitDatabaseError, match="standby"):
            await database.check()
        await database.close()
    finally:
        await asyncio.to_thread(server.stop)


async def _check_until_reloaded(database: Database) -> None:
    async with asyncio.timeout(10):
        while True:
            await database.check()
            await asyncio.sleep(0.01)


async def test_a_server_that_is_not_there_is_a_connection_error(tmp_path: Path) -> None:
    url = "postgresql+asyncpg://seatkeep@127.0.0.1:1/seatkeep"
    database = Database(Settings(data_dir=tmp_path, database_url=url))
    with pytest.raises(OSError, match="1"):
        await database.check()
    await database.close()


async def test_a_database_that_is_not_there_is_a_connection_error(
    postgresql_url: str, tmp_path: Path
) -> None:
    url = postgresql_url.replace("test_", "absent_")
    database = Database(Settings(data_dir=tmp_path, database_url=url))
    with pytest.raises(ConnectionError, match="does not answer"):
        await database.check()
    await database.close()


async def test_passwords_among_parameters_do_not_appear_in_errors(database: Database) -> None:
    with pytest.raises(Exception, match="no_such_table") as caught:
        async with database.connect() as connection:
            await connection.execute(text("SELECT :p FROM no_such_table"), {"p": "hush-hush"})
    assert "hush-hush" not in str(caught.value)

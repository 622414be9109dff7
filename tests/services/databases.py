"""Databases on a PostgreSQL server that somebody else runs.

Owns the creation and removal of databases beside the one that SEATKEEP_TEST_DATABASE_URL names.
Must never touch that database itself or any other it did not create. Called by the fixtures in
`tests/conftest.py`.
"""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
from sqlalchemy.engine import make_url

from scheduler.database import Database
from scheduler.settings import Settings

CONNECT_TIMEOUT_S = 10.0


def create(server_url: str, name: str) -> str:
    """Create a database and return its URL; the account of `server_url` must be allowed to."""
    _run(server_url, f'CREATE DATABASE "{name}"')
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def drop(server_url: str, name: str) -> None:
    """Drop a database that `create` made, cutting whoever is connected to it."""
    _run(server_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def migrate(url: str) -> None:
    """Make the tables of a database."""
    _finish(_migrate(Database(Settings(database_url=url))))


async def _migrate(database: Database) -> None:
    try:
        await database.migrate()
    finally:
        await database.close()


def _run(server_url: str, statement: str) -> None:
    _finish(_execute(server_url, statement))


def _finish(work: Coroutine[Any, Any, None]) -> None:
    # In a thread: the event loop of this one belongs to pytest-asyncio, and may be running.
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, work).result()


async def _execute(server_url: str, statement: str) -> None:
    plain = make_url(server_url).set(drivername="postgresql")
    connection = await asyncpg.connect(
        plain.render_as_string(hide_password=False), timeout=CONNECT_TIMEOUT_S
    )
    try:
        await connection.execute(statement)
    finally:
        await connection.close()

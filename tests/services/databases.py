"""Databases on a PostgreSQL server that somebody else runs.

Owns the creation and removal of databases beside the one that SEATKEEP_TEST_DATABASE_URL names.
Must never touch that database itself or any other it did not create. Called by the fixtures in
`tests/conftest.py`.
"""

import asyncio

import asyncpg
from sqlalchemy.engine import make_url

CONNECT_TIMEOUT_S = 10.0


def create(server_url: str, name: str) -> str:
    """Create a database and return its URL; the account of `server_url` must be allowed to."""
    _run(server_url, f'CREATE DATABASE "{name}"')
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def drop(server_url: str, name: str) -> None:
    """Drop a database that `create` made, cutting whoever is connected to it."""
    _run(server_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _run(server_url: str, statement: str) -> None:
    # Not asyncio.run: that forgets the current event loop, which belongs to pytest-asyncio.
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(_execute(server_url, statement))
    finally:
        loop.close()


async def _execute(server_url: str, statement: str) -> None:
    plain = make_url(server_url).set(drivername="postgresql")
    connection = await asyncpg.connect(
        plain.render_as_string(hide_password=False), timeout=CONNECT_TIMEOUT_S
    )
    try:
        await connection.execute(statement)
    finally:
        await connection.close()

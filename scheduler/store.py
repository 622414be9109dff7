"""Small records that belong to no decision: read and written with one limit and one error.

Owns the time that such a question may take and the translation of every fault of the database into
`StoreDown`. Never used for meetings, which the ledger writes. Used by `hooks` and `sessions`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Select, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from scheduler.database import Database
from scheduler.ledger.errors import StoreDown

#: One question or one write may take this long, waiting for a connection or the lock included.
TIMEOUT_S: Final = 10.0


async def rows(database: Database, statement: Select[Any]) -> Sequence[Sequence[Any]]:
    """Return what a statement finds; a lost connection is replaced and asked once more.

    Raises `StoreDown`.
    """
    with _faults():
        async with asyncio.timeout(TIMEOUT_S):
            try:
                return await _ask(database, statement)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            return await _ask(database, statement)


@contextlib.asynccontextmanager
async def writing(database: Database) -> AsyncIterator[AsyncConnection]:
    """Give a connection in a write transaction, committed at the end; raises `StoreDown`."""
    with _faults():
        async with (
            asyncio.timeout(TIMEOUT_S),
            database.write_lock,
            database.begin() as connection,
        ):
            yield connection


def insert_new(database: Database, table: Table) -> "sqlite.Insert | postgresql.Insert":
    """Return an insert that leaves a row alone which is there already."""
    dialect: Any = sqlite if database.is_sqlite else postgresql
    made: sqlite.Insert | postgresql.Insert = dialect.insert(table).on_conflict_do_nothing()
    return made


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, OSError) as error:  # a TimeoutError is an OSError
        raise StoreDown(f"the database does not answer: {error}") from error


async def _ask(database: Database, statement: Select[Any]) -> Sequence[Sequence[Any]]:
    async with database.connect() as connection:
        found: Sequence[Sequence[Any]] = (await connection.execute(statement)).all()
        return found

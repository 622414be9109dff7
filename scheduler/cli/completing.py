"""Names that a shell completes: pools, nodes, subscriptions.

Owns one quick reading of the database. Never creates anything, and says nothing when it cannot
read: a person who presses Tab must not be answered with an error. Used as `autocompletion` of
arguments and options.
"""

import asyncio
import contextlib
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from scheduler import settings
from scheduler.database import Database
from schemas.tables import MeetingRow

_TABLES: Final = MeetingRow.metadata.tables
#: Nobody waits longer for a Tab, and nobody reads more.
_TIMEOUT_S: Final = 1.5
_NAMES_MAX: Final = 200


def pools(incomplete: str) -> list[str]:
    """Complete the name of a pool."""
    return _names("pool", "name", incomplete)


def nodes(incomplete: str) -> list[str]:
    """Complete the name of a node."""
    return _names("node", "name", incomplete)


def subscriptions(incomplete: str) -> list[str]:
    """Complete the slug of a subscription."""
    return _names("subscription", "slug", incomplete)


def _names(table: str, column: str, incomplete: str) -> list[str]:
    with contextlib.suppress(ValueError, OSError, SQLAlchemyError, TimeoutError):
        loaded = settings.load()
        if loaded.sqlite and not (loaded.data_dir / "seatkeep.sqlite").exists():
            return []
        return asyncio.run(_read(Database(loaded), table, column, incomplete))
    return []


async def _read(database: Database, table: str, column: str, incomplete: str) -> list[str]:
    name = _TABLES[table].c[column]
    statement = (
        select(name)
        .where(name.startswith(incomplete, autoescape=True))
        .order_by(name)
        .limit(_NAMES_MAX)
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S), database.connect() as connection:
            return [row[0] for row in await connection.execute(statement)]
    finally:
        await database.close()

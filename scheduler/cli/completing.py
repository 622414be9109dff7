"""Names that a shell completes or that were nearly right: pools, nodes, subscriptions.

Owns one quick reading of the database. Never creates anything, and says nothing when it cannot
read: a person who presses Tab must not be answered with an error. Used as `autocompletion` of
arguments and options, and by `performing` for names that do not exist.
"""

import asyncio
import contextlib
import difflib
import re
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from scheduler import settings
from scheduler.assembly import Assembly
from scheduler.database import Database
from schemas.tables import MeetingRow

_TABLES: Final = MeetingRow.metadata.tables
#: Nobody waits longer for a Tab, and nobody reads more.
_TIMEOUT_S: Final = 1.5
_NAMES_MAX: Final = 200
_MISSING: Final = re.compile(r"there is no (?P<kind>node|subscription) (?P<name>\S+)")


def pools(incomplete: str) -> list[str]:
    """Complete the name of a pool."""
    return _names("pool", "name", incomplete)


def nodes(incomplete: str) -> list[str]:
    """Complete the name of a node."""
    return _names("node", "name", incomplete)


def subscriptions(incomplete: str) -> list[str]:
    """Complete the slug of a subscription."""
    return _names("subscription", "slug", incomplete)


def with_near_name(said: str, parts: Assembly) -> str:
    """Return "there is no node bb1" with the name that was probably meant."""
    found = _MISSING.fullmatch(said)
    if found is None:
        return said
    directory = parts.directory.current
    names: list[str] = []
    if found["kind"] == "node":
        names = [node.name for node in directory.nodes.values()]
    elif found["kind"] == "subscription":
        names = list(directory.subscription_by_slug)
    near = difflib.get_close_matches(found["name"], names, n=1)
    return f"{said}; did you mean {near[0]}?" if near else said


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

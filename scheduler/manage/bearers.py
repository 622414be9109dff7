"""Who presents a token: finding the actor behind it.

Owns the comparison, which takes the same time for every wrong token, and the note of the last use,
kept to the hour so that reading does not write all the time. Never logs a token. Called by the
management API and by other endpoints that take its tokens.
"""

import hmac
import re
import time
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from scheduler.database import Database
from scheduler.manage import tokens
from scheduler.manage.context import Actor, Scope
from schemas.management_tables import TokenRow

_TOKEN: Final = re.compile(r"sk_([1-9][0-9]{0,8})_([A-Za-z0-9_-]{43})", re.ASCII)
_NOBODY: Final = tokens.digest_of("nobody has this token")
_HOUR_MS: Final = 3_600_000
_TABLE: Final = TokenRow.metadata.tables["token"]

log = structlog.get_logger(__name__)


class BearerError(Exception):
    """The token is good for nothing; the message says why in a sentence."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """Somebody who showed a valid token."""

    actor: Actor
    token_id: int


async def bearer(database: Database, presented: str, *, now_ms: int | None = None) -> Bearer:
    """Return who has the token; raises `BearerError`, and what the database raises."""
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    found = _TOKEN.fullmatch(presented)
    row = await _row(database, int(found.group(1))) if found is not None else None
    stored = _NOBODY if row is None else row.digest
    shown = found.group(2) if found is not None else ""
    right = hmac.compare_digest(tokens.digest_of(shown), stored)
    if row is None or row.id is None or not right:
        raise BearerError("the token is not known")
    state = tokens.state_of(row, now_ms)
    if state != "active":
        raise BearerError(f"the token is {state}; ask for a new one")
    await _note_use(database, row, now_ms)
    actor = Actor(
        f"token:{row.id} {row.label}".rstrip(), Scope(row.scope), row.subscription_id, row.id
    )
    return Bearer(actor, row.id)


async def _row(database: Database, token_id: int) -> TokenRow | None:
    async with database.connect() as connection:
        found = await connection.execute(select(_TABLE).where(_TABLE.c.id == token_id))
        row = found.mappings().first()
    return None if row is None else TokenRow(**row)


async def _note_use(database: Database, row: TokenRow, now_ms: int) -> None:
    """Note the hour of the use; failing to do so is no reason to refuse."""
    hour_ms = now_ms - now_ms % _HOUR_MS
    if row.used_ms is not None and row.used_ms >= hour_ms:
        return
    later = _TABLE.c.used_ms.is_(None) | (_TABLE.c.used_ms < hour_ms)
    statement = update(_TABLE).where(_TABLE.c.id == row.id, later).values(used_ms=hour_ms)
    try:
        async with database.write_lock, database.begin() as connection:
            await connection.execute(statement)
    except SQLAlchemyError as error:
        log.warning("the use of a token could not be noted", number=row.id, error=str(error))

"""Session tokens that nodes gave out through us: which node, which meeting, whose.

Owns the rows; the token itself is never stored, only its digest, and cookies come sealed. Every
question names the credential. Never asks a node. Used by the gateway.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import delete, select

from scheduler import store
from scheduler.database import Database
from schemas.tables import SessionRow

_SESSION: Final = SessionRow.metadata.tables["session"]


class SessionRecord(NamedTuple):
    """One row."""

    #: SHA-256 of the token, hex.
    digest: str
    credential_id: int
    node_id: int
    meeting_id: str
    #: Sealed by the vault; None when the node set no cookies.
    cookies: bytes | None
    until_ms: int


async def keep(database: Database, records: Sequence[SessionRecord]) -> None:
    """Keep what is not known yet, in one transaction; raises `StoreDown`.

    A token that is known stays with whom it was given to, whatever another node says.
    """
    async with store.writing(database) as connection:
        await connection.execute(
            store.insert_new(database, _SESSION), [record._asdict() for record in records]
        )


async def find(
    database: Database, credential_id: int, digest: str, *, now_ms: int
) -> SessionRecord | None:
    """Return the session of a credential's token while it is valid; raises `StoreDown`."""
    found = await store.rows(
        database,
        select(*(_SESSION.c[name] for name in SessionRecord._fields))
        .where(_SESSION.c.digest.in_((digest,)))
        .where(_SESSION.c.credential_id == credential_id)
        .where(_SESSION.c.until_ms > now_ms),
    )
    return SessionRecord(*found[0]) if found else None


async def forget(database: Database, credential_id: int, digest: str) -> None:
    """Forget a token of a credential; raises `StoreDown`."""
    async with store.writing(database) as connection:
        await connection.execute(
            delete(_SESSION)
            .where(_SESSION.c.digest.in_((digest,)))
            .where(_SESSION.c.credential_id == credential_id)
        )

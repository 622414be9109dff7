"""Events that no decision about seats stands behind: how they get into the outbox.

Owns the row; the relay takes it from there like any other. Never writes the events of meetings,
which the ledger commits together with the change. Used by operations and by delivery workers.
"""

from typing import Any, Final

import orjson
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from schemas.events import Event
from schemas.tables import OutboxRow

_OUTBOX: Final = OutboxRow.metadata.tables["outbox"]


async def write(connection: AsyncConnection | AsyncSession, event: Event) -> None:
    """Write an event in the transaction at hand; it goes out once that is committed."""
    await connection.execute(insert(_OUTBOX).values(**row(event)))


def row(event: Event) -> dict[str, Any]:
    """Return the columns; the id makes the fact one of its own."""
    return {
        "event_id": event["id"],
        "meeting_id": event["meeting"],
        "fact": f"{event['kind']}:{event['id']}",
        "body": orjson.dumps(event),
        "at_ms": event["at_ms"],
    }

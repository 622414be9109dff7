"""A look into the store of an installation, past the product.

Owns the few questions that the crash tests ask of the tables. Never writes. Blocks; tests call it
through `asyncio.to_thread`.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import select

from scheduler.database import Database
from scheduler.settings import Settings
from schemas.tables import MeetingRow

Result = TypeVar("Result")

_TABLES = MeetingRow.metadata.tables
_DELIVERY = _TABLES["delivery"]
_MEETING = _TABLES["meeting"]
_SUBSCRIPTION = _TABLES["subscription"]


@dataclass(frozen=True)
class Row:
    """A meeting in the ledger."""

    meeting: str
    node: int | None
    external_id: str
    state: str
    live: bool
    seats: int
    start_s: int
    end_s: int
    version: int
    internal_id: str


class Store:
    """The tables of one installation."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def rows(self, slug: str) -> list[Row]:
        """Return all meetings of a subscription, oldest first."""
        names = ["id", "node_id", *list(Row.__dataclass_fields__)[2:]]
        found = self._select(
            select(*(_MEETING.c[name] for name in names))
            .where(_MEETING.c.subscription_id == _SUBSCRIPTION.c.id)
            .where(_SUBSCRIPTION.c.slug == slug)
        )
        return [Row(*row) for row in found]

    def delivered(self, slug: str) -> int:
        """Return how many deliveries of a subscription are over and noted as such."""
        found = self._select(
            select(_DELIVERY.c.id)
            .where(_DELIVERY.c.state == "delivered")
            .where(_DELIVERY.c.subscription_id == _SUBSCRIPTION.c.id)
            .where(_SUBSCRIPTION.c.slug == slug)
        )
        return len(found)

    def holder(self) -> int:
        """Return the pid of the placement worker that took the pool over last."""
        return int(str(self._select(select(_TABLES["pool"].c.holder))[0][0]).rpartition(":")[2])

    def written(self) -> dict[str, list[Any]]:
        """Return everything that only the active placement worker may write."""
        return {
            "meetings": self._select(select(_MEETING.c.id, _MEETING.c.version)),
            "answers": self._select(select(_TABLES["command"].c.id)),
            "events": self._select(select(_TABLES["outbox"].c.event_id)),
            "epoch": self._select(select(_TABLES["pool"].c.epoch)),
        }

    def _select(self, statement: Any) -> list[Any]:
        async def select_all() -> list[Any]:
            database = Database(self._settings)
            try:
                async with database.connect() as connection:
                    return sorted(tuple(row) for row in (await connection.execute(statement)).all())
            finally:
                await database.close()

        return run(select_all())


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine from blocking code, in whatever thread."""
    # Not asyncio.run: in the main thread that forgets the loop of pytest-asyncio.
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

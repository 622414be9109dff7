"""Whose people may be named in what polls tell.

Owns the question to the database which meetings belong to subscriptions that want names in their
events, asked once per meeting and only while there is such a subscription. Names of others are in
no fact; the picture for readers, which is stored nowhere, has them all. Used by the pollers.
"""

import asyncio
from collections.abc import Collection
from typing import Final

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from scheduler.database import Database
from scheduler.directory import DirectoryWatch
from schemas.tables import MeetingRow

_LOOK_TIMEOUT_S: Final = 2.0
_MEETING: Final = MeetingRow.metadata.tables["meeting"]

log = structlog.get_logger(__name__)


class Naming:
    """Tells one poller which of its meetings may name people."""

    def __init__(self, database: Database, directory: DirectoryWatch) -> None:
        self._database = database
        self._directory = directory
        #: The subscriptions of the meetings that were listed last.
        self._owners: dict[str, int] = {}

    async def among(self, meetings: Collection[str]) -> set[str]:
        """Return those of the meetings whose people may be named.

        What the database does not tell in time may not: an event without a name is no fault, and
        the poll goes on.
        """
        plans = self._directory.current.subscriptions
        wanting = {key for key, plan in plans.items() if plan.event_names}
        self._owners = {key: owner for key, owner in self._owners.items() if key in meetings}
        unknown = [key for key in meetings if key not in self._owners]
        if wanting and unknown:
            await self._look(unknown)
        return {key for key, owner in self._owners.items() if owner in wanting}

    async def _look(self, meetings: Collection[str]) -> None:
        statement = select(_MEETING.c.id, _MEETING.c.subscription_id).where(
            _MEETING.c.id.in_(meetings)
        )
        try:
            async with asyncio.timeout(_LOOK_TIMEOUT_S), self._database.connect() as connection:
                found = await connection.execute(statement)
                self._owners |= {row[0]: row[1] for row in found}
        except (SQLAlchemyError, OSError) as error:  # a TimeoutError is an OSError
            log.warning("people are not named, their meetings are not known", error=str(error))

"""Reading the ledger: meetings, stored answers, attendees.

Owns every query of meetings outside a commit, each one round trip on a pooled connection. Never
writes. Used by the gateways, the management operations, and the ledger itself when it loads.
"""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, Final

import structlog
from sqlalchemy import Select, String, literal, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from scheduler.database import Database
from scheduler.ledger.errors import StoreDown
from scheduler.ledger.records import MEETING_COLUMNS, AttendeeRecord, MeetingRecord
from schemas.tables import MeetingRow

#: One read may take this long, waiting for a connection included.
READ_TIMEOUT_S: Final = 10.0

_TABLES: Final = MeetingRow.metadata.tables
_MEETING: Final = _TABLES["meeting"]
_COMMAND: Final = _TABLES["command"]
_ATTENDEE: Final = _TABLES["attendee"]
_POOL: Final = _TABLES["pool"]
_COLUMNS: Final = [_MEETING.c[name] for name in MEETING_COLUMNS]

log = structlog.get_logger(__name__)


def live_key(credential_id: int, external_id: str) -> str:
    """Return the key that at most one live meeting has."""
    return f"{credential_id}:{external_id}"


class Reader:
    """The reading functions over one database.

    A lost connection is replaced and asked once more; `StoreDown` when that fails too.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def meeting(self, meeting_id: str) -> MeetingRecord | None:
        """Return a meeting by our id, live or ended."""
        return await self._one(_meetings().where(_MEETING.c.id == meeting_id))

    async def meeting_by_key(self, credential_id: int, external_id: str) -> MeetingRecord | None:
        """Return the live meeting that has the caller's `meetingID`; one that is ending has not."""
        key = live_key(credential_id, external_id)
        return await self._one(_meetings().where(_MEETING.c.live_key == key))

    async def meeting_by_internal_id(
        self, credential_id: int, internal_id: str
    ) -> MeetingRecord | None:
        """Return a meeting by the node's own id of the conference, live or ended."""
        return await self._one(
            _meetings()
            .where(_MEETING.c.credential_id == credential_id)
            .where(_MEETING.c.internal_id == internal_id)
            .order_by(_MEETING.c.id.desc())
        )

    async def live_meetings(
        self, *, pool_ids: Collection[int] | None = None
    ) -> list[MeetingRecord]:
        """Return all live meetings, of some pools or of all; 10,000 take about 0.1 s."""
        # By way of the pools in either case: the index of live meetings begins with the pool.
        chosen = select(_POOL.c.id)
        if pool_ids is not None:
            chosen = chosen.where(_POOL.c.id.in_(sorted(pool_ids)))
        return await self._many(
            _meetings().where(_MEETING.c.pool_id.in_(chosen)).where(_MEETING.c.live.is_(True))
        )

    async def changed_since(self, updated_ms: int, limit: int) -> list[MeetingRecord]:
        """Return meetings that changed at or after `updated_ms`, ended ones too, oldest first."""
        return await self._many(
            _meetings()
            .where(_MEETING.c.updated_ms >= updated_ms)
            .order_by(_MEETING.c.updated_ms, _MEETING.c.id)
            .limit(limit)
        )

    async def instances(
        self, credential_id: int, external_id: str, limit: int
    ) -> list[MeetingRecord]:
        """Return the meetings that had the caller's `meetingID`, the newest first."""
        live = await self.meeting_by_key(credential_id, external_id)
        past = await self._many(
            _meetings()
            .where(_MEETING.c.credential_id == credential_id)
            .where(_MEETING.c.external_id == external_id)
            .where(_MEETING.c.ended_ms.is_not(None))
            .order_by(_MEETING.c.id.desc())
            .limit(limit)
        )
        return ([live, *past] if live is not None else past)[:limit]

    async def outcome(self, command_id: str) -> tuple[MeetingRecord | None, bytes | None]:
        """Return what became of a command: the meeting that it made, and its stored answer."""
        wanted = select(literal(command_id, String(32)).label("id")).subquery()
        rows = await self._rows(
            select(_COMMAND.c.answer, *_COLUMNS)
            .select_from(wanted)
            .outerjoin(_MEETING, _MEETING.c.id == wanted.c.id)
            .outerjoin(_COMMAND, _COMMAND.c.id == wanted.c.id)
        )
        answer, meeting = rows[0][0], rows[0][1:]
        return (None if meeting[0] is None else MeetingRecord(*meeting)), answer

    async def outcomes(
        self, command_ids: Collection[str]
    ) -> dict[str, tuple[MeetingRecord | None, bytes | None]]:
        """Return what became of commands, by command id; unknown ones are not in it."""
        ids = sorted(command_ids)
        meetings = await self._many(_meetings().where(_MEETING.c.id.in_(ids)))
        answers = await self._rows(
            select(_COMMAND.c.id, _COMMAND.c.answer).where(_COMMAND.c.id.in_(ids))
        )
        found: dict[str, tuple[MeetingRecord | None, bytes | None]] = {
            record.id: (record, None) for record in meetings
        }
        for command_id, answer in answers:
            found[command_id] = (found.get(command_id, (None, None))[0], answer)
        return found

    async def answer_of(self, command_id: str) -> bytes | None:
        """Return the stored answer of a command."""
        rows = await self._rows(select(_COMMAND.c.answer).where(_COMMAND.c.id == command_id))
        return rows[0][0] if rows else None

    async def attendees_of_live(self, pool_id: int) -> list[AttendeeRecord]:
        """Return everybody who was seen in a live meeting of the pool, present or not."""
        statement = (
            select(*(_ATTENDEE.c[name] for name in AttendeeRecord._fields))
            .join(_MEETING, _MEETING.c.id == _ATTENDEE.c.meeting_id)
            .where(_MEETING.c.pool_id == pool_id)
            .where(_MEETING.c.live.is_(True))
        )
        return [AttendeeRecord(*row) for row in await self._rows(statement)]

    async def epoch(self, pool_id: int) -> int | None:
        """Return the epoch in force of a pool; None when there is no such pool."""
        rows = await self._rows(select(_POOL.c.epoch).where(_POOL.c.id == pool_id))
        return int(rows[0][0]) if rows else None

    async def _one(self, statement: Select[Any]) -> MeetingRecord | None:
        rows = await self._rows(statement.limit(1))
        return MeetingRecord(*rows[0]) if rows else None

    async def _many(self, statement: Select[Any]) -> list[MeetingRecord]:
        return [MeetingRecord(*row) for row in await self._rows(statement)]

    async def _rows(self, statement: Select[Any]) -> Sequence[Sequence[Any]]:
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                try:
                    return await self._ask(statement)
                except DBAPIError as error:
                    if not error.connection_invalidated:
                        raise
                    log.info("asking again after a lost connection", error=str(error.orig))
                return await self._ask(statement)
        except (SQLAlchemyError, OSError) as error:  # a TimeoutError is an OSError
            raise StoreDown(f"the database does not answer: {error}") from error

    async def _ask(self, statement: Select[Any]) -> Sequence[Sequence[Any]]:
        async with self._database.connect() as connection:
            rows: Sequence[Sequence[Any]] = (await connection.execute(statement)).all()
            return rows


def _meetings() -> Select[Any]:
    return select(*_COLUMNS)

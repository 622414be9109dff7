"""Taking what nodes list into the index of recordings.

Owns the rule whose a recording is: a row is made from a meeting of ours on that very node, never
from what the node says alone. Written rows differ from what was there; a row that somebody changed
after the node was asked stays as it is. Never calls a node. Used by the harvester.
"""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from scheduler import recording_events
from scheduler.database import Database
from scheduler.recordings import chunks
from schemas import identifiers, recordings
from schemas.messages import MeetingDoc
from schemas.recordings import Listed
from schemas.tables import RecordingRow
from schemas.values import MeetingState

#: Meetings read at once.
MEETINGS_CHUNK: Final = 500
#: A meeting's row may become visible this long after the time that stands in it.
OVERLAP_MS: Final = 10_000
#: At the start of a process the last one may have died in the middle of its work.
RESUME_MS: Final = 120_000
_EXTERNAL_ID_CHARS_MAX: Final = 256

_TABLES: Final = RecordingRow.metadata.tables
_RECORDING: Final = _TABLES["recording"]
_C: Final = _RECORDING.c
_MEETING: Final = _TABLES["meeting"].c


class Cursor(NamedTuple):
    """How far meetings have been looked through: their last change, then their id."""

    updated_ms: int = 0
    meeting_id: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What the index has of a recording."""

    fingerprint: str
    #: The state that a caller wished and the node has not confirmed, or "".
    wished_state: str


def unix_ms() -> int:
    """Return the present time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Intake:
    """The writing side of the index over one database."""

    def __init__(self, database: Database, *, now_ms: Callable[[], int] = unix_ms) -> None:
        self._database = database
        self._now_ms = now_ms

    async def resume(self, node_ids: Iterable[int]) -> Cursor:
        """Return where to go on with the meetings of a pool, whoever looked at them before."""
        latest_ms = 0
        async with self._database.connect() as connection:
            for node_id in node_ids:
                newest = select(func.max(_C.made_ms)).where(_C.node_id == node_id)
                latest_ms = max(latest_ms, (await connection.execute(newest)).scalar_one() or 0)
        return Cursor(max(0, latest_ms - RESUME_MS))

    async def note_recorded(self, pool_id: int, cursor: Cursor, done: set[str]) -> Cursor:
        """Make a row for every meeting that is or was on a node and may have been recorded.

        So a recording that shows up after the meeting is forgotten is still its owner's. `done`
        holds conferences that were looked at before. Returns where to go on; the same cursor when
        there is nothing more.
        """
        statement = (
            select(_MEETING.id, _MEETING.updated_ms, _MEETING.internal_id)
            .where(_MEETING.updated_ms >= cursor.updated_ms)
            .where((_MEETING.updated_ms > cursor.updated_ms) | (_MEETING.id > cursor.meeting_id))
            .where(_MEETING.pool_id == pool_id)
            .where(_MEETING.internal_id.is_not(None))
            .order_by(_MEETING.updated_ms, _MEETING.id)
            .limit(MEETINGS_CHUNK)
        )
        async with self._database.connect() as connection:
            rows = (await connection.execute(statement)).all()
            fresh = [row.id for row in rows if row.internal_id not in done]
            found = await _meetings(connection, fresh)
        await self._insert(
            [
                _made(row, row.internal_id, row.updated_ms)
                for row in found
                if _may_be_recorded(orjson.loads(row.doc))
            ]
        )
        done.update(row.internal_id for row in rows)
        return Cursor(rows[-1].updated_ms, rows[-1].id) if rows else cursor

    async def known(self, node_id: int, record_ids: Collection[str]) -> dict[str, Known]:
        """Return what the index has of recordings of a node."""
        found = {}
        async with self._database.connect() as connection:
            for chunk in chunks(sorted(record_ids)):
                rows = await connection.execute(
                    select(_C.id, _C.fingerprint, _C.pending)
                    .where(_C.node_id == node_id)
                    .where(_C.id.in_(chunk))
                )
                for record_id, fingerprint, pending in rows:
                    wished = orjson.loads(pending).get("state", "") if pending else ""
                    found[record_id] = Known(fingerprint, wished)
        return found

    async def adopt(self, node_id: int, listed: Sequence[Listed]) -> set[str]:
        """Make rows for recordings that belong to meetings of ours on that node; returns their ids.

        The metadata names our meeting, and that meeting's own row has to agree with node and
        conference; the recording of a breakout room belongs to its parent's owner.
        """
        claims = {one.meeting_id for one in listed if one.meeting_id}
        parents = {one.parent_id for one in listed if one.parent_id}
        async with self._database.connect() as connection:
            meetings = {row.id: row for row in await _meetings(connection, claims)}
            families = await _families(connection, node_id, parents)
        made = []
        for one in listed:
            row = meetings.get(one.meeting_id)
            if row is not None and row.internal_id == one.record_id and row.node_id == node_id:
                # Not its last change: whoever goes on from here must not skip other meetings.
                made.append(_made(row, one.record_id, identifiers.made_ms(row.id)))
            elif one.parent_id in families:
                made.append(_made_of_breakout(families[one.parent_id], node_id, one))
        await self._insert(made)
        return {row["id"] for row in made}

    async def write(
        self, node_id: int, changes: Sequence[tuple[Listed, Known]], *, as_of_ms: int
    ) -> None:
        """Write what a node listed at `as_of_ms`; a row that was changed since then is left."""
        statement = (
            update(_RECORDING)
            .where(_C.id == bindparam("b_id"))
            .where(_C.node_id == node_id)
            .where(_C.updated_ms <= as_of_ms)
            .values(
                state=bindparam("b_state"),
                start_ms=bindparam("b_start_ms"),
                doc=bindparam("b_doc"),
                fingerprint=bindparam("b_fingerprint"),
                updated_ms=as_of_ms,
            )
        )
        values = [
            {
                "b_id": listed.record_id,
                "b_state": known.wished_state or listed.doc["state"],
                "b_start_ms": listed.doc["start_ms"],
                "b_doc": orjson.dumps(listed.doc),
                "b_fingerprint": listed.fingerprint,
            }
            # In the order in which callers' changes lock them, so that nobody waits in a circle.
            for listed, known in sorted(changes, key=lambda change: change[0].record_id)
        ]
        if values:
            page = [listed for listed, _ in changes]
            async with self._database.write_lock, self._database.begin() as connection:
                await recording_events.write(
                    self._database, connection, node_id, page, as_of_ms=as_of_ms
                )
                await connection.execute(statement, values)

    async def unlisted(self, node_id: int, listed: set[str]) -> list[str]:
        """Return recordings that a node has listed before, but not in a complete list."""
        seen = _C.doc.is_not(None)
        async with self._database.connect() as connection:
            count = select(func.count()).where(_C.node_id == node_id).where(seen)
            if (await connection.execute(count)).scalar_one() <= len(listed):
                return []
            ids = await connection.scalars(select(_C.id).where(_C.node_id == node_id).where(seen))
            return [record_id for record_id in ids if record_id not in listed]

    async def drop(self, node_id: int, record_ids: Sequence[str], *, as_of_ms: int) -> None:
        """Remove recordings that are gone for good."""
        for chunk in chunks(record_ids):
            async with self._database.write_lock, self._database.begin() as connection:
                await connection.execute(
                    delete(_RECORDING)
                    .where(_C.node_id == node_id)
                    .where(_C.id.in_(chunk))
                    .where(_C.updated_ms <= as_of_ms)
                )

    async def forget_unrecorded(self, before_ms: int) -> int:
        """Remove the rows of meetings that left no recording; returns how many."""
        async with self._database.write_lock, self._database.begin() as connection:
            removed = await connection.execute(
                delete(_RECORDING).where(_C.doc.is_(None)).where(_C.made_ms < before_ms)
            )
            return int(removed.rowcount)

    async def _insert(self, rows: Sequence[dict[str, Any]]) -> None:
        if not rows:
            return
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        statement = insert(_RECORDING).on_conflict_do_nothing(index_elements=["id"])
        async with self._database.write_lock, self._database.begin() as connection:
            await connection.execute(statement, rows)


async def _meetings(connection: AsyncConnection, ids: Iterable[str]) -> list[Any]:
    """Return meetings that a node has confirmed."""
    names = ("id", "credential_id", "external_id", "node_id", "internal_id", "updated_ms", "doc")
    statement = (
        select(*(_MEETING[name] for name in names))
        .where(_MEETING.bound.is_not(None))
        .where(_MEETING.node_id.is_not(None))
        .where(_MEETING.state != MeetingState.PLACING.value)
    )
    rows: list[Any] = []
    for chunk in chunks(sorted(set(ids))):
        rows += (await connection.execute(statement.where(_MEETING.id.in_(chunk)))).all()
    return rows


async def _families(
    connection: AsyncConnection, node_id: int, parents: Collection[str]
) -> dict[str, Any]:
    """Return the rows of conferences on a node that had breakout rooms, by the node's id."""
    statement = select(_C.id, _C.credential_id, _C.external_id, _C.meeting_id, _C.made_ms)
    found = {}
    for chunk in chunks(sorted(parents)):
        rows = await connection.execute(
            statement.where(_C.node_id == node_id).where(_C.id.in_(chunk))
        )
        found.update({row.id: row for row in rows})
    return found


def _may_be_recorded(doc: MeetingDoc) -> bool:
    return any(name == "record" and value.lower() == "true" for name, value in doc["params"])


def _own_meta(doc: MeetingDoc) -> bytes | None:
    """Return the metadata of the caller that the node was not told, or told differently."""
    told = dict(doc["params"])
    own = {
        key: (value, told.get(f"meta_{key}"))
        for key, value in doc["meta"].items()
        if value and told.get(f"meta_{key}") != value and not recordings.is_own_meta(key)
    }
    return orjson.dumps(own) if own else None


def _made(meeting: Any, record_id: str, made_ms: int) -> dict[str, Any]:
    """Return the row of the recording that a meeting may leave."""
    return {
        "id": record_id,
        "credential_id": meeting.credential_id,
        "external_id": meeting.external_id,
        "meeting_id": meeting.id,
        "node_id": meeting.node_id,
        "own_meta": _own_meta(orjson.loads(meeting.doc)),
        **_unseen(made_ms),
    }


def _made_of_breakout(parent: Any, node_id: int, listed: Listed) -> dict[str, Any]:
    """Return the row of the recording of a breakout room that a node opened by itself."""
    name = recordings.scrubbed(listed.node_meeting_id, parent.meeting_id, parent.external_id)
    return {
        "id": listed.record_id,
        "credential_id": parent.credential_id,
        "external_id": name[:_EXTERNAL_ID_CHARS_MAX],
        "meeting_id": parent.meeting_id,
        "node_id": node_id,
        "own_meta": None,
        **_unseen(parent.made_ms),
    }


def _unseen(made_ms: int) -> dict[str, Any]:
    return {"state": "", "start_ms": 0, "fingerprint": "", "made_ms": made_ms, "updated_ms": 0}

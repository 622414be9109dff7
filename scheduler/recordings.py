"""The index of recordings: what the nodes of an installation recorded, by credential.

Owns the reading of the index, and the notes about changes that a node has yet to make. Every
look-up of a caller takes the credential's id; what is another's does not exist. Never calls a
node. Used by the gateways; the harvester fills it (`scheduler.recording_intake`).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import Select, bindparam, func, or_, select, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from scheduler.database import Database
from scheduler.ledger.errors import StoreDown
from schemas import identifiers, recording_requests, recordings
from schemas.recording_requests import Change, Wanted
from schemas.tables import RecordingRow

#: One read or write may take this long, waiting for a connection included.
TIMEOUT_S: Final = 20.0
#: Ids of one statement.
_CHUNK: Final = 500
#: More beginnings of ids than this are compared here instead of in the database.
_PREFIXES_MAX: Final = 50
#: More recordings than this are rendered outside the event loop.
_INLINE_MAX: Final = 20

_RECORDING: Final = RecordingRow.metadata.tables["recording"]
_C: Final = _RECORDING.c
_SHOWN_COLUMNS: Final = (
    *(_C.id, _C.external_id, _C.meeting_id, _C.state, _C.doc, _C.own_meta, _C.pending),
)


@dataclass(frozen=True, slots=True)
class Wish:
    """A change of one recording that its node has not confirmed."""

    record_id: str
    node_id: int
    #: All that the node does not know yet, earlier changes included.
    change: Change
    #: The note in the row; whoever finds another one there has been overtaken.
    packed: bytes
    #: What undoing restores.
    state_before: str = ""
    packed_before: bytes | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """What a getRecordings call found: rendered recordings, the newest first."""

    markup: list[str]
    #: All that fit, on this page or not.
    total: int


class RecordingIndex:
    """The index over one database."""

    def __init__(self, database: Database, *, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms

    async def listed(self, credential_id: int, wanted: Wanted, *, listed_max: int) -> Page:
        """Return what a credential's caller asks for; without paging at most `listed_max`."""
        ids = await self._fitting(credential_id, wanted)
        if wanted.meta:
            ids = await self._with_fitting_meta(credential_id, wanted, ids)
        first, most = (0, listed_max) if wanted.limit is None else (wanted.offset, wanted.limit)
        markup: list[str] = []
        for chunk in chunks(ids[first : first + most]):
            rows = await self._shown(credential_id, chunk)
            if len(rows) > _INLINE_MAX:
                markup += await asyncio.to_thread(_rendered, rows)
            else:
                markup += _rendered(rows)
        return Page(markup, len(ids))

    async def node_of(self, credential_id: int, record_id: str) -> int | None:
        """Return the node of a recording that can be seen; None when the caller has none."""
        rows = await self._rows(
            _of(select(_C.node_id), credential_id)
            .where(_C.id == record_id)
            .where(_C.state != recordings.DELETED)
        )
        return int(rows[0][0]) if rows else None

    async def wish(
        self, credential_id: int, record_ids: Collection[str], change: Change
    ) -> list[Wish] | None:
        """Note a change of recordings, all of them the credential's own, or none at all.

        None when an id is not the credential's, or when none is left that can be changed; then
        nothing was noted. Recordings that cannot be changed (deleted, not ready) are left out.
        From here on callers see what they wished.
        """
        wishes = []
        async with self._writing() as connection:
            rows = await _locked(connection, credential_id, sorted(record_ids))
            rows_shown = [row for row in rows if row.state in recordings.SHOWN]
            if len(rows) < len(set(record_ids)) or not rows_shown:
                return None
            if not change:
                return []
            for row in rows_shown:
                before: Change = orjson.loads(row.pending) if row.pending else {}
                both = recording_requests.merged(before, change)
                packed = orjson.dumps({"id": identifiers.new_id(), **both})
                wishes.append(Wish(row.id, row.node_id, both, packed, row.state, row.pending))
            await connection.execute(
                _update_one(state=bindparam("b_state"), pending=bindparam("b_pending")),
                [
                    {
                        "b_id": wish.record_id,
                        "b_state": wish.change.get("state", wish.state_before),
                        "b_pending": wish.packed,
                        "b_now_ms": self._now_ms(),
                    }
                    for wish in wishes
                ],
            )
        return wishes

    async def settle(self, wishes: Iterable[Wish]) -> None:
        """Note that the node has made the changes; what was wished since then stays a wish."""
        by_id = {wish.record_id: wish for wish in wishes}
        settled = []
        async with self._writing() as connection:
            for row in await _locked(connection, None, sorted(by_id)):
                wish = by_id[row.id]
                if row.pending == wish.packed:
                    settled.append(_settled(row, wish) | {"b_now_ms": self._now_ms()})
            if settled:
                statement = _update_one(
                    pending=None,
                    fingerprint="",
                    doc=bindparam("b_doc"),
                    own_meta=bindparam("b_own_meta"),
                )
                await connection.execute(statement, settled)

    async def undo(self, wishes: Iterable[Wish]) -> None:
        """Take wishes back that their node has refused."""
        undone = [
            {
                "b_id": wish.record_id,
                "b_packed": wish.packed,
                "b_state": wish.state_before,
                "b_before": wish.packed_before,
                "b_now_ms": self._now_ms(),
            }
            for wish in sorted(wishes, key=lambda wish: wish.record_id)
        ]
        if not undone:
            return
        statement = _update_one(
            state=bindparam("b_state"), pending=bindparam("b_before"), fingerprint=""
        ).where(_C.pending == bindparam("b_packed"))
        async with self._writing() as connection:
            await connection.execute(statement, undone)

    async def wishes_of(self, node_id: int, limit: int) -> list[Wish]:
        """Return changes that a node has yet to make."""
        rows = await self._rows(
            select(_C.id, _C.pending, _C.state)
            .where(_C.node_id == node_id)
            .where(_C.pending.is_not(None))
            .order_by(_C.updated_ms)
            .limit(limit)
        )
        return [Wish(row[0], node_id, _change(row[1]), row[1], row[2]) for row in rows]

    async def _fitting(self, credential_id: int, wanted: Wanted) -> list[str]:
        """Return the ids that fit everything but the metadata, the newest first."""
        statement = _of(select(_C.id, _C.start_ms, _C.external_id), credential_id)
        if wanted.states is not None:
            statement = statement.where(_C.state.in_(sorted(wanted.states)[:_CHUNK]))
        if wanted.record_ids and len(wanted.record_ids) <= _PREFIXES_MAX:
            begins = [func.substr(_C.id, 1, len(one)) == one for one in sorted(wanted.record_ids)]
            statement = statement.where(or_(*begins))
        meeting_ids = wanted.meeting_ids
        if meeting_ids and len(meeting_ids) <= _CHUNK:
            statement = statement.where(_C.external_id.in_(sorted(meeting_ids)))
        found = [
            (-row[1], row[0])
            for row in await self._rows(statement)
            if wanted.fits_id(row[0]) and (not meeting_ids or row[2] in meeting_ids)
        ]
        found.sort()
        return [record_id for _, record_id in found]

    async def _with_fitting_meta(
        self, credential_id: int, wanted: Wanted, ids: Sequence[str]
    ) -> list[str]:
        kept: list[str] = []
        for chunk in chunks(ids):
            rows = await self._shown(credential_id, chunk)
            kept += await asyncio.to_thread(_fitting_meta, rows, wanted)
        return kept

    async def _shown(self, credential_id: int, ids: Sequence[str]) -> list[Any]:
        """Return the rows of some ids in their order."""
        statement = _of(select(*_SHOWN_COLUMNS), credential_id).where(_C.id.in_(ids))
        by_id = {row[0]: row for row in await self._rows(statement)}
        return [by_id[record_id] for record_id in ids if record_id in by_id]

    async def _rows(self, statement: Select[Any]) -> Sequence[Any]:
        async with _in_time():
            try:
                return await self._ask(statement)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            return await self._ask(statement)  # the connection was lost; the next one is new

    async def _ask(self, statement: Select[Any]) -> Sequence[Any]:
        async with self._database.connect() as connection:
            rows: Sequence[Any] = (await connection.execute(statement)).all()
            return rows

    @contextlib.asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        async with (
            _in_time(),
            self._database.write_lock,
            self._database.begin() as connection,
        ):
            yield connection


def chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield ids in parts that fit into one statement."""
    return (ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK))


@contextlib.asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    """Turn every failure of the database into `StoreDown`."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            yield
    except (SQLAlchemyError, OSError) as error:  # a TimeoutError is an OSError
        raise StoreDown(f"the database does not answer: {error}") from error


def _of(statement: Select[Any], credential_id: int) -> Select[Any]:
    """Limit a statement to recordings of a credential that were seen on a node."""
    return statement.where(_C.credential_id == credential_id).where(_C.doc.is_not(None))


async def _locked(
    connection: AsyncConnection, credential_id: int | None, ids: Sequence[str]
) -> list[Any]:
    """Return rows that nobody else changes until the transaction ends, in a fixed order."""
    columns = (_C.id, _C.node_id, _C.state, _C.doc, _C.own_meta, _C.pending)
    statement = select(*columns).order_by(_C.id).with_for_update()
    if credential_id is not None:
        statement = _of(statement, credential_id)
    rows: list[Any] = []
    for chunk in chunks(ids):
        rows += (await connection.execute(statement.where(_C.id.in_(chunk)))).all()
    return rows


def _update_one(**values: Any) -> Any:
    return (
        update(_RECORDING)
        .where(_C.id == bindparam("b_id"))
        .values(updated_ms=bindparam("b_now_ms"), **values)
    )


def _settled(row: Any, wish: Wish) -> dict[str, Any]:
    """Return a row's documents with the change in them."""
    doc, own = row.doc, row.own_meta
    changed = wish.change.get("meta")
    if changed:
        if doc is not None:
            loaded: recordings.Doc = orjson.loads(doc)
            loaded["meta"] = recording_requests.changed_meta(loaded["meta"], changed)
            doc = orjson.dumps(loaded)
        if own is not None:
            kept = {key: value for key, value in orjson.loads(own).items() if key not in changed}
            own = orjson.dumps(kept) if kept else None
    return {"b_id": row.id, "b_doc": doc, "b_own_meta": own}


def _change(packed: bytes) -> Change:
    return recording_requests.merged({}, orjson.loads(packed))


def _meta(doc: recordings.Doc, row: Any) -> dict[str, str]:
    """Return the metadata as callers see it: the node's, their own instead, their changes."""
    meta = dict(doc["meta"])
    if row.own_meta is not None:
        for key, (value, told) in orjson.loads(row.own_meta).items():
            if meta.get(key) == told:
                meta[key] = value
    if row.pending is not None:
        meta = recording_requests.changed_meta(meta, _change(row.pending).get("meta", {}))
    return meta


def _fitting_meta(rows: Sequence[Any], wanted: Wanted) -> list[str]:
    return [row.id for row in rows if wanted.fits_meta(_meta(orjson.loads(row.doc), row))]


def _rendered(rows: Sequence[Any]) -> list[str]:
    markup = []
    for row in rows:
        doc: recordings.Doc = orjson.loads(row.doc)
        markup.append(
            recordings.rendered(
                doc,
                record_id=row.id,
                external_id=row.external_id,
                meeting_id=row.meeting_id,
                state=row.state,
                meta=_meta(doc, row),
            )
        )
    return markup

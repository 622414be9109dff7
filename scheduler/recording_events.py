"""The event that a recording can be watched, once for each format of it.

Owns what is new of a recording when a node's list is taken in. The event is written in the
transaction of the index, so whoever is told of a recording finds it listed. Never calls a node.
Called by the intake.
"""

from collections.abc import Sequence
from typing import Any, Final

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from scheduler import late_events, store
from scheduler.database import Database
from scheduler.late_events import Owner
from scheduler.recordings import chunks
from schemas import inward, recordings
from schemas.events import EventKind
from schemas.recordings import Doc, Listed
from schemas.tables import RecordingRow

#: A recording that is first seen so long after its meeting is news to nobody.
_NEWS_MS: Final = 30 * 86_400_000
_FORMAT_CHARS_MAX: Final = 64

_TABLES: Final = RecordingRow.metadata.tables
_C: Final = _TABLES["recording"].c
_CREDENTIAL: Final = _TABLES["credential"].c
_SUBSCRIPTION: Final = _TABLES["subscription"].c


async def write(
    database: Database,
    connection: AsyncConnection,
    node_id: int,
    page: Sequence[Listed],
    *,
    as_of_ms: int,
) -> None:
    """Write the events of recordings that are about to be written, in the same transaction."""
    ready = {one.record_id: one for one in page if one.doc["state"] == recordings.PUBLISHED}
    rows = []
    for chunk in chunks(sorted(ready)):
        statement = (
            select(
                *(_C.id, _C.doc, _C.own_meta, _C.credential_id, _C.external_id, _C.meeting_id),
                _SUBSCRIPTION.id.label("subscription_id"),
                _SUBSCRIPTION.pool_id,
            )
            .join(_TABLES["credential"], _CREDENTIAL.id == _C.credential_id)
            .join(_TABLES["subscription"], _SUBSCRIPTION.id == _CREDENTIAL.subscription_id)
            .where(_C.id.in_(chunk), _C.node_id == node_id, _C.updated_ms <= as_of_ms)
        )
        for known in (await connection.execute(statement)).all():
            rows += _rows(known, ready[known.id].doc, node_id, as_of_ms)
    if rows:
        await connection.execute(store.insert_new(database, _TABLES["outbox"]), rows)


def _rows(known: Any, doc: Doc, node_id: int, now_ms: int) -> list[dict[str, Any]]:
    """Return the rows of the outbox for the formats that a recording did not have before."""
    if known.doc is None:
        if max(doc["start_ms"], doc["end_ms"]) < now_ms - _NEWS_MS:
            return []
        before = set()
    else:
        former: Doc = orjson.loads(known.doc)
        # What was processed but not published has been nobody's yet.
        shown = former["state"] in recordings.SHOWN
        before = {made["type"] for made in former["formats"]} if shown else set()
    owner = Owner(
        pool=known.pool_id,
        subscription=known.subscription_id,
        credential=known.credential_id,
        meeting=known.meeting_id,
        external_id=known.external_id,
        node=node_id,
        internal_id=known.id,
    )
    callbacks = _callbacks(known.own_meta)
    made = []
    for kind in (made["type"] for made in doc["formats"] if made["type"] not in before):
        event = owner.event(
            EventKind.RECORDING_READY, now_ms, data={"recordID": known.id}, callbacks=callbacks
        )
        fact = f"recording:{known.id}:{kind[:_FORMAT_CHARS_MAX]}"
        made.append(late_events.row(event, fact))
    return made


def _callbacks(own_meta: bytes | None) -> list[tuple[str, str]]:
    """Return where the caller's create call asked to be told, which the node never saw."""
    own = orjson.loads(own_meta) if own_meta else {}
    for key in inward.RECORDING_METAS:
        value, _ = own.get(key, ("", None))
        if value:
            return [(value, "recordingReadyUrl")]
    return []

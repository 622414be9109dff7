"""Removing what is older than the retention.

Owns the deletion of ended meetings with their attendees, stored answers, published events,
finished deliveries with their attempts, targets that are silent, session tokens, idle webhooks and
forgotten bodies. Never touches a live meeting, an event that is not published or a delivery that is
not finished. Called by the timers once an hour.
"""

import time
from typing import Final

import structlog
from sqlalchemy import ColumnElement, Table, delete, select

from scheduler import hooks
from scheduler.database import Database
from scheduler.manage.idempotency import KEEP_MS
from scheduler.spool import StoredBodies
from schemas.management_tables import AuditRow, ErrandRow, IdempotencyRow, JobRow
from schemas.tables import MeetingRow

#: Rows of one transaction: a few milliseconds, so that nobody waits long for the write lock.
CHUNK_ROWS: Final = 500
#: Transactions of one call; what is left is removed by the next.
CHUNKS_MAX: Final = 2_000
#: Whoever asked for an errand removes it; what is left of one that died goes after this time.
_ERRAND_MS: Final = 3_600_000

_TABLES: Final = MeetingRow.metadata.tables
_MEETING: Final = _TABLES["meeting"]
_ATTENDEE: Final = _TABLES["attendee"]
_COMMAND: Final = _TABLES["command"]
_OUTBOX: Final = _TABLES["outbox"]
_DELIVERY: Final = _TABLES["delivery"]
_ATTEMPT: Final = _TABLES["attempt"]
_TARGET: Final = _TABLES["target"]
_SESSION: Final = _TABLES["session"]
_HOOK: Final = _TABLES["hook"]
_JOB: Final = JobRow.metadata.tables["job"]
_AUDIT: Final = AuditRow.metadata.tables["audit"]
_REPEATED: Final = IdempotencyRow.metadata.tables["idempotency"]
_ERRAND: Final = ErrandRow.metadata.tables["errand"]

log = structlog.get_logger(__name__)


async def remove_old(
    database: Database,
    keep_days: int,
    *,
    now_ms: int | None = None,
    hook_keep_days: int = 30,
    delivery_keep_days: int | None = None,
    audit_keep_days: int = 400,
) -> dict[str, int]:
    """Remove what has been over for more than `keep_days`; returns the rows removed, by table.

    Deliveries have a time of their own if one is given, and so has the audit log.

    Raises what the database raises; whatever was removed by then stays removed.
    """
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    before_ms = now_ms - keep_days * 86_400_000
    await hooks.note_use(database, now_ms=now_ms)
    idle = hooks.idle_since(now_ms - hook_keep_days * 86_400_000)
    # An ended meeting changes no more, so its last change is when it ended, and that is indexed.
    ended = (_MEETING.c.updated_ms < before_ms) & _MEETING.c.live.is_(False)
    delivered_days = keep_days if delivery_keep_days is None else delivery_keep_days
    finished = _DELIVERY.c.finished_ms < now_ms - delivered_days * 86_400_000
    # How a target fares is forgotten when nothing has been sent to it for as long as that.
    silent = _TARGET.c.updated_ms < before_ms - delivered_days * 86_400_000
    recorded_ms = now_ms - audit_keep_days * 86_400_000
    removed = {
        "meeting": await _remove(
            database, _MEETING, ended, parts=(_ATTENDEE, _ATTENDEE.c.meeting_id)
        ),
        "command": await _remove(database, _COMMAND, _COMMAND.c.at_ms < before_ms),
        "outbox": await _remove(database, _OUTBOX, _OUTBOX.c.published_ms < before_ms),
        "delivery": await _remove(
            database, _DELIVERY, finished, parts=(_ATTEMPT, _ATTEMPT.c.delivery_id)
        ),
        "target": await _remove(database, _TARGET, silent),
        "session": await _remove(database, _SESSION, _SESSION.c.until_ms <= now_ms),
        "hook": await _remove(database, _HOOK, idle),
        "audit": await _remove(database, _AUDIT, _AUDIT.c.at_ms < recorded_ms),
        "idempotency": await _remove(database, _REPEATED, _REPEATED.c.at_ms < now_ms - KEEP_MS),
        "job": await _remove(database, _JOB, _JOB.c.finished_ms < before_ms),
        "errand": await _remove(database, _ERRAND, _ERRAND.c.deadline_ms < now_ms - _ERRAND_MS),
        "spool": await StoredBodies(database).remove_stale(now_ms=now_ms),
    }
    if any(removed.values()):
        log.info("removed what is older than the retention", keep_days=keep_days, **removed)
    return removed


async def _remove(
    database: Database,
    table: Table,
    old: ColumnElement[bool],
    *,
    parts: tuple[Table, ColumnElement[str]] | None = None,
) -> int:
    """Remove the old rows of a table in chunks, first what belongs to them."""
    (key,) = table.primary_key.columns
    count = 0
    for _ in range(CHUNKS_MAX):
        async with database.connect() as connection:
            ids = list(await connection.scalars(select(key).where(old).limit(CHUNK_ROWS)))
        if not ids:
            break
        async with database.write_lock, database.begin() as connection:
            if parts is not None:
                await connection.execute(delete(parts[0]).where(parts[1].in_(ids)))
            await connection.execute(delete(table).where(key.in_(ids)))
        count += len(ids)
    return count

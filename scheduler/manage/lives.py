"""What happened to a meeting, in order: its life line.

Owns the gathering of it from the meeting itself, the events that were told of it, and the audit
log. Persons are in none of it: who came and went is a number elsewhere. Only reads. Called by
`meetings`.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from sqlalchemy import select

from scheduler.manage import instants
from scheduler.manage.context import Context
from schemas.events import EventKind
from schemas.identifiers import made_ms
from schemas.management.meetings import LifeEntry
from schemas.management_tables import AuditRow
from schemas.tables import OutboxRow

#: Entries that are shown at most.
ENTRIES_MAX: Final = 500

_OUTBOX: Final = OutboxRow.metadata.tables["outbox"]
_AUDIT: Final = AuditRow.metadata.tables["audit"]
#: What the facts of the outbox begin with that belong to a life; those of persons do not.
_WORDS: Final = {
    EventKind.MEETING_CREATED: "placed",
    EventKind.WINDOW_ENDED: "windowEnded",
    EventKind.MEETING_EXTENDED: "extended",
    EventKind.MEETING_EVICTED: "evicted",
    EventKind.MEETING_ENDED: "ended",
    EventKind.BOOKING_MADE: "booked",
    EventKind.BOOKING_MOVED: "moved",
    EventKind.BOOKING_CANCELLED: "cancelled",
    EventKind.BOOKING_STARTING: "starting",
}
_PREFIXES: Final = (
    *("created", "window", "extended:%", "evicted", "ended", "booked", "moved:%", "cancelled"),
    *("starting", "window:%", "starting:%"),
)


async def life(context: Context, row: Mapping[str, Any]) -> list[LifeEntry]:
    """Return what happened to the meeting of a row, oldest first."""
    booked = row["state"] == "booked" or row["end_reason"] in ("cancelled", "adopted")
    begun = made_ms(row["id"])
    window = f"{row['seats']} seats"
    found: list[tuple[int, LifeEntry]] = []
    if not booked:
        found.append((begun, _entry(begun, "admitted", window)))
    told = await _told(context, row["id"])
    found += told
    found += await _managed(context, row)
    ended_ms = row["ended_ms"]
    if ended_ms is not None and not any(entry.what == "ended" for _, entry in told):
        found.append((ended_ms, _entry(ended_ms, "ended", row["end_reason"])))
    found.sort(key=lambda item: item[0])
    return [entry for _, entry in found][:ENTRIES_MAX]


def _entry(at_ms: int, what: str, detail: str = "", actor: str | None = None) -> LifeEntry:
    return LifeEntry(at=instants.of_ms(at_ms), what=what, detail=detail, actor=actor)


async def _told(context: Context, meeting_id: str) -> list[tuple[int, LifeEntry]]:
    facts = _OUTBOX.c.fact
    wanted = [facts.like(prefix) if "%" in prefix else facts == prefix for prefix in _PREFIXES]
    condition = wanted[0]
    for other in wanted[1:]:
        condition = condition | other
    statement = (
        select(_OUTBOX.c.body)
        .where(_OUTBOX.c.meeting_id == meeting_id, condition)
        .order_by(_OUTBOX.c.seq)
        .limit(ENTRIES_MAX)
    )
    async with context.database.connect() as connection:
        bodies = [orjson.loads(row[0]) for row in (await connection.execute(statement)).all()]
    found = []
    for event in bodies:
        what = _WORDS.get(EventKind(event["kind"]))
        if what is not None:
            found.append((event["at_ms"], _entry(event["at_ms"], what, _detail(what, event))))
    return found


def _detail(what: str, event: Mapping[str, Any]) -> str:
    data = event["data"]
    if what == "evicted":
        return f"{data['seatsNeeded']} seats were needed"
    if what == "ended":
        needed = event["seats_needed"]
        return str(event["reason"]) + (f", {needed} seats were needed" if needed else "")
    if what == "extended":
        return f"until {instants.of_ms(data['windowEnd']):%Y-%m-%d %H:%M:%SZ}"
    if what in ("booked", "moved"):
        begin, end = instants.of_ms(data["windowStart"]), instants.of_ms(data["windowEnd"])
        return f"{data['seats']} seats, {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%MZ}"
    return ""


async def _managed(context: Context, row: Mapping[str, Any]) -> list[tuple[int, LifeEntry]]:
    """Return who asked for what; customers see the provider's people as such."""
    statement = (
        select(_AUDIT.c.at_ms, _AUDIT.c.action, _AUDIT.c.actor)
        .where(_AUDIT.c.subject == f"meeting {row['id']}")
        .where(_AUDIT.c.at_ms >= made_ms(row["id"]) - 60_000)
        .order_by(_AUDIT.c.id)
        .limit(ENTRIES_MAX)
    )
    async with context.database.connect() as connection:
        rows = (await connection.execute(statement)).all()
    return [
        (
            at_ms,
            _entry(at_ms, f"asked: {action.removeprefix('meeting.')}", "", _actor(context, who)),
        )
        for at_ms, action, who in rows
    ]


def _actor(context: Context, who: str) -> str:
    mine = context.only is None or who == context.actor.name
    return who if mine else "management"

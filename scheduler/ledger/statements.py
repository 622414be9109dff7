"""The one statement by which a batch becomes durable on PostgreSQL.

Owns its text: fence, changes, creations, answers, attendees and events as parts of one `WITH`, so
that a commit is one round trip, whatever is in the batch. No I/O. Called by
`scheduler.ledger.postgresql`.
"""

# ruff: noqa: S608  # names are constants of this module and of the records, values are arguments
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Final, TypeAlias

from scheduler import usage
from scheduler.ledger.records import MEETING_COLUMNS, MUTABLE_COLUMNS, Batch

#: SQL types of the columns, as arrays of them travel.
_TYPES: Final = {
    "text": (
        *("id", "external_id", "live_key", "state", "end_reason", "internal_id", "parent_id"),
        *("meeting_id", "user_id", "event_id", "fact", "visits"),
    ),
    "integer": (
        *("pool_id", "subscription_id", "credential_id", "node_id", "seats", "version", "joins"),
        *("day", *usage.PEAKS),
    ),
    "bigint": (
        *("start_s", "end_s", "updated_ms", "ended_ms", "at_ms", "changed_ms", "counted_s"),
        *(name for name in usage.SUMS if name != "joins"),
    ),
    "boolean": ("live", "present", "moderator", "marked"),
    "bytea": ("doc", "bound", "gate", "why", "answer", "body"),
}
_TYPE_OF: Final = {name: kind for kind, names in _TYPES.items() for name in names}

_CHANGED: Final = (*MUTABLE_COLUMNS, "id")
_ANSWER: Final = ("id", "at_ms", "answer")
_ATTENDEE: Final = (
    *("meeting_id", "user_id"),
    *("present", "moderator", "joins", "changed_ms", "visits"),
)
_EVENT: Final = ("event_id", "meeting_id", "fact", "body", "at_ms")
_USAGE: Final = (*usage.KEY, *usage.COLUMNS)

#: Locks the row as an update would, not FOR SHARE: a successor that waits to raise the epoch then
#: stands in line before this writer's next batch instead of being overtaken again and again.
_FENCE: Final = "fence AS (SELECT FROM pool WHERE id = $1 AND epoch = $2 FOR NO KEY UPDATE)"

_ADD: Final = f"ON CONFLICT ({', '.join(usage.KEY)}) DO UPDATE SET " + ", ".join(
    (
        *(f"{name} = usage.{name} + excluded.{name}" for name in usage.SUMS),
        *(f"{name} = greatest(usage.{name}, excluded.{name})" for name in usage.PEAKS),
    )
)

_Row: TypeAlias = Sequence[Any]
_changed_values: Final[Callable[[Any], _Row]] = attrgetter(*_CHANGED)
_created_values: Final[Callable[[Any], _Row]] = attrgetter(*MEETING_COLUMNS)


def commit_statement(batch: Batch) -> tuple[str, list[object]]:
    """Return the statement for a batch and its arguments from the third on.

    The first two are pool id and epoch. It returns one value: 0 when the epoch has moved and
    nothing was written, else 1; it fails as a whole when a changed meeting is not there.
    """
    updates = batch.updates()
    arguments: list[object] = []
    if updates:
        arguments += _columns(map(_changed_values, updates))
    if batch.created:
        arguments += _columns(map(_created_values, batch.created.values()))
    if batch.answers:
        arguments += _columns(batch.answers)
    if batch.attendees:
        arguments += _columns(batch.last_attendees())
    if batch.events:
        arguments += _columns(batch.events)
    if batch.usage:
        arguments += _columns(batch.usage_rows())
    text = _statement(
        changed=bool(updates),
        created=bool(batch.created),
        answers=bool(batch.answers),
        attendees=bool(batch.attendees),
        events=bool(batch.events),
        counted=bool(batch.usage),
    )
    if updates:
        arguments.append(len(updates))
    return text, arguments


def _columns(rows: Iterable[_Row]) -> Iterable[object]:
    return zip(*rows, strict=True)


@cache
def _statement(
    *, changed: bool, created: bool, answers: bool, attendees: bool, events: bool, counted: bool
) -> str:
    parts = [_FENCE]
    used = 2

    def new(columns: Sequence[str]) -> str:
        nonlocal used
        arrays = [f"${used + i}::{_TYPE_OF[c]}[]" for i, c in enumerate(columns, start=1)]
        used += len(columns)
        return (
            f"fence, unnest({', '.join(arrays)}) WITH ORDINALITY"
            f" AS new ({', '.join(columns)}, position)"
        )

    def insert(table: str, columns: Sequence[str], source: str, *, conflict: str = "") -> str:
        names = ", ".join(columns)
        values = ", ".join(f"new.{name}" for name in columns)
        return f"INSERT INTO {table} ({names}) SELECT {values} FROM {source} {conflict}"

    if changed:
        pairs = ", ".join(f"{name} = new.{name}" for name in MUTABLE_COLUMNS)
        parts.append(
            f"changed AS (UPDATE meeting SET {pairs} FROM {new(_CHANGED)}"
            " WHERE meeting.id = new.id RETURNING 1)"
        )
    if created:
        # Reading the number of changes makes PostgreSQL carry them out first.
        before = ", (SELECT count(*) FROM changed) AS before" if changed else ""
        text = insert("meeting", MEETING_COLUMNS, new(MEETING_COLUMNS) + before)
        parts.append(f"created AS ({text})")
    if answers:
        text = insert("command", _ANSWER, new(_ANSWER), conflict="ON CONFLICT (id) DO NOTHING")
        parts.append(f"answers AS ({text})")
    if attendees:
        written = ", ".join(f"{name} = excluded.{name}" for name in _ATTENDEE[2:])
        conflict = f"ON CONFLICT (meeting_id, user_id) DO UPDATE SET {written}"
        text = insert("attendee", _ATTENDEE, new(_ATTENDEE), conflict=conflict)
        parts.append(f"attendees AS ({text})")
    if events:
        # Their sequence numbers follow the order of the batch.
        conflict = "ORDER BY new.position ON CONFLICT (meeting_id, fact) DO NOTHING"
        text = insert("outbox", _EVENT, new(_EVENT), conflict=conflict)
        parts.append(f"events AS ({text})")
    if counted:
        # In the order of their keys, so that no two writers ever wait for each other.
        text = insert("usage", _USAGE, new(_USAGE), conflict=f"ORDER BY new.position {_ADD}")
        parts.append(f"counted AS ({text})")
    # A missing row divides by zero: the way for a single statement to undo itself.
    check = (
        f" / (CASE WHEN (SELECT count(*) FROM changed) = ${used + 1}::bigint"
        " OR NOT EXISTS (SELECT FROM fence) THEN 1 ELSE 0 END)"
    )
    return (
        f"WITH {', '.join(parts)}"
        f" SELECT (SELECT count(*) FROM fence){check if changed else ''} AS fenced"
    )

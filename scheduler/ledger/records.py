"""What goes into the ledger and comes out of it: rows as plain objects.

Owns the shapes `MeetingRecord`, `AttendeeRecord`, `Batch` and `Loaded`. No I/O; the columns are
those of `schemas.tables`. Used by the placement worker, and by everybody who reads meetings.
"""

from dataclasses import dataclass, field, fields
from typing import Final, NamedTuple, TypeAlias

from scheduler.usage import UsageKey


@dataclass(slots=True)
class MeetingRecord:
    """One row of the meeting table; the fields are explained there."""

    id: str
    pool_id: int
    subscription_id: int
    credential_id: int
    external_id: str
    live_key: str | None
    live: bool
    node_id: int | None
    state: str
    seats: int
    start_s: int
    end_s: int
    version: int
    updated_ms: int
    doc: bytes
    bound: bytes | None = None
    end_reason: str = ""
    ended_ms: int | None = None
    internal_id: str | None = None
    parent_id: str | None = None
    gate: bytes | None = None
    marked: bool = False
    why: bytes | None = None
    #: Until when its seats stand in the usage; 0: nothing was counted yet.
    counted_s: int = 0


#: Names of the columns in the order of the fields.
MEETING_COLUMNS: Final = tuple(field.name for field in fields(MeetingRecord))

#: What an update writes; the rest of a meeting never changes.
MUTABLE_COLUMNS: Final = (
    "live_key",
    "live",
    "node_id",
    "state",
    "seats",
    "start_s",
    "end_s",
    "version",
    "updated_ms",
    "bound",
    "end_reason",
    "ended_ms",
    "internal_id",
    "gate",
    "marked",
    "counted_s",
)


class AttendeeRecord(NamedTuple):
    """One row of the attendee table."""

    meeting_id: str
    user_id: str
    present: bool
    moderator: bool
    joins: int
    changed_ms: int
    visits: str


#: (command id, at_ms, answer)
AnswerItem: TypeAlias = tuple[str, int, bytes]
#: (event id, meeting id, fact, body, at_ms)
EventItem: TypeAlias = tuple[str, str, str, bytes, int]
#: The fields of `AttendeeRecord` in their order.
AttendeeItem: TypeAlias = tuple[str, str, bool, bool, int, int, str]


@dataclass(slots=True)
class Batch:
    """What becomes durable together.

    Changes are written before creations, so that a key which one meeting gives up can be taken by
    another. A meeting that is created here stands in `created` only, as it is at the end.
    """

    #: Whole rows, by meeting id.
    created: dict[str, MeetingRecord] = field(default_factory=dict)
    #: Rows whose mutable columns are written, by meeting id.
    changed: dict[str, MeetingRecord] = field(default_factory=dict)
    #: Stored answers; a command that has one already keeps it.
    answers: list[AnswerItem] = field(default_factory=list)
    #: Events; a fact of a meeting that was told already is left out.
    events: list[EventItem] = field(default_factory=list)
    #: Users seen in meetings; the last item for a user wins.
    attendees: list[AttendeeItem] = field(default_factory=list)
    #: What customers used, to be added to their rows; see `scheduler.usage`.
    usage: dict[UsageKey, list[int]] = field(default_factory=dict)

    def is_empty(self) -> bool:
        """Tell whether there is nothing to write."""
        return not any(
            (self.created, self.changed, self.answers, self.events, self.attendees, self.usage)
        )

    def updates(self) -> list[MeetingRecord]:
        """Return the changed rows, those that give up their key first."""
        rows = [row for row in self.changed.values() if row.id not in self.created]
        rows.sort(key=lambda row: row.live_key is not None)
        return rows

    def usage_rows(self) -> list[tuple[int, ...]]:
        """Return key and values of the usage, in an order that all writers keep."""
        return [(*key, *values) for key, values in sorted(self.usage.items())]

    def last_attendees(self) -> list[AttendeeItem]:
        """Return one item per user of a meeting, the last one."""
        return list({(item[0], item[1]): item for item in self.attendees}.values())


@dataclass(slots=True)
class Loaded:
    """What a worker starts from."""

    #: All live meetings of the pool.
    meetings: list[MeetingRecord]
    #: Everybody who was seen in one of them, present or not.
    attendees: list[AttendeeRecord]

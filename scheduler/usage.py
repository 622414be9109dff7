"""What is counted of a customer's use: columns, and seats times seconds from spans of time.

Owns the names of the counters and the arithmetic that turns what a meeting is charged with into
seconds of days (UTC). Pure: no clock, no database. Used by the placement worker, which counts, by
the ledger, which writes, and by reports, which add what goes on at present.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from schemas.values import MeetingState, Reason

DAY_S: Final = 86_400

#: Columns that only grow.
SUMS: Final = (
    *("creates", "joins", "evictions", "overtimes", "bookings"),
    *("refused_seats", "refused_meetings", "refused_nodes", "refused_other", "refused_joins"),
    *("reserved_seat_s", "used_seat_s", "overtime_seat_s", "meeting_s"),
)
#: Columns of which the highest counts.
PEAKS: Final = ("peak_seats", "peak_users", "peak_meetings")
COLUMNS: Final = SUMS + PEAKS
KEY: Final = ("day", "subscription_id", "credential_id")
#: The credential of the rows that hold the peaks of a whole subscription, and nothing else: the
#: peaks of its credentials need not be at the same time.
WHOLE: Final = 0
#: The day of what the retention has folded together.
FOLDED: Final = 0

#: Day, subscription, credential.
UsageKey: TypeAlias = tuple[int, int, int]

_AT: Final = {name: place for place, name in enumerate(COLUMNS)}
_FIRST_PEAK: Final = len(SUMS)

_REFUSED: Final = {
    Reason.MAX_PARTICIPANTS.value: "refused_seats",
    Reason.MAX_MEETINGS.value: "refused_meetings",
    Reason.NO_NODE.value: "refused_nodes",
}
#: In a window, the seats of these are a guarantee.
_RESERVED: Final = frozenset(
    state.value
    for state in (
        *(MeetingState.BOOKED, MeetingState.PLACING, MeetingState.HELD),
        *(MeetingState.OVERTIME, MeetingState.LOST),
    )
)
#: These take their seats after it, too.
_STAYING: Final = frozenset(
    state.value for state in (MeetingState.PLACING, MeetingState.HELD, MeetingState.OVERTIME)
)
_RUNNING: Final = frozenset(state.value for state in (MeetingState.HELD, MeetingState.OVERTIME))


@dataclass(slots=True)
class Charge:
    """What a meeting is charged with until something about it changes."""

    seats: int
    start_s: int
    end_s: int
    #: Whether its seats are taken after the window.
    stays: bool
    #: Whether it runs on a node.
    runs: bool
    #: Until when it is counted already.
    since_s: int

    def same(self, other: "Charge") -> bool:
        """Tell whether both charge the same at every second."""
        return (self.seats, self.start_s, self.end_s, self.stays, self.runs) == (
            *(other.seats, other.start_s, other.end_s),
            *(other.stays, other.runs),
        )

    def level(self, now_s: int) -> tuple[int, int]:
        """Return the seats that are reserved now, and 1 when it is a running meeting."""
        reserved = self.start_s <= now_s < self.end_s
        return self.seats if reserved else 0, 1 if self.runs else 0

    def spent(self, until_s: int) -> Iterator[tuple[int, str, int]]:
        """Yield (day, column, amount) for the time from `since_s` to `until_s`."""
        since_s = self.since_s
        for column, from_s, to_s, seats in (
            ("reserved_seat_s", max(since_s, self.start_s), min(until_s, self.end_s), self.seats),
            ("overtime_seat_s", max(since_s, self.end_s), until_s, self.seats * self.stays),
            ("meeting_s", since_s, until_s, int(self.runs)),
        ):
            if seats:
                for day, seconds in by_day(from_s, to_s):
                    yield day, column, seconds * seats


def charge(  # the columns of a row
    state: str, *, seats: int, start_s: int, end_s: int, counted_s: int, room: bool
) -> Charge | None:
    """Return what a meeting is charged with; None when it is nothing.

    A breakout room is a part of its meeting. A meeting that was made before anything was counted
    is counted from its start.
    """
    if room or state not in _RESERVED:
        return None
    stays, runs = state in _STAYING, state in _RUNNING
    return Charge(seats, start_s, end_s, stays=stays, runs=runs, since_s=counted_s or start_s)


def by_day(from_s: int, to_s: int) -> Iterator[tuple[int, int]]:
    """Yield (day, seconds) of a span; nothing when it is empty or turned around."""
    while from_s < to_s:
        day = from_s // DAY_S
        until_s = min(to_s, (day + 1) * DAY_S)
        yield day, until_s - from_s
        from_s = until_s


def add(usage: dict[UsageKey, list[int]], key: UsageKey, column: str, amount: int) -> None:
    """Put an amount into the row of the key: added up, or the highest for a peak."""
    row = usage.get(key)
    if row is None:
        row = usage[key] = [0] * len(COLUMNS)
    at = _AT[column]
    row[at] = max(row[at], amount) if at >= _FIRST_PEAK else row[at] + amount


def refused_column(reason: str) -> str:
    """Return the column in which a refused reservation is counted."""
    return _REFUSED.get(reason, "refused_other")

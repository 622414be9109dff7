"""Counting what customers use, within the turn and written with it.

Owns what each meeting is charged with, the levels of each credential and subscription at present,
and the highest of the day. A span is counted when something about it changes; a peak is written
when it is left, since until then it can be seen in the meetings themselves. So a crash loses and
repeats nothing. Never decides. Called by the shard, and by the loop before it commits.
"""

import heapq
from collections.abc import Iterable
from typing import Final, TypeAlias

from scheduler import usage
from scheduler.ledger.records import Batch, MeetingRecord
from scheduler.usage import DAY_S, WHOLE, Charge, UsageKey
from schemas.events import EventKind
from schemas.values import MeetingState

#: Subscription and credential.
_Payer: TypeAlias = tuple[int, int]

#: Days that a new worker looks back at most.
_DAYS_MAX: Final = 31
_SEATS, _USERS, _MEETINGS = 0, 1, 2
_TOLD: Final = {
    EventKind.MEETING_CREATED: "creates",
    EventKind.MEETING_EVICTED: "evictions",
    EventKind.WINDOW_ENDED: "overtimes",
}


class _Entry:
    """One meeting: what it is charged with, and what it adds to the levels."""

    __slots__ = ("charge", "given", "payers")

    def __init__(self, record: MeetingRecord, charge: Charge) -> None:
        self.charge = charge
        self.given = (0, 0)
        self.payers = payers(record)


class Tally:
    """What the meetings of one pool use."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        #: Seats, users and meetings at present, and the highest of the day.
        self._levels: dict[_Payer, list[int]] = {}
        self._peaks: dict[_Payer, list[int]] = {}
        #: Whose levels changed in this turn, and what they were before it.
        self._before: dict[_Payer, list[int]] = {}
        #: Windows that begin later.
        self._starts: list[tuple[int, str]] = []
        #: What a new worker has to write with its first turn.
        self._unwritten: dict[UsageKey, list[int]] = {}
        #: Of the peaks; None: nothing was there yet.
        self._day: int | None = None

    # --- what happens within a turn

    def add(self, batch: Batch, record: MeetingRecord, column: str, *, now_s: int) -> None:
        """Count one of something."""
        key = (now_s // DAY_S, record.subscription_id, record.credential_id)
        usage.add(batch.usage, key, column, 1)

    def told(self, batch: Batch, record: MeetingRecord, kind: EventKind, *, now_s: int) -> None:
        """Count an event of a meeting, if it is one that is counted."""
        column = _TOLD.get(kind)
        if column is not None and record.parent_id is None:
            self.add(batch, record, column, now_s=now_s)

    def refused(
        self, batch: Batch, reason: str, *, subscription: int, credential: int, now_s: int
    ) -> None:
        """Count a reservation that was refused."""
        key = (now_s // DAY_S, subscription, credential)
        usage.add(batch.usage, key, usage.refused_column(reason), 1)

    def moved(
        self,
        batch: Batch,
        record: MeetingRecord,
        *,
        came: int,
        went: int,
        stays: Iterable[tuple[int, int]],
        now_s: int,
    ) -> None:
        """Count that a person came or went; `stays` are the times (ms) that are over.

        Who is in a breakout room has a place in its meeting already.
        """
        if record.parent_id is not None:
            return
        for _ in range(came):
            self.add(batch, record, "joins", now_s=now_s)
        if came != went:
            self._raise(payers(record), _USERS, came - went)
        for from_ms, to_ms in stays:
            for day, seconds in usage.by_day(from_ms // 1_000, to_ms // 1_000):
                key = (day, record.subscription_id, record.credential_id)
                usage.add(batch.usage, key, "used_seat_s", seconds)

    # --- the end of a turn

    def write(self, batch: Batch, shown: Iterable[MeetingRecord], *, now_s: int) -> None:
        """Put into the batch what the turn made of the meetings that it made or changed."""
        if self._unwritten:
            self._after_restore(batch)
        day = now_s // DAY_S
        if day != self._day:
            self._next_day(batch, self._day or day, day)
        for record in batch.created.values():
            self._follow(batch, record, now_s=now_s)
        for record in shown:
            self._follow(batch, record, now_s=now_s)
        while self._starts and self._starts[0][0] <= now_s:
            entry = self._entries.get(heapq.heappop(self._starts)[1])
            if entry is not None:
                self._level(entry, now_s)
        if self._before:
            self._peaks_left(batch, day)

    def restore(self, meetings: Iterable[tuple[MeetingRecord, int]], *, now_s: int) -> None:
        """Take over the stored meetings, each with the number of its people."""
        latest_ms = 0
        for record, users in meetings:
            latest_ms = max(latest_ms, record.updated_ms)
            charge = _charge(record)
            if charge is not None:
                self._enter(record, charge, now_s)
            if users and record.parent_id is None:
                self._raise(payers(record), _USERS, users)
        self._before.clear()
        self._day = now_s // DAY_S
        # Since the last change levels have moved with the windows alone; perhaps nobody wrote it.
        since_s = min(latest_ms // 1_000, now_s) if latest_ms else now_s
        for day in range(max(since_s // DAY_S, self._day - _DAYS_MAX), self._day + 1):
            span = (max(since_s, day * DAY_S), min(now_s + 1, (day + 1) * DAY_S))
            for payer, peaks in self._highest(*span).items():
                self._peaks[payer] = peaks  # of today, in the end
                for which, name in enumerate(usage.PEAKS):
                    usage.add(self._unwritten, (day, *payer), name, peaks[which])

    def _highest(self, from_s: int, to_s: int) -> dict[_Payer, list[int]]:
        """Return the most that there was within a span in which nothing but time has changed."""
        entries = self._entries.values()
        starts = {entry.charge.start_s for entry in entries}
        peaks = {payer: [0, *levels[_USERS:]] for payer, levels in self._levels.items()}
        for moment_s in {from_s} | {start_s for start_s in starts if from_s < start_s < to_s}:
            for payer, seats in self._seats(moment_s).items():
                found = peaks.setdefault(payer, [0, 0, 0])
                found[_SEATS] = max(found[_SEATS], seats)
        return peaks

    def _seats(self, at_s: int) -> dict[_Payer, int]:
        """Return the seats that were reserved at a moment since the last change."""
        seats: dict[_Payer, int] = {}
        for entry in self._entries.values():
            reserved = entry.charge.level(at_s)[0]
            for payer in entry.payers:
                seats[payer] = seats.get(payer, 0) + reserved
        return seats

    def _after_restore(self, batch: Batch) -> None:
        for key, row in self._unwritten.items():
            for name, value in zip(usage.COLUMNS, row, strict=True):
                if value:
                    usage.add(batch.usage, key, name, value)
        self._unwritten.clear()

    def _follow(self, batch: Batch, record: MeetingRecord, *, now_s: int) -> None:
        charge = _charge(record)
        entry = self._entries.get(record.id)
        if entry is None:
            if charge is not None:
                if record.id in batch.created:
                    record.counted_s = charge.since_s = now_s
                    if record.state == MeetingState.BOOKED:
                        self.add(batch, record, "bookings", now_s=now_s)
                self._enter(record, charge, now_s)
            return
        if charge is None or not charge.same(entry.charge):
            # The clock of another machine may have been ahead.
            until_s = max(now_s, entry.charge.since_s)
            for day, column, amount in entry.charge.spent(until_s):
                usage.add(batch.usage, (day, *entry.payers[0]), column, amount)
            record.counted_s = until_s
            if charge is None:
                del self._entries[record.id]
                self._give(entry, (0, 0))
                return
            charge.since_s = until_s
            entry.charge = charge
            self._watch(record.id, charge, now_s)
        self._level(entry, now_s)

    def _enter(self, record: MeetingRecord, charge: Charge, now_s: int) -> None:
        entry = self._entries[record.id] = _Entry(record, charge)
        self._watch(record.id, charge, now_s)
        self._level(entry, now_s)

    def _watch(self, meeting: str, charge: Charge, now_s: int) -> None:
        if charge.start_s > now_s:
            heapq.heappush(self._starts, (charge.start_s, meeting))

    def _level(self, entry: _Entry, now_s: int) -> None:
        given = entry.charge.level(now_s)
        if given != entry.given:
            self._give(entry, given)

    def _give(self, entry: _Entry, given: tuple[int, int]) -> None:
        seats, meetings = entry.given
        entry.given = given
        if given[0] != seats:
            self._raise(entry.payers, _SEATS, given[0] - seats)
        if given[1] != meetings:
            self._raise(entry.payers, _MEETINGS, given[1] - meetings)

    def _raise(self, payers: tuple[_Payer, _Payer], which: int, by: int) -> None:
        for payer in payers:
            levels = self._levels.get(payer)
            if levels is None:
                levels = self._levels[payer] = [0, 0, 0]
            if payer not in self._before:
                self._before[payer] = list(levels)
            levels[which] += by

    # --- peaks

    def _peaks_left(self, batch: Batch, day: int) -> None:
        """Write the peaks that the turn has left, and note the new ones."""
        for payer, before in self._before.items():
            levels = self._levels[payer]
            peaks = self._peaks.get(payer)
            if peaks is None:
                peaks = self._peaks[payer] = [0, 0, 0]
            for which, name in enumerate(usage.PEAKS):
                if levels[which] < before[which] == peaks[which]:
                    usage.add(batch.usage, (day, *payer), name, before[which])
                elif levels[which] > peaks[which]:
                    peaks[which] = levels[which]
            if not any(levels):
                del self._levels[payer]
        self._before.clear()

    def _next_day(self, batch: Batch, old: int, day: int) -> None:
        """Write the peaks that nobody left, and begin the new day as it was at midnight.

        Called before the turn's meetings are followed: of what has changed in it, only the people
        are in the levels already.
        """
        seats = self._seats(day * DAY_S)
        peaks: dict[_Payer, list[int]] = {}
        for payer in self._levels.keys() | self._before.keys():
            before = self._before.get(payer) or self._levels[payer]
            # What was there at midnight is a peak of both days, as far as anybody knows yet.
            peaks[payer] = [seats.get(payer, 0), before[_USERS], before[_MEETINGS]]
            for which, name in enumerate(usage.PEAKS):
                usage.add(batch.usage, (old, *payer), name, before[which])
                usage.add(batch.usage, (day, *payer), name, peaks[payer][which])
        self._day = day
        self._peaks = peaks


def payers(record: MeetingRecord) -> tuple[_Payer, _Payer]:
    """Return whose levels a meeting adds to: its credential's and its subscription's."""
    subscription = record.subscription_id
    return (subscription, record.credential_id), (subscription, WHOLE)


def _charge(record: MeetingRecord) -> Charge | None:
    return usage.charge(
        record.state,
        seats=record.seats,
        start_s=record.start_s,
        end_s=record.end_s,
        counted_s=record.counted_s,
        room=record.parent_id is not None,
    )

"""Counting what customers use, within the turn and written with it.

Owns what each meeting is charged with, the levels of each credential and subscription at present,
and the highest of the day. A span is counted when something about it changes; a peak is written
when it is left, since until then it can be seen in the meetings themselves. So a crash loses and
repeats nothing. Never decides. Called by the shard, and by the loop before it commits.
"""

import heapq
from collections.abc import Iterable, Iterator
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
_SEATS, _USERS, _MEETINGS = _WHICH = 0, 1, 2
_TOLD: Final = {
    EventKind.MEETING_CREATED: "creates",
    EventKind.MEETING_EVICTED: "evictions",
    EventKind.WINDOW_ENDED: "overtimes",
}


class _Level:
    """How much a credential or a subscription has at present: seats, users and meetings."""

    __slots__ = ("before", "now", "payer", "peaks")

    def __init__(self, payer: _Payer) -> None:
        self.payer = payer
        self.now = [0, 0, 0]
        #: The highest of the day.
        self.peaks = [0, 0, 0]
        #: What it was before this turn, when that has changed it.
        self.before: list[int] | None = None


#: Of the credential, and of the whole subscription.
_Levels: TypeAlias = tuple[_Level, _Level]


class _Entry:
    """One meeting: what it is charged with, and what it adds to the levels."""

    __slots__ = ("charge", "levels", "meetings", "seats")

    def __init__(self, charge: Charge, levels: _Levels) -> None:
        self.charge = charge
        self.levels = levels
        self.seats = 0
        self.meetings = 0


class Tally:
    """What the meetings of one pool use."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._levels: dict[_Payer, _Levels] = {}
        self._wholes: dict[int, _Level] = {}
        #: Levels that changed in this turn.
        self._changed: list[_Level] = []
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
            self._raise(self._levels_of(record), _USERS, came - went)
        for from_ms, to_ms in stays:
            for day, seconds in usage.by_day(from_ms // 1_000, to_ms // 1_000):
                key = (day, record.subscription_id, record.credential_id)
                usage.add(batch.usage, key, "used_seat_s", seconds)

    # --- the end of a turn

    def write(self, batch: Batch, shown: Iterable[MeetingRecord], *, now_s: int) -> None:
        """Put into the batch what the turn made of the meetings that it made or changed."""
        if self._unwritten:
            self._after_restore(batch)
        begun = self._begun(batch, now_s)
        day = now_s // DAY_S
        if day != self._day:
            self._next_day(batch, self._day or day, day)
        for record in batch.created.values():
            self._follow(batch, record, now_s=now_s)
        for record in shown:
            self._follow(batch, record, now_s=now_s)
        for meeting in begun:
            if meeting in self._entries:
                self._level(self._entries[meeting], now_s)
        if self._changed:
            self._peaks_left(batch, day)

    def _begun(self, batch: Batch, now_s: int) -> list[str]:
        """Return the meetings whose windows began, and note how high that went before this turn."""
        begun: list[str] = []
        moments: set[int] = set()
        while self._starts and self._starts[0][0] <= now_s:
            start_s, meeting = heapq.heappop(self._starts)
            begun.append(meeting)
            if start_s < now_s:
                moments.add(start_s)
        for moment_s in moments:
            for level, seats in self._seats(moment_s).items():
                day = moment_s // DAY_S
                if day != self._day or seats > level.peaks[_SEATS]:
                    _note(batch.usage, day, level.payer, [seats, 0, 0])
                if day == self._day:
                    level.peaks[_SEATS] = max(level.peaks[_SEATS], seats)
        return begun

    def restore(self, meetings: Iterable[tuple[MeetingRecord, int, int]], *, now_s: int) -> None:
        """Take over the stored meetings, each with the number of its people and its last change."""
        latest_ms = 0
        for record, users, changed_ms in meetings:
            latest_ms = max(latest_ms, changed_ms)
            charge = _charge(record)
            if charge is not None:
                self._enter(record, charge, now_s)
            if users and record.parent_id is None:
                self._raise(self._levels_of(record), _USERS, users)
        for level in self._changed:
            level.before = None
        self._changed.clear()
        self._day = now_s // DAY_S
        # Since the last change levels have moved with the windows alone; perhaps nobody wrote it.
        since_s = min(latest_ms // 1_000, now_s) if latest_ms else now_s
        for day in range(max(since_s // DAY_S, self._day - _DAYS_MAX), self._day + 1):
            span = (max(since_s, day * DAY_S), min(now_s + 1, (day + 1) * DAY_S))
            self._look_back(day, *span)

    def _look_back(self, day: int, from_s: int, to_s: int) -> None:
        """Note the most that there was within a span in which nothing but time has changed."""
        for level in self._all_levels():
            level.peaks = [0, *level.now[_USERS:]]
        starts = {entry.charge.start_s for entry in self._entries.values()}
        for moment_s in {from_s} | {start_s for start_s in starts if from_s < start_s < to_s}:
            for level, seats in self._seats(moment_s).items():
                level.peaks[_SEATS] = max(level.peaks[_SEATS], seats)
        for level in self._all_levels():
            _note(self._unwritten, day, level.payer, level.peaks)

    def _seats(self, at_s: int) -> dict[_Level, int]:
        """Return the seats that were reserved at a moment since the last change."""
        seats: dict[_Level, int] = {}
        for entry in self._entries.values():
            reserved = entry.charge.level(at_s)[0]
            for level in entry.levels:
                seats[level] = seats.get(level, 0) + reserved
        return seats

    def _all_levels(self) -> Iterator[_Level]:
        yield from self._wholes.values()
        for level, _ in self._levels.values():
            yield level

    def _levels_of(self, record: MeetingRecord) -> _Levels:
        """Return whose levels a meeting adds to: its credential's and its subscription's."""
        payer = (record.subscription_id, record.credential_id)
        found = self._levels.get(payer)
        if found is None:
            whole = self._wholes.get(payer[0])
            if whole is None:
                whole = self._wholes[payer[0]] = _Level((payer[0], WHOLE))
            found = self._levels[payer] = (_Level(payer), whole)
        return found

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
                usage.add(batch.usage, (day, *entry.levels[0].payer), column, amount)
            record.counted_s = until_s
            if charge is None:
                del self._entries[record.id]
                self._give(entry, 0, 0)
                return
            charge.since_s = until_s
            entry.charge = charge
            self._watch(record.id, charge, now_s)
        self._level(entry, now_s)

    def _enter(self, record: MeetingRecord, charge: Charge, now_s: int) -> None:
        entry = self._entries[record.id] = _Entry(charge, self._levels_of(record))
        self._watch(record.id, charge, now_s)
        self._level(entry, now_s)

    def _watch(self, meeting: str, charge: Charge, now_s: int) -> None:
        if charge.start_s > now_s:
            heapq.heappush(self._starts, (charge.start_s, meeting))

    def _level(self, entry: _Entry, now_s: int) -> None:
        self._give(entry, *entry.charge.level(now_s))

    def _give(self, entry: _Entry, seats: int, meetings: int) -> None:
        if seats != entry.seats:
            self._raise(entry.levels, _SEATS, seats - entry.seats)
            entry.seats = seats
        if meetings != entry.meetings:
            self._raise(entry.levels, _MEETINGS, meetings - entry.meetings)
            entry.meetings = meetings

    def _raise(self, levels: _Levels, which: int, by: int) -> None:
        for level in levels:
            if level.before is None:
                level.before = level.now.copy()
                self._changed.append(level)
            level.now[which] += by

    # --- peaks

    def _peaks_left(self, batch: Batch, day: int) -> None:
        """Write the peaks that the turn has left, and note the new ones."""
        for level in self._changed:
            now, peaks, before = level.now, level.peaks, level.before or level.now
            for which in _WHICH:
                if now[which] > peaks[which]:
                    peaks[which] = now[which]
                elif now[which] < before[which] == peaks[which]:
                    name = usage.PEAKS[which]
                    usage.add(batch.usage, (day, *level.payer), name, before[which])
            level.before = None
        self._changed.clear()

    def _next_day(self, batch: Batch, old: int, day: int) -> None:
        """Write the peaks that nobody left, and begin the new day as it was at midnight.

        Called before the turn's meetings are followed: of what has changed in it, only the people
        are in the levels already.
        """
        seats = self._seats(day * DAY_S)
        for level in self._all_levels():
            before = level.before or level.now
            # What was there at midnight is a peak of both days, as far as anybody knows yet.
            level.peaks = [seats.get(level, 0), before[_USERS], before[_MEETINGS]]
            _note(batch.usage, old, level.payer, before)
            _note(batch.usage, day, level.payer, level.peaks)
        self._day = day


def _note(rows: dict[UsageKey, list[int]], day: int, payer: _Payer, peaks: list[int]) -> None:
    for name, value in zip(usage.PEAKS, peaks, strict=True):
        if value:
            usage.add(rows, (day, *payer), name, value)


def _charge(record: MeetingRecord) -> Charge | None:
    return usage.charge(
        record.state,
        seats=record.seats,
        start_s=record.start_s,
        end_s=record.end_s,
        counted_s=record.counted_s,
        room=record.parent_id is not None,
    )

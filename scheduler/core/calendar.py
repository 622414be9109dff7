"""The calendar of one subscription or one node: how many seats are taken at every second to come.

Owns the arithmetic of seats over time and nothing else; it never knows whose seats they are.
Windows are half-open whole seconds. A window starts now (or in the past) or at a whole minute, so
usage can only rise now or at a minute: ``used_now`` plus one level per minute is exact, not an
approximation. Every cost depends on the length of a window, never on the number of reservations.
Called by ``model``, ``placement`` and ``admission``.
"""

from __future__ import annotations

MINUTE_S = 60
PAGE_MINUTES = 24 * 60


class Calendar:
    """Seats in use from ``now_s`` on; ``used_now`` is exact after ``advance``.

    ``capacity`` may be changed at any time, also below what is reserved: what is reserved stays,
    and ``fits`` answers by the new number.
    """

    __slots__ = ("_pages", "_raised", "_steps", "capacity", "now_s", "used_now")

    def __init__(self, capacity: int, now_s: int) -> None:
        self.capacity = capacity
        self.now_s = now_s
        self.used_now = 0
        # Change of usage by second, for the seconds after now; no zeroes are kept.
        self._steps: dict[int, int] = {}
        # Level at each minute, by day; and what is added to a whole day, so that a maintenance
        # window of a year costs 365 additions and no memory for 525,600 minutes.
        self._pages: dict[int, list[int]] = {}
        self._raised: dict[int, int] = {}

    def advance(self, now_s: int) -> None:
        """Move to `now_s`; an earlier time is ignored."""
        before_s = self.now_s
        if now_s <= before_s:
            return
        steps = self._steps
        if steps:
            used = self.used_now
            if now_s - before_s <= len(steps):
                for second in range(before_s + 1, now_s + 1):
                    if second in steps:
                        used += steps.pop(second)
            else:
                for second in [second for second in steps if second <= now_s]:
                    used += steps.pop(second)
            self.used_now = used
        self.now_s = now_s
        page = now_s // (PAGE_MINUTES * MINUTE_S)
        if page != before_s // (PAGE_MINUTES * MINUTE_S):
            for past in [key for key in self._pages if key < page]:
                del self._pages[past]
            for past in [key for key in self._raised if key < page]:
                del self._raised[past]

    def add(self, start_s: int, end_s: int, seats: int) -> None:
        """Reserve `seats` over ``[start_s, end_s)``; only what lies after now counts.

        A start in the future must be a whole minute, otherwise ``ValueError``.
        """
        if start_s > self.now_s and start_s % MINUTE_S:
            raise ValueError(f"a later start must be a whole minute: {start_s}")
        self._change(start_s, end_s, seats)

    def remove(self, start_s: int, end_s: int, seats: int) -> None:
        """Take back exactly what ``add`` reserved; the part before now is gone already."""
        self._change(start_s, end_s, -seats)

    def fits(
        self, start_s: int, end_s: int, seats: int, *, own: tuple[int, int, int] | None = None
    ) -> bool:
        """Whether `seats` more can be had at every second of ``[start_s, end_s)``.

        This is the one feasibility check of admission, booking, extension and re-placement. `own`
        is a reservation ``(start_s, end_s, seats)`` already counted here that the request would
        replace: where it covers the window only the difference is asked for, and keeping or
        shrinking it always fits, even on a calendar that is over-committed.
        """
        if own is None:
            return self.peak(start_s, end_s) + seats <= self.capacity
        own_start_s, own_end_s, own_seats = own
        inner_start_s, inner_end_s = max(start_s, own_start_s), min(end_s, own_end_s)
        if inner_start_s >= inner_end_s:
            return self.fits(start_s, end_s, seats)
        more = seats - own_seats
        return (
            (more <= 0 or self.fits(inner_start_s, inner_end_s, more))
            and (start_s >= inner_start_s or self.fits(start_s, inner_start_s, seats))
            and (end_s <= inner_end_s or self.fits(inner_end_s, end_s, seats))
        )

    def peak(self, start_s: int, end_s: int) -> int:
        """Return the most seats in use at any second of the window; 0 when it is over."""
        now_s = self.now_s
        if end_s <= now_s:
            return 0
        if start_s <= now_s:
            top = self.used_now
            first = now_s // MINUTE_S + 1
        else:
            first = -(-start_s // MINUTE_S)
            top = self._level(start_s) if start_s % MINUTE_S else 0
        stop = -(-end_s // MINUTE_S)
        if first >= stop:
            return top
        page, at = divmod(first, PAGE_MINUTES)
        if stop <= (page + 1) * PAGE_MINUTES and page in self._pages:
            # Nearly every window lies within one day.
            level = max(self._pages[page][at : stop - page * PAGE_MINUTES])
            level += self._raised.get(page, 0)
            return max(top, level)
        return max(top, self._highest(first, stop))

    def earliest(
        self, seats: int, duration_s: int, *, from_s: int, until_s: int, probes_max: int
    ) -> tuple[int | None, int]:
        """Return the first whole minute in ``[from_s, until_s]`` at which a window would fit.

        The minute lies after now. Second value: how many probes it took; ``None`` with
        ``probes_max`` probes used up means unknown.
        """
        room = self.capacity - seats
        if room < 0:
            return None, 0
        minutes = -(-duration_s // MINUTE_S)
        first = max(-(-from_s // MINUTE_S), self.now_s // MINUTE_S + 1)
        last = until_s // MINUTE_S
        probes = 0
        while first <= last and probes < probes_max:
            probes += 1
            above = self._last_above(first, first + minutes, room)
            if above is None:
                return first * MINUTE_S, probes
            first = self._first_within(above + 1, last + 1, room)
        return None, probes

    def steps(self) -> tuple[tuple[int, int], ...]:
        """All changes of usage after now, in order: with ``used_now`` the whole truth."""
        return tuple(sorted(self._steps.items()))

    def _change(self, start_s: int, end_s: int, seats: int) -> None:
        now_s = self.now_s
        if end_s <= now_s:
            return
        if start_s > now_s:
            self._step(start_s, seats)
            first = start_s // MINUTE_S
        else:
            self.used_now += seats
            first = now_s // MINUTE_S + 1
        self._step(end_s, -seats)
        stop = -(-end_s // MINUTE_S)
        pages = self._pages
        while first < stop:
            page = first // PAGE_MINUTES
            offset = page * PAGE_MINUTES
            at, until = first - offset, stop - offset
            first = stop
            if until > PAGE_MINUTES:
                until = PAGE_MINUTES
                first = offset + PAGE_MINUTES
            if until - at == PAGE_MINUTES:
                self._raised[page] = self._raised.get(page, 0) + seats
                continue
            levels = pages.get(page)
            if levels is None:
                levels = pages[page] = [0] * PAGE_MINUTES
            levels[at:until] = [level + seats for level in levels[at:until]]

    def _step(self, second: int, seats: int) -> None:
        steps = self._steps
        total = steps.get(second, 0) + seats
        if total:
            steps[second] = total
        else:
            del steps[second]

    def _level(self, second: int) -> int:
        """Return the usage at a second after now, also in the middle of a minute."""
        base_s = second - second % MINUTE_S
        if base_s <= self.now_s:
            base_s = self.now_s
            level = self.used_now
        else:
            level = self._highest(base_s // MINUTE_S, base_s // MINUTE_S + 1)
        steps = self._steps
        # Inside a minute usage only falls, by the ends that are noted there.
        return level + sum(steps.get(at, 0) for at in range(base_s + 1, second + 1))

    def _highest(self, first: int, stop: int) -> int:
        """Return the highest level among the minutes ``[first, stop)``, over any number of days."""
        top = 0
        while first < stop:
            page, at = divmod(first, PAGE_MINUTES)
            until = min(stop - page * PAGE_MINUTES, PAGE_MINUTES)
            levels = self._pages.get(page)
            level = self._raised.get(page, 0) + (max(levels[at:until]) if levels else 0)
            top = max(top, level)
            first = page * PAGE_MINUTES + until
        return top

    def _last_above(self, first: int, stop: int, room: int) -> int | None:
        """Return the last minute of ``[first, stop)`` whose level exceeds `room`."""
        while stop > first:
            page = (stop - 1) // PAGE_MINUTES
            offset = page * PAGE_MINUTES
            at, until = max(first - offset, 0), stop - offset
            left = room - self._raised.get(page, 0)
            levels = self._pages.get(page)
            if levels is None:
                if left < 0:
                    return stop - 1
            elif max(levels[at:until]) > left:
                while levels[until - 1] <= left:
                    until -= 1
                return offset + until - 1
            stop = offset + at
        return None

    def _first_within(self, first: int, stop: int, room: int) -> int:
        """Return the first minute of ``[first, stop)`` whose level is at most `room`, else `stop`.

        Days that are full throughout are skipped at once.
        """
        while first < stop:
            page, at = divmod(first, PAGE_MINUTES)
            left = room - self._raised.get(page, 0)
            levels = self._pages.get(page)
            if levels is None:
                if left >= 0:
                    return first
            elif min(levels[at:]) <= left:
                while levels[at] > left:
                    at += 1
                return page * PAGE_MINUTES + at
            first = (page + 1) * PAGE_MINUTES
        return stop

"""What a subscription, a credential or a node has given away: a calendar and what runs past it.

Owns the rule how many seats are short at this moment, the same for every kind of account. It
never decides which meetings make way. Called by ``model``, ``placement`` and ``admission``.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from scheduler.core.calendar import Calendar
from scheduler.core.lifecycle import RUNNING
from schemas.values import MeetingState, Window

if TYPE_CHECKING:
    from scheduler.core.books import Meeting

#: Loads are compared as integers with this many binary digits: exact below 65,536 seats a node.
_LOAD_BITS = 32
_PERCENT = 100


class Account:
    """What one subscription, credential or node has given away."""

    __slots__ = ("calendar", "id", "late_seats", "overdue", "overtime_seats")

    def __init__(self, account: int, *, seats: int, now_s: int) -> None:
        self.id = account
        self.calendar = Calendar(seats, now_s)
        #: Seats of running meetings whose window is over.
        self.overtime_seats = 0
        #: The part of them whose node has not answered yet; these never yield.
        self.late_seats = 0
        #: The meetings in overtime, which may yield.
        self.overdue: dict[str, Meeting] = {}

    @property
    def seats(self) -> int:
        """Seats that may be given away."""
        return self.calendar.capacity

    def enter(self, meeting: Meeting, now_s: int) -> None:
        """Charge a meeting: to the calendar before its window ends, as overtime afterwards."""
        window = meeting.window
        if window.end_s > now_s:
            self.calendar.advance(now_s)
            self.calendar.add(window.start_s, window.end_s, meeting.seats)
        elif meeting.state in RUNNING:
            self.charge_overtime(meeting)

    def leave(self, meeting: Meeting, now_s: int) -> None:
        """Take back what it is charged now."""
        window = meeting.window
        if window.end_s > now_s:
            self.calendar.advance(now_s)
            self.calendar.remove(window.start_s, window.end_s, meeting.seats)
        elif meeting.state in RUNNING:
            self.overtime_seats -= meeting.seats
            if self.overdue.pop(meeting.id, None) is None:
                self.late_seats -= meeting.seats

    def charge_overtime(self, meeting: Meeting) -> None:
        """Count a running meeting whose window is over; the calendar has dropped it by itself."""
        self.overtime_seats += meeting.seats
        if meeting.state is MeetingState.OVERTIME:
            self.overdue[meeting.id] = meeting
        else:
            self.late_seats += meeting.seats

    def shortage(self, seats: int, own_seats: int = 0) -> int:
        """Return how many seats must be freed now before `seats` can start; negative when none.

        `own_seats` is what the same reservation is charged at this moment already. A reservation
        that does not grow is honoured on an over-committed account: only overtime makes way.
        """
        calendar = self.calendar
        more = seats - own_seats
        taken = calendar.used_now + self.overtime_seats + more
        if more <= 0 and calendar.used_now > calendar.capacity:
            return taken - calendar.used_now
        return taken - calendar.capacity


class Subscription(Account):
    """A customer's contract; `meetings` counts the running and the lost ones."""

    __slots__ = ("meetings", "meetings_max", "node_tags")

    def __init__(self, account: int, *, seats: int, now_s: int) -> None:
        super().__init__(account, seats=seats, now_s=now_s)
        self.meetings_max: int | None = None
        #: Its meetings go to nodes that have all of these.
        self.node_tags: frozenset[str] = frozenset()
        self.meetings = 0


class Credential:
    """The limits of one credential inside its subscription; one without any is not in the pool."""

    __slots__ = ("account", "meetings", "meetings_max")

    def __init__(self, account: Account | None, meetings_max: int | None) -> None:
        #: Its seats; ``None`` when only its meetings are limited.
        self.account = account
        self.meetings_max = meetings_max
        self.meetings = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Traits:
    """What sets a node apart from others of its size."""

    #: Its share of the load beside others, in percent; its seats stay what they are.
    weight: int = 100
    tags: frozenset[str] = frozenset()
    #: Windows of maintenance, in which it takes no meetings.
    closed: tuple[Window, ...] = ()


PLAIN = Traits()


class Node(Account):
    """One server; `running_seats` ranks it, `placed` are the meetings charged to it."""

    __slots__ = (
        *("active", "alive", "closed", "meeting_seats_max", "name", "placed"),
        *("running_seats", "tags", "weight"),
    )

    def __init__(self, account: int, *, seats: int, now_s: int) -> None:
        super().__init__(account, seats=seats, now_s=now_s)
        self.name = ""
        self.meeting_seats_max: int | None = None
        self.weight = PLAIN.weight
        self.tags = PLAIN.tags
        #: In order; those that are over may still be among them.
        self.closed = PLAIN.closed
        self.active = True
        self.alive = True
        self.running_seats = 0
        self.placed: dict[str, Meeting] = {}

    @property
    def largest_seats(self) -> int:
        """The largest meeting that it could ever take."""
        if self.meeting_seats_max is None:
            return self.seats
        return min(self.seats, self.meeting_seats_max)

    def load(self, seats: int) -> int:
        """Return how full the node is with these seats, for ranks: relative to seats and weight."""
        return ((seats * _PERCENT) << _LOAD_BITS) // (self.seats * self.weight)

    def closed_within(self, start_s: int, end_s: int) -> Window | None:
        """Return the first window of maintenance that touches ``[start_s, end_s)``."""
        for window in self.closed:
            if window.start_s < end_s and start_s < window.end_s:
                return window
        return None

    def earliest(
        self, seats: int, duration_s: int, *, from_s: int, until_s: int, probes_max: int
    ) -> tuple[int | None, int]:
        """Return what ``Calendar.earliest`` does, outside of maintenance."""
        probes = 0
        while True:
            free_s, used = self.calendar.earliest(
                seats, duration_s, from_s=from_s, until_s=until_s, probes_max=probes_max - probes
            )
            probes += used
            if free_s is None:
                return None, probes
            window = self.closed_within(free_s, free_s + duration_s)
            if window is None:
                return free_s, probes
            from_s = window.end_s

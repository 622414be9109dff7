"""What a subscription, a credential or a node has given away: a calendar and what runs past it.

Owns the rule how many seats are short at this moment, the same for every kind of account. It
never decides which meetings make way. Called by ``model``, ``placement`` and ``admission``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.core.calendar import Calendar
from scheduler.core.lifecycle import RUNNING
from schemas.values import MeetingState

if TYPE_CHECKING:
    from scheduler.core.books import Meeting


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

    __slots__ = ("meetings", "meetings_max")

    def __init__(self, account: int, *, seats: int, now_s: int) -> None:
        super().__init__(account, seats=seats, now_s=now_s)
        self.meetings_max: int | None = None
        self.meetings = 0


class Credential:
    """The limits of one credential inside its subscription; one without any is not in the pool."""

    __slots__ = ("account", "meetings", "meetings_max")

    def __init__(self, account: Account | None, meetings_max: int | None) -> None:
        #: Its seats; ``None`` when only its meetings are limited.
        self.account = account
        self.meetings_max = meetings_max
        self.meetings = 0


class Node(Account):
    """One server; `running_seats` ranks it, `placed` are the meetings charged to it."""

    __slots__ = ("active", "alive", "meeting_seats_max", "name", "placed", "running_seats")

    def __init__(self, account: int, *, seats: int, now_s: int) -> None:
        super().__init__(account, seats=seats, now_s=now_s)
        self.name = ""
        self.meeting_seats_max: int | None = None
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

"""Our own decisions as outsiders hear of them, where no single live meeting stands behind.

Owns the events of refused reservations, lost servers and bookings that begin, and the limits on
how many of them there are. Called within a turn; never decides anything.
"""

import heapq
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from scheduler.core import commands as core
from schemas import events
from schemas.events import Event, EventKind
from schemas.messages import CreateCommand
from schemas.values import MeetingState
from workers.live import Live

#: A front end that asks for the same meeting again and again is one refusal in this time.
_SAME_MS: Final = 60_000
#: Refusals of one subscription that are told at once, and one more each so often.
_BURST: Final = 20
_EVERY_MS: Final = 3_000
_REMEMBERED_MAX: Final = 10_000
#: Meetings named in the event of a lost server.
_NAMED_MAX: Final = 1_000
_GONE_ALREADY: Final = frozenset(
    (MeetingState.PLACING, MeetingState.LOST, MeetingState.ENDED, MeetingState.BOOKED)
)


class Refusals:
    """Which refusals are told; in the memory of the active worker only."""

    def __init__(self) -> None:
        self._told_ms: OrderedDict[tuple[int, str], int] = OrderedDict()
        #: By subscription: until when its share is used up.
        self._used_until_ms: dict[int, int] = {}

    def event(
        self, command: CreateCommand, verdict: core.Refused, message: str, *, pool: int, now_ms: int
    ) -> Event | None:
        """Return the event that there was no room; None when it was told, or too many were."""
        key = (command["credential"], command["external_id"])
        if now_ms - self._told_ms.get(key, -_SAME_MS) < _SAME_MS:
            return None
        subscription = command["subscription"]
        used_ms = max(self._used_until_ms.get(subscription, 0), now_ms) + _EVERY_MS
        if used_ms > now_ms + _BURST * _EVERY_MS:
            return None
        self._used_until_ms[subscription] = used_ms
        self._told_ms.pop(key, None)
        self._told_ms[key] = now_ms
        if len(self._told_ms) > _REMEMBERED_MAX:
            self._told_ms.popitem(last=False)
        return events.about_subscription(
            EventKind.RESERVATION_REFUSED,
            now_ms,
            pool=pool,
            subscription=subscription,
            credential=command["credential"],
            meeting_id=command["external_id"],
            data={
                "reason": verdict.reason.value,
                "message": message,
                "seats": verdict.detail.asked_seats,
                "free": verdict.detail.free_seats,
            },
        )


class Bookings:
    """Bookings whose windows are to be announced."""

    def __init__(self, notice_s: float) -> None:
        self._notice_ms = round(notice_s * 1_000)
        self._due: list[tuple[int, str]] = []

    def add(self, item: Live) -> None:
        """Remember to announce a booking."""
        if item.record.state == MeetingState.BOOKED:
            due_ms = item.record.start_s * 1_000 - self._notice_ms
            heapq.heappush(self._due, (due_ms, item.record.id))

    def is_due(self, item: Live, now_ms: int) -> bool:
        """Whether it is a booking still, and was not moved to a later time."""
        record = item.record
        booked = record.state == MeetingState.BOOKED
        return booked and record.start_s * 1_000 - self._notice_ms <= now_ms

    def due(self, now_ms: int) -> list[str]:
        """Return the meetings that are to be announced now; each is returned once."""
        found = []
        while self._due and self._due[0][0] <= now_ms:
            found.append(heapq.heappop(self._due)[1])
        return found


def node_lost(items: Iterable[Live], *, now_ms: int) -> list[Event]:
    """Return what every subscription is told that lost meetings with a server; names no server."""
    lost: dict[tuple[int, int], list[str]] = {}
    for item in items:
        record = item.record
        if record.state not in _GONE_ALREADY and record.parent_id is None:
            key = (record.pool_id, record.subscription_id)
            lost.setdefault(key, []).append(record.external_id)
    return [
        events.about_subscription(
            EventKind.NODE_LOST,
            now_ms,
            pool=pool,
            subscription=subscription,
            data={"meetings": sorted(meetings)[:_NAMED_MAX]},
        )
        for (pool, subscription), meetings in lost.items()
    ]

"""Rights to let people into meetings without asking, and the reports of whom they were used for.

Owns the grants that this gateway holds: each ends, on this process' own clock, before the placement
worker stops counting it, and each is reported until the worker has everybody that came in by it. A
right that is not reported to its end costs its seats for a lease, never more. Called by the gate.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from scheduler.bus.errors import BusError
from scheduler.bus.interface import Bus
from schemas.messages import Joins

#: A right is good for this long from when it was asked for; the worker counts it for longer.
RIGHT_S: Final = 2.0
#: How often it is looked for rights that have ended. A report before the end would change nothing:
#: all seats of a right count until then.
SWEEP_EVERY_S: Final = 0.1
#: Pause after the bus took no report.
_RETRY_S: Final = 0.5
#: Reports in one publication.
_REPORTS_MAX: Final = 500
#: Reports that wait for the bus; beyond, the oldest is dropped.
_WAITING_MAX: Final = 20_000

log = structlog.get_logger(__name__)


class Right:
    """A grant in the hand of this gateway: `left` persons more until `until_s` (monotonic).

    Whom it was asked for may come again for nothing.
    """

    __slots__ = ("grant", "left", "meeting", "pool", "until_s", "user", "users")

    def __init__(
        self, grant: str, *, pool: str, meeting: str, user: str, left: int, until_s: float
    ) -> None:
        self.grant = grant
        self.pool = pool
        self.meeting = meeting
        self.left = left
        self.until_s = until_s
        self.user = user
        #: Whom it let in; a dictionary, because it keeps their order.
        self.users: dict[str, None] = {}

    def passes(self, user: str, now_s: float) -> bool:
        """Let a person in by this right, if it has one left or let him in before."""
        if now_s >= self.until_s:
            return False
        if user in self.users:
            return True
        if user != self.user:
            if self.left <= 0:
                return False
            self.left -= 1
        self.users[user] = None
        return True

    def spent(self, now_s: float) -> bool:
        """Tell whether it was worth something and is not any more."""
        return now_s >= self.until_s or (self.left <= 0 and len(self.users) > 1)


class Rights:
    """All rights of one gateway that the worker still counts."""

    def __init__(
        self,
        bus: Bus,
        *,
        now_ms: Callable[[], int],
        monotonic_s: Callable[[], float],
        on_end: Callable[[Right], None],
        lease_s: float,
    ) -> None:
        self._bus = bus
        self._now_ms = now_ms
        self._monotonic_s = monotonic_s
        self._on_end = on_end
        self._lease_s = lease_s
        self._open: dict[str, Right] = {}
        #: By pool and grant, or person let in without one: the newest report replaces the others.
        self._waiting: dict[tuple[str, str], Joins] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, right: Right) -> None:
        """Keep a right until its end is reported."""
        self._open[right.grant] = right
        self._run()

    def end(self, right: Right) -> None:
        """Use a right no more; what is left of it goes back at once."""
        right.until_s = 0.0
        self._wake.set()

    def disclaim(self, grant: str, *, pool: str, meeting: str) -> None:
        """Hand back a grant whose answer did not come, if there is one."""
        self._put(pool, grant, self._report(meeting, grant, []))
        self._run()

    def let_in(self, user: str, *, pool: str, meeting: str) -> None:
        """Report a person who was let in while nobody could be asked."""
        self._put(pool, f"{meeting}:{user}", self._report(meeting, "", [user]))
        self._run()

    async def close(self) -> None:
        """Give up all rights and report them, as far as the bus takes it within a moment."""
        for right in self._open.values():
            self.end(right)
        task, self._task = self._task, None
        if task is None:
            return
        await asyncio.wait((task,), timeout=_RETRY_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def _run(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._keep_reporting())

    async def _keep_reporting(self) -> None:
        while self._open or self._waiting:
            try:
                async with asyncio.timeout(SWEEP_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            self._sweep()
            try:
                sent = await self._send()
            except Exception:
                # The seats stay promised until a later report, or until the leases are over.
                log.exception("joins could not be reported")
                sent = False
            if not sent:
                await asyncio.sleep(_RETRY_S)

    def _sweep(self) -> None:
        """Put down the reports of rights that have ended."""
        now_s = self._monotonic_s()
        for right in [right for right in self._open.values() if now_s >= right.until_s]:
            del self._open[right.grant]
            report = self._report(right.meeting, right.grant, list(right.users))
            self._put(right.pool, right.grant, report)
            self._on_end(right)

    def _report(self, meeting: str, grant: str, users: list[str]) -> Joins:
        return Joins(kind="joins", meeting=meeting, grant=grant, users=users, at_ms=self._now_ms())

    def _put(self, pool: str, key: str, report: Joins) -> None:
        self._waiting[pool, key] = report
        if len(self._waiting) > _WAITING_MAX:
            oldest = next(iter(self._waiting))
            log.error("too many reports of joins wait for the bus, the oldest is dropped")
            del self._waiting[oldest]

    async def _send(self) -> bool:
        """Publish what waits; False when the bus did not take it."""
        by_pool: dict[str, dict[tuple[str, str], Joins]] = {}
        for key, report in self._waiting.items():
            by_pool.setdefault(key[0], {})[key] = report
        for pool, reports in by_pool.items():
            keys = list(reports)
            for at in range(0, len(keys), _REPORTS_MAX):
                part = keys[at : at + _REPORTS_MAX]
                try:
                    await self._bus.publish_facts(pool, [{**reports[key]} for key in part])
                except BusError as error:
                    log.warning("joins were not reported", pool=pool, error=str(error))
                    self._drop_old()
                    return False
                for key in part:
                    if self._waiting.get(key) is reports[key]:
                        del self._waiting[key]
        return True

    def _drop_old(self) -> None:
        """Forget reports that say nothing any more: the leases of whom they name are over."""
        oldest_ms = self._now_ms() - int(self._lease_s * 2_000)
        for key in [key for key, report in self._waiting.items() if report["at_ms"] < oldest_ms]:
            del self._waiting[key]

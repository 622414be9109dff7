"""The role `deliveries`: brings events to third-party applications.

Owns two loops: one takes events from the bus, expands them into deliveries and acknowledges once
those are stored; the other claims what is due, sends it, and stores what became of it, many at a
time. Safe to repeat: a delivery exists once per target and event, and a crash between the answer
and its record sends the same event id again. Nothing is only in memory.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from scheduler import failpoints
from scheduler.bus.errors import BusError
from scheduler.bus.interface import Bus, EventConsumer, EventMessage
from scheduler.database import Database
from scheduler.directory import DirectoryWatch
from scheduler.settings import Settings
from schemas import callbacks
from workers import outbound, recipients
from workers.delivery_store import Choice, Claim, DeliveryStore, Due, Finished
from workers.delivery_window import Window
from workers.outbound import Outbound, Outcome

#: Events that are expanded in one transaction.
INTAKE_EVENTS_MAX: Final = 200
#: Without a wake-up the table is looked at this often.
IDLE_S: Final = 1.0
#: Expired claims, and lanes without a head, are looked for this often; the latter cost more.
FREE_CLAIMS_S: Final = 5.0
FREE_LANES_S: Final = 30.0
#: A claim outlasts two attempts (one that waits for a place, then itself) by this time.
CLAIM_MARGIN_S: Final = 15.0
#: Targets that are set apart because they have more due than places.
CROWDED_MAX: Final = 200
_PAUSE_S: Final = 0.5
_TURN_TIMEOUT_S: Final = 30.0
_DRAIN_TIMEOUT_S: Final = 5.0
_CLOSE_TIMEOUT_S: Final = 5.0
_JITTER: Final = 0.2
#: Classes of SQLSTATE: wrong data, broken constraint.
_REFUSALS: Final = ("22", "23")

log = structlog.get_logger(__name__)


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


def _is_refusal(error: Exception) -> bool:
    """Tell whether the database is well and refuses this very data."""
    if isinstance(error, DataError | IntegrityError | ArithmeticError):
        return True
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    return str(state or "").startswith(_REFUSALS)


class Deliveries:
    """Delivers until it is closed; several of them share the work."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        directory: DirectoryWatch,
        bus: Bus,
        *,
        client: Outbound | None = None,
        now_ms: Callable[[], int] = _unix_ms,
    ) -> None:
        self._steps_s = settings.delivery_steps_s
        self._timeout_s = settings.delivery_timeout_s
        self._claim_ms = round((2 * self._timeout_s + CLAIM_MARGIN_S) * 1_000)
        #: The embedded database serves one process: claims found at start are those of the dead.
        self._alone = database.is_sqlite
        #: The in-process bus dies with the process: the outbox keeps an event until it is stored.
        self._unsafe_bus = settings.embedded_bus
        self._directory = directory
        self._bus = bus
        self._client = client or Outbound(settings)
        self._now_ms = now_ms
        self._store = DeliveryStore(database)
        self._window = Window(
            total_max=settings.deliveries_max, per_host_max=settings.deliveries_per_target_max
        )
        self._random = random.SystemRandom()
        self._woken = asyncio.Event()
        self._closing = False
        self._finished: list[Finished] = []
        #: Targets with more due than there are places for: looked at after all others.
        self._crowded: set[str] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self._claims_freed_s = self._lanes_freed_s = float("-inf")
        self._loops: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to take in events and to send; raises what the database raises."""
        if self._alone:
            await self._store.free_claims(now_ms=self._now_ms(), every_claim=True)
        await self._client.start()
        self._loops = [
            asyncio.create_task(self._take_in(), name="deliveries intake"),
            asyncio.create_task(self._send(), name="deliveries sender"),
        ]

    async def close(self) -> None:
        """Stop: attempts under way may finish for a moment, and what became of them is stored."""
        if self._closing:
            return
        self._closing = True
        self._woken.set()
        for task in self._loops[:1]:
            task.cancel()  # what it has not acknowledged comes again; the sender ends its turn
        if self._loops:
            _, stuck = await asyncio.wait(self._loops, timeout=_CLOSE_TIMEOUT_S)
            for loop in stuck:
                loop.cancel()
        if self._sending:
            _, late = await asyncio.wait(self._sending, timeout=_DRAIN_TIMEOUT_S)
            for attempt in late:
                attempt.cancel()
            if late:
                await asyncio.wait(late, timeout=1.0)
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._turn()
        except (SQLAlchemyError, OSError) as error:
            log.warning("last attempts were not stored and will be repeated", error=str(error))
        await self._client.close()

    def wake(self) -> None:
        """Look at the table now; for clocks that are driven, and after changes by people."""
        self._woken.set()

    # Taking in

    async def _take_in(self) -> None:
        """Take events from the bus; opens the consumer again when it is gone."""
        while True:
            try:
                consumer = await self._bus.consume_events()
                try:
                    await self._consume(consumer)
                finally:
                    await consumer.close()
            except BusError as error:
                log.warning("events cannot be consumed", error=str(error))
            except Exception:
                log.exception("intake of events failed")
            await asyncio.sleep(_PAUSE_S)

    async def _consume(self, consumer: EventConsumer) -> None:
        while True:
            messages = await consumer.get(items_max=INTAKE_EVENTS_MAX)
            good: list[tuple[EventMessage, list[recipients.Row]]] = []
            for message in messages:
                rows = await self._expanded(message)
                if rows is None:
                    message.reject()
                else:
                    good.append((message, rows))
            if good:
                await self._store_all(good)
                self.wake()

    async def _expanded(self, message: EventMessage) -> list[recipients.Row] | None:
        """Return the deliveries of an event, None when it cannot be understood."""
        event = message.body
        try:
            if event["subscription"] not in self._directory.current.subscriptions:
                await self._refresh_directory()
            return recipients.expand(
                event,  # type: ignore[arg-type]  # a dict from the bus, checked by being used
                self._directory.current,
                now_ms=self._now_ms(),
                first_step_s=self._steps_s[0],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.warning("event makes no sense", event_id=str(event.get("id")), error=repr(error))
            return None

    async def _refresh_directory(self) -> None:
        """Look for a subscription that is newer than the directory at hand."""
        try:
            await self._directory.refresh()
        except (SQLAlchemyError, OSError) as error:
            log.warning("directory could not be refreshed", error=str(error))

    async def _store_all(self, good: Sequence[tuple[EventMessage, list[recipients.Row]]]) -> None:
        """Store the deliveries and acknowledge their events; waits for the database if it must.

        A row that the database refuses as such must not hold up the others: it is tried alone, and
        its event is rejected.
        """
        rows = [row for _, rows in good for row in rows]
        handed_over = [message.body["id"] for message, _ in good] if self._unsafe_bus else []
        while rows or handed_over:
            try:
                async with asyncio.timeout(_TURN_TIMEOUT_S):
                    await self._store.add(rows, handed_over=handed_over, now_ms=self._now_ms())
                break
            except (SQLAlchemyError, OSError, ArithmeticError) as error:
                if not _is_refusal(error):
                    log.warning("deliveries cannot be stored, trying again", error=str(error))
                    await asyncio.sleep(_PAUSE_S)
                    continue
                if len(good) > 1:
                    for single in good:
                        await self._store_all([single])
                    return
                log.warning("deliveries of an event cannot be stored", error=str(error))
                good[0][0].reject()
                return
        for message, _ in good:
            message.ack()

    # Sending

    async def _send(self) -> None:
        """Turn after turn: store results, claim, send; waits while there is nothing to do."""
        while not self._closing:
            self._woken.clear()
            try:
                async with asyncio.timeout(_TURN_TIMEOUT_S):
                    await self._repair()
                    wait_s = await self._turn()
            except (SQLAlchemyError, OSError) as error:  # a TimeoutError is an OSError
                log.warning("deliveries cannot be claimed or stored", error=str(error))
                wait_s = _PAUSE_S
                self._woken.clear()
            except Exception:
                log.exception("turn of the deliveries failed")
                wait_s = _PAUSE_S
                self._woken.clear()
            if wait_s > 0:
                await self._wait(wait_s)

    async def _wait(self, wait_s: float) -> None:
        """Wait for a wake-up, for `wait_s` at most."""
        try:
            async with asyncio.timeout(wait_s):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _repair(self) -> None:
        """Look for what a crash, here or elsewhere, has left behind; now and then."""
        now_s = time.monotonic()
        if now_s - self._claims_freed_s >= FREE_CLAIMS_S:
            freed = await self._store.free_claims(now_ms=self._now_ms())
            self._claims_freed_s = now_s
            if freed:
                log.info("deliveries without an owner go on", deliveries=freed)
        if now_s - self._lanes_freed_s >= FREE_LANES_S:
            freed = await self._store.free_lanes()
            self._lanes_freed_s = now_s
            if freed:
                log.info("lanes without a head go on", lanes=freed)

    async def _turn(self) -> float:
        """Store what is finished and claim what is due; return for how long there is nothing."""
        finished, self._finished = self._finished, []
        now_ms = self._now_ms()
        if not finished:
            next_ms = await self._store.next_due_ms()
            if next_ms is None or self._window.free <= 0:
                return IDLE_S
            if next_ms > now_ms:
                return min(IDLE_S, (next_ms - now_ms) / 1_000)
        chosen: list[Due] = []
        try:
            claims, seen = await self._store.turn(
                finished,
                now_ms=now_ms,
                claim_until_ms=now_ms + self._claim_ms,
                choose=lambda due: self._choose(due, chosen, now_ms),
                crowded=self._crowded,
            )
        except BaseException:
            # The outcome of the transaction is not known: the results are written again, the
            # claims, if they were made, expire.
            self._finished[:0] = finished
            for due in chosen:
                self._window.release(outbound.origin(due.url), ok=None, took_s=0)
            raise
        for claim in claims:
            task = asyncio.create_task(self._deliver(claim))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return 0 if seen or finished else IDLE_S

    def _choose(self, due: list[Due], chosen: list[Due], now_ms: int) -> Choice:
        """Choose what to send now; what its host has no place for is put off."""
        choice = Choice(chosen, {})
        if self._closing:
            return choice
        self._window.begin_turn()
        self._crowded = set()
        jitter = self._random.uniform(1 - _JITTER, 1 + _JITTER)
        for item in due:
            if self._window.free <= 0:
                break
            wait_s = self._window.claim(outbound.origin(item.url))
            if wait_s is None:
                chosen.append(item)
            else:
                until_ms = now_ms + round(wait_s * jitter * 1_000)
                choice.put_off.setdefault(until_ms, []).append(item.id)
                if len(self._crowded) < CROWDED_MAX:
                    self._crowded.add(item.target)
        return choice

    async def _deliver(self, claim: Claim) -> None:
        """Make one attempt, and leave what became of it for the next turn."""
        due = claim.due
        host_name = outbound.origin(due.url)
        outcome: Outcome | None = None
        started_ms = self._now_ms()
        try:
            async with self._window.host(host_name).places:
                started_ms = self._now_ms()
                # With less time left another worker could send it at the same moment.
                if claim.until_ms - started_ms > self._timeout_s * 1_000:
                    outcome = await self._client.get(due.url, callbacks.headers(due.event_id))
                    failpoints.hit("d.after_post")
        except Exception:
            # A fault of ours counts as a failed attempt, else it would be repeated without a pause.
            log.exception("attempt failed", delivery=due.id)
            outcome = Outcome(None, "internal error", 0)
        finally:
            ok = None if outcome is None else outcome.ok
            took_s = 0 if outcome is None else outcome.took_ms / 1_000
            recovered = self._window.release(host_name, ok=ok, took_s=took_s)
            self._finished.append(
                self._result(claim, outcome, started_ms=started_ms, recovered=recovered)
            )
            self._woken.set()

    def _result(
        self, claim: Claim, outcome: Outcome | None, *, started_ms: int, recovered: bool
    ) -> Finished:
        """Return the row of the attempt and the state that follows from it."""
        due, now_ms = claim.due, self._now_ms()
        if outcome is None:
            return Finished(claim, "queued", now_ms, None)
        number = due.attempts + 1
        attempt = {
            "delivery_id": due.id,
            "number": number,
            "at_ms": started_ms,
            "took_ms": outcome.took_ms,
            "status": outcome.status,
            "error": outcome.error[:255],
        }
        if outcome.ok:
            return Finished(claim, "delivered", now_ms, attempt, recovered)
        fields = {"delivery": due.id, "event_id": due.event_id, "target": due.target}
        if outcome.permanent or number >= len(self._steps_s):
            log.warning("delivery parked", **fields, attempts=number, error=outcome.error)
            return Finished(claim, "parked", now_ms, attempt)
        wait_s = self._wait_s(number, outcome.retry_after_s)
        log.info("delivery failed", **fields, attempts=number, error=outcome.error, wait_s=wait_s)
        return Finished(claim, "queued", now_ms + round(wait_s * 1_000), attempt)

    def _wait_s(self, attempts: int, retry_after_s: float | None) -> float:
        """Return the wait after so many attempts: its step, jittered, or what was asked for."""
        step_s = self._steps_s[attempts]
        wait_s = step_s * self._random.uniform(1 - _JITTER, 1 + _JITTER)
        return max(wait_s, min(retry_after_s or 0.0, 2 * step_s))

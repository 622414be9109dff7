"""The intake: takes events from the bus and has them stored as deliveries.

Owns the consumer, what is done with an event that makes no sense or cannot be stored, and the
search for events that the bus has lost. An event is acknowledged once its deliveries are stored, or
known to be. Safe to repeat: a delivery exists once per target and event. Part of the role
`deliveries`.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from scheduler import failpoints, hooks
from scheduler.bus.errors import BusError
from scheduler.bus.interface import Bus, EventConsumer, EventMessage
from scheduler.database import Database
from scheduler.directory import DirectoryWatch
from scheduler.ledger.errors import StoreDown
from scheduler.settings import Settings
from workers import recipients
from workers.intake_store import IntakeStore

#: Events that are expanded in one transaction.
EVENTS_MAX: Final = 200
#: Between two transactions, so that events come together: a third fewer of them under load.
GATHER_S: Final = 0.01
#: An event that was published so long ago and is not stored was lost by the bus.
FORGOTTEN_S: Final = 30.0
_PAUSE_S: Final = 0.5
_TURN_TIMEOUT_S: Final = 30.0
#: Classes of SQLSTATE: wrong data, broken constraint.
_REFUSALS: Final = ("22", "23")

log = structlog.get_logger(__name__)


def _is_refusal(error: Exception) -> bool:
    """Tell whether the database is well and refuses this very data."""
    if isinstance(error, DataError | IntegrityError | ArithmeticError):
        return True
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    return str(state or "").startswith(_REFUSALS)


class Intake:
    """Takes in until its task is cancelled; several of them share the work."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        directory: DirectoryWatch,
        bus: Bus,
        *,
        now_ms: Callable[[], int],
        wake: Callable[[], None],
    ) -> None:
        self._first_step_s = settings.delivery_steps_s[0]
        self._domain = recipients.domain(settings)
        self._database = database
        self._directory = directory
        self._bus = bus
        self._now_ms = now_ms
        self._wake = wake
        self.store = IntakeStore(database)

    async def run(self) -> None:
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

    async def recover(self) -> None:
        """Take in what the bus has lost; raises what the database raises."""
        before_ms = self._now_ms() - round(FORGOTTEN_S * 1_000)
        meetings = await self.store.forgotten(before_ms=before_ms)
        if not meetings:
            return
        log.warning(
            "events that the bus has lost are taken from the outbox", meetings=len(meetings)
        )
        await self.store.add((), self._expand, now_ms=self._now_ms(), meetings=meetings)
        self._wake()

    async def _consume(self, consumer: EventConsumer) -> None:
        while True:
            good: list[EventMessage] = []
            for message in await consumer.get(items_max=EVENTS_MAX):
                # What cannot be understood is tried again by the bus and parked there.
                if _is_event(message.body):
                    good.append(message)
                else:
                    log.warning("event makes no sense", event_id=str(message.body.get("id")))
                    message.reject()
            if good:
                await self._store(good)
                self._wake()
                await asyncio.sleep(GATHER_S)

    async def _store(self, messages: Sequence[EventMessage]) -> None:
        """Store the deliveries and acknowledge their events; waits for the database if it must.

        What the database refuses as such must not hold up the others: each is tried alone, and
        rejected if it is the one.
        """
        await self._know_endpoints()
        failpoints.hit("d.before_store")
        while True:
            try:
                async with asyncio.timeout(_TURN_TIMEOUT_S):
                    senseless = await self.store.add(
                        [message.body for message in messages],
                        self._expand,
                        now_ms=self._now_ms(),
                    )
                break
            except (SQLAlchemyError, OSError, ArithmeticError, StoreDown) as error:
                if not _is_refusal(error):
                    log.warning("deliveries cannot be stored, trying again", error=str(error))
                    await asyncio.sleep(_PAUSE_S)
                    continue
                if len(messages) > 1:
                    for message in messages:
                        await self._store([message])
                    return
                log.warning("deliveries of an event cannot be stored", error=str(error))
                messages[0].reject()
                return
        failpoints.hit("d.before_ack")
        for message in messages:
            if message.body["id"] in senseless:
                message.reject()
            else:
                message.ack()

    async def _know_endpoints(self) -> None:
        """Look whether the directory has changed: an endpoint hears all that is taken in later."""
        try:
            await self._directory.refresh()
        except (SQLAlchemyError, OSError) as error:
            log.warning("directory could not be refreshed", error=str(error))

    async def _expand(self, events: Sequence[dict[str, Any]]) -> dict[str, list[recipients.Row]]:
        """Return the deliveries of events; one that makes no sense has none."""
        concerned = {(event["credential"], event["meeting_id"]) for event in events}
        listening = await hooks.concerning(self._database, concerned)
        made: dict[str, list[recipients.Row]] = {}
        for event in events:
            try:
                made[event["id"]] = recipients.expand(
                    event,  # type: ignore[arg-type]  # from the bus, checked by being used
                    self._directory.current,
                    now_ms=self._now_ms(),
                    first_step_s=self._first_step_s,
                    hooks=listening.get(event["credential"], ()),
                    domain=self._domain,
                )
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                log.warning("event makes no sense", event_id=event["id"], reason=repr(error))
        return made


def _is_event(body: dict[str, Any]) -> bool:
    """Tell whether the bus brought what an event must have, whatever its kind."""
    texts, numbers = ("id", "kind", "meeting", "meeting_id"), ("seq", "credential", "subscription")
    return all(isinstance(body.get(name), str) for name in texts) and all(
        isinstance(body.get(name), int) for name in numbers
    )

"""The bus inside one process: the embedded default, and as fast as the event loop allows.

Same promises as the broker kind while the process lives: FIFO, one active consumer per pool with
standbys, redelivery, parking, windows, deadlines. Nothing outlives the process, and nothing has to:
the database is the only truth. Items are handed over as they are, never copied.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from scheduler.bus.dispatch import Dispatch, DispatchLimits, Parcel
from scheduler.bus.errors import BusLost, BusOverloaded
from scheduler.bus.interface import (
    BusHealth,
    CommandConsumer,
    Envelope,
    EventConsumer,
    EventMessage,
    Item,
    ParkedKind,
    ParkedMessage,
    Ticket,
)
from scheduler.bus.memory_queue import MemoryQueue, Message, Seat

log = structlog.get_logger(__name__)

_EVENTS = "events"


class MemoryEnvelope:
    """Commands or facts that travel together."""

    __slots__ = ("_dispatch", "_message", "_seat", "deliveries", "items")

    def __init__(self, dispatch: Dispatch, seat: Seat, message: Message) -> None:
        self._dispatch = dispatch
        self._seat = seat
        self._message = message
        self.items = message.items
        self.deliveries = message.deliveries

    def accepted(self) -> None:
        """See `Envelope.accepted`."""
        message = self._message
        message.queue.settle(self._seat, message)
        if message.parcel_id is not None:
            self._dispatch.accepted(message.parcel_id)

    def done(self, command_id: str, answer: Item) -> None:
        """See `Envelope.done`."""
        self._dispatch.done(command_id, answer)

    def reject(self) -> None:
        """See `Envelope.reject`."""
        self._message.queue.reject(self._seat, self._message)


class MemoryCommandConsumer:
    """One worker's place at the queue of a pool."""

    def __init__(self, dispatch: Dispatch, queue: MemoryQueue) -> None:
        self._dispatch = dispatch
        self._queue = queue
        self._seat = queue.join()
        #: Never set: inside one process nothing is lost.
        self.lost = asyncio.Event()
        self.generation = 0

    @property
    def active(self) -> bool:
        """See `CommandConsumer.active`."""
        return not self._seat.closed and self._queue.may_take(self._seat)

    async def get(self, *, items_max: int) -> list[Envelope]:
        """See `CommandConsumer.get`."""
        await self._seat.wait(lambda: self._queue.has_work(self._seat))
        return [
            MemoryEnvelope(self._dispatch, self._seat, message)
            for message in self._queue.take(self._seat, items_max=items_max)
        ]

    async def wait_active(self) -> None:
        """See `CommandConsumer.wait_active`."""
        await self._seat.wait(lambda: self.active)

    async def close(self) -> None:
        """See `CommandConsumer.close`."""
        self._queue.leave(self._seat)


class MemoryEventMessage:
    """One event, as a delivery worker holds it."""

    __slots__ = ("_message", "_seat", "body", "deliveries")

    def __init__(self, seat: Seat, message: Message) -> None:
        self._seat = seat
        self._message = message
        self.body = message.items[0]
        self.deliveries = message.deliveries

    def ack(self) -> None:
        """See `EventMessage.ack`."""
        self._message.queue.settle(self._seat, self._message)

    def reject(self) -> None:
        """See `EventMessage.reject`."""
        self._message.queue.reject(self._seat, self._message)


class MemoryEventConsumer:
    """One of several competing consumers of the events."""

    def __init__(self, queue: MemoryQueue) -> None:
        self._queue = queue
        self._seat = queue.join()
        #: Never set: inside one process nothing is lost.
        self.lost = asyncio.Event()

    async def get(self, *, items_max: int) -> list[EventMessage]:
        """See `EventConsumer.get`."""
        await self._seat.wait(lambda: self._queue.has_work(self._seat))
        return [
            MemoryEventMessage(self._seat, message)
            for message in self._queue.take(self._seat, items_max=items_max)
        ]

    async def close(self) -> None:
        """See `EventConsumer.close`."""
        self._queue.leave(self._seat)


class MemoryBus:
    """The bus inside one process; see `Bus`."""

    def __init__(
        self,
        *,
        limits: DispatchLimits | None = None,
        delivery_limit: int = 10,
        messages_max: int = 1_000_000,
        parked_max: int = 10_000,
        views_max: int = 10_000,
    ) -> None:
        self._limits = limits or DispatchLimits(resend_s=None)
        self._delivery_limit = delivery_limit
        self._messages_max = messages_max
        self._views_max = views_max
        self._dispatch = Dispatch(self._send, limits=self._limits)
        self._queues: dict[str, MemoryQueue] = {}
        self._events = self._queue(_EVENTS, single_active=False)
        self._parked: deque[Message] = deque()
        self._parked_max = parked_max
        self._subscribers: list[tuple[Callable[[Item], None], Callable[[], None]]] = []
        self._views: deque[Item] = deque()
        self._closed = False

    async def start(self) -> None:
        """See `Bus.start`."""

    async def close(self) -> None:
        """See `Bus.close`."""
        self._closed = True
        self._dispatch.close()
        for queue in [*self._queues.values(), self._events]:
            queue.close()

    def submit(self, pool: str, command: Item) -> Ticket:
        """See `Bus.submit`."""
        return self._dispatch.submit(pool, command)

    async def publish_facts(self, pool: str, facts: Sequence[Item]) -> None:
        """See `Bus.publish_facts`."""
        self._check_open()
        if facts:
            self._pool_queue(pool).put(list(facts))

    async def consume_commands(self, pool: str) -> CommandConsumer:
        """See `Bus.consume_commands`."""
        self._check_open()
        return MemoryCommandConsumer(self._dispatch, self._pool_queue(pool))

    async def publish_events(self, events: Sequence[Item]) -> None:
        """See `Bus.publish_events`."""
        self._check_open()
        for event in events:
            self._events.put([event])

    async def consume_events(self) -> EventConsumer:
        """See `Bus.consume_events`."""
        self._check_open()
        return MemoryEventConsumer(self._events)

    async def broadcast(self, view: Item) -> None:
        """See `Bus.broadcast`."""
        self.broadcast_soon(view)

    def broadcast_soon(self, view: Item) -> None:
        """See `Bus.broadcast_soon`."""
        if not self._subscribers or self._closed:
            return
        if not self._views:
            asyncio.get_running_loop().call_soon(self._show_views)
        if len(self._views) >= self._views_max:
            self._views.clear()
            for _, on_gap in self._subscribers:
                _call(on_gap)
        self._views.append(view)

    def subscribe(self, on_view: Callable[[Item], None], on_gap: Callable[[], None]) -> None:
        """See `Bus.subscribe`."""
        self._subscribers.append((on_view, on_gap))
        asyncio.get_running_loop().call_soon(_call, on_gap)

    async def parked(self, *, limit: int = 100) -> list[ParkedMessage]:
        """See `Bus.parked`."""
        return [self._describe(message) for message in list(self._parked)[:limit]]

    async def retry_parked(self, count: int) -> int:
        """See `Bus.retry_parked`."""
        retried = min(count, len(self._parked))
        for _ in range(retried):
            message = self._parked.popleft()
            message.deliveries = 0
            message.queue.restore(message)
        return retried

    async def discard_parked(self, count: int) -> int:
        """See `Bus.discard_parked`."""
        discarded = min(count, len(self._parked))
        for _ in range(discarded):
            self._parked.popleft()
        return discarded

    def health(self) -> BusHealth:
        """See `Bus.health`."""
        return BusHealth(
            connected=not self._closed,
            blocked=False,
            waiting=self._dispatch.waiting,
            detail="the bus is closed" if self._closed else "",
        )

    def _send(self, parcel: Parcel) -> None:
        try:
            self._pool_queue(parcel.pool).put(parcel.commands(), parcel.parcel_id)
        except BusOverloaded as error:
            # The commands run into their deadline, which is what the caller is told.
            log.warning("envelope not queued", pool=parcel.pool, reason=str(error))

    def _pool_queue(self, pool: str) -> MemoryQueue:
        queue = self._queues.get(pool)
        if queue is None:
            queue = self._queues[pool] = self._queue(pool, single_active=True)
        return queue

    def _queue(self, name: str, *, single_active: bool) -> MemoryQueue:
        return MemoryQueue(
            name,
            single_active=single_active,
            messages_max=self._messages_max,
            delivery_limit=self._delivery_limit,
            park=self._park,
        )

    def _park(self, message: Message) -> None:
        if len(self._parked) >= self._parked_max:
            log.error("parked messages are full, the oldest is dropped", limit=self._parked_max)
            self._parked.popleft()
        log.warning("message parked", queue=message.queue.name, deliveries=message.deliveries)
        self._parked.append(message)

    def _describe(self, message: Message) -> ParkedMessage:
        kind: ParkedKind = "facts" if message.parcel_id is None else "commands"
        is_event = message.queue is self._events
        return ParkedMessage(
            kind="events" if is_event else kind,
            pool="" if is_event else message.queue.name,
            items=message.items,
            deliveries=message.deliveries,
            reason="delivery_limit",
        )

    def _show_views(self) -> None:
        while self._views:
            view = self._views.popleft()
            for on_view, _ in self._subscribers:
                _call(on_view, view)

    def _check_open(self) -> None:
        if self._closed:
            raise BusLost("the bus is closed")


def _call(callback: Callable[..., None], *arguments: Item) -> None:
    try:
        callback(*arguments)
    except Exception:
        # One subscriber's mistake must not cost the others their views.
        log.exception("subscriber of views failed")

"""Deliveries from one durable queue, acknowledged one by one; the base of both consumers.

Owns the subscription: prefetch, the buffer of deliveries, what is outstanding, settling. The
library's callback only appends to the buffer, since its tasks die with the channel. After a loss
everything buffered or outstanding is forgotten: the broker delivers it again.
"""

import asyncio
from collections import deque
from collections.abc import Callable

import structlog
from aiormq.abc import AbstractChannel, DeliveredMessage

from scheduler.bus.errors import BusError, BusLost
from scheduler.bus.rabbit import guard, topology
from scheduler.bus.rabbit.lane import Lane
from scheduler.bus.rabbit.link import Link
from scheduler.bus.rabbit.repair import Repair
from scheduler.bus.rabbit.topology import QueueSpec
from scheduler.bus.wakeup import Wakeup

log = structlog.get_logger(__name__)

CANARY = "canary"


class Delivery:
    """One message, and how it is settled."""

    __slots__ = (
        "body",
        "correlation_id",
        "deliveries",
        "generation",
        "intake",
        "kind",
        "reply_to",
        "settled",
        "tag",
    )

    def __init__(self, intake: "Intake", message: DeliveredMessage) -> None:
        properties = message.header.properties
        headers = properties.headers or {}
        count = headers.get("x-delivery-count", 0)
        self.intake = intake
        self.generation = intake.generation
        self.tag = message.delivery_tag or 0
        self.kind = properties.message_type or ""
        self.body = message.body
        self.correlation_id = properties.correlation_id
        self.reply_to = properties.reply_to
        # Newer brokers do not count a consumer that went away in peace.
        known = int(count) + 1 if isinstance(count, int) else 1
        self.deliveries = max(known, 2 if message.redelivered else 1)
        self.settled = False


class Intake(Lane):
    """A subscription to one durable queue."""

    def __init__(self, link: Link, spec: QueueSpec, *, repair: Repair) -> None:
        super().__init__(link, name=f"consumer of {spec.name}")
        self.spec = spec
        self.lost = asyncio.Event()
        self.generation = 0
        #: Whether a delivery has come since the subscription was made.
        self.seen = False
        self.wakeup = Wakeup()
        self._repair = repair
        self._subscribed: AbstractChannel | None = None
        self._buffer: deque[Delivery] = deque()
        self._outstanding: dict[int, Delivery] = {}
        self._rejects: deque[tuple[Delivery, bool]] = deque()
        self._settle_due = asyncio.Event()
        self._settler: asyncio.Task[None] | None = None
        self._settling = asyncio.Lock()

    async def wait(self, ready: Callable[[], bool]) -> None:
        """Return when ready. Raises BusLost once closed."""
        await self.wakeup.wait(lambda: self.closed or ready())
        if self.closed:
            raise BusLost("the consumer is closed")

    async def take(self, *, items_max: int, size: Callable[[Delivery], int]) -> list[Delivery]:
        """Wait for a delivery, then take up to items_max items; sizes are asked for once."""
        await self.wait(lambda: bool(self._buffer))
        taken = [self._buffer.popleft()]
        items = size(taken[0])
        while self._buffer:
            items += size(self._buffer[0])
            if items > items_max:
                break
            taken.append(self._buffer.popleft())
        return taken

    def ack(self, delivery: Delivery) -> None:
        """Acknowledge soon; nothing happens when the channel of the delivery is gone."""
        if self._is_outstanding(delivery):
            delivery.settled = True
            self._settle_due.set()

    def reject(self, delivery: Delivery, *, requeue: bool = True) -> None:
        """Reject soon: it comes again or, without requeue, is parked."""
        if self._is_outstanding(delivery):
            del self._outstanding[delivery.tag]
            self._rejects.append((delivery, requeue))
            self._settle_due.set()

    async def attach(self, channel: AbstractChannel) -> None:
        """Declare the queue and subscribe."""
        timeout_s = self.tuning.call_timeout_s
        await topology.ensure(self.link, self.spec)
        await guard.call(
            channel.basic_qos(prefetch_count=self.tuning.prefetch), timeout_s=timeout_s
        )
        # The first deliveries come before this method has returned.
        self._subscribed = channel
        try:
            await guard.call(
                channel.basic_consume(self.spec.name, self._on_message), timeout_s=timeout_s
            )
        except BusError:
            self._forget()
            self._repair.suspect(self.spec)
            raise

    def attached(self) -> None:
        """Let the owner go on."""
        self.lost.clear()
        if self._settler is None:
            self._settler = asyncio.create_task(self._settle_loop(), name=f"settler, {self.name}")

    def detached(self) -> None:
        """Forget everything that will come again."""
        self.lost.set()
        self._forget()
        self.wakeup.notify()

    async def check(self, channel: AbstractChannel) -> None:
        """Look whether the queue is there and has a consumer at all."""
        declared = await guard.call(
            channel.queue_declare(self.spec.name, passive=True),
            timeout_s=self.tuning.call_timeout_s,
        )
        if declared.consumer_count == 0:
            raise BusLost("the queue has no consumer")

    async def close(self) -> None:
        """Settle what is due, then close the channel: the rest goes back in order."""
        if self.closed:
            return
        self.closed = True
        self.wakeup.notify()
        if self._settler is not None:
            self._settler.cancel()
            await asyncio.gather(self._settler, return_exceptions=True)
        await self._settle()
        await super().close()
        self.detached()

    def _forget(self) -> None:
        self.generation += 1
        self.seen = False
        self._subscribed = None
        self._buffer.clear()
        self._outstanding.clear()
        self._rejects.clear()

    def _is_outstanding(self, delivery: Delivery) -> bool:
        current = delivery.generation == self.generation
        return current and self._outstanding.get(delivery.tag) is delivery

    async def _on_message(self, message: DeliveredMessage) -> None:
        if message.channel is not self._subscribed:
            return  # of a channel that is given up: it comes again
        delivery = Delivery(self, message)
        self._outstanding[delivery.tag] = delivery
        self.seen = True
        if delivery.kind == CANARY:
            self.ack(delivery)
        else:
            self._buffer.append(delivery)
        self.wakeup.notify()

    async def _settle_loop(self) -> None:
        while True:
            await self._settle_due.wait()
            await self._settle()

    async def _settle(self) -> None:
        async with self._settling:
            self._settle_due.clear()
            channel = self.channel
            if channel is None:
                return
            try:
                await guard.call(self._settle_on(channel), timeout_s=self.tuning.publish_timeout_s)
            except BusError as error:
                self.restart(f"deliveries could not be settled: {error}")

    async def _settle_on(self, channel: AbstractChannel) -> None:
        while self._rejects:
            delivery, requeue = self._rejects.popleft()
            await channel.basic_reject(delivery.tag, requeue=requeue, wait=False)
        settled = [tag for tag, delivery in self._outstanding.items() if delivery.settled]
        if not settled:
            return
        # Usually the oldest are settled first, and one frame acknowledges them together.
        oldest = list(self._outstanding)[: len(settled)]
        for tag in settled:
            del self._outstanding[tag]
        if oldest == settled and not self._unsettled_below(settled[-1]):
            await channel.basic_ack(settled[-1], multiple=True, wait=False)
            return
        for tag in settled:
            await channel.basic_ack(tag, wait=False)

    def _unsettled_below(self, tag: int) -> bool:
        return any(number < tag for number in self._outstanding)

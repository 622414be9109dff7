"""A worker's place at the queue of a pool, on RabbitMQ.

Owns the envelopes: what they hold, where their answers go. The broker keeps one consumer of the
queue active and tells nobody which; a consumer knows it by its first delivery, and canaries see to
it that one comes soon on an idle queue, too. Being active is not a lock: the ledger's epoch is.
"""

import asyncio
from typing import Any

import orjson
import structlog

from scheduler.bus.errors import BusError, BusLost
from scheduler.bus.interface import Envelope, Item
from scheduler.bus.rabbit.answers import Answers
from scheduler.bus.rabbit.intake import CANARY, Delivery, Intake
from scheduler.bus.rabbit.publisher import Post, Publisher

log = structlog.get_logger(__name__)


class RabbitEnvelope:
    """Commands or facts that travel together."""

    __slots__ = ("_answers", "_delivery", "deliveries", "items")

    def __init__(self, delivery: Delivery, items: list[Item], answers: Answers) -> None:
        self._delivery = delivery
        self._answers = answers
        self.items = items
        self.deliveries = delivery.deliveries

    def accepted(self) -> None:
        """See `Envelope.accepted`."""
        delivery = self._delivery
        delivery.intake.ack(delivery)
        if delivery.reply_to and delivery.correlation_id:
            self._answers.accepted(delivery.reply_to, delivery.correlation_id)

    def done(self, command_id: str, answer: Item) -> None:
        """See `Envelope.done`."""
        if self._delivery.reply_to:
            self._answers.done(self._delivery.reply_to, command_id, answer)

    def reject(self) -> None:
        """See `Envelope.reject`."""
        self._delivery.intake.reject(self._delivery)


def decode(body: bytes) -> list[Item]:
    """Return the items of a message. Raises ValueError when it is not an array of objects."""
    items: Any = orjson.loads(body)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError("not an array of objects")
    return items


class RabbitCommandConsumer:
    """One worker's place at the queue of a pool."""

    def __init__(self, intake: Intake, *, publisher: Publisher, answers: Answers) -> None:
        self._intake = intake
        self._publisher = publisher
        self._answers = answers
        self._decoded: dict[Delivery, list[Item]] = {}
        self._canaries = asyncio.create_task(self._send_canaries(), name=f"canaries, {intake.name}")

    @property
    def active(self) -> bool:
        """See `CommandConsumer.active`."""
        return self._intake.seen and not self._intake.closed

    @property
    def closed(self) -> bool:
        """Return whether the place was given up."""
        return self._intake.closed

    @property
    def generation(self) -> int:
        """See `CommandConsumer.generation`."""
        return self._intake.generation

    @property
    def lost(self) -> asyncio.Event:
        """See `CommandConsumer.lost`."""
        return self._intake.lost

    async def get(self, *, items_max: int) -> list[Envelope]:
        """See `CommandConsumer.get`."""
        while True:
            deliveries = await self._intake.take(items_max=items_max, size=self._size)
            envelopes: list[Envelope] = []
            for delivery in deliveries:
                items = self._decoded.pop(delivery, [])
                if items:
                    envelopes.append(RabbitEnvelope(delivery, items, self._answers))
                else:
                    self._intake.ack(delivery)  # nothing to do, or rejected already
            self._drop_stale()
            if envelopes:
                return envelopes

    async def wait_active(self) -> None:
        """See `CommandConsumer.wait_active`."""
        await self._intake.wait(lambda: self.active)

    async def close(self) -> None:
        """See `CommandConsumer.close`."""
        self._canaries.cancel()
        await asyncio.gather(self._canaries, return_exceptions=True)
        await self._intake.close()
        self._decoded.clear()

    def _size(self, delivery: Delivery) -> int:
        items = self._decoded.get(delivery)
        if items is None:
            try:
                items = decode(delivery.body)
            except ValueError:
                log.exception("message parked, it is not understood")
                items = []
                self._intake.reject(delivery, requeue=False)
            self._decoded[delivery] = items
        return len(items)

    def _drop_stale(self) -> None:
        """Forget what was looked at but lost before it was taken."""
        for delivery in list(self._decoded):
            if delivery.generation != self._intake.generation:
                del self._decoded[delivery]

    async def _send_canaries(self) -> None:
        tuning = self._publisher.tuning
        post = Post(CANARY, b"[]")
        while True:
            try:
                await self._intake.wait_up(timeout_s=tuning.watchdog_s)
                await self._publisher.wait_up(timeout_s=tuning.watchdog_s)
                await self._publisher.publish(
                    self._intake.spec, post, timeout_s=tuning.call_timeout_s
                )
            except BusError as error:
                log.info("canary not sent", queue=self._intake.spec.name, reason=str(error))
                if isinstance(error, BusLost):
                    await asyncio.sleep(0.1)
                    continue
            await asyncio.sleep(tuning.watchdog_s)

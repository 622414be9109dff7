"""One of several competing consumers of the events, on RabbitMQ.

Each event is a message of its own, so that it is acknowledged and parked alone.
"""

import asyncio
from typing import Any

import orjson
import structlog

from scheduler.bus.interface import EventMessage, Item
from scheduler.bus.rabbit.intake import Delivery, Intake

log = structlog.get_logger(__name__)


class RabbitEventMessage:
    """One event, as a delivery worker holds it."""

    __slots__ = ("_delivery", "body", "deliveries")

    def __init__(self, delivery: Delivery, body: Item) -> None:
        self._delivery = delivery
        self.body = body
        self.deliveries = delivery.deliveries

    def ack(self) -> None:
        """See `EventMessage.ack`."""
        self._delivery.intake.ack(self._delivery)

    def reject(self) -> None:
        """See `EventMessage.reject`."""
        self._delivery.intake.reject(self._delivery)


class RabbitEventConsumer:
    """One of several competing consumers of the events."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    @property
    def closed(self) -> bool:
        """Return whether the place was given up."""
        return self._intake.closed

    @property
    def lost(self) -> asyncio.Event:
        """See `EventConsumer.lost`."""
        return self._intake.lost

    async def get(self, *, items_max: int) -> list[EventMessage]:
        """See `EventConsumer.get`."""
        while True:
            messages: list[EventMessage] = []
            for delivery in await self._intake.take(items_max=items_max, size=lambda _: 1):
                body = _decode(delivery.body)
                if body is None:
                    self._intake.reject(delivery, requeue=False)
                else:
                    messages.append(RabbitEventMessage(delivery, body))
            if messages:
                return messages

    async def close(self) -> None:
        """See `EventConsumer.close`."""
        await self._intake.close()


def _decode(body: bytes) -> Item | None:
    try:
        event: Any = orjson.loads(body)
    except ValueError:
        log.exception("event parked, it is not understood")
        return None
    if not isinstance(event, dict):
        log.error("event parked, it is not an object")
        return None
    return event

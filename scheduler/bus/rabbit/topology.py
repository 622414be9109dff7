"""The names and the arguments of everything the bus keeps on the broker.

Only arguments that RabbitMQ 3.10 and 4.x understand alike. The names carry a version: a queue that
exists with other arguments is never changed in place. Nobody else spells a queue name.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

import structlog

from scheduler.bus.rabbit import guard
from scheduler.bus.rabbit.link import Link
from scheduler.bus.rabbit.tuning import RabbitTuning

log = structlog.get_logger(__name__)

VERSION = "v1"
#: Peeking at parked messages counts as a delivery; 4.x would drop them after 20 by default.
PARKED_DELIVERY_LIMIT = 1_000_000_000
QUEUE_NAME_BYTES_MAX = 255
#: The broker itself tries for 5 s to reach the members of a queue that is to be deleted.
DELETE_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """A durable queue: its name and its arguments."""

    name: str
    arguments: dict[str, Any]


class Topology:
    """What belongs to one installation, told apart by its prefix."""

    def __init__(self, prefix: str, tuning: RabbitTuning) -> None:
        self._prefix = f"{prefix}.{VERSION}"
        self._tuning = tuning
        self.parked = QueueSpec(
            f"{self._prefix}.parked",
            {"x-queue-type": "quorum", "x-delivery-limit": PARKED_DELIVERY_LIMIT},
        )
        self.events = QueueSpec(f"{self._prefix}.events", self._work_arguments())
        #: The fanout exchange of the views.
        self.views = f"{self._prefix}.views"

    def commands(self, pool: str) -> QueueSpec:
        """Return the queue of a pool. Raises ValueError when the name gets too long."""
        # The client library refuses the percent sign in names.
        encoded = quote(pool, safe="-_").replace("%", ":")
        name = f"{self._prefix}.cmd.{encoded}"
        if len(name) > QUEUE_NAME_BYTES_MAX:
            raise ValueError(f"the name of the pool is too long for a queue: {pool[:40]}…")
        return QueueSpec(name, {**self._work_arguments(), "x-single-active-consumer": True})

    def pool_of(self, queue: str) -> str | None:
        """Return the pool a command queue belongs to, None for other queues."""
        start = f"{self._prefix}.cmd."
        if not queue.startswith(start):
            return None
        return unquote(queue.removeprefix(start).replace(":", "%"))

    def spec_of(self, queue: str) -> QueueSpec | None:
        """Return the command or events queue of that name, None for other names."""
        if queue == self.events.name:
            return self.events
        pool = self.pool_of(queue)
        return None if pool is None else self.commands(pool)

    def reply_queue(self, owner: str) -> str:
        """Return the name of a gateway's queue for answers."""
        return f"{self._prefix}.reply.{owner}"

    def _work_arguments(self) -> dict[str, Any]:
        return {
            "x-queue-type": "quorum",
            "x-delivery-limit": self._tuning.delivery_limit,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": self.parked.name,
            # Without it a message could get lost on its way to the parked ones; it needs the
            # overflow behaviour next to it.
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-max-length": self._tuning.queue_messages_max,
        }


async def ensure(link: Link, spec: QueueSpec) -> int:
    """Make sure that a durable queue exists; return how many messages and consumers it has.

    Raises BusError. A queue with other arguments is used as it is, and complained about.
    """
    try:
        return await _declare(link, spec, passive=False)
    except guard.Mismatch as error:
        log.warning("queue exists with other arguments", queue=spec.name, reason=str(error))
        return await _declare(link, spec, passive=True)


async def _declare(link: Link, spec: QueueSpec, *, passive: bool) -> int:
    # On a channel of its own: a refusal closes the channel.
    timeout_s = link.tuning.call_timeout_s
    channel = await link.open_channel(await link.connection())
    try:
        declared = await guard.call(
            channel.queue_declare(
                spec.name, durable=True, passive=passive, arguments=spec.arguments
            ),
            timeout_s=timeout_s,
        )
        return (declared.message_count or 0) + (declared.consumer_count or 0)
    finally:
        await link.close_channel(channel)


async def delete(link: Link, spec: QueueSpec) -> None:
    """Delete a queue with everything in it. Raises BusError."""
    channel = await link.open_channel(await link.connection())
    try:
        await guard.call(channel.queue_delete(spec.name), timeout_s=DELETE_TIMEOUT_S)
    finally:
        await link.close_channel(channel)

"""Publishing with confirms: a message is in its queue, or the caller gets an error.

Owns one confirming channel. Every attempt has a timeout and a message id of its own, is mandatory
and raises when no queue takes it. Called by the command client, by facts, events and parking.
"""

import asyncio
import uuid
from dataclasses import dataclass

import structlog
from pamqp.commands import Basic

from scheduler.bus.errors import BusError, BusLost, BusTimeout
from scheduler.bus.rabbit import guard, topology
from scheduler.bus.rabbit.lane import Lane
from scheduler.bus.rabbit.link import Link
from scheduler.bus.rabbit.repair import Repair
from scheduler.bus.rabbit.topology import QueueSpec

log = structlog.get_logger(__name__)

#: Pause between two attempts of a durable publish.
RETRY_S = 0.1
#: Longest wait for one confirm while there is time for another attempt.
ATTEMPT_S = 2.0


@dataclass(frozen=True, slots=True)
class Post:
    """What is published, the same in every attempt."""

    #: "commands", "facts", "event" or "canary".
    kind: str
    body: bytes
    correlation_id: str | None = None
    reply_to: str | None = None


class Publisher(Lane):
    """The confirming channel of a bus."""

    def __init__(self, link: Link, *, repair: Repair) -> None:
        super().__init__(link, name="publisher", confirms=True)
        self._repair = repair

    async def publish(self, spec: QueueSpec, post: Post, *, timeout_s: float) -> None:
        """Publish once. Raises BusLost (Unroutable), BusTimeout or BusOverloaded."""
        channel = self.channel
        if channel is None:
            raise BusLost(f"no connection to the broker: {self.link.detail}")
        if self.link.blocked:
            # What is written now would come when the alarm is over, long after its deadline.
            raise BusTimeout("the broker accepts no messages at present (memory or disk alarm)")
        try:
            await guard.call(
                channel.basic_publish(
                    post.body,
                    routing_key=spec.name,
                    mandatory=True,
                    properties=Basic.Properties(
                        delivery_mode=2,
                        message_id=uuid.uuid4().hex,
                        message_type=post.kind,
                        correlation_id=post.correlation_id,
                        reply_to=post.reply_to,
                    ),
                ),
                timeout_s=timeout_s,
            )
        except BusTimeout:
            self._repair.suspect(spec)
            raise
        except guard.Unroutable:
            # The queue was never declared, or is gone: there again at the next attempt.
            await topology.ensure(self.link, spec)
            raise
        self._repair.trust(spec)

    async def publish_durably(self, spec: QueueSpec, post: Post, *, timeout_s: float) -> None:
        """Publish, again and again until it succeeds. Raises the last BusError after timeout_s."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + timeout_s
        while True:
            left_s = ends_at - loop.time()
            try:
                await self.wait_up(timeout_s=max(left_s, 0.001))
                left_s = max(ends_at - loop.time(), 0.001)
                await self.publish(spec, post, timeout_s=min(left_s, ATTEMPT_S))
            except BusError as error:
                if loop.time() + RETRY_S >= ends_at:
                    raise
                log.info("publish is tried again", queue=spec.name, reason=str(error))
                await asyncio.sleep(RETRY_S)
            else:
                return

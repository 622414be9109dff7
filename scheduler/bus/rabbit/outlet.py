"""Sending what may get lost: answers and views, without confirms.

Owns one channel without confirms. Whoever misses an answer asks again, whoever misses a view
reloads; so nothing here is repeated for long, and nothing is kept beyond a limit.
"""

import asyncio
import uuid

import structlog
from pamqp.commands import Basic

from scheduler.bus.errors import BusError, BusLost
from scheduler.bus.rabbit import guard
from scheduler.bus.rabbit.lane import Lane
from scheduler.bus.rabbit.link import Link

log = structlog.get_logger(__name__)

#: Tries for one message; each waits until the connection is there.
TRIES = 3
RETRY_S = 0.1


class Outlet(Lane):
    """The channel without confirms of a bus."""

    def __init__(self, link: Link) -> None:
        super().__init__(link, name="outlet")

    async def send(self, body: bytes, *, exchange: str = "", routing_key: str, kind: str) -> bool:
        """Send once the connection is there; return whether it was written."""
        for _ in range(TRIES):
            await self._up.wait()
            try:
                await self._send_once(body, exchange=exchange, routing_key=routing_key, kind=kind)
            except BusError as error:
                log.info("message not sent", kind=kind, reason=str(error))
                await asyncio.sleep(RETRY_S)
            else:
                return True
        log.warning("message dropped, its receiver asks again", kind=kind)
        return False

    async def _send_once(self, body: bytes, *, exchange: str, routing_key: str, kind: str) -> None:
        channel = self.channel
        if channel is None:
            raise BusLost(f"no connection to the broker: {self.link.detail}")
        await guard.call(
            channel.basic_publish(
                body,
                exchange=exchange,
                routing_key=routing_key,
                properties=Basic.Properties(
                    delivery_mode=1, message_id=uuid.uuid4().hex, message_type=kind
                ),
            ),
            timeout_s=self.tuning.publish_timeout_s,
        )

"""The parked messages: what exceeded its delivery limit, for people to see, retry or drop.

Owns reading the parked queue. Looking takes the messages and gives them back; a retry publishes
with a confirm before it acknowledges, so that a crash in between leaves two copies, never none.
"""

import asyncio
from typing import Any

import structlog
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic

from scheduler.bus.errors import BusError
from scheduler.bus.interface import ParkedKind, ParkedMessage
from scheduler.bus.rabbit import consumer, guard, topology
from scheduler.bus.rabbit.link import Link
from scheduler.bus.rabbit.publisher import Post, Publisher
from scheduler.bus.rabbit.topology import Topology

log = structlog.get_logger(__name__)

KINDS: dict[str, ParkedKind] = {"commands": "commands", "facts": "facts", "event": "events"}


class Parking:
    """The parked messages of one installation.

    What is taken and not acknowledged goes back to its place when its channel is closed.
    """

    def __init__(self, link: Link, publisher: Publisher, names: Topology) -> None:
        self._link = link
        self._publisher = publisher
        self._names = names
        # Two readers at once would see each other's messages missing.
        self._reading = asyncio.Lock()

    async def peek(self, *, limit: int) -> list[ParkedMessage]:
        """See `Bus.parked`."""
        async with self._reading:
            channel = await self._open()
            try:
                return [self._describe(message) for message in await self._get(channel, limit)]
            finally:
                await self._link.close_channel(channel)

    async def retry(self, count: int) -> int:
        """See `Bus.retry_parked`."""
        async with self._reading:
            channel = await self._open()
            try:
                retried = 0
                for message in await self._get(channel, count):
                    if await self._put_back(message):
                        await self._ack(channel, message)
                        retried += 1
                return retried
            finally:
                await self._link.close_channel(channel)

    async def discard(self, count: int) -> int:
        """See `Bus.discard_parked`."""
        async with self._reading:
            channel = await self._open()
            try:
                messages = await self._get(channel, count)
                for message in messages:
                    await self._ack(channel, message)
                return len(messages)
            finally:
                await self._link.close_channel(channel)

    async def _open(self) -> AbstractChannel:
        self._link.ensure_started()
        async with asyncio.timeout(self._link.tuning.connect_timeout_s):
            connection = await self._link.connection()
        await topology.ensure(self._link, self._names.parked)
        return await self._link.open_channel(connection)

    async def _get(self, channel: AbstractChannel, limit: int) -> list[DeliveredMessage]:
        messages: list[DeliveredMessage] = []
        while len(messages) < limit:
            message = await guard.call(
                channel.basic_get(self._names.parked.name),
                timeout_s=self._link.tuning.call_timeout_s,
            )
            if isinstance(message.delivery, Basic.GetEmpty):
                break
            messages.append(message)
        return messages

    async def _ack(self, channel: AbstractChannel, message: DeliveredMessage) -> None:
        await guard.call(
            channel.basic_ack(message.delivery_tag or 0),
            timeout_s=self._link.tuning.call_timeout_s,
        )

    async def _put_back(self, message: DeliveredMessage) -> bool:
        properties = message.header.properties
        spec = self._names.spec_of(_origin(message))
        if spec is None:
            log.error("parked message stays, its queue is unknown", queue=_origin(message))
            return False
        post = Post(
            properties.message_type or "",
            message.body,
            correlation_id=properties.correlation_id,
            reply_to=properties.reply_to,
        )
        try:
            await self._publisher.publish_durably(
                spec, post, timeout_s=self._link.tuning.publish_timeout_s
            )
        except BusError as error:
            log.warning("parked message stays", queue=spec.name, reason=str(error))
            return False
        return True

    def _describe(self, message: DeliveredMessage) -> ParkedMessage:
        kind = KINDS.get(message.header.properties.message_type or "", "commands")
        body = message.body if kind != "events" else b"[" + message.body + b"]"
        try:
            items = consumer.decode(body)
        except ValueError:
            items = [{"undecodable": message.body.decode("utf-8", "replace")}]
        death = _death(message)
        reason = str(death.get("reason", "unknown"))
        limit_reached = reason == "delivery_limit"
        return ParkedMessage(
            kind=kind,
            pool=self._names.pool_of(_origin(message)) or "",
            items=items,
            deliveries=self._link.tuning.delivery_limit + 1 if limit_reached else 1,
            reason=reason,
        )


def _death(message: DeliveredMessage) -> dict[str, Any]:
    headers = message.header.properties.headers or {}
    deaths = headers.get("x-death")
    if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict):
        return deaths[0]
    return {}


def _origin(message: DeliveredMessage) -> str:
    """Return the name of the queue a parked message came from."""
    return str(_death(message).get("queue", ""))

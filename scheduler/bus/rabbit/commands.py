"""The gateway's end of the command path on RabbitMQ.

Owns the queue for answers and puts the envelopes of `dispatch` on their way. What is not accepted
in time is sent again with the same command ids and a new message id; the worker answers a
repetition from what it stored.
"""

import asyncio
import uuid
from typing import Any

import orjson
import structlog
from aiormq.abc import AbstractChannel, DeliveredMessage

from scheduler.bus.dispatch import Dispatch, DispatchLimits, Parcel
from scheduler.bus.errors import BusError, BusLost, BusTimeout
from scheduler.bus.interface import Item, Ticket
from scheduler.bus.rabbit import guard
from scheduler.bus.rabbit.lane import Lane
from scheduler.bus.rabbit.link import Link
from scheduler.bus.rabbit.publisher import Post, Publisher
from scheduler.bus.rabbit.topology import Topology

log = structlog.get_logger(__name__)


class ReplyLane(Lane):
    """The exclusive queue on which answers come."""

    def __init__(self, link: Link, topology: Topology, dispatch: Dispatch) -> None:
        super().__init__(link, name="replies")
        self._topology = topology
        self._dispatch = dispatch
        self._owner = uuid.uuid4().hex
        self._rounds = 0
        self.queue = topology.reply_queue(self._owner)

    async def attach(self, channel: AbstractChannel) -> None:
        """Declare the queue under the same name as before, if the broker lets go of it."""
        timeout_s = self.tuning.call_timeout_s
        try:
            await guard.call(
                channel.queue_declare(self.queue, exclusive=True, auto_delete=True),
                timeout_s=timeout_s,
            )
        except guard.Locked:
            # The broker has not noticed yet that the old connection is dead.
            self._owner = uuid.uuid4().hex
            self.queue = self._topology.reply_queue(self._owner)
            raise
        await guard.call(
            channel.basic_consume(self.queue, self._on_message, no_ack=True), timeout_s=timeout_s
        )

    def attached(self) -> None:
        """Ask again for what may have been answered to nobody."""
        self._rounds += 1
        if self._rounds > 1:
            self._dispatch.replies_lost()

    async def check(self, channel: AbstractChannel) -> None:
        """Look whether the queue is there and consumed."""
        declared = await guard.call(
            channel.queue_declare(self.queue, passive=True), timeout_s=self.tuning.call_timeout_s
        )
        if declared.consumer_count == 0:
            raise BusLost("the reply queue has no consumer")

    async def _on_message(self, message: DeliveredMessage) -> None:
        try:
            answers: Any = orjson.loads(message.body)
            for parcel_id in answers["accepted"]:
                self._dispatch.accepted(parcel_id)
            for command_id, answer in answers["done"]:
                self._dispatch.done(command_id, answer)
        except (ValueError, KeyError, TypeError):
            log.exception("answer not understood")


class CommandClient:
    """Submits commands and gets their answers."""

    def __init__(
        self, reply_link: Link, publisher: Publisher, topology: Topology, *, limits: DispatchLimits
    ) -> None:
        self._publisher = publisher
        self._topology = topology
        self.dispatch = Dispatch(self._send, limits=limits, name=f"{uuid.uuid4().hex[:12]}-")
        self._replies = ReplyLane(reply_link, topology, self.dispatch)
        self._sending: set[asyncio.Task[None]] = set()

    def ensure_started(self) -> None:
        """Begin to listen for answers."""
        self._replies.ensure_started()

    def submit(self, pool: str, command: Item) -> Ticket:
        """See `Bus.submit`. Raises TypeError also when the command is not JSON-able."""
        self._replies.ensure_started()
        return self.dispatch.submit(pool, command, encoded=orjson.dumps(command))

    async def close(self) -> None:
        """Fail what is open and stop."""
        self.dispatch.close()
        for task in list(self._sending):
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        await self._replies.close()

    def _send(self, parcel: Parcel) -> None:
        if self._publisher.channel is None or self._replies.channel is None:
            parcel.failed = True  # comes back with the next sweep
            return
        task = asyncio.create_task(self._publish(parcel))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _publish(self, parcel: Parcel) -> None:
        post = Post(
            "commands",
            parcel.body(),
            correlation_id=parcel.parcel_id,
            reply_to=self._replies.queue,
        )
        spec = self._topology.commands(parcel.pool)
        timeout_s = self._publisher.tuning.publish_timeout_s
        try:
            await self._publisher.publish(spec, post, timeout_s=timeout_s)
        except BusLost as error:
            log.info("envelope is sent again", pool=parcel.pool, reason=str(error))
            parcel.failed = True
        except BusTimeout as error:
            log.warning("envelope not confirmed", pool=parcel.pool, reason=str(error))
        except BusError as error:
            log.warning("envelope refused by the broker", pool=parcel.pool, reason=str(error))

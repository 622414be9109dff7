"""The bus on RabbitMQ: puts its parts together, decides nothing itself.

Owns three connections: one publishes, one consumes, one listens for answers, because a broker short
of memory stops every connection that publishes, acknowledgements included. What each part does is
in its own file. `opening.open_bus` makes it.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence

import orjson

from scheduler.bus.dispatch import DispatchLimits
from scheduler.bus.errors import BusLost
from scheduler.bus.interface import (
    BusHealth,
    CommandConsumer,
    EventConsumer,
    Item,
    ParkedMessage,
    Ticket,
)
from scheduler.bus.rabbit import feed, link, topology
from scheduler.bus.rabbit.answers import Answers
from scheduler.bus.rabbit.commands import CommandClient
from scheduler.bus.rabbit.consumer import RabbitCommandConsumer
from scheduler.bus.rabbit.events import RabbitEventConsumer
from scheduler.bus.rabbit.feed import FeedLane, FeedSender
from scheduler.bus.rabbit.intake import Intake
from scheduler.bus.rabbit.link import Link
from scheduler.bus.rabbit.outlet import Outlet
from scheduler.bus.rabbit.parking import Parking
from scheduler.bus.rabbit.publisher import Post, Publisher
from scheduler.bus.rabbit.repair import Repair
from scheduler.bus.rabbit.topology import Topology
from scheduler.bus.rabbit.tuning import RabbitTuning

#: Events on their way at the same time.
EVENTS_CONCURRENT = 500


class RabbitBus:
    """The bus on RabbitMQ; see `Bus`."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "seatkeep",
        limits: DispatchLimits | None = None,
        tuning: RabbitTuning | None = None,
    ) -> None:
        tuning = tuning or RabbitTuning()
        self._tuning = tuning
        self._topology = Topology(prefix, tuning)
        self._publishing = Link(url, name=f"{prefix} publish", tuning=tuning)
        self._consuming = Link(url, name=f"{prefix} consume", tuning=tuning)
        self._replying = Link(url, name=f"{prefix} replies", tuning=tuning)
        self._repair = Repair(self._publishing)
        self._publisher = Publisher(self._publishing, repair=self._repair)
        self._outlet = Outlet(self._publishing)
        self._answers = Answers(self._outlet)
        self._feed_sender = FeedSender(self._outlet, self._topology)
        self._feed = FeedLane(self._consuming, self._topology)
        self._parking = Parking(self._consuming, self._publisher, self._topology)
        self._commands = CommandClient(
            self._replying,
            self._publisher,
            self._topology,
            limits=limits or DispatchLimits(),
        )
        self._consumers: list[RabbitCommandConsumer | RabbitEventConsumer] = []
        self._closed = False

    async def start(self) -> None:
        """See `Bus.start`."""
        self._check_open()
        link.quiet_library()
        self._publisher.ensure_started()
        self._outlet.ensure_started()
        await self._publisher.wait_up(timeout_s=self._tuning.start_timeout_s)
        # Early, so that these queues are not young when they are needed.
        for spec in (self._topology.parked, self._topology.events):
            await topology.ensure(self._publishing, spec)
        channel = await self._publishing.open_channel(await self._publishing.connection())
        await feed.declare_exchange(
            channel, self._topology.views, timeout_s=self._tuning.call_timeout_s
        )
        await self._publishing.close_channel(channel)

    async def close(self) -> None:
        """See `Bus.close`."""
        if self._closed:
            return
        self._closed = True
        await self._commands.close()
        for consumer in list(self._consumers):
            await consumer.close()
        await self._answers.close()
        await self._feed_sender.close()
        await self._repair.close()
        for lane in (self._feed, self._outlet, self._publisher):
            await lane.close()
        await asyncio.gather(
            self._publishing.close(), self._consuming.close(), self._replying.close()
        )

    def submit(self, pool: str, command: Item) -> Ticket:
        """See `Bus.submit`."""
        return self._commands.submit(pool, command)

    async def publish_facts(self, pool: str, facts: Sequence[Item]) -> None:
        """See `Bus.publish_facts`."""
        self._check_open()
        spec = self._topology.commands(pool)
        for body in _packs(facts, bytes_max=self._tuning.message_bytes_max):
            await self._publisher.publish_durably(
                spec, Post("facts", body), timeout_s=self._tuning.publish_timeout_s
            )

    async def consume_commands(self, pool: str) -> CommandConsumer:
        """See `Bus.consume_commands`."""
        intake = await self._intake(self._topology.commands(pool))
        consumer = RabbitCommandConsumer(intake, publisher=self._publisher, answers=self._answers)
        self._remember(consumer)
        return consumer

    async def publish_events(self, events: Sequence[Item]) -> None:
        """See `Bus.publish_events`."""
        self._check_open()
        posts = [Post("event", orjson.dumps(event)) for event in events]
        for start in range(0, len(posts), EVENTS_CONCURRENT):
            outcomes = await asyncio.gather(
                *(self._publish_event(post) for post in posts[start : start + EVENTS_CONCURRENT]),
                return_exceptions=True,
            )
            for outcome in outcomes:
                if outcome is not None:
                    raise outcome

    async def consume_events(self) -> EventConsumer:
        """See `Bus.consume_events`."""
        consumer = RabbitEventConsumer(await self._intake(self._topology.events))
        self._remember(consumer)
        return consumer

    async def broadcast(self, view: Item) -> None:
        """See `Bus.broadcast`."""
        self.broadcast_soon(view)

    def broadcast_soon(self, view: Item) -> None:
        """See `Bus.broadcast_soon`."""
        if not self._closed:
            self._feed_sender.send_soon(view)

    def subscribe(self, on_view: Callable[[Item], None], on_gap: Callable[[], None]) -> None:
        """See `Bus.subscribe`."""
        self._feed.subscribe(on_view, on_gap)

    async def parked(self, *, limit: int = 100) -> list[ParkedMessage]:
        """See `Bus.parked`."""
        return await self._parking.peek(limit=limit)

    async def retry_parked(self, count: int) -> int:
        """See `Bus.retry_parked`."""
        return await self._parking.retry(count)

    async def discard_parked(self, count: int) -> int:
        """See `Bus.discard_parked`."""
        return await self._parking.discard(count)

    def health(self) -> BusHealth:
        """See `Bus.health`."""
        links = (self._publishing, self._consuming, self._replying)
        wanted = [one for one in links if one.started]
        blocked = self._publishing.blocked
        details = [f"{one.name}: {one.detail}" for one in wanted if one.detail]
        if blocked:
            details.append("the broker accepts no messages at present (memory or disk alarm)")
        return BusHealth(
            connected=bool(wanted) and all(one.up for one in wanted) and not self._closed,
            blocked=blocked,
            waiting=self._commands.dispatch.waiting,
            detail="; ".join(details),
        )

    def _remember(self, consumer: RabbitCommandConsumer | RabbitEventConsumer) -> None:
        # Workers that start over leave closed ones behind.
        self._consumers = [known for known in self._consumers if not known.closed]
        self._consumers.append(consumer)

    async def _publish_event(self, post: Post) -> None:
        await self._publisher.publish_durably(
            self._topology.events, post, timeout_s=self._tuning.publish_timeout_s
        )

    async def _intake(self, spec: topology.QueueSpec) -> Intake:
        self._check_open()
        intake = Intake(self._consuming, spec, repair=self._repair)
        intake.ensure_started()
        try:
            await intake.wait_up(timeout_s=self._tuning.start_timeout_s)
        except BusLost:
            await intake.close()
            raise
        return intake

    def _check_open(self) -> None:
        if self._closed:
            raise BusLost("the bus is closed")


def _packs(facts: Sequence[Item], *, bytes_max: int) -> Iterator[bytes]:
    """Encode facts as JSON arrays, in order: one array, unless it would get too large."""
    pack: list[bytes] = []
    pack_bytes = 0
    for fact in facts:
        encoded = orjson.dumps(fact)
        if pack and pack_bytes + len(encoded) > bytes_max:
            yield b"[" + b",".join(pack) + b"]"
            pack, pack_bytes = [], 0
        pack.append(encoded)
        pack_bytes += len(encoded) + 1
    if pack:
        yield b"[" + b",".join(pack) + b"]"

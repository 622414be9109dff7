"""Views for everybody: a fanout exchange, and one exclusive queue per subscribing process.

Best effort and in order. Each sender numbers its messages, so that a subscriber notices what it
missed, whatever the reason, and is told to reload.
"""

import asyncio
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

import orjson
import structlog
from aiormq.abc import AbstractChannel, DeliveredMessage

from scheduler.bus.interface import Item
from scheduler.bus.rabbit import guard
from scheduler.bus.rabbit.lane import Lane
from scheduler.bus.rabbit.link import Link
from scheduler.bus.rabbit.outlet import Outlet
from scheduler.bus.rabbit.topology import Topology

log = structlog.get_logger(__name__)

KIND = "views"
#: Senders whose number is remembered; processes come and go.
SENDERS_MAX = 1_000


async def declare_exchange(channel: AbstractChannel, name: str, *, timeout_s: float) -> None:
    """Make sure that the exchange of the views exists. Raises BusError."""
    await guard.call(
        channel.exchange_declare(name, exchange_type="fanout", durable=True), timeout_s=timeout_s
    )


class FeedSender:
    """The views this process shows to the others."""

    def __init__(self, outlet: Outlet, topology: Topology) -> None:
        self._outlet = outlet
        self._exchange = topology.views
        self._sender = uuid.uuid4().hex
        self._number = 0
        self._views: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def send_soon(self, view: Item) -> None:
        """Queue a view up. Never blocks; raises TypeError when it is not JSON-able."""
        encoded = orjson.dumps(view)
        if len(self._views) >= self._outlet.tuning.views_max:
            log.warning("views dropped, too many wait for the broker", dropped=len(self._views))
            self._views.clear()
            self._number += 1  # makes every subscriber notice
        self._views.append(encoded)
        self._wake.set()
        if self._task is None:
            self._outlet.ensure_started()
            self._task = asyncio.create_task(self._run(), name="feed sender")

    async def close(self) -> None:
        """Stop; views not sent are dropped."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        pack_max = self._outlet.tuning.pack_max
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._views:
                count = min(len(self._views), pack_max)
                pack = [orjson.Fragment(self._views.popleft()) for _ in range(count)]
                self._number += 1
                body = orjson.dumps({"from": self._sender, "number": self._number, "views": pack})
                await self._outlet.send(body, exchange=self._exchange, routing_key="", kind=KIND)


class FeedLane(Lane):
    """The views that come to this process."""

    def __init__(self, link: Link, topology: Topology) -> None:
        super().__init__(link, name="feed")
        self._exchange = topology.views
        self._subscribers: list[tuple[Callable[[Item], None], Callable[[], None]]] = []
        self._numbers: OrderedDict[str, int] = OrderedDict()

    def subscribe(self, on_view: Callable[[Item], None], on_gap: Callable[[], None]) -> None:
        """See `Bus.subscribe`."""
        self._subscribers.append((on_view, on_gap))
        self.ensure_started()
        if self.channel is not None:
            asyncio.get_running_loop().call_soon(_call, on_gap)

    async def attach(self, channel: AbstractChannel) -> None:
        """Bind a queue of our own and consume it."""
        timeout_s = self.tuning.call_timeout_s
        await declare_exchange(channel, self._exchange, timeout_s=timeout_s)
        declared = await guard.call(
            channel.queue_declare(
                "",
                exclusive=True,
                auto_delete=True,
                arguments={"x-max-length": self.tuning.views_max},
            ),
            timeout_s=timeout_s,
        )
        queue = declared.queue or ""
        await guard.call(channel.queue_bind(queue, self._exchange), timeout_s=timeout_s)
        self._numbers.clear()
        await guard.call(
            channel.basic_consume(queue, self._on_message, no_ack=True), timeout_s=timeout_s
        )

    def attached(self) -> None:
        """Let the subscribers load what they may have missed."""
        self._gap()

    async def _on_message(self, message: DeliveredMessage) -> None:
        try:
            pack: Any = orjson.loads(message.body)
            sender, number, views = str(pack["from"]), int(pack["number"]), list(pack["views"])
        except (ValueError, KeyError, TypeError):
            log.exception("views not understood")
            return
        known = self._numbers.pop(sender, None)
        self._numbers[sender] = number
        if len(self._numbers) > SENDERS_MAX:
            self._numbers.popitem(last=False)
        if known is not None and number != known + 1:
            self._gap()
        for view in views:
            for on_view, _ in self._subscribers:
                _call(on_view, view)

    def _gap(self) -> None:
        for _, on_gap in self._subscribers:
            _call(on_gap)


def _call(callback: Callable[..., None], *arguments: Item) -> None:
    try:
        callback(*arguments)
    except Exception:
        # One subscriber's mistake must not cost the others their views.
        log.exception("subscriber of views failed")

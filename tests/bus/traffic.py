"""Commands, and workers that answer them, for the tests of the bus."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

from scheduler.bus.dispatch import unix_ms
from scheduler.bus.errors import BusLost
from scheduler.bus.interface import (
    Bus,
    CommandConsumer,
    Envelope,
    EventConsumer,
    EventMessage,
    Item,
)

#: Everything in these tests happens well within this time, or never.
PATIENCE_S = 10.0
_numbers = itertools.count()


def command(*, lives_s: float = 30.0, **fields: object) -> Item:
    """Make a command with an id of its own."""
    return {"id": f"c{next(_numbers)}", "deadline_ms": unix_ms() + int(lives_s * 1000), **fields}


async def collect(consumer: CommandConsumer, count: int) -> list[Envelope]:
    """Take envelopes until they hold at least `count` items."""
    envelopes: list[Envelope] = []
    async with asyncio.timeout(PATIENCE_S):
        while sum(len(envelope.items) for envelope in envelopes) < count:
            envelopes += await consumer.get(items_max=1)
    return envelopes


def items_of(envelopes: list[Envelope]) -> list[Item]:
    """Return all items in order."""
    return [item for envelope in envelopes for item in envelope.items]


async def serve(consumer: CommandConsumer, seen: list[Item] | None = None) -> None:
    """Accept and answer everything, until the consumer is closed."""
    with contextlib.suppress(BusLost):
        while True:
            for envelope in await consumer.get(items_max=500):
                envelope.accepted()
                for item in envelope.items:
                    if seen is not None:
                        seen.append(item)
                    envelope.done(item.get("id", ""), {"answer_to": item.get("id")})


@contextlib.asynccontextmanager
async def serving(
    consumer: CommandConsumer, seen: list[Item] | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    """Run `serve` beside the test."""
    task = asyncio.create_task(serve(consumer, seen))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def take_events(consumer: EventConsumer, count: int) -> list[EventMessage]:
    messages: list[EventMessage] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(messages) < count:
            messages += await consumer.get(items_max=1)
    return messages


class Subscriber:
    """Keeps what it is shown."""

    def __init__(self, bus: Bus) -> None:
        self.views: list[Item] = []
        self.gaps = 0
        self._changed = asyncio.Event()
        bus.subscribe(self._on_view, self._on_gap)

    async def until(self, *, views: int = 0, gaps: int = 0) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.views) < views or self.gaps < gaps:
                self._changed.clear()
                await self._changed.wait()

    def _on_view(self, view: Item) -> None:
        self.views.append(view)
        self._changed.set()

    def _on_gap(self) -> None:
        self.gaps += 1
        self._changed.set()


async def parked_when(bus: Bus, count: int) -> None:
    """Wait until so many messages are parked: no broker tells when dead-lettering is done."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if len(await bus.parked()) == count:
                return
            await asyncio.sleep(0.02)

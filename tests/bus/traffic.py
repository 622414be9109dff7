"""Commands, and workers that answer them, for the tests of the bus."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

from scheduler.bus.dispatch import unix_ms
from scheduler.bus.errors import BusLost
from scheduler.bus.interface import CommandConsumer, Envelope, Item

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

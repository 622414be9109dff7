"""How many round trips per second the bus carries: command there, acceptance and answer back.

Measures the bus alone: the worker accepts and answers at once, in this process. A closed loop with
a given number of commands in flight; sizes as in production (about 330 bytes there, 420 back).
Called by `seatkeep bench bus` and by people; on a broker it leaves the empty queue of its pool.
"""

import asyncio
import contextlib
import itertools
import json
import math
import os
import time
from typing import Any, Final

from scheduler.bus.errors import BusLost
from scheduler.bus.interface import Bus, CommandConsumer
from scheduler.bus.opening import open_bus

POOL: Final = "bench"
IN_FLIGHT: Final = (1, 64)
_DEADLINE_MS: Final = 20_000
_COMMAND: Final = {"kind": "create", "subscription": 7, "doc": {"name": "x" * 220}}
_ANSWER: Final = {"ok": True, "view": {"name": "x" * 340}}


async def round_trips(bus: Bus, *, in_flight: int, seconds: float) -> dict[str, float]:
    """Keep `in_flight` commands going for `seconds` on a started bus.

    Returns round trips per second and the median and 99th percentile in milliseconds.
    """
    consumer = await bus.consume_commands(POOL)
    worker = asyncio.create_task(_answer(consumer))
    times_s: list[float] = []
    numbers = itertools.count()
    run = os.urandom(6).hex()

    async def client(ends_at: float) -> None:
        while time.perf_counter() < ends_at:
            started = time.perf_counter()
            command = {
                "id": f"{run}-{next(numbers)}",
                "deadline_ms": time.time_ns() // 1_000_000 + _DEADLINE_MS,
                **_COMMAND,
            }
            await bus.submit(POOL, command).done
            times_s.append(time.perf_counter() - started)

    try:
        await client(0.0)
        await client(time.perf_counter() + 0.2)  # connections and queues are there from here on
        times_s.clear()
        started = time.perf_counter()
        await asyncio.gather(*(client(started + seconds) for _ in range(in_flight)))
        elapsed_s = time.perf_counter() - started
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
        await consumer.close()
    times_s.sort()
    return {
        "in_flight": in_flight,
        "round_trips_per_s": round(len(times_s) / elapsed_s, 1),
        "p50_ms": _percentile_ms(times_s, 0.50),
        "p99_ms": _percentile_ms(times_s, 0.99),
    }


async def run(*, url: str | None = None, seconds: float = 3.0) -> dict[str, Any]:
    """Measure the in-process bus, and RabbitMQ when a URL is given, at 1 and 64 in flight."""
    figures: dict[str, Any] = {}
    for name, where in (("memory", None), ("rabbitmq", url)):
        if name == "rabbitmq" and not where:
            continue
        bus = open_bus(where)
        await bus.start()
        try:
            figures[name] = [
                await round_trips(bus, in_flight=count, seconds=seconds) for count in IN_FLIGHT
            ]
        finally:
            await bus.close()
    return figures


async def _answer(consumer: CommandConsumer) -> None:
    with contextlib.suppress(BusLost):
        while True:
            for envelope in await consumer.get(items_max=1_000):
                envelope.accepted()
                for item in envelope.items:
                    envelope.done(item["id"], _ANSWER)


def _percentile_ms(ordered_s: list[float], share: float) -> float:
    if not ordered_s:
        return math.nan
    return round(ordered_s[min(len(ordered_s) - 1, int(share * len(ordered_s)))] * 1_000, 3)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(url=os.environ.get("SEATKEEP_AMQP_URL"))), indent=2))  # noqa: T201 - a program

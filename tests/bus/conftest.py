"""Fixtures that hand a bus of either kind to the tests.

`buses` are two buses that see each other: one and the same object in memory, two processes' worth
of connections on RabbitMQ, in the oldest version we support and in a current one.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from scheduler.bus.dispatch import DispatchLimits
from scheduler.bus.interface import Bus
from scheduler.bus.memory import MemoryBus
from scheduler.bus.rabbit.bus import RabbitBus
from scheduler.bus.rabbit.tuning import RabbitTuning

#: Small, so that a test reaches it.
DELIVERY_LIMIT = 2
TUNING = RabbitTuning(delivery_limit=DELIVERY_LIMIT, watchdog_s=1.0, start_timeout_s=20.0)


@dataclass(frozen=True, slots=True)
class Buses:
    """Two ends of one bus."""

    gateway: Bus
    worker: Bus


@pytest.fixture(params=["memory", "rabbitmq", "rabbitmq4"])
def kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
async def buses(
    kind: str, request: pytest.FixtureRequest, amqp_prefix: str
) -> AsyncIterator[Buses]:
    """Two started buses that see each other."""
    if kind == "memory":
        bus = MemoryBus(delivery_limit=DELIVERY_LIMIT, limits=DispatchLimits(resend_s=None))
        await bus.start()
        yield Buses(bus, bus)
        await bus.close()
        return
    if kind == "rabbitmq4":
        url: str = request.getfixturevalue("rabbitmq4").url  # the prefix keeps tests apart
    else:
        url = request.getfixturevalue("rabbitmq_url")
    # A generous resend time: what a test repeats on purpose is not repeated by the bus, too.
    limits = DispatchLimits(resend_s=30.0)
    gateway = RabbitBus(url, prefix=amqp_prefix, tuning=TUNING, limits=limits)
    worker = RabbitBus(url, prefix=amqp_prefix, tuning=TUNING, limits=limits)
    await gateway.start()
    await worker.start()
    yield Buses(gateway, worker)
    await gateway.close()
    await worker.close()

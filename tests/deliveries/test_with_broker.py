"""Facts about relay and deliveries with RabbitMQ and PostgreSQL."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from scheduler.bus.opening import open_bus
from tests.deliveries.office import Office, office
from tests.deliveries.test_deliveries import all_over
from tests.receiver import Receiver
from workers.relay import Relay


@pytest.fixture
async def desk(
    tmp_path: Path, postgresql_url: str, rabbitmq_url: str, amqp_prefix: str
) -> AsyncIterator[Office]:
    """Hand out an office whose bus is a broker."""
    bus = open_bus(rabbitmq_url, prefix=amqp_prefix)
    await bus.start()
    async with office(tmp_path, postgresql_url) as opened:
        settings = opened.settings.model_copy(update={"amqp_url": SecretStr(rabbitmq_url)})
        yield dataclasses.replace(opened, bus=bus, settings=settings)
    await bus.close()


async def test_two_relays_and_two_workers_deliver_each_event_once(
    desk: Office, receiver: Receiver
) -> None:
    await desk.endpoint(receiver.url())
    relays = [Relay(desk.settings, desk.database, desk.bus) for _ in range(2)]
    async with desk.delivering(), desk.delivering():
        for relay in relays:
            await relay.start()
        for seq in range(20):
            events = [desk.event(meeting=f"{n:032x}", user_id=f"u{seq}") for n in range(10)]
            await desk.outbox(*events)
            relays[0].wake()
            await receiver.wait_for((seq + 1) * 10)
        await desk.until("delivery", lambda rows: len(rows) == 200 and all_over(rows))
        await desk.until("outbox", lambda rows: all(row["published_ms"] for row in rows))
        for relay in relays:
            await relay.close()
    ids = [request.query["eventID"] for request in receiver.requests]
    assert len(ids) == len(set(ids)) == 200

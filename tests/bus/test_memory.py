"""What only the in-process bus has: limits of its own and nothing to connect to. And `open_bus`."""

import asyncio

import pytest

from scheduler.bus.dispatch import DispatchLimits
from scheduler.bus.errors import BusOverloaded, BusTimeout
from scheduler.bus.interface import Item
from scheduler.bus.memory import MemoryBus
from scheduler.bus.opening import open_bus
from scheduler.bus.rabbit.bus import RabbitBus
from tests.bus.traffic import PATIENCE_S, collect, command

POOL = "default"


@pytest.mark.parametrize("url", [None, "", "memory://"])
def test_no_url_opens_the_bus_inside_the_process(url: str | None) -> None:
    assert isinstance(open_bus(url), MemoryBus)


@pytest.mark.parametrize("url", ["amqp://127.0.0.1/", "amqps://127.0.0.1/seatkeep"])
async def test_an_amqp_url_opens_rabbitmq(url: str) -> None:
    bus = open_bus(url)
    assert isinstance(bus, RabbitBus)
    assert not bus.health().connected
    await bus.close()


def test_other_urls_are_refused() -> None:
    with pytest.raises(ValueError, match="redis"):
        open_bus("redis://127.0.0.1/")


async def test_a_full_queue_refuses_facts_and_lets_commands_expire() -> None:
    bus = MemoryBus(messages_max=1)
    await bus.publish_facts(POOL, [{"number": 1}])
    with pytest.raises(BusOverloaded):
        await bus.publish_facts(POOL, [{"number": 2}])
    with pytest.raises(BusTimeout):
        await asyncio.wait_for(bus.submit(POOL, command(lives_s=0.1)).done, PATIENCE_S)
    await bus.close()


async def test_parked_messages_are_limited_and_the_oldest_go_first() -> None:
    bus = MemoryBus(delivery_limit=1, parked_max=2, limits=DispatchLimits(resend_s=None))
    consumer = await bus.consume_commands(POOL)
    for number in range(3):
        await bus.publish_facts(POOL, [{"number": number}])
        for _ in range(2):
            (envelope,) = await collect(consumer, 1)
            envelope.reject()
    assert [message.items for message in await bus.parked()] == [[{"number": 1}], [{"number": 2}]]
    assert [message.kind for message in await bus.parked(limit=1)] == ["facts"]
    await bus.close()


async def test_too_many_views_at_once_are_a_gap() -> None:
    bus = MemoryBus(views_max=3)
    views: list[Item] = []
    gaps: list[int] = []
    bus.subscribe(views.append, lambda: gaps.append(len(views)))
    await asyncio.sleep(0)
    for number in range(5):
        bus.broadcast_soon({"number": number})
    await asyncio.sleep(0)
    assert [view["number"] for view in views] == [3, 4]
    assert len(gaps) == 2
    await bus.close()


async def test_a_standby_is_told_when_it_becomes_active() -> None:
    bus = MemoryBus()
    active, standby = await bus.consume_commands(POOL), await bus.consume_commands(POOL)
    turn = asyncio.create_task(standby.wait_active())
    item = asyncio.create_task(standby.get(items_max=1))
    await asyncio.sleep(0)
    assert not turn.done()
    await active.close()
    await active.close()
    await asyncio.wait_for(turn, PATIENCE_S)
    await bus.publish_facts(POOL, [{"number": 1}])
    assert len(await asyncio.wait_for(item, PATIENCE_S)) == 1
    await bus.close()

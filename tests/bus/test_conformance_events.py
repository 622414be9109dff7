"""What every kind of bus promises about events and views, checked for each."""

import asyncio

from scheduler.bus.interface import EventConsumer, Item
from tests.bus.conftest import DELIVERY_LIMIT, Buses
from tests.bus.traffic import PATIENCE_S, Subscriber, parked_when, take_events


async def test_every_event_goes_to_one_of_the_competing_consumers(buses: Buses) -> None:
    first = await buses.worker.consume_events()
    second = await buses.gateway.consume_events()
    seen: list[int] = []
    numbers = set(range(500))
    complete = asyncio.Event()

    async def deliver(consumer: EventConsumer) -> None:
        while True:
            for message in await consumer.get(items_max=3):
                seen.append(message.body["number"])
                message.ack()
                if numbers.issubset(seen):
                    complete.set()

    tasks = [asyncio.create_task(deliver(consumer)) for consumer in (first, second)]
    await buses.worker.publish_events([{"number": number} for number in range(500)])
    await asyncio.wait_for(complete.wait(), PATIENCE_S)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    # A broker that confirms late is sent an event again; nothing else comes twice.
    assert set(seen) == numbers
    assert len(seen) < 2 * len(numbers)


async def test_events_arrive_in_order_at_a_single_consumer(buses: Buses) -> None:
    consumer = await buses.worker.consume_events()
    await buses.gateway.publish_events([{"number": number} for number in range(50)])
    messages = await take_events(consumer, 50)
    assert [message.body["number"] for message in messages] == list(range(50))


async def test_an_event_not_acknowledged_comes_again(buses: Buses) -> None:
    first = await buses.worker.consume_events()
    await buses.worker.publish_events([{"number": 1}, {"number": 2}])
    one, _ = await take_events(first, 2)
    one.ack()
    await first.close()
    second = await buses.worker.consume_events()
    (again,) = await take_events(second, 1)
    assert again.body == {"number": 2}
    assert again.deliveries == 2


async def test_a_rejected_event_is_parked_in_the_end_and_can_be_retried(buses: Buses) -> None:
    consumer = await buses.worker.consume_events()
    await buses.worker.publish_events([{"number": 1}])
    for _ in range(DELIVERY_LIMIT + 1):
        (message,) = await take_events(consumer, 1)
        message.reject()
    await parked_when(buses.worker, 1)
    (parked,) = await buses.worker.parked()
    assert (parked.kind, parked.pool, parked.items) == ("events", "", [{"number": 1}])
    assert await buses.worker.retry_parked(1) == 1
    (message,) = await take_events(consumer, 1)
    assert message.body == {"number": 1}
    message.ack()


async def test_a_subscriber_is_told_to_load_once_it_is_subscribed(buses: Buses) -> None:
    subscriber = Subscriber(buses.gateway)
    await subscriber.until(gaps=1)
    assert subscriber.gaps == 1


async def test_every_subscriber_sees_every_view_in_order(buses: Buses) -> None:
    subscribers = [Subscriber(buses.gateway), Subscriber(buses.gateway), Subscriber(buses.worker)]
    for subscriber in subscribers:
        await subscriber.until(gaps=1)
    for number in range(0, 1000, 2):
        await buses.worker.broadcast({"number": number})
        buses.worker.broadcast_soon({"number": number + 1})
    for subscriber in subscribers:
        await subscriber.until(views=1000)
        assert [view["number"] for view in subscriber.views] == list(range(1000))
        assert subscriber.gaps == 1


async def test_a_failing_subscriber_does_not_disturb_the_others(buses: Buses) -> None:
    def fail(_: Item) -> None:
        raise ValueError("on purpose")

    buses.gateway.subscribe(fail, lambda: None)
    subscriber = Subscriber(buses.gateway)
    await subscriber.until(gaps=1)
    await buses.worker.broadcast({"number": 1})
    await subscriber.until(views=1)


async def test_views_without_subscribers_are_dropped(buses: Buses) -> None:
    await buses.worker.broadcast({"number": 1})
    buses.worker.broadcast_soon({"number": 2})

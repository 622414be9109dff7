"""Corners of the RabbitMQ kind that ordinary traffic does not reach."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
from aiormq.abc import AbstractChannel
from aiormq.exceptions import ChannelPreconditionFailed
from pamqp.commands import Basic

from scheduler.bus.errors import BusLost, BusTimeout
from scheduler.bus.rabbit import guard, topology
from scheduler.bus.rabbit.bus import RabbitBus
from scheduler.bus.rabbit.topology import QueueSpec, Topology
from scheduler.bus.rabbit.tuning import RabbitTuning
from tests.bus.traffic import (
    PATIENCE_S,
    Subscriber,
    command,
    parked_when,
    serving,
    take_events,
)

POOL = "default"
TUNING = RabbitTuning(watchdog_s=1.0, views_max=5, answers_max=3)


@pytest.fixture
async def bus(rabbitmq_url: str, amqp_prefix: str) -> AsyncIterator[RabbitBus]:
    bus = RabbitBus(rabbitmq_url, prefix=amqp_prefix, tuning=TUNING)
    await bus.start()
    yield bus
    await bus.close()


@pytest.fixture
async def channel(bus: RabbitBus) -> AbstractChannel:
    """A channel to do to the broker what the bus never does.

    It confirms, or what the bus publishes next could overtake what was published here.
    """
    return await bus._publishing.open_channel(await bus._publishing.connection(), confirms=True)


async def round_trip(bus: RabbitBus) -> None:
    consumer = await bus.consume_commands(POOL)
    async with serving(consumer):
        await asyncio.wait_for(bus.submit(POOL, command()).done, PATIENCE_S)
    await consumer.close()


def test_times_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="heartbeat_s"):
        RabbitTuning(heartbeat_s=0)


def test_a_pool_with_a_name_too_long_for_a_queue_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        Topology("seatkeep", TUNING).commands("x" * 250)


def test_names_of_queues_lead_back_to_their_pools() -> None:
    names = Topology("seatkeep", TUNING)
    for pool in ("default", "Köln/1 #*.a", ":%3A", ""):
        spec = names.commands(pool)
        assert names.pool_of(spec.name) == pool
        assert names.spec_of(spec.name) == spec
    assert names.spec_of(names.events.name) == names.events
    assert names.spec_of("another") is None


async def test_a_cancellation_by_the_library_is_a_loss() -> None:
    async def cancelled_inside() -> None:
        raise asyncio.CancelledError

    with pytest.raises(BusLost, match="connection was lost"):
        await guard.call(cancelled_inside(), timeout_s=1)


async def test_a_cancellation_from_outside_stays_one() -> None:
    task = asyncio.create_task(guard.call(asyncio.Event().wait(), timeout_s=10))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_the_library_still_does_for_an_end_is_waited_for() -> None:
    go = asyncio.Event()

    class Connection:
        """Named like the library's own."""

        async def close(self) -> None:
            await go.wait()

    Connection.close.__qualname__ = "Connection.close"
    task = asyncio.create_task(Connection().close())
    await asyncio.sleep(0)
    assert not await guard.closers_done(timeout_s=0.01)
    go.set()
    assert await guard.closers_done(timeout_s=10)
    assert task.done()


def _others() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() - {asyncio.current_task()} if not task.done()]


async def test_a_closed_bus_leaves_no_task_behind(rabbitmq_url: str, amqp_prefix: str) -> None:
    bus = RabbitBus(rabbitmq_url, prefix=amqp_prefix, tuning=TUNING)
    await bus.start()
    await round_trip(bus)
    await bus.close()
    assert _others() == []


async def test_a_bus_that_is_closed_while_it_connects_leaves_no_task_behind() -> None:
    arrived, go = asyncio.Event(), asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await go.wait()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        bus = RabbitBus(f"amqp://127.0.0.1:{port}/", tuning=TUNING)
        bus._publisher.ensure_started()
        await asyncio.wait_for(arrived.wait(), PATIENCE_S)
        before = _others()
        await bus.close()
        assert len(_others()) < len(before)
        assert all("silent" in repr(task) for task in _others())
        go.set()


async def test_a_call_without_an_answer_is_a_timeout() -> None:
    with pytest.raises(BusTimeout):
        await guard.call(asyncio.Event().wait(), timeout_s=0.01)


async def test_a_refused_declaration_has_an_error_of_its_own() -> None:
    async def refused() -> None:
        raise ChannelPreconditionFailed("other arguments")

    with pytest.raises(guard.Mismatch):
        await guard.call(refused(), timeout_s=1)


async def test_a_queue_with_other_arguments_is_used_as_it_is(
    bus: RabbitBus, channel: AbstractChannel
) -> None:
    name = bus._topology.commands(POOL).name
    await channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"})
    await round_trip(bus)


async def test_a_reply_queue_that_is_held_by_another_connection_gets_a_new_name(
    bus: RabbitBus, channel: AbstractChannel
) -> None:
    replies = bus._commands._replies
    before = replies.queue
    await channel.queue_declare(before, exclusive=True)
    await round_trip(bus)
    assert replies.queue != before


async def test_a_deleted_reply_queue_is_made_again(bus: RabbitBus) -> None:
    await round_trip(bus)
    replies = bus._commands._replies
    connection = await bus._replying.connection()
    channel = await bus._replying.open_channel(connection)
    await channel.queue_delete(replies.queue)
    await round_trip(bus)


async def test_answers_and_views_that_are_not_understood_are_passed_over(
    bus: RabbitBus, channel: AbstractChannel
) -> None:
    await round_trip(bus)
    subscriber = Subscriber(bus)
    await subscriber.until(gaps=1)
    for body in (b"no JSON", b"[]", b"{}", b'{"accepted": 1}'):
        await channel.basic_publish(body, routing_key=bus._commands._replies.queue)
        await channel.basic_publish(body, exchange=bus._topology.views)
    await round_trip(bus)
    await bus.broadcast({"number": 1})
    await subscriber.until(views=1)
    assert subscriber.views == [{"number": 1}]


async def test_a_missing_number_of_a_sender_is_a_gap(
    bus: RabbitBus, channel: AbstractChannel
) -> None:
    subscriber = Subscriber(bus)
    await subscriber.until(gaps=1)
    for number in (7, 8, 10):
        body = orjson.dumps({"from": "x", "number": number, "views": [{"number": number}]})
        await channel.basic_publish(body, exchange=bus._topology.views)
    await subscriber.until(views=3, gaps=2)
    late = Subscriber(bus)
    await late.until(gaps=1)
    assert subscriber.gaps == 2


async def test_more_views_than_are_kept_are_a_gap(bus: RabbitBus) -> None:
    subscriber = Subscriber(bus)
    await subscriber.until(gaps=1)
    await bus.broadcast({"number": -1})
    await subscriber.until(views=1)
    for number in range(8):
        bus.broadcast_soon({"number": number})
    await subscriber.until(views=4, gaps=2)
    assert [view["number"] for view in subscriber.views] == [-1, 5, 6, 7]


async def test_answers_beyond_their_limit_are_dropped(bus: RabbitBus) -> None:
    for number in range(5):
        bus._answers.done("nobody", str(number), {})
    assert bus._answers._waiting == 3
    await round_trip(bus)


async def test_events_that_are_not_understood_are_parked_and_the_rest_delivered(
    bus: RabbitBus, channel: AbstractChannel
) -> None:
    consumer = await bus.consume_events()
    for body in (b"no JSON", b"[1]"):
        await channel.basic_publish(
            body,
            routing_key=bus._topology.events.name,
            properties=Basic.Properties(message_type="event"),
        )
    await bus.publish_events([{"number": 1}])
    (message,) = await take_events(consumer, 1)
    assert message.body == {"number": 1}
    message.ack()
    assert not consumer.lost.is_set()
    await parked_when(bus, 2)
    await bus.discard_parked(2)


async def test_an_empty_envelope_is_passed_over(bus: RabbitBus, channel: AbstractChannel) -> None:
    spec = bus._topology.commands(POOL)
    await topology.ensure(bus._publishing, spec)
    await channel.basic_publish(b"[]", routing_key=spec.name)
    await round_trip(bus)
    # A quorum queue counts what is settled a moment later.
    async with asyncio.timeout(10):
        while await topology.ensure(bus._publishing, spec):
            await asyncio.sleep(0.05)


async def test_a_parked_message_of_an_unknown_queue_stays(
    bus: RabbitBus, channel: AbstractChannel
) -> None:
    await channel.basic_publish(b'[{"a": 1}]', routing_key=bus._topology.parked.name)
    await parked_when(bus, 1)
    assert await bus.retry_parked(1) == 0
    await parked_when(bus, 1)


async def test_a_healthy_queue_under_suspicion_is_left_alone(bus: RabbitBus) -> None:
    spec: QueueSpec = bus._topology.commands(POOL)
    await bus.publish_facts(POOL, [{"number": 1}])
    for _ in range(3):
        bus._repair.suspect(spec)
    bus._repair.trust(spec)
    await asyncio.gather(*bus._repair._tasks.values())
    assert await topology.ensure(bus._publishing, spec) == 1


async def test_a_queue_that_takes_a_probe_is_left_alone(bus: RabbitBus) -> None:
    spec = bus._topology.commands(POOL)
    for _ in range(2):
        bus._repair.suspect(spec)
    await asyncio.gather(*bus._repair._tasks.values())
    await round_trip(bus)


async def test_a_channel_that_was_given_up_is_replaced(bus: RabbitBus) -> None:
    await round_trip(bus)
    bus._publisher.restart("a test wants it")
    await bus.publish_facts(POOL, [{"number": 1}])
    await round_trip(bus)

"""The RabbitMQ kind when its broker dies, freezes, runs out of memory or cannot be reached.

Each test has a broker, virtual host or network path of its own to break. Goal of the product: back
within 15 s of the broker being back, nothing confirmed is lost, nobody has to restart anything.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from scheduler.bus.dispatch import DispatchLimits
from scheduler.bus.errors import BusError, BusLost, BusTimeout
from scheduler.bus.interface import CommandConsumer, Item, Ticket
from scheduler.bus.rabbit import topology
from scheduler.bus.rabbit.bus import RabbitBus
from scheduler.bus.rabbit.tuning import RabbitTuning
from tests.bus.proxy import Proxy
from tests.bus.traffic import PATIENCE_S, Subscriber, collect, command, serving
from tests.conftest import RABBITMQ4_ROOT
from tests.services.rabbitmq import RabbitMQ

POOL = "default"
#: The goal for the time from “the broker listens again” to “commands are answered”.
RESUME_S = 15.0
#: A queue that is younger than this when its broker is killed may come back broken.
YOUNG_S = 1.5

MakeBus = Callable[..., RabbitBus]


@pytest.fixture
async def make_bus(amqp_prefix: str) -> AsyncIterator[MakeBus]:
    buses: list[RabbitBus] = []

    def make(url: str, **tuning: float) -> RabbitBus:
        times = RabbitTuning(**{"watchdog_s": 1.0, **tuning})  # type: ignore[arg-type]
        buses.append(RabbitBus(url, prefix=amqp_prefix, tuning=times, limits=DispatchLimits()))
        return buses[-1]

    yield make
    for bus in buses:
        await bus.close()


class Idempotent:
    """A worker as the product's: decides a command once, answers repetitions from its store."""

    def __init__(self, consumer: CommandConsumer) -> None:
        self.decided: dict[str, int] = {}
        self.repetitions = 0
        self._consumer = consumer
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            for envelope in await self._consumer.get(items_max=500):
                for item in envelope.items:
                    self.repetitions += item["id"] in self.decided
                    self.decided.setdefault(item["id"], len(self.decided))
                envelope.accepted()
                for item in envelope.items:
                    envelope.done(item["id"], {"place": self.decided[item["id"]]})


async def answered(ticket: Ticket, *, within_s: float) -> Item:
    return await asyncio.wait_for(asyncio.shield(ticket.done), within_s)


@pytest.fixture(params=["rabbitmq", "rabbitmq4"])
def broker(request: pytest.FixtureRequest) -> RabbitMQ:
    """A broker of the oldest version we support, and a current one."""
    broker: RabbitMQ = request.getfixturevalue(request.param)
    return broker


async def test_commands_survive_kills_of_the_broker(broker: RabbitMQ, make_bus: MakeBus) -> None:
    gateway, back = make_bus(broker.url), make_bus(broker.url)
    await gateway.start()
    await back.start()
    worker = Idempotent(await back.consume_commands(POOL))
    await answered(gateway.submit(POOL, command()), within_s=PATIENCE_S)
    await asyncio.sleep(YOUNG_S)
    tickets: list[Ticket] = []
    sending = True

    async def send() -> None:
        while sending:
            tickets.append(gateway.submit(POOL, command(lives_s=60)))
            await asyncio.sleep(0.005)

    sender = asyncio.create_task(send())
    for _ in range(2):
        await asyncio.sleep(0.5)
        await asyncio.to_thread(broker.kill)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(broker.start)
        started = time.monotonic()
        await answered(gateway.submit(POOL, command(lives_s=60)), within_s=RESUME_S)
        assert time.monotonic() - started < RESUME_S
    sending = False
    await sender
    answers = [await answered(ticket, within_s=RESUME_S) for ticket in tickets]
    assert len({answer["place"] for answer in answers}) == len(tickets)
    health = gateway.health()
    assert (health.connected, health.detail) == (True, "")
    await worker.stop()


async def test_confirmed_facts_and_events_survive_a_kill_of_the_broker(
    rabbitmq: RabbitMQ, rabbitmq_url: str, make_bus: MakeBus
) -> None:
    bus = make_bus(rabbitmq_url)
    await bus.start()
    await bus.publish_facts(POOL, [{"number": -1}])
    await asyncio.sleep(YOUNG_S)
    await asyncio.gather(*(bus.publish_facts(POOL, [{"number": n}]) for n in range(200)))
    await bus.publish_events([{"number": number} for number in range(200)])
    await asyncio.to_thread(rabbitmq.kill)
    await asyncio.to_thread(rabbitmq.start)
    consumer = await bus.consume_commands(POOL)
    facts: list[Item] = []
    async with serving(consumer, facts):
        await answered(bus.submit(POOL, command()), within_s=RESUME_S)
    assert sorted(fact["number"] for fact in facts if "number" in fact) == list(range(-1, 200))
    events = await bus.consume_events()
    seen: set[int] = set()
    async with asyncio.timeout(PATIENCE_S):
        while len(seen) < 200:
            for message in await events.get(items_max=50):
                seen.add(message.body["number"])
                message.ack()


async def test_an_accepted_command_is_answered_after_a_kill_of_the_broker(
    rabbitmq: RabbitMQ, rabbitmq_url: str, make_bus: MakeBus
) -> None:
    bus = make_bus(rabbitmq_url)
    await bus.start()
    consumer = await bus.consume_commands(POOL)
    ticket = bus.submit(POOL, sent := command(lives_s=60))
    (envelope,) = await collect(consumer, 1)
    envelope.accepted()
    await asyncio.wait_for(ticket.accepted, PATIENCE_S)
    await asyncio.sleep(YOUNG_S)
    generation = consumer.generation
    await asyncio.to_thread(rabbitmq.kill)
    await asyncio.wait_for(consumer.lost.wait(), PATIENCE_S)
    assert not consumer.active
    await asyncio.to_thread(rabbitmq.start)
    # The late answer reaches the reply queue, which is there again; or the command is asked for
    # once more: either way it is answered.
    async with asyncio.timeout(RESUME_S):
        while consumer.lost.is_set():
            await asyncio.sleep(0.05)
    assert consumer.generation > generation
    async with serving(consumer):
        assert (await answered(ticket, within_s=RESUME_S))["answer_to"] == sent["id"]


async def test_subscribers_load_again_after_a_kill_of_the_broker(
    rabbitmq: RabbitMQ, rabbitmq_url: str, make_bus: MakeBus
) -> None:
    bus = make_bus(rabbitmq_url)
    await bus.start()
    subscriber = Subscriber(bus)
    await subscriber.until(gaps=1)
    await asyncio.to_thread(rabbitmq.kill)
    bus.broadcast_soon({"number": 1})
    await asyncio.to_thread(rabbitmq.start)
    await subscriber.until(gaps=2)
    await bus.broadcast({"number": 2})
    await subscriber.until(views=1)
    assert subscriber.views[-1]["number"] in {1, 2}


@pytest.mark.parametrize("root", [None, RABBITMQ4_ROOT], ids=["rabbitmq", "rabbitmq4"])
async def test_a_young_queue_broken_by_a_kill_is_replaced(
    root: Path | None, tmp_path: Path, make_bus: MakeBus
) -> None:
    broker = RabbitMQ(tmp_path / "rabbitmq", root)
    await asyncio.to_thread(broker.start)
    try:
        bus = make_bus(broker.url, call_timeout_s=1.5)
        await bus.start()
        await asyncio.sleep(YOUNG_S)
        consumer = await bus.consume_commands("young")
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(broker.start)
        ticket = bus.submit("young", command(lives_s=60))
        async with serving(consumer):
            await answered(ticket, within_s=45)
        await bus.close()
    finally:
        await asyncio.to_thread(broker.stop)


async def test_a_deleted_queue_is_declared_and_consumed_again(
    rabbitmq_url: str, make_bus: MakeBus
) -> None:
    bus = make_bus(rabbitmq_url)
    await bus.start()
    consumer = await bus.consume_commands(POOL)
    await topology.delete(bus._publishing, bus._topology.commands(POOL))
    async with serving(consumer):
        await answered(bus.submit(POOL, command()), within_s=PATIENCE_S)


async def test_a_memory_alarm_is_seen_and_survived(
    rabbitmq: RabbitMQ, rabbitmq_url: str, make_bus: MakeBus
) -> None:
    bus = make_bus(rabbitmq_url, publish_timeout_s=1.0)
    await bus.start()
    consumer = await bus.consume_commands(POOL)
    await asyncio.to_thread(rabbitmq.set_memory_limit, 0.0001)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not bus.health().blocked:
                with contextlib.suppress(BusError):
                    await bus.publish_facts(POOL, [{"number": 1}])
        with pytest.raises(BusTimeout):
            await bus.publish_facts(POOL, [{"number": 2}])
        assert "alarm" in bus.health().detail
        ticket = bus.submit(POOL, command(lives_s=60))
    finally:
        await asyncio.to_thread(rabbitmq.set_memory_limit, 0.6)
    async with serving(consumer):
        await answered(ticket, within_s=RESUME_S)
    assert not bus.health().blocked


async def test_a_frozen_broker_is_noticed_and_survived(
    rabbitmq: RabbitMQ, rabbitmq_url: str, make_bus: MakeBus
) -> None:
    bus = make_bus(rabbitmq_url, call_timeout_s=1.0)
    await bus.start()
    consumer = await bus.consume_commands(POOL)
    await asyncio.sleep(YOUNG_S)
    await asyncio.to_thread(rabbitmq.freeze)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while bus.health().connected:
                await asyncio.sleep(0.05)
        ticket = bus.submit(POOL, command(lives_s=60))
    finally:
        await asyncio.to_thread(rabbitmq.thaw)
    async with serving(consumer):
        await answered(ticket, within_s=RESUME_S)


@pytest.mark.parametrize("fault", ["cut", "swallow"])
async def test_a_broken_network_is_survived(
    fault: str, rabbitmq: RabbitMQ, rabbitmq_url: str, make_bus: MakeBus
) -> None:
    proxy = Proxy(rabbitmq.port)
    await proxy.start()
    near = make_bus(rabbitmq_url)
    far = make_bus(rabbitmq_url.replace(f":{rabbitmq.port}/", f":{proxy.port}/"))
    await near.start()
    await far.start()
    worker = Idempotent(await near.consume_commands(POOL))
    tickets = [far.submit(POOL, command(lives_s=60)) for _ in range(10)]
    await answered(tickets[-1], within_s=PATIENCE_S)
    getattr(proxy, fault)()
    tickets += [far.submit(POOL, command(lives_s=60)) for _ in range(10)]
    if fault == "swallow":
        async with asyncio.timeout(PATIENCE_S):
            while far.health().connected:
                await asyncio.sleep(0.05)
        # The old connections stay dead; the broker holds on to them until their heartbeat fails.
        proxy.cut()
        proxy.heal()
    for ticket in tickets:
        await answered(ticket, within_s=RESUME_S)
    assert len(worker.decided) == len(tickets)
    await worker.stop()
    await far.close()
    await proxy.stop()


async def test_the_standby_takes_over_when_the_active_worker_loses_its_connection(
    rabbitmq: RabbitMQ, rabbitmq_url: str, make_bus: MakeBus
) -> None:
    proxy = Proxy(rabbitmq.port)
    await proxy.start()
    near = make_bus(rabbitmq_url)
    far = make_bus(rabbitmq_url.replace(f":{rabbitmq.port}/", f":{proxy.port}/"))
    await near.start()
    await far.start()
    active = await far.consume_commands(POOL)
    await asyncio.wait_for(active.wait_active(), PATIENCE_S)
    standby = await near.consume_commands(POOL)
    sent = [command(number=number) for number in range(3)]
    held = []
    for item in sent:
        near.submit(POOL, item)
        held += await collect(active, 1)
    generation = active.generation
    proxy.cut()
    envelopes = await collect(standby, 3)
    assert [item for envelope in envelopes for item in envelope.items] == sent
    assert all(envelope.deliveries >= 2 for envelope in envelopes)
    await asyncio.wait_for(standby.wait_active(), PATIENCE_S)
    async with asyncio.timeout(PATIENCE_S):
        while active.generation == generation:
            await asyncio.sleep(0.01)
    held[0].accepted()  # of the lost connection: too late, and harmless
    assert not active.active
    await far.close()
    await proxy.stop()


async def test_a_start_without_a_broker_fails_with_a_reason(make_bus: MakeBus) -> None:
    bus = make_bus("amqp://127.0.0.1:1/", start_timeout_s=0.5)
    with pytest.raises(BusLost, match="no connection to the broker"):
        await bus.start()
    health = bus.health()
    assert not health.connected
    assert health.detail


async def test_a_start_waits_for_the_broker(
    rabbitmq: RabbitMQ, rabbitmq_url: str, make_bus: MakeBus
) -> None:
    await asyncio.to_thread(rabbitmq.kill)
    bus = make_bus(rabbitmq_url)
    starting = asyncio.create_task(bus.start())
    await asyncio.sleep(0.2)
    assert not starting.done()
    await asyncio.to_thread(rabbitmq.start)
    await asyncio.wait_for(starting, RESUME_S)


async def test_answers_to_a_gateway_that_is_gone_do_no_harm(
    rabbitmq_url: str, make_bus: MakeBus
) -> None:
    gone, gateway, back = (make_bus(rabbitmq_url) for _ in range(3))
    for bus in (gone, gateway, back):
        await bus.start()
    consumer = await back.consume_commands(POOL)
    gone.submit(POOL, sent := command())
    (envelope,) = await collect(consumer, 1)
    await gone.close()
    envelope.accepted()
    envelope.done(sent["id"], {"ok": True})
    async with serving(consumer):
        await answered(gateway.submit(POOL, command()), within_s=PATIENCE_S)
    assert consumer.generation == 0


async def test_a_message_that_is_not_understood_is_parked(
    rabbitmq_url: str, make_bus: MakeBus
) -> None:
    bus = make_bus(rabbitmq_url)
    await bus.start()
    consumer = await bus.consume_commands(POOL)
    channel = await bus._publishing.open_channel(await bus._publishing.connection())
    await channel.basic_publish(b"\xff not JSON", routing_key=bus._topology.commands(POOL).name)
    async with serving(consumer):
        await answered(bus.submit(POOL, command()), within_s=PATIENCE_S)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if parked := await bus.parked():
                break
            await asyncio.sleep(0.02)
    assert [message.reason for message in parked] == ["rejected"]
    assert "not JSON" in str(parked[0].items)

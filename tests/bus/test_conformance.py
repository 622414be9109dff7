"""What every kind of bus promises, checked for each."""

import asyncio

import pytest

from scheduler.bus.errors import BusLost, BusOverloaded, BusTimeout
from scheduler.bus.interface import Item
from tests.bus.conftest import DELIVERY_LIMIT, Buses
from tests.bus.traffic import PATIENCE_S, collect, command, items_of, parked_when, serving

POOL = "default"


async def test_a_command_is_accepted_and_answered(buses: Buses) -> None:
    consumer = await buses.worker.consume_commands(POOL)
    async with serving(consumer):
        sent = command(verb="create", seats=15)
        ticket = buses.gateway.submit(POOL, sent)
        answer = await asyncio.wait_for(ticket.done, PATIENCE_S)
    assert answer == {"answer_to": sent["id"]}
    assert ticket.accepted.done()


async def test_the_worker_sees_the_command_as_it_was_sent(buses: Buses) -> None:
    consumer = await buses.worker.consume_commands(POOL)
    sent = command(verb="create", name="Übung „A“", tags=["x", None, 1.5], nested={"a": True})
    buses.gateway.submit(POOL, sent)
    assert items_of(await collect(consumer, 1)) == [sent]


async def test_commands_and_facts_arrive_in_the_order_they_were_sent(buses: Buses) -> None:
    consumer = await buses.worker.consume_commands(POOL)
    seen: list[Item] = []
    async with serving(consumer, seen):
        first = [buses.gateway.submit(POOL, command(number=number)) for number in range(700)]
        await asyncio.wait_for(asyncio.gather(*(ticket.done for ticket in first)), PATIENCE_S)
        await buses.gateway.publish_facts(POOL, [{"number": 700}, {"number": 701}])
        await buses.gateway.publish_facts(POOL, [{"number": 702}])
        last = buses.gateway.submit(POOL, command(number=703))
        await asyncio.wait_for(last.done, PATIENCE_S)
    assert [item["number"] for item in seen] == list(range(704))


async def test_commands_of_one_turn_travel_together(buses: Buses) -> None:
    consumer = await buses.worker.consume_commands(POOL)
    for _ in range(3):
        buses.gateway.submit(POOL, command())
    envelopes = await collect(consumer, 3)
    assert [len(envelope.items) for envelope in envelopes] == [3]


async def test_no_more_than_four_envelopes_of_a_pool_are_unanswered(buses: Buses) -> None:
    consumer = await buses.worker.consume_commands(POOL)
    tickets = []
    envelopes = []
    for _ in range(4):
        tickets.append(buses.gateway.submit(POOL, command()))
        envelopes += await collect(consumer, 1)
    for _ in range(250):
        tickets.append(buses.gateway.submit(POOL, command()))
        await asyncio.sleep(0)
    assert buses.gateway.health().waiting == 250
    envelopes[0].accepted()
    # One place is free: one envelope with as many as it may hold follows, and no second.
    (fifth,) = await collect(consumer, 200)
    assert len(fifth.items) == 200
    assert buses.gateway.health().waiting == 50
    for envelope in [*envelopes, fifth]:
        envelope.accepted()
    (sixth,) = await collect(consumer, 50)
    sixth.accepted()
    await asyncio.wait_for(
        asyncio.gather(*(ticket.accepted for ticket in tickets)), timeout=PATIENCE_S
    )
    assert not any(ticket.done.done() for ticket in tickets)


async def test_pools_do_not_wait_for_each_other(buses: Buses) -> None:
    for _ in range(4):
        buses.gateway.submit("slow", command())
        await asyncio.sleep(0)
    consumer = await buses.worker.consume_commands("quick")
    async with serving(consumer):
        ticket = buses.gateway.submit("quick", command())
        await asyncio.wait_for(ticket.done, PATIENCE_S)


async def test_an_answer_may_come_long_after_the_acceptance(buses: Buses) -> None:
    consumer = await buses.worker.consume_commands(POOL)
    ticket = buses.gateway.submit(POOL, sent := command())
    (envelope,) = await collect(consumer, 1)
    envelope.accepted()
    await asyncio.wait_for(ticket.accepted, PATIENCE_S)
    assert not ticket.done.done()
    await consumer.close()
    envelope.done(sent["id"], {"ok": True})
    assert await asyncio.wait_for(ticket.done, PATIENCE_S) == {"ok": True}


async def test_an_answer_implies_the_acceptance(buses: Buses) -> None:
    consumer = await buses.worker.consume_commands(POOL)
    ticket = buses.gateway.submit(POOL, sent := command())
    (envelope,) = await collect(consumer, 1)
    envelope.done(sent["id"], {"ok": True})
    assert await asyncio.wait_for(ticket.done, PATIENCE_S) == {"ok": True}
    assert ticket.accepted.done()


async def test_what_a_closed_consumer_did_not_accept_comes_again_in_order(buses: Buses) -> None:
    first = await buses.worker.consume_commands(POOL)
    sent = [command(number=number) for number in range(4)]
    for item in sent:
        buses.gateway.submit(POOL, item)
        await collect(first, 1)
    await first.close()
    second = await buses.worker.consume_commands(POOL)
    envelopes = await collect(second, 4)
    assert items_of(envelopes) == sent
    assert all(envelope.deliveries >= 2 for envelope in envelopes)


async def test_accepted_envelopes_do_not_come_again(buses: Buses) -> None:
    first = await buses.worker.consume_commands(POOL)
    tickets = [buses.gateway.submit(POOL, command())]
    (envelope,) = await collect(first, 1)
    envelope.accepted()
    await first.close()
    second = await buses.worker.consume_commands(POOL)
    tickets.append(buses.gateway.submit(POOL, later := command()))
    assert items_of(await collect(second, 1)) == [later]


async def test_only_one_consumer_of_a_pool_is_active(buses: Buses) -> None:
    active = await buses.worker.consume_commands(POOL)
    await asyncio.wait_for(active.wait_active(), PATIENCE_S)
    standby = await buses.gateway.consume_commands(POOL)
    for _ in range(4):
        buses.gateway.submit(POOL, command())
        await collect(active, 1)
    assert active.active
    assert not standby.active


async def test_the_standby_takes_over_what_the_active_one_leaves(buses: Buses) -> None:
    active = await buses.worker.consume_commands(POOL)
    await asyncio.wait_for(active.wait_active(), PATIENCE_S)
    standby = await buses.gateway.consume_commands(POOL)
    buses.gateway.submit(POOL, sent := command())
    await collect(active, 1)
    await active.close()
    assert items_of(await collect(standby, 1)) == [sent]
    assert standby.active


async def test_a_standby_becomes_active_on_an_idle_queue(buses: Buses) -> None:
    active = await buses.worker.consume_commands(POOL)
    await asyncio.wait_for(active.wait_active(), PATIENCE_S)
    standby = await buses.gateway.consume_commands(POOL)
    await active.close()
    await asyncio.wait_for(standby.wait_active(), PATIENCE_S)


async def test_a_closed_consumer_raises_instead_of_waiting(buses: Buses) -> None:
    consumer = await buses.worker.consume_commands(POOL)
    waiting = asyncio.create_task(consumer.get(items_max=1))
    await asyncio.sleep(0)
    await consumer.close()
    with pytest.raises(BusLost):
        await asyncio.wait_for(waiting, PATIENCE_S)
    with pytest.raises(BusLost):
        await consumer.get(items_max=1)


async def test_a_consumer_that_gave_up_waiting_loses_nothing(buses: Buses) -> None:
    consumer = await buses.worker.consume_commands(POOL)
    for _ in range(20):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(consumer.get(items_max=1), 0.001)
    buses.gateway.submit(POOL, sent := command())
    assert items_of(await collect(consumer, 1)) == [sent]


async def exceed_delivery_limit(buses: Buses, sent: Item) -> list[int]:
    """Reject a command until it is parked; return the delivery counts seen."""
    consumer = await buses.worker.consume_commands(POOL)
    buses.gateway.submit(POOL, sent)
    counts = []
    for _ in range(DELIVERY_LIMIT + 1):
        (envelope,) = await collect(consumer, 1)
        assert envelope.items == [sent]
        counts.append(envelope.deliveries)
        envelope.reject()
    # Whatever comes next is not the parked one.
    await buses.gateway.publish_facts(POOL, [{"next": True}])
    (envelope,) = await collect(consumer, 1)
    assert envelope.items == [{"next": True}]
    envelope.accepted()
    await consumer.close()
    return counts


async def test_a_message_beyond_the_delivery_limit_is_parked(buses: Buses) -> None:
    sent = command()
    assert await exceed_delivery_limit(buses, sent) == [1, 2, 3]
    await parked_when(buses.worker, 1)
    (message,) = await buses.worker.parked()
    assert (message.kind, message.pool, message.items) == ("commands", POOL, [sent])
    assert message.reason == "delivery_limit"
    assert message.deliveries == DELIVERY_LIMIT + 1


async def test_a_parked_message_can_be_retried(buses: Buses) -> None:
    await exceed_delivery_limit(buses, sent := command())
    await parked_when(buses.worker, 1)
    assert await buses.worker.retry_parked(5) == 1
    assert await buses.worker.parked() == []
    consumer = await buses.worker.consume_commands(POOL)
    (envelope,) = await collect(consumer, 1)
    assert (envelope.items, envelope.deliveries) == ([sent], 1)


async def test_an_answer_to_a_retried_message_arrives(buses: Buses) -> None:
    consumer = await buses.worker.consume_commands(POOL)
    ticket = buses.gateway.submit(POOL, command())
    for _ in range(DELIVERY_LIMIT + 1):
        (envelope,) = await collect(consumer, 1)
        envelope.reject()
    await parked_when(buses.worker, 1)
    await buses.worker.retry_parked(1)
    async with serving(consumer):
        await asyncio.wait_for(ticket.done, PATIENCE_S)


async def test_a_parked_message_can_be_discarded(buses: Buses) -> None:
    await exceed_delivery_limit(buses, command())
    await parked_when(buses.worker, 1)
    assert await buses.worker.discard_parked(5) == 1
    assert await buses.worker.parked() == []
    assert await buses.worker.retry_parked(5) == 0


async def test_looking_at_parked_messages_takes_nothing_away(buses: Buses) -> None:
    await exceed_delivery_limit(buses, command())
    await parked_when(buses.worker, 1)
    for _ in range(30):
        assert len(await buses.worker.parked()) == 1


async def test_a_command_without_a_worker_fails_at_its_deadline(buses: Buses) -> None:
    ticket = buses.gateway.submit(POOL, command(lives_s=0.2))
    with pytest.raises(BusTimeout):
        await asyncio.wait_for(ticket.accepted, PATIENCE_S)
    with pytest.raises(BusTimeout):
        await ticket.done


async def test_a_command_beyond_its_deadline_is_not_sent(buses: Buses) -> None:
    ticket = buses.gateway.submit(POOL, command(lives_s=-1))
    with pytest.raises(BusTimeout):
        await ticket.done
    consumer = await buses.worker.consume_commands(POOL)
    buses.gateway.submit(POOL, sent := command())
    assert items_of(await collect(consumer, 1)) == [sent]


async def test_an_accepted_command_that_is_never_answered_fails_at_its_deadline(
    buses: Buses,
) -> None:
    consumer = await buses.worker.consume_commands(POOL)
    ticket = buses.gateway.submit(POOL, command(lives_s=0.7))
    (envelope,) = await collect(consumer, 1)
    envelope.accepted()
    await asyncio.wait_for(ticket.accepted, PATIENCE_S)
    with pytest.raises(BusTimeout):
        await asyncio.wait_for(ticket.done, PATIENCE_S)


async def test_expired_envelopes_make_room_for_new_ones(buses: Buses) -> None:
    for _ in range(4):
        buses.gateway.submit(POOL, command(lives_s=0.3))
        await asyncio.sleep(0)
    late = buses.gateway.submit(POOL, sent := command())
    assert buses.gateway.health().waiting == 1
    consumer = await buses.worker.consume_commands(POOL)
    envelopes = await collect(consumer, 5)
    assert items_of(envelopes)[-1] == sent
    envelopes[-1].done(sent["id"], {"ok": True})
    assert await asyncio.wait_for(late.done, PATIENCE_S) == {"ok": True}


async def test_too_many_waiting_commands_are_refused_at_once(buses: Buses) -> None:
    for _ in range(4):
        buses.gateway.submit(POOL, command())
        await asyncio.sleep(0)
    for _ in range(10_000):
        buses.gateway.submit(POOL, command())
    with pytest.raises(BusOverloaded):
        buses.gateway.submit(POOL, command())
    buses.gateway.submit("another", command())


async def test_a_repeated_command_shares_the_ticket_of_the_open_one(buses: Buses) -> None:
    sent = command()
    assert buses.gateway.submit(POOL, sent) is buses.gateway.submit(POOL, sent)


async def test_a_command_whose_caller_went_away_may_be_submitted_again(buses: Buses) -> None:
    sent = command()
    buses.gateway.submit(POOL, sent).done.cancel()
    ticket = buses.gateway.submit(POOL, sent)
    consumer = await buses.worker.consume_commands(POOL)
    async with serving(consumer):
        assert await asyncio.wait_for(ticket.done, PATIENCE_S) == {"answer_to": sent["id"]}


async def test_an_answer_nobody_waits_for_does_no_harm(buses: Buses) -> None:
    consumer = await buses.worker.consume_commands(POOL)
    buses.gateway.submit(POOL, sent := command())
    (envelope,) = await collect(consumer, 1)
    envelope.done("never-sent", {"ok": False})
    envelope.done(sent["id"], {"ok": True})
    envelope.done(sent["id"], {"ok": "again"})
    envelope.accepted()
    envelope.accepted()
    async with serving(consumer):
        ticket = buses.gateway.submit(POOL, command())
        await asyncio.wait_for(ticket.done, PATIENCE_S)


async def test_facts_can_be_accepted_and_need_no_answer(buses: Buses) -> None:
    consumer = await buses.worker.consume_commands(POOL)
    await buses.gateway.publish_facts(POOL, [{"fact": "user joined"}, {"fact": "user left"}])
    await buses.gateway.publish_facts(POOL, [])
    (envelope,) = await collect(consumer, 2)
    assert [item["fact"] for item in envelope.items] == ["user joined", "user left"]
    envelope.done("nobody", {})
    envelope.accepted()


async def test_many_large_facts_arrive_in_order(buses: Buses) -> None:
    consumer = await buses.worker.consume_commands(POOL)
    facts = [{"number": number, "text": "x" * 1_000_000} for number in range(20)]
    await buses.gateway.publish_facts(POOL, facts)
    assert items_of(await collect(consumer, 20)) == facts


async def test_many_large_commands_are_answered(buses: Buses) -> None:
    consumer = await buses.worker.consume_commands(POOL)
    async with serving(consumer):
        tickets = [buses.gateway.submit(POOL, command(text="x" * 300_000)) for _ in range(60)]
        await asyncio.wait_for(asyncio.gather(*(t.done for t in tickets)), PATIENCE_S)


async def test_a_command_without_id_or_deadline_is_refused(buses: Buses) -> None:
    for wrong in ({}, {"id": "x"}, {"id": 1, "deadline_ms": 1}, {"id": "x", "deadline_ms": "1"}):
        with pytest.raises(TypeError):
            buses.gateway.submit(POOL, dict(wrong))


async def test_pool_names_may_hold_any_character(buses: Buses) -> None:
    pool = "Köln/1 #*.a"
    consumer = await buses.worker.consume_commands(pool)
    async with serving(consumer):
        ticket = buses.gateway.submit(pool, command())
        await asyncio.wait_for(ticket.done, PATIENCE_S)


async def test_closing_fails_what_is_open_and_refuses_the_rest(buses: Buses) -> None:
    ticket = buses.gateway.submit(POOL, command())
    await buses.gateway.close()
    await buses.gateway.close()
    with pytest.raises(BusLost):
        await ticket.done
    with pytest.raises(BusLost):
        buses.gateway.submit(POOL, command())
    with pytest.raises(BusLost):
        await buses.gateway.publish_facts(POOL, [{"number": 1}])
    with pytest.raises(BusLost):
        await buses.gateway.consume_commands(POOL)
    buses.gateway.broadcast_soon({"number": 1})
    assert not buses.gateway.health().connected


async def test_a_started_bus_is_healthy(buses: Buses) -> None:
    health = buses.gateway.health()
    assert (health.connected, health.blocked, health.waiting, health.detail) == (True, False, 0, "")

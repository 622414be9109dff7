"""Facts about the order in which a meeting's events arrive, whoever takes them in."""

import asyncio
import random
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import text, update

from scheduler import bulk, lanes
from scheduler.bus.interface import EventConsumer, EventMessage
from tests.deliveries.office import TABLES, Office, office
from tests.deliveries.test_deliveries import all_over
from tests.receiver import Behaviour, Receiver
from workers.deliveries import Deliveries

ROUNDS = 40


class OneAtATime:
    """A consumer that hands out single events, each after a moment of its own."""

    def __init__(self, consumer: EventConsumer, dice: random.Random) -> None:
        self._consumer = consumer
        self._dice = dice

    async def get(self, *, items_max: int) -> list[EventMessage]:
        assert items_max > 1
        messages = await self._consumer.get(items_max=1)
        await asyncio.sleep(self._dice.choice((0, 0, 0, 0.05)))
        return messages

    async def close(self) -> None:
        await self._consumer.close()


def scatter(worker: Deliveries, seed: int) -> None:
    """Let the worker take its events in late, so that two of them overtake each other."""
    dice = random.Random(seed)
    bus = worker.intake._bus

    async def consume() -> Any:
        return OneAtATime(await consume_events(), dice)

    consume_events = bus.consume_events
    worker.intake._bus = type("Bus", (), {"consume_events": staticmethod(consume)})()


async def published_from_outbox(desk: Office) -> None:
    """Publish what the outbox holds, as the relay does."""
    rows = sorted(await desk.rows("outbox"), key=lambda row: int(row["seq"]))
    events = [orjson.loads(row["body"]) | {"seq": row["seq"]} for row in rows]
    await desk.bus.publish_events(events)


async def test_two_workers_that_overtake_each_other_keep_the_order_of_a_meeting(
    desk: Office, receiver: Receiver
) -> None:
    await desk.endpoint(receiver.url(behaviour=Behaviour(delay_s=0.002)))
    events = [
        desk.event(user_id=f"u{number}", meeting=f"{meeting:032x}", meeting_id=f"room-{meeting}")
        for number in range(ROUNDS)
        for meeting in range(2)
    ]
    await desk.outbox(*events)
    async with desk.working(2) as workers:
        for number, worker in enumerate(workers):
            scatter(worker, number)
        for worker in workers:
            await worker.start()
        await published_from_outbox(desk)
        await desk.until("delivery", lambda rows: len(rows) == len(events) and all_over(rows), 30)
    for meeting in range(2):
        mine = [r for r in receiver.requests if r.query["meetingID"] == f"room-{meeting}"]
        assert [r.query["userID"] for r in mine] == [f"u{number}" for number in range(ROUNDS)]


async def test_an_event_brings_those_before_it_along(desk: Office, receiver: Receiver) -> None:
    await desk.endpoint(receiver.url())
    await desk.outbox(*[desk.event(user_id=f"u{number}") for number in range(5)])
    rows = sorted(await desk.rows("outbox"), key=lambda row: int(row["seq"]))
    async with desk.delivering():
        # The bus brings the last one first, and the others never.
        await desk.bus.publish_events([orjson.loads(rows[-1]["body"]) | {"seq": rows[-1]["seq"]}])
        await receiver.wait_for(5)
    assert [r.query["userID"] for r in receiver.requests] == [f"u{number}" for number in range(5)]
    assert all(row["expanded_ms"] for row in await desk.rows("outbox"))


async def test_an_event_leaves_those_behind_it_to_the_bus(desk: Office, receiver: Receiver) -> None:
    # Else the first one of a backlog takes in all of it, and the lanes are locked meanwhile.
    await desk.endpoint(receiver.url())
    await desk.outbox(*[desk.event(user_id=f"u{number}") for number in range(5)])
    rows = sorted(await desk.rows("outbox"), key=lambda row: int(row["seq"]))
    async with desk.delivering():
        for handed, expected in ((1, 2), (3, 4)):
            event = orjson.loads(rows[handed]["body"]) | {"seq": rows[handed]["seq"]}
            await desk.bus.publish_events([event])
            await receiver.wait_for(expected)
            done = [row["seq"] for row in await desk.rows("outbox") if row["expanded_ms"]]
            assert sorted(done) == [row["seq"] for row in rows[:expected]]
    assert [r.query["userID"] for r in receiver.requests] == [f"u{number}" for number in range(4)]


async def test_transactions_of_deliveries_go_by_index_and_no_others(
    postgresql_url: str, tmp_path: Path
) -> None:
    # PostgreSQL keeps plans; one that was made while nothing waited would read all that waits.
    listed = "unnest(CAST('{a,b}' AS text[])) AS listed(value)"
    statement = f"EXPLAIN UPDATE delivery SET attempts = 0 WHERE id IN (SELECT value FROM {listed})"
    setting = text("SHOW enable_seqscan")
    async with office(tmp_path, postgresql_url) as desk:
        async with desk.database.begin() as connection:
            await bulk.by_index(connection)
            assert (await connection.execute(setting)).scalar_one() == "off"
            plan = [row[0] for row in await connection.execute(text(statement))]
            assert not any("Seq Scan" in line for line in plan), plan
        async with desk.database.begin() as connection:
            assert (await connection.execute(setting)).scalar_one() == "on"


async def test_events_that_the_bus_has_lost_are_found_in_the_outbox(
    desk: Office, receiver: Receiver
) -> None:
    await desk.endpoint(receiver.url())
    await desk.outbox(desk.event(), desk.event())
    async with desk.database.write_lock, desk.database.begin() as connection:
        published = update(TABLES["outbox"]).values(published_ms=desk.clock())
        await connection.execute(published)
    async with desk.delivering() as worker:
        await worker.intake.recover()
        assert await desk.rows("delivery") == []  # the bus has a while to bring them
        desk.clock.forward(31)
        await worker.intake.recover()
        await receiver.wait_for(2)


async def test_relaxed_endpoints_do_not_wait_for_a_failed_delivery(
    desk: Office, receiver: Receiver
) -> None:
    number = await desk.endpoint(receiver.url(behaviour=Behaviour(fail_times=1)))
    await desk.change_endpoint(number, ordering="relaxed")
    async with desk.delivering():
        await desk.publish(desk.event(seq=1, user_id="u1"))
        await receiver.wait_for(1)
        await desk.publish(desk.event(seq=2, user_id="u2"), desk.event(seq=3, user_id="u3"))
        await receiver.wait_for(3)
        rows = await desk.until(
            "delivery", lambda rows: [r["state"] for r in rows].count("delivered") == 2
        )
    assert sorted(row["state"] for row in rows) == ["delivered", "delivered", "queued"]


class Explained:
    """A connection that has every statement explained first."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.dialect = connection.dialect
        self.plan: list[str] = []

    async def execute(self, statement: Any, arguments: Any = None) -> Any:
        explained = text(f"EXPLAIN QUERY PLAN {statement}")
        self.plan += [row[3] for row in await self._connection.execute(explained, arguments)]
        return await self._connection.execute(statement, arguments)


@pytest.mark.parametrize("statement", ["move_on", "with_head", "stuck"])
async def test_lanes_are_found_by_their_index_however_much_is_kept(
    tmp_path: Path, statement: str
) -> None:
    # On SQLite: elsewhere the statistics decide.
    async with office(tmp_path, "") as desk, desk.database.begin() as connection:
        explained: Any = Explained(connection)
        if statement == "stuck":
            await lanes.stuck(explained)
        else:
            await getattr(lanes, statement)(explained, ["endpoint:1/m"])
    assert explained.plan
    scans = [line for line in explained.plan if line.startswith("SCAN") and "json_each" not in line]
    assert all("ix_delivery_lane" in line for line in scans), explained.plan

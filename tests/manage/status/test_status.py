"""The status says what is held, what will be, what waits and what is wrong; to each his own."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import Table, insert, update

from scheduler import endpoints, operations
from scheduler.bus.rabbit import depths
from scheduler.bus.rabbit.bus import RabbitBus
from scheduler.checks import NotFoundError
from scheduler.database import Database
from scheduler.manage import status
from scheduler.settings import Settings
from schemas.delivery_tables import DeliveryRow, TargetRow
from schemas.management.status import Status, StatusAsked
from schemas.management_tables import ErrandRow, JobRow
from schemas.tables import MeetingRow, NodeRow, OutboxRow, PoolRow
from tests.manage.customers.conftest import Office, office

__all__ = ["office"]

HOUR_S = 3_600
_TABLES = MeetingRow.metadata.tables


def now_s() -> int:
    """Of this test, not of the whole run: hours can lie between them."""
    return int(time.time())


def now_ms() -> int:
    return now_s() * 1_000


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    return Settings(data_dir=tmp_path, database_url=url)


@pytest_asyncio.fixture
async def house(office: Office) -> AsyncIterator[Office]:
    """Two nodes, and meetings of two subscriptions."""
    for name, seats in (("n1", 30), ("n2", 40)):
        office.ids[name] = await operations.add_node(
            *(office.database, office.vault),
            name=name,
            base_url=f"http://{name}.example.org/bigbluebutton/",
            secret="secret-of-a-node",
            seats=seats,
        )
    n1 = office.ids["n1"]

    async def meeting(slug: str, state: str, seats: int, start_s: int, end_s: int) -> None:
        where = None if state == "booked" else n1
        await office.meeting(
            *(slug,), state=state, seats=seats, start_s=start_s, end_s=end_s, node_id=where
        )

    begin_s = now_s()  # once: the windows meet to the second
    await meeting("acme", "held", 5, begin_s - 60, begin_s + HOUR_S)
    await meeting("acme", "overtime", 3, begin_s - 2 * HOUR_S, begin_s - HOUR_S)
    # Begins when the first has ended: both are never there at once.
    await meeting("acme", "booked", 7, begin_s + HOUR_S, begin_s + 2 * HOUR_S)
    await meeting("acme", "booked", 11, begin_s + 3 * HOUR_S, begin_s + 4 * HOUR_S)
    await meeting("other", "held", 10, begin_s - 60, begin_s + 3 * HOUR_S)
    await meeting("other", "booked", 2, begin_s - 60, begin_s + HOUR_S)
    yield office


async def _put(database: Database, row: Any) -> None:
    async with database.write_lock, database.begin() as connection:
        await connection.execute(insert(_table(row)).values(row.model_dump(exclude_none=True)))


async def _set(database: Database, table: str, **values: Any) -> None:
    async with database.write_lock, database.begin() as connection:
        await connection.execute(update(_TABLES[table]).values(values))


def _table(row: Any) -> Table:
    return _TABLES[row.__tablename__]


def _subjects(shown: Status) -> list[str]:
    return [problem.subject for problem in shown.problems]


async def test_seats_are_held_in_overtime_free_and_at_their_peak(house: Office) -> None:
    shown = await status.show(house.operator, StatusAsked())
    [pool] = shown.pools
    assert (pool.seats, pool.held, pool.overtime, pool.free) == (70, 17, 3, 50)
    assert pool.peak == 17  # 5+10+2 now, 7+10 in an hour
    n1, n2 = shown.nodes
    assert (n1.node, n1.held, n1.overtime, n1.free, n1.peak) == ("n1", 15, 3, 12, 15)
    assert (n2.node, n2.held, n2.free, n2.peak, n2.load_percent) == ("n2", 0, 40, 0, 0)
    assert n1.load_percent == 60
    acme, other = shown.subscriptions
    assert (acme.held, acme.overtime, acme.free, acme.peak, acme.meetings) == (5, 3, 12, 7, 2)
    assert (other.held, other.overtime, other.free, other.peak, other.meetings) == (
        12,
        0,
        38,
        12,
        1,
    )


async def test_a_disabled_node_has_no_seats_for_its_pool(house: Office) -> None:
    await operations.set_node_state(house.database, "n2", "disabled")
    [pool] = (await status.show(house.operator, StatusAsked(pool="default"))).pools
    assert (pool.seats, pool.nodes) == (30, 2)


async def test_an_owner_sees_the_own_part_only(house: Office) -> None:
    await endpoints.add(
        house.database, house.vault, subscription="other", url="https://other.example.org/"
    )
    shown = await status.show(house.owner("acme"), StatusAsked())
    assert [plan.subscription for plan in shown.subscriptions] == ["acme"]
    assert (shown.pools, shown.nodes, shown.broker) == ([], [], None)
    assert shown.endpoints.enabled == 0
    assert shown.problems == []
    assert "other" not in shown.model_dump_json()
    with pytest.raises(NotFoundError):
        await status.show(house.owner("acme"), StatusAsked(pool="default"))
    assert (await status.show(house.operator, StatusAsked())).endpoints.enabled == 1


async def test_an_unknown_pool_is_an_error(house: Office) -> None:
    with pytest.raises(NotFoundError, match="there is no pool nowhere"):
        await status.show(house.operator, StatusAsked(pool="nowhere"))


async def test_what_works_is_no_problem(house: Office) -> None:
    await _set(house.database, PoolRow.__tablename__, holder="host:1", epoch=3)
    await _set(
        *(house.database, NodeRow.__tablename__),
        health="up",
        answered_ms=now_ms(),
        version="3.0.4",
    )
    shown = await status.show(house.operator, StatusAsked())
    assert shown.problems == []
    assert shown.pools[0].worker == "host:1"
    assert shown.nodes[0].version == "3.0.4"


async def test_what_is_wrong_is_said(house: Office) -> None:
    database = house.database
    await _set(database, NodeRow.__tablename__, health="down", health_reason="no answer", seats=5)
    old_ms = now_ms() - 2 * HOUR_S * 1_000
    made = await endpoints.add(
        database, house.vault, subscription="acme", url="https://app.example.org/"
    )
    await _put(
        database,
        TargetRow(
            id=f"endpoint:{made.id}",
            failing_since_ms=old_ms,
            failures=9,
            open_until_ms=now_ms() + HOUR_S * 1_000,
        ),
    )
    await _put(
        database, OutboxRow(event_id="e1", meeting_id="m", fact="f", body=b"{}", at_ms=old_ms)
    )
    for number, state in enumerate(("queued", "parked")):
        await _put(
            database,
            DeliveryRow(
                id=f"{number:032x}",
                event_id=f"e{number}",
                target=f"endpoint:{made.id}",
                lane="l",
                seq=number,
                url="https://app.example.org/",
                dialect="signed",
                body=b"{}",
                subscription_id=house.ids["acme"],
                state=state,
                next_attempt_ms=old_ms,
                created_ms=old_ms,
            ),
        )
    await _put(database, JobRow(id="0" * 32, kind="k", actor="a", params=b"", created_ms=old_ms))
    await _put(
        database,
        ErrandRow(
            id="1" * 32,
            pool="default",
            command=b"{}",
            at_ms=old_ms,
            deadline_ms=now_ms() + HOUR_S * 1_000,
        ),
    )
    shown = await status.show(house.operator, StatusAsked())
    assert _subjects(shown) == [
        *("pool default", "pool default", "node n1", "node n2", "events"),
        *("deliveries", "deliveries", "jobs", "commands", f"endpoint {made.id} of acme"),
    ]
    assert "17 seats are guaranteed" in shown.problems[1].detail
    assert shown.problems[2].detail == "down: no answer"
    assert (shown.endpoints.failing, shown.endpoints.targets_paused) == (1, 1)
    assert (shown.events.queued, shown.events.parked, shown.events.unpublished) == (1, 1, 1)
    assert shown.jobs.waiting == shown.jobs.errands == 1
    own = await status.show(house.owner("acme"), StatusAsked())
    assert _subjects(own) == ["deliveries", "deliveries", f"endpoint {made.id} of acme"]
    assert (own.events.queued, own.events.unpublished, own.jobs.waiting) == (1, 0, 0)
    assert (await status.show(house.owner("other"), StatusAsked())).problems == []


async def test_nodes_that_nobody_polls_are_a_problem(house: Office) -> None:
    await _set(house.database, PoolRow.__tablename__, holder="host:1")
    await _set(house.database, NodeRow.__tablename__, health="up", answered_ms=now_ms() - 3_600_000)
    shown = await status.show(house.operator, StatusAsked())
    assert _subjects(shown) == ["node n1", "node n2"]
    assert "60 minutes" in shown.problems[0].detail


async def test_queues_are_counted_without_taking_anything(
    rabbitmq_url: str, amqp_prefix: str
) -> None:
    before = await depths.read(rabbitmq_url, ["default"], prefix=amqp_prefix)
    assert [(depth.name, depth.messages) for depth in before] == [
        *(("commands of default", 0), ("events", 0), ("parked", 0))
    ]
    bus = RabbitBus(rabbitmq_url, prefix=amqp_prefix)
    await bus.start()
    await bus.publish_events([{"id": f"{number}"} for number in range(3)])
    for _ in range(2):
        found = {
            depth.name: depth
            for depth in await depths.read(rabbitmq_url, ["default"], prefix=amqp_prefix)
        }
        assert (found["events"].messages, found["events"].consumers) == (3, 0)
    await bus.close()


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
async def test_a_broker_that_is_away_is_a_problem(house: Office) -> None:
    # Not through the settings: they want PostgreSQL beside a broker.
    away = Settings.model_construct(
        **{**dict(house.settings), "amqp_url": type(house.settings.amqp_url)("amqp://127.0.0.1:1/")}
    )
    house.settings = away
    shown = await status.show(house.operator, StatusAsked())
    assert shown.broker is not None
    assert not shown.broker.reachable
    assert _subjects(shown)[0] == "broker"

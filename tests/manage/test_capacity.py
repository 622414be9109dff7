"""Seats over time: exact at the highest moment of each step, on both databases."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert

from scheduler import operations
from scheduler.checks import ForbiddenError, OperationError
from scheduler.database import Database
from scheduler.directory import DirectoryWatch
from scheduler.manage import bookings, capacity, instants, meetings, whatif
from scheduler.manage.context import Actor, Context, Scope
from scheduler.nodes import NodeClient
from scheduler.seat_levels import highest
from scheduler.settings import Settings
from scheduler.vault import Vault
from schemas.identifiers import new_id
from schemas.management.bookings import BookingsAsked, ReservationsAsked
from schemas.management.capacity import CapacityAsked, WhatIfAsked
from schemas.management.meetings import MeetingAsked, MeetingsAsked
from schemas.tables import AttendeeRow, MeetingRow

_spans = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 9)), max_size=12)


@given(_spans, st.integers(0, 30), st.integers(1, 40), st.integers(1, 13))
def test_a_step_tells_the_most_at_any_second_of_it(
    spans: list[tuple[int, int, int]], from_s: int, length_s: int, step_s: int
) -> None:
    to_s = from_s + length_s
    expected = [
        max(
            sum(seats for start, end, seats in spans if start <= second < end)
            for second in range(begin, min(begin + step_s, to_s))
        )
        for begin in range(from_s, to_s, step_s)
    ]
    assert highest(spans, from_s, to_s, step_s) == expected


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def operator(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Context]:
    """Yield the context of an operator: two subscriptions of 20 seats, two nodes of 30."""
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    settings = Settings(data_dir=tmp_path, database_url=url)
    database = Database(settings)
    await database.migrate()
    vault = Vault.from_settings(settings)
    await operations.ensure_pool(database, "default")
    for name in ("n1", "n2"):
        await operations.add_node(
            *(database, vault),
            name=name,
            base_url=f"https://{name}.test/bigbluebutton/",
            secret="node-secret",
            seats=30,
        )
    for slug in ("acme", "beta"):
        await operations.add_subscription(database, slug, seats=20)
        await operations.add_credential(database, vault, subscription=slug)
    directory = DirectoryWatch(database, vault)
    await directory.start()
    yield Context(
        settings=settings,
        database=database,
        vault=vault,
        directory=directory,
        nodes=NodeClient(settings),
        bus=None,
        actor=Actor("tests"),
    )
    await directory.close()
    await database.close()


async def put(context: Context, now_s: int, *rows: dict[str, Any]) -> None:
    """Store meetings; their windows are told in minutes from now."""
    for row in rows:
        start, end = row.pop("window")
        ended = row.pop("ended", None)
        values = {
            "id": new_id(),
            "pool_id": 1,
            "subscription_id": 1,
            "credential_id": 1,
            "external_id": "m",
            "node_id": 1,
            "state": "held",
            "live": ended is None,
            "start_s": now_s + 60 * start,
            "end_s": now_s + 60 * end,
            "doc": b"{}",
            "bound": b"{}",
            "ended_ms": None if ended is None else (now_s + 60 * ended) * 1_000,
            "updated_ms": now_s * 1_000,
        } | row
        if ended is not None:
            values |= {"state": "ended", "end_reason": values.get("end_reason", "ended")}
        row_values = MeetingRow(**values).model_dump()
        async with context.database.write_lock, context.database.begin() as connection:
            await connection.execute(
                insert(MeetingRow.metadata.tables["meeting"]).values(row_values)
            )


async def asked(context: Context, now_s: int, **more: Any) -> dict[str, list[tuple[int, int, int]]]:
    """Ask for four steps of 15 minutes, beginning half an hour ago."""
    begin = instants.of_s(now_s - 1_800)
    span = {"from": begin, "to": begin + timedelta(hours=1), "step": 900}
    found = await capacity.show(context, CapacityAsked.model_validate(span | more))
    return {
        line.name: [(step.reserved, step.overtime, step.free) for step in line.steps]
        for line in found.items
    }


async def test_what_was_is_and_will_be_reserved(operator: Context) -> None:
    now_s = instants.now_s()
    await put(
        *(operator, now_s),
        {"seats": 5, "window": (-60, 10)},
        {"seats": 4, "window": (0, 60), "state": "booked", "bound": None, "node_id": 2},
        {"seats": 3, "window": (-60, -20), "state": "overtime"},
        {"seats": 2, "window": (-60, 20), "ended": -10},
        {"seats": 9, "window": (-60, 20), "ended": -10, "end_reason": "failed", "bound": None},
        {"seats": 7, "window": (-20, 40), "state": "lost", "node_id": None, "subscription_id": 2},
        {"seats": 8, "window": (-9, 40), "state": "ending"},
        {"seats": 6, "window": (-60, -25), "ended": -3, "subscription_id": 2, "node_id": 2},
    )
    found = await asked(operator, now_s, by="subscription")
    assert found == {
        "acme": [(10, 3, 10), (7, 3, 13), (9, 3, 11), (4, 0, 16)],
        "beta": [(7, 6, 13), (7, 6, 13), (7, 0, 13), (7, 0, 13)],
    }
    nodes = await asked(operator, now_s, by="node")
    assert nodes["n1"] == [(10, 3, 20), (7, 3, 23), (5, 3, 25), (0, 0, 30)]
    assert nodes["n2"] == [(6, 6, 24), (0, 6, 30), (4, 0, 26), (4, 0, 26)]
    pools = await asked(operator, now_s)
    assert [step[0] for step in pools["default"]] == [16, 14, 16, 11]


async def test_pages_names_and_pools(operator: Context) -> None:
    first = await capacity.show(operator, CapacityAsked(by="node", limit=1))
    assert [line.name for line in first.items] == ["n1"]
    second = await capacity.show(operator, CapacityAsked(by="node", limit=1, after=first.next))
    assert [line.name for line in second.items] == ["n2"]
    assert second.next is None
    one = await capacity.show(operator, CapacityAsked(by="subscription", name="beta"))
    assert [(line.name, line.seats, len(line.steps)) for line in one.items] == [("beta", 20, 8)]
    pool = (await capacity.show(operator, CapacityAsked())).items[0]
    assert (pool.seats, pool.sold, pool.over_committed) == (60, 40, False)
    assert (await capacity.show(operator, CapacityAsked(pool="none"))).items == []


async def test_a_plan_that_was_made_smaller_is_shown_as_over_committed(operator: Context) -> None:
    now_s = instants.now_s()
    await put(operator, now_s, {"seats": 18, "window": (-5, 60)})
    await operations.change_subscription(operator.database, "acme", seats=10)
    await operator.directory.refresh()
    shown = await capacity.show(operator, CapacityAsked(by="subscription", name="acme"))
    assert shown.items[0].over_committed
    assert shown.items[0].steps[0].free == 0


async def test_customers_see_their_own_seats_only(operator: Context) -> None:
    owner = replace(operator, actor=Actor("acme", Scope.READER, subscription_id=1))
    await put(operator, instants.now_s(), {"seats": 5, "window": (-5, 60), "subscription_id": 2})
    shown = await capacity.show(owner, CapacityAsked(by="subscription"))
    assert [(line.name, line.steps[0].reserved) for line in shown.items] == [("acme", 0)]
    for by in ("pool", "node"):
        with pytest.raises(ForbiddenError):
            await capacity.show(owner, CapacityAsked.model_validate({"by": by}))


async def test_too_much_at_once_is_refused_with_a_way_out(operator: Context) -> None:
    begin = instants.of_s(instants.now_s())
    long = {"from": begin, "to": begin + timedelta(days=100), "step": 60}
    with pytest.raises(OperationError, match="take longer ones"):
        await capacity.show(operator, CapacityAsked.model_validate(long))
    turned = {"from": begin, "to": begin - timedelta(days=1)}
    with pytest.raises(OperationError, match="after its begin"):
        await capacity.show(operator, CapacityAsked.model_validate(turned))


async def test_lists_and_lives_are_read_alike_from_both_databases(operator: Context) -> None:
    now_s = instants.now_s() // 60 * 60  # later starts are whole minutes
    await put(
        *(operator, now_s),
        {"seats": 5, "window": (-5, 60), "external_id": "a", "doc": b'{"name": "A"}'},
        {"seats": 4, "window": (60, 90), "state": "booked", "bound": None, "external_id": "b"},
        {"seats": 4, "window": (60, 90), "state": "booked", "bound": None, "external_id": "c"},
        {"seats": 3, "window": (-60, -20), "ended": -10, "doc": b'{"name": "D"}'},
    )
    [live] = (await meetings.list_meetings(operator, MeetingsAsked())).items
    async with operator.database.write_lock, operator.database.begin() as connection:
        for user, present in (("u1", True), ("u2", True), ("u3", False)):
            row = AttendeeRow(
                meeting_id=live.id, user_id=user, present=present, joins=2, changed_ms=1
            )
            table = AttendeeRow.metadata.tables["attendee"]
            await connection.execute(insert(table).values(row.model_dump()))
    shown = await meetings.show(operator, MeetingAsked(meeting=live.id))
    assert (shown.users, shown.joins, shown.persons) == (2, 6, 3)
    assert [entry.what for entry in shown.life] == ["admitted"]
    past = await meetings.list_meetings(operator, MeetingsAsked(which="past"))
    assert [item.name for item in past.items] == ["D"]
    first = await bookings.list_bookings(operator, BookingsAsked(limit=1))
    rest = await bookings.list_bookings(operator, BookingsAsked(after=first.next))
    assert sorted(item.meeting_id for item in (*first.items, *rest.items)) == ["b", "c"]
    span = await bookings.list_reservations(operator, ReservationsAsked(limit=2))
    more = await bookings.list_reservations(operator, ReservationsAsked(after=span.next))
    found = [(item.kind, item.meeting_id) for item in (*span.items, *more.items)]
    assert found[0] == ("meeting", "a")
    assert sorted(found[1:]) == [("booking", "b"), ("booking", "c")]
    asked = WhatIfAsked(subscription="acme", seats=16, duration_s=600)
    assert (await whatif.ask(operator, asked)).free_seats == 15

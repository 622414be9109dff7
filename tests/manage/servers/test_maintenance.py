"""Maintenance that everybody knows of in advance."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from scheduler.checks import ConflictError, ForbiddenError, NotFoundError, OperationError
from scheduler.manage import maintenance, nodes
from scheduler.manage.context import Context
from schemas.management.nodes import (
    MaintenanceAsked,
    MaintenancesAsked,
    NewMaintenance,
    NodeAsked,
    NodeChange,
)
from tests.manage.servers.booking import book, node_of
from tests.manage.servers.conftest import Site


def minutes(number: float) -> datetime:
    """Return an instant this far ahead."""
    return datetime.now(UTC) + timedelta(minutes=number)


async def test_creates_that_would_reach_into_maintenance_go_elsewhere(site: Site) -> None:
    await site.do(nodes.change, NodeChange(node="n1", seats=70))
    planned = NewMaintenance(node="n0", start_at=minutes(30), end_at=minutes(90), note="kernel")
    window = await site.do(maintenance.add, planned)
    assert (window.start_at.second, window.end_at.second, window.note) == (0, 0, "kernel")
    assert window.in_the_way == []
    for number in range(2):
        long = {"duration": "60", "maxParticipants": "30"}
        assert (await site.world.create(f"long-{number}", **long)).ok
        assert await node_of(site, f"long-{number}") == "n1"
    assert (await site.world.create("short", duration="20")).ok
    assert await node_of(site, "short") == "n0"
    refused = await site.world.create("large", duration="60", maxParticipants="30")
    assert refused.key == "noNodesAvailable"
    shown = await site.do(nodes.show, NodeAsked(node="n0"))
    assert [one.id for one in shown.maintenance] == [window.id]
    await site.do(maintenance.remove, MaintenanceAsked(node="n0", maintenance=window.id))
    assert (await site.world.create("large", duration="60", maxParticipants="30")).ok


async def test_what_is_in_the_way_is_shown_and_nobody_is_ended(site: Site) -> None:
    await site.do(nodes.change, NodeChange(node="n1", state="draining"))
    assert (await site.world.create("room", duration="60", maxParticipants="25")).ok
    window = await site.do(maintenance.add, NewMaintenance(node="n0", end_at=minutes(45)))
    [one] = window.in_the_way
    assert (one.external_id, one.subscription, one.state, one.seats) == ("room", "acme", "held", 25)
    assert window.in_the_way_count == 1
    assert await site.state_of("room") == "held"
    listed = await site.do(maintenance.list_windows, MaintenancesAsked(node="n0"))
    assert [(one.id, one.in_the_way_count) for one in listed.items] == [(window.id, 1)]


async def test_a_booking_in_the_way_moves_to_another_node(site: Site) -> None:
    start_s = int(time.time()) // 60 * 60 + 3600
    await book(site, "talk", seats=60, window=(start_s, start_s + 3600))
    assert await node_of(site, "talk") == "n0"
    planned = NewMaintenance(
        node="n0", start_at=datetime.fromtimestamp(start_s + 600, UTC), end_at=minutes(100)
    )
    await site.do(maintenance.add, planned)
    await site.moved("talk", "n1")
    window = await site.do(maintenance.show, MaintenanceAsked(node="n0", maintenance=1))
    assert window.in_the_way_count == 0


async def test_a_booking_that_fits_nowhere_stays_until_it_does(site: Site) -> None:
    start_s = int(time.time()) // 60 * 60 + 3600
    await book(site, "talk", seats=60, window=(start_s, start_s + 3600))
    await site.do(nodes.change, NodeChange(node="n1", seats=50))
    await site.do(nodes.change, NodeChange(node="n0", state="draining"))
    assert (await site.world.create("other")).ok  # a turn of the worker has passed
    assert await node_of(site, "talk") == "n0"
    await site.do(nodes.change, NodeChange(node="n1", seats=70))
    await site.moved("talk", "n1")


async def test_windows_are_whole_and_ahead(site: Site) -> None:
    for start, end in ((10, 5), (-20, -10), (10, 3 * 366 * 1440)):
        asked = NewMaintenance(node="n0", start_at=minutes(start), end_at=minutes(end))
        with pytest.raises(OperationError):
            await site.do(maintenance.add, asked)
    with pytest.raises(NotFoundError):
        await site.do(maintenance.add, NewMaintenance(node="n9", end_at=minutes(5)))
    window = await site.do(maintenance.add, NewMaintenance(node="n0", end_at=minutes(5)))
    with pytest.raises(NotFoundError):
        await site.do(maintenance.show, MaintenanceAsked(node="n1", maintenance=window.id))
    with pytest.raises(NotFoundError):
        await site.do(maintenance.remove, MaintenanceAsked(node="n1", maintenance=window.id))


async def test_windows_are_listed_in_pages_in_order(site: Site) -> None:
    for start in (30, 10, 20):
        asked = NewMaintenance(node="n0", start_at=minutes(start), end_at=minutes(start + 5))
        await site.do(maintenance.add, asked)
    first = await site.do(maintenance.list_windows, MaintenancesAsked(node="n0", limit=2))
    rest = await site.do(
        maintenance.list_windows, MaintenancesAsked(node="n0", limit=2, after=first.next)
    )
    assert [one.id for one in (*first.items, *rest.items)] == [2, 3, 1]
    assert rest.next is None


async def test_a_node_has_a_limit_of_windows(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "WINDOWS_MAX", 1)
    await site.do(maintenance.add, NewMaintenance(node="n0", end_at=minutes(5)))
    with pytest.raises(ConflictError):
        await site.do(maintenance.add, NewMaintenance(node="n0", end_at=minutes(6)))


async def test_customers_see_no_maintenance(site: Site, customer: Context) -> None:
    await site.do(maintenance.add, NewMaintenance(node="n0", end_at=minutes(5)))
    with pytest.raises(NotFoundError):
        await maintenance.list_windows(customer, MaintenancesAsked(node="n0"))
    with pytest.raises(ForbiddenError):
        await maintenance.remove(customer, MaintenanceAsked(node="n0", maintenance=1))

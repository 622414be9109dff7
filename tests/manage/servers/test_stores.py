"""Nodes in both kinds of database, with rows that no worker made."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from scheduler import changes, node_operations
from scheduler.checks import ConflictError
from scheduler.manage import maintenance, node_life, nodes
from schemas.management.nodes import (
    Drain,
    MaintenanceAsked,
    NewMaintenance,
    NewNode,
    NodeAsked,
    NodeChange,
    NodeRemoval,
    NodesAsked,
    Panic,
    Rotation,
)
from schemas.tables import RecordingRow
from tests.manage.customers.conftest import Office, office, settings

__all__ = ["office", "settings"]


@pytest.mark.parametrize("settings", ["sqlite", "postgresql"], indirect=True)
async def test_the_life_of_a_node_in_every_kind_of_database(office: Office) -> None:
    context = office.operator
    for number, tags in ((1, ["gpu", "eu"]), (2, [])):
        asked = NewNode(
            name=f"n{number}",
            url=f"http://127.0.0.1:{number}/bigbluebutton/",
            secret="s" * 20,
            seats=100,
            tags=tags,
            test=False,
        )
        added = await nodes.add(context, asked)
    assert added.health.state == "unknown"
    node_id = (await nodes.row_of(context, "n1"))["id"]
    now_s = int(time.time()) // 60 * 60
    for state, start, end, seats in (
        ("held", -600, 3_600, 30),
        ("overtime", -7_200, -60, 20),
        ("booked", 5_400, 9_000, 60),
        ("booked", 7_260, 9_000, 40),
        ("ending", -600, 3_600, 7),
    ):
        await office.meeting(
            "acme",
            node_id=node_id,
            state=state,
            seats=seats,
            start_s=now_s + start,
            end_s=now_s + end,
        )
    [shown] = (await nodes.list_nodes(context, NodesAsked(tag="gpu", limit=1))).items
    now = shown.now
    assert (now.held_seats, now.overtime_seats, now.free_seats) == (30, 20, 50)
    assert now.peak_seats == 60, "the second booking begins after the two hours"
    assert (now.meetings, now.overtime_meetings, now.bookings) == (3, 1, 2)
    window = await maintenance.add(
        context,
        NewMaintenance(
            node="n1",
            start_at=datetime.fromtimestamp(now_s + 3_000, UTC),
            end_at=datetime.fromtimestamp(now_s + 6_000, UTC),
        ),
    )
    found = [(one.state, one.seats) for one in window.in_the_way]
    assert found == [("overtime", 20), ("held", 30), ("ending", 7), ("booked", 60)]
    await node_operations.note_health(
        context.database,
        {
            "kind": "nodeHealth",
            "node": node_id,
            "up": False,
            "reason": "no connection",
            "fault": "refused",
            "lost": False,
            "at_ms": changes.now_ms(),
            "misses": 3,
        },
    )
    await nodes.rotate(context, Rotation(node="n1", secret="t" * 20, overlap_s=0))
    assert await node_operations.drop_previous(context.database) == 0
    drained = await node_life.drain(context, Drain(node="n1"))
    shown = await nodes.show(context, NodeAsked(node="n1"))
    assert (shown.health.check, shown.secret_in_use) == ("refused", "previous")
    assert shown.operation == drained.operation.id
    ended = await node_life.panic(context, Panic(node="n1", confirm="n1"))
    assert (await nodes.show(context, NodeAsked(node="n1"))).operation == ended.operation.id
    with pytest.raises(ConflictError, match="3 meetings are on node"):
        await nodes.remove(context, NodeRemoval(node="n1"))
    await maintenance.remove(context, MaintenanceAsked(node="n1", maintenance=window.id))


@pytest.mark.parametrize("settings", ["sqlite", "postgresql"], indirect=True)
async def test_a_node_is_removed_with_its_recordings_only_when_that_is_said(
    office: Office,
) -> None:
    context = office.operator
    asked = NewNode(name="n1", url="http://h.test/", secret="s", seats=10, test=False)
    await nodes.add(context, asked)
    await maintenance.add(
        context, NewMaintenance(node="n1", end_at=datetime.fromtimestamp(time.time() + 600, UTC))
    )
    node_id = (await nodes.row_of(context, "n1"))["id"]
    past = await office.meeting("acme", node_id=node_id, live=False, state="ended")
    async with context.database.session() as session:
        session.add(
            RecordingRow(
                id="r1",
                credential_id=1,
                external_id="room",
                meeting_id=past,
                node_id=node_id,
                made_ms=1,
            )
        )
        await session.commit()
    await nodes.change(context, NodeChange(node="n1", state="disabled"))
    with pytest.raises(ConflictError, match="1 recordings are on node n1"):
        await nodes.remove(context, NodeRemoval(node="n1"))
    await nodes.remove(context, NodeRemoval(node="n1", forget_recordings=True))
    again = await nodes.add(context, asked)
    assert again.maintenance == []
    assert (await nodes.row_of(context, "n1"))["id"] > node_id

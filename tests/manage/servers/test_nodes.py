"""Adding, showing, changing, testing and removing nodes."""

from __future__ import annotations

import asyncio
import time

import pytest
from sqlalchemy import select

from scheduler import node_operations, operations
from scheduler.checks import ConflictError, ForbiddenError, NotFoundError, OperationError
from scheduler.manage import nodes
from scheduler.manage.context import Context
from schemas.management.nodes import (
    NewNode,
    NodeAsked,
    NodeChange,
    NodeRemoval,
    NodesAsked,
)
from schemas.messages import NodeHealth
from schemas.tables import Installation, NodeRow
from tests.gateway.world import NODE_SECRET
from tests.manage.servers.booking import node_of
from tests.manage.servers.conftest import Site


async def version_of(site: Site) -> int:
    async with site.world.database.connect() as connection:
        table = Installation.metadata.tables["installation"]
        return int((await connection.execute(select(table.c.directory_version))).scalar_one())


async def test_a_node_is_added_after_a_test_with_the_version_that_it_reveals(site: Site) -> None:
    third = site.world.nodes[0].node
    third.reinstall(version="3.0.12")
    await site.do(nodes.change, NodeChange(node="n0", state="draining"))
    await site.do(nodes.remove, NodeRemoval(node="n0"))
    added = await site.do(
        nodes.add,
        NewNode(
            name="big-1",
            url=site.world.nodes[0].base_url + "api",
            secret=NODE_SECRET,
            seats=300,
            weight=150,
            tags=["gpu", "eu"],
        ),
    )
    assert (added.name, added.version, added.seats, added.weight) == ("big-1", "3.0.12", 300, 150)
    assert (added.tags, added.url) == (["eu", "gpu"], site.world.nodes[0].base_url)
    created = await site.world.create("room", maxParticipants="100", duration="10")
    assert created.ok, created.text


@pytest.mark.parametrize(
    ("url", "secret", "check", "said"),
    [
        ("{0}", "wrong-secret", "secret", "it answered checksumError"),
        ("http://127.0.0.1:1/bigbluebutton/", NODE_SECRET, "refused", "no connection"),
        ("http://no-such-host.invalid/", NODE_SECRET, "dns", "no connection"),
        ("{0}nowhere/", NODE_SECRET, "status", "status 404"),
    ],
)
async def test_a_node_that_fails_the_test_is_not_added_and_told_why(
    site: Site, url: str, secret: str, check: str, said: str
) -> None:
    base_url = url.format(site.world.nodes[0].base_url)
    if "{0}" in url:
        # The URL of a node that is known would be refused for that.
        await site.do(nodes.change, NodeChange(node="n0", url="http://127.0.0.1:2/bigbluebutton/"))
    asked = NewNode(name="new", url=base_url, secret=secret, seats=10)
    with pytest.raises(OperationError, match=said) as refused:
        await site.do(nodes.add, asked)
    assert "--no-test" in str(refused.value)
    assert secret not in str(refused.value)
    with pytest.raises(NotFoundError):
        await site.do(nodes.show, NodeAsked(node="new"))
    added = await site.do(nodes.add, asked.model_copy(update={"test": False}))
    assert (added.name, added.version) == ("new", "")
    found = await site.do(nodes.test, NodeAsked(node="new"))
    assert (found.ok, found.check) == (False, check)
    assert found.next_step


async def test_a_certificate_that_is_not_trusted_is_told_apart(site: Site) -> None:
    url = site.world.nodes[0].base_url.replace("http://", "https://")
    await site.do(nodes.change, NodeChange(node="n0", url=url))
    found = await site.do(nodes.test, NodeAsked(node="n0"))
    assert (found.ok, found.check) == (False, "tls")


async def test_a_test_shows_meetings_and_the_clock(site: Site) -> None:
    await site.world.create("room")
    found = [await site.do(nodes.test, NodeAsked(node=name)) for name in ("n0", "n1")]
    assert sorted(one.meetings for one in found) == [0, 1]
    assert all(one.ok and one.check == "" and abs(one.clock_ahead_s) <= 2 for one in found)
    assert found[0].version == "API 2.0"


async def test_a_node_shows_what_is_on_it(site: Site) -> None:
    now_s = int(time.time())
    await site.do(nodes.change, NodeChange(node="n1", state="disabled"))
    assert (await site.world.create("one", maxParticipants="30", duration="60")).ok
    assert (await site.world.create("two", maxParticipants="20", duration="120")).ok
    shown = await site.do(nodes.show, NodeAsked(node="n0"))
    now = shown.now
    assert (now.meetings, now.held_seats, now.free_seats, now.peak_seats) == (2, 50, 50, 50)
    assert (now.overtime_seats, now.overtime_meetings, now.bookings, now.users) == (0, 0, 0, 0)
    assert abs(now.windows_end_at.timestamp() - now_s - 7200) < 5
    assert (shown.health.state, shown.health.check, shown.operation) == ("unknown", "", None)
    assert shown.pool == "default"


async def test_nodes_are_listed_in_pages_and_chosen(site: Site) -> None:
    await site.do(nodes.change, NodeChange(node="n1", tags=["gpu", "big.eu"], state="draining"))
    page = await site.do(nodes.list_nodes, NodesAsked(limit=1))
    assert [one.name for one in page.items] == ["n0"]
    rest = await site.do(nodes.list_nodes, NodesAsked(limit=1, after=page.next))
    assert ([one.name for one in rest.items], rest.next) == (["n1"], None)
    for asked in (NodesAsked(tag="gpu"), NodesAsked(state="draining"), NodesAsked(tag="big.eu")):
        assert [one.name for one in (await site.do(nodes.list_nodes, asked)).items] == ["n1"]
    for asked in (NodesAsked(tag="gp"), NodesAsked(health="up"), NodesAsked(pool="other")):
        assert (await site.do(nodes.list_nodes, asked)).items == []


async def test_only_what_is_sent_changes(site: Site) -> None:
    await site.do(nodes.change, NodeChange(node="n0", meeting_seats_max=40, weight=50))
    changed = await site.do(nodes.change, NodeChange(node="n0", seats=80))
    assert (changed.seats, changed.meeting_seats_max, changed.weight) == (80, 40, 50)
    changed = await site.do(nodes.change, NodeChange(node="n0", meeting_seats_max=None))
    assert changed.meeting_seats_max is None
    with pytest.raises(ConflictError, match="has the URL"):
        await site.do(nodes.change, NodeChange(node="n0", url=site.world.nodes[1].base_url))
    with pytest.raises(OperationError, match="nothing to change"):
        await site.do(nodes.change, NodeChange(node="n0"))


async def test_a_node_with_something_on_it_is_neither_removed_nor_disabled(site: Site) -> None:
    await site.world.create("room")
    entry = site.world.parts.meetings.lookup(1, "room")
    assert entry is not None
    name = site.world.directory.current.nodes[entry.view["node"] or 0].name
    with pytest.raises(ConflictError, match="drain it first"):
        await site.do(nodes.remove, NodeRemoval(node=name))
    with pytest.raises(ConflictError, match="1 meetings are on node"):
        await site.do(nodes.change, NodeChange(node=name, state="disabled"))
    await site.do(nodes.change, NodeChange(node=name, state="draining"))
    with pytest.raises(ConflictError, match="1 meetings are on node"):
        await site.do(nodes.remove, NodeRemoval(node=name))
    assert (await site.world.call("end", {"meetingID": "room"})).ok
    await site.settled("room", "")
    await site.do(nodes.remove, NodeRemoval(node=name))
    assert len(site.world.directory.current.nodes) == 1


async def test_customers_neither_see_nor_change_nodes(site: Site, customer: Context) -> None:
    assert (await nodes.list_nodes(customer, NodesAsked())).items == []
    with pytest.raises(NotFoundError):
        await nodes.show(customer, NodeAsked(node="n0"))
    with pytest.raises(ForbiddenError):
        await nodes.change(customer, NodeChange(node="n0", seats=1))


async def test_health_is_kept_with_its_reason_and_next_step(site: Site) -> None:
    at_ms = 1_800_000_000_000
    down: NodeHealth = {
        "kind": "nodeHealth",
        "node": 1,
        "up": False,
        "reason": "answered checksumError",
        "fault": "secret",
        "lost": False,
        "at_ms": at_ms,
        "answered_ms": at_ms - 15_000,
        "misses": 3,
    }
    await node_operations.note_health(site.world.database, down)
    health = (await site.do(nodes.show, NodeAsked(node="n0"))).health
    assert (health.state, health.check, health.misses) == ("down", "secret", 3)
    assert "bbb-conf --secret" in health.next_step
    assert health.since_at.timestamp() * 1000 == at_ms
    assert health.answered_at.timestamp() * 1000 == at_ms - 15_000
    version = await version_of(site)
    await node_operations.note_health(site.world.database, down | {"misses": 9, "at_ms": at_ms + 1})
    health = (await site.do(nodes.show, NodeAsked(node="n0"))).health
    assert (health.misses, health.since_at.timestamp() * 1000) == (9, at_ms)
    assert await version_of(site) == version, "nobody loads the directory for a missed poll"
    up: NodeHealth = {
        "kind": "nodeHealth",
        "node": 1,
        "up": True,
        "reason": "",
        "lost": False,
        "at_ms": at_ms + 60_000,
        "version": "3.0.13",
    }
    await node_operations.note_health(site.world.database, up)
    shown = await site.do(nodes.show, NodeAsked(node="n0"))
    assert (shown.version, shown.health.check, shown.health.misses) == ("3.0.13", "", 0)
    assert await version_of(site) == version + 1


async def test_changes_at_once_do_not_lose_one_another(site: Site) -> None:
    await asyncio.gather(
        site.do(nodes.change, NodeChange(node="n0", seats=70)),
        site.do(nodes.change, NodeChange(node="n0", weight=70)),
        site.do(nodes.change, NodeChange(node="n0", tags=["x"])),
    )
    shown = await site.do(nodes.show, NodeAsked(node="n0"))
    assert (shown.seats, shown.weight, shown.tags) == (70, 70, ["x"])
    async with site.world.database.session() as session:
        row = await session.get(NodeRow, 1)
    assert row is not None
    assert row.state == "active"


async def test_meetings_of_a_subscription_go_to_nodes_with_its_tags(site: Site) -> None:
    await site.do(nodes.change, NodeChange(node="n1", tags=["gpu"]))
    database = site.world.database
    await operations.change_subscription(database, "acme", node_tags="gpu")
    await site.world.directory.refresh()
    for number in range(3):
        assert (await site.world.create(f"room-{number}")).ok
        assert await node_of(site, f"room-{number}") == "n1"
    await operations.change_subscription(database, "acme", node_tags="gpu,moon")
    await site.world.directory.refresh()
    refused = await site.world.create("other")
    assert refused.key == "noNodesAvailable"


async def test_a_create_names_the_tag_of_its_server_as_scalelite_has_it(site: Site) -> None:
    await site.do(nodes.change, NodeChange(node="n1", tags=["gpu"], seats=20))
    wished = {"meta_server-tag": "gpu", "maxParticipants": "15"}
    assert (await site.world.create("first", **wished)).ok
    assert await node_of(site, "first") == "n1"
    assert (await site.world.create("second", **wished)).ok
    assert await node_of(site, "second") == "n0", "it would have liked another one"
    only = await site.world.create("fourth", **{"meta_server-tag": "GPU!", "maxParticipants": "15"})
    assert only.key == "noNodesAvailable"
    unknown = await site.world.create("fifth", **{"meta_server-tag": "moon!"})
    assert "no server takes such a meeting" in unknown["message"]

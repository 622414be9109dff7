"""Secrets of nodes that change while people meet there."""

from __future__ import annotations

import time

import pytest

from scheduler import node_operations
from scheduler.checks import ConflictError, ForbiddenError, OperationError
from scheduler.directory_records import Node
from scheduler.manage import nodes
from scheduler.manage.context import Context
from schemas.management.nodes import NodeAsked, NodeChange, Rotation
from schemas.messages import NodeHealth
from tests.gateway.world import NODE_SECRET
from tests.manage.servers.conftest import Site

NEW = "brand-new-secret-of-n0"


@pytest.fixture
async def room(site: Site) -> str:
    """A meeting on n0, the only node that is active."""
    await site.do(nodes.change, NodeChange(node="n1", state="draining"))
    assert (await site.world.create("room")).ok
    return "room"


def node(site: Site) -> Node:
    return next(one for one in site.world.directory.current.nodes.values() if one.name == "n0")


async def works(site: Site, room: str) -> None:
    """Check every road to the node: a call of the worker, a question, a join."""
    world = site.world
    assert (await world.create(f"other-{time.monotonic_ns()}")).ok
    info = await world.call("getMeetingInfo", {"meetingID": room})
    assert info.ok, info.text
    join = {"meetingID": room, "fullName": "A", "role": "MODERATOR"}
    redirected = await world.call("join", join)
    assert redirected.status == 302, redirected.text
    at_node = await world.raw("GET", redirected.headers["Location"])
    assert at_node.status == 302, at_node.text
    assert "checksumError" not in at_node.text


def health(*, previous_in_use: bool) -> NodeHealth:
    return {
        "kind": "nodeHealth",
        "node": 1,
        "up": True,
        "reason": "",
        "lost": False,
        "at_ms": 1,
        "previous_in_use": previous_in_use,
    }


async def test_the_operator_may_change_the_node_afterwards(site: Site, room: str) -> None:
    told = await site.do(nodes.rotate, Rotation(node="n0", secret=NEW))
    assert (told.takes, told.secret, told.node.secret_in_use) == ("previous", None, "previous")
    assert "bbb-conf --setsecret" in told.next_step
    assert NEW not in told.model_dump_json()
    assert (node(site).secret, node(site).other_secret) == (NODE_SECRET, NEW)
    await works(site, room)
    site.world.nodes[0].node.reinstall(secret=NEW)
    # The first call that is turned away is made again with the other secret.
    assert (await site.world.call("getMeetingInfo", {"meetingID": room})).ok
    assert site.context.nodes.takes_other(node(site))
    # Joins are signed for browsers, who cannot try again: the observer tells everybody.
    await node_operations.note_health(site.world.database, health(previous_in_use=False))
    await site.world.directory.refresh()
    assert (node(site).secret, node(site).other_secret) == (NEW, NODE_SECRET)
    await works(site, room)
    assert not site.context.nodes.takes_other(node(site))


async def test_the_operator_may_change_the_node_before(site: Site, room: str) -> None:
    site.world.nodes[0].node.reinstall(secret=NEW)
    told = await site.do(nodes.rotate, Rotation(node="n0", secret=NEW))
    assert (told.takes, told.node.secret_in_use) == ("new", "new")
    assert "Nothing is left to do" in told.next_step
    assert node(site).secret == NEW
    await works(site, room)


async def test_a_secret_is_made_and_shown_once(site: Site) -> None:
    told = await site.do(nodes.rotate, Rotation(node="n0"))
    assert told.secret is not None
    assert len(told.secret) == 40
    assert told.secret not in (await site.do(nodes.show, NodeAsked(node="n0"))).model_dump_json()
    audited = await site.value("SELECT CAST(detail AS TEXT) FROM audit ORDER BY id DESC LIMIT 1")
    assert '"secret":["***","***"]' in audited
    assert told.secret not in audited


async def test_a_node_that_takes_neither_secret_is_refused_unless_told_otherwise(
    site: Site,
) -> None:
    site.world.nodes[0].node.reinstall(secret="something-else")
    with pytest.raises(OperationError, match="neither the new secret nor the present one"):
        await site.do(nodes.rotate, Rotation(node="n0", secret=NEW))
    told = await site.do(nodes.rotate, Rotation(node="n0", secret=NEW, test=False))
    assert told.takes == "unknown"
    with pytest.raises(ConflictError, match="has this secret already"):
        await site.do(nodes.rotate, Rotation(node="n0", secret=NEW, test=False))


async def test_a_node_that_is_away_keeps_its_former_secret_in_use(site: Site) -> None:
    await site.world.fault("error500")
    told = await site.do(nodes.rotate, Rotation(node="n0", secret=NEW))
    assert told.takes == "previous"


async def test_two_rotations_do_not_lose_the_secret_that_the_node_has(site: Site) -> None:
    await site.do(nodes.rotate, Rotation(node="n0", secret="never-reached-the-node"))
    await site.do(nodes.rotate, Rotation(node="n0", secret=NEW))
    assert (node(site).secret, node(site).other_secret) == (NODE_SECRET, NEW)


async def test_the_former_secret_is_dropped_after_the_overlap(site: Site) -> None:
    site.world.nodes[0].node.reinstall(secret=NEW)
    await site.do(nodes.rotate, Rotation(node="n0", secret=NEW, overlap_s=0))
    assert node(site).secrets == (NEW,)
    assert await node_operations.drop_previous(site.world.database) == 1
    assert await node_operations.drop_previous(site.world.database) == 0
    shown = await site.do(nodes.show, NodeAsked(node="n0"))
    assert shown.previous_secret_until_at is None


async def test_a_secret_that_the_node_takes_alone_is_not_dropped(site: Site, room: str) -> None:
    await site.do(nodes.rotate, Rotation(node="n0", secret=NEW, overlap_s=0))
    assert await node_operations.drop_previous(site.world.database) == 0
    await works(site, room)
    await node_operations.note_health(site.world.database, health(previous_in_use=False))
    assert await node_operations.drop_previous(site.world.database) == 1


async def test_only_the_provider_changes_secrets(site: Site, customer: Context) -> None:
    with pytest.raises(ForbiddenError):
        await nodes.rotate(customer, Rotation(node="n0", secret=NEW))

"""Nodes that are drained, and nodes on which everything is ended."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from scheduler import node_figures
from scheduler.checks import ConflictError, ForbiddenError, OperationError
from scheduler.manage import jobs, node_life, nodes
from scheduler.manage.context import Context
from scheduler.manage.progress import CancelledWork
from schemas.management.jobs import JobAsked
from schemas.management.nodes import Drain, NodeAsked, NodeChange, Panic
from tests.manage.servers.booking import book, node_of
from tests.manage.servers.conftest import Reports, Site


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_life, "LOOK_S", 0.02)


async def alone(site: Site) -> None:
    """Have all meetings go to n0, until n1 is made active."""
    await site.do(nodes.change, NodeChange(node="n1", state="draining"))


async def make_overtime(site: Site, external_id: str) -> None:
    """Let the window of a meeting be over."""
    shard = site.world.placement._shard  # time passes for one meeting alone
    assert shard is not None
    [item] = [one for one in shard.lives.values() if one.record.external_id == external_id]
    turn = shard.begin(int(time.time() * 1000))
    meeting = shard.pool.meetings[item.record.id]
    shard.pool._leave(meeting)
    meeting.window = type(meeting.window)(meeting.window.start_s - 7200, turn.now_s - 60)
    meeting.state = type(meeting.state).OVERTIME
    shard.pool._enter(meeting)
    shard.sync(turn, item)
    await site.world.placement._commit(turn)


def started(params: dict[str, Any]) -> dict[str, Any]:
    """Return what a drain asks for unless it is said otherwise."""
    return {"end_overtime": False, "then": "draining", "on_cancel": "draining"} | params


async def test_a_drain_says_when_the_node_will_be_empty(site: Site) -> None:
    await alone(site)
    for number in range(3):
        assert (await site.world.create(f"late-{number}", duration="60")).ok
    assert (await site.world.create("held", duration="90")).ok
    for number in range(3):
        await make_overtime(site, f"late-{number}")
    before_s = int(time.time())
    told = await site.do(node_life.drain, Drain(node="n0"))
    clock = time.strftime("%Y-%m-%d %H:%M", time.gmtime(before_s + 5400))
    assert told.summary.startswith(f"empty at {clock[:-1]}")
    assert told.summary.endswith("if overtime is ended; 3 overtime meetings can go now")
    assert (told.node.state, told.node.now.overtime_meetings) == ("draining", 3)
    assert told.node.operation == told.operation.id
    assert (told.operation.kind, told.operation.subject) == ("node.drain", "node n0")
    shown = await site.do(nodes.show, NodeAsked(node="n0"))
    assert shown.summary == told.summary
    again = await site.do(node_life.drain, Drain(node="n0"))
    assert again.operation.id == told.operation.id, "one drain at a time"
    refused = await site.world.create("new")
    assert refused.key == "noNodesAvailable"


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        (node_figures.Figures(), "empty"),
        (node_figures.Figures(meetings=1, overtime=["a"]), "1 overtime meeting can go now"),
        (
            node_figures.Figures(meetings=2, overtime=["a"], windows_end_s=5),
            "empty at 14:30 at the latest; 1 overtime meeting can go now",
        ),
        (node_figures.Figures(meetings=1, windows_end_s=5), "empty at 14:30 at the latest"),
        (node_figures.Figures(meetings=2), "2 meetings are being ended"),
    ],
)
def test_the_sentence_of_a_drain(figures: node_figures.Figures, said: str) -> None:
    assert node_figures.sentence(figures, "14:30", ends_overtime=True) == said


async def test_a_drain_waits_moves_bookings_and_then_disables(site: Site) -> None:
    start_s = int(time.time()) // 60 * 60 + 3600
    await book(site, "talk", seats=60, window=(start_s, start_s + 3600))
    assert await node_of(site, "talk") == "n0"
    assert (await site.world.create("held", duration="60", maxParticipants="20")).ok
    name = await node_of(site, "held")
    other = "n1" if name == "n0" else "n0"
    await site.do(node_life.drain, Drain(node=name, then="disabled"))
    reports = Reports()
    work = asyncio.ensure_future(
        node_life.work_drain(site.context, started({"node": name, "then": "disabled"}), reports)
    )
    while not reports.said:
        await asyncio.sleep(0.02)
    assert not work.done()
    assert reports.said[0][1] in (1, 2)
    assert "empty at" in reports.said[0][2]
    assert (await site.world.call("end", {"meetingID": "held"})).ok
    assert await asyncio.wait_for(work, 10) == {"outcome": "empty", "ended_meetings": 0}
    shown = await site.do(nodes.show, NodeAsked(node=name))
    assert (shown.state, shown.now.meetings, shown.now.bookings) == ("disabled", 0, 0)
    assert await node_of(site, "talk") == other
    assert reports.said[-1][0] == reports.said[-1][1]


async def test_a_drain_ends_overtime_when_asked_and_leaves_what_is_promised(site: Site) -> None:
    await alone(site)
    assert (await site.world.create("late")).ok
    assert (await site.world.create("held")).ok
    await make_overtime(site, "late")
    told = await site.do(node_life.drain, Drain(node="n0", end_overtime=True))
    assert told.summary.endswith("at the latest; 1 overtime meeting can go now")
    params = started({"node": "n0", "end_overtime": True})
    reports = Reports()
    work = asyncio.ensure_future(node_life.work_drain(site.context, params, reports))
    await site.settled("late", "")
    assert await site.state_of("held") == "held"
    assert not work.done()
    await make_overtime(site, "held")
    assert await asyncio.wait_for(work, 10) == {"outcome": "empty", "ended_meetings": 2}


async def test_a_drain_that_is_cancelled_may_give_the_node_back(site: Site) -> None:
    await alone(site)
    assert (await site.world.create("held")).ok
    for on_cancel in ("draining", "active"):
        await site.do(node_life.drain, Drain(node="n0", on_cancel=on_cancel))
        with pytest.raises(CancelledWork):
            await node_life.work_drain(
                site.context,
                started({"node": "n0", "on_cancel": on_cancel}),
                Reports(stop=CancelledWork()),
            )
        assert (await site.do(nodes.show, NodeAsked(node="n0"))).state == on_cancel
    assert await site.state_of("held") == "held"


async def test_a_drain_ends_when_somebody_wants_the_node_back(site: Site) -> None:
    await alone(site)
    assert (await site.world.create("held")).ok
    reports = Reports()
    await site.do(node_life.drain, Drain(node="n0", then="disabled"))
    params = started({"node": "n0", "then": "disabled"})
    work = asyncio.ensure_future(node_life.work_drain(site.context, params, reports))
    while not reports.said:
        await asyncio.sleep(0.02)
    await site.do(nodes.change, NodeChange(node="n0", state="active"))
    result = await asyncio.wait_for(work, 10)
    assert result["outcome"] == "activated"
    assert (await site.do(nodes.show, NodeAsked(node="n0"))).state == "active"


@pytest.mark.parametrize(("keep", "state"), [(False, "disabled"), (True, "active")])
async def test_a_panic_ends_everything_with_its_own_reason(
    site: Site, *, keep: bool, state: str
) -> None:
    await alone(site)
    for number in range(5):
        assert (await site.world.create(f"room-{number}")).ok
    told = await site.do(node_life.panic, Panic(node="n0", confirm="n0", keep_state=keep))
    assert (told.operation.kind, told.node.operation) == ("node.panic", told.operation.id)
    assert told.node.state == ("active" if keep else "draining"), "it takes no more from now on"
    reports = Reports()
    result = await node_life.work_panic(site.context, {"node": "n0", "keep_state": keep}, reports)
    assert result == {"outcome": "empty", "ended_meetings": 5}
    shown = await site.do(nodes.show, NodeAsked(node="n0"))
    assert (shown.state, shown.now.meetings) == (state, 0)
    reasons = await site.value("SELECT group_concat(DISTINCT end_reason) FROM meeting")
    assert reasons == "nodeEmptied"
    event = await site.value("SELECT CAST(body AS TEXT) FROM outbox WHERE fact = 'ended'")
    assert "nodeEmptied" in event
    noted = await site.value("SELECT count(*) FROM audit WHERE action = 'meeting.ended'")
    assert noted == "5"
    assert [done for done, _, _ in reports.said] == sorted(done for done, _, _ in reports.said)


async def test_a_panic_needs_the_name_of_the_node(site: Site, customer: Context) -> None:
    with pytest.raises(OperationError, match="confirm it"):
        await site.do(node_life.panic, Panic(node="n0", confirm="n1"))
    with pytest.raises(ForbiddenError):
        await node_life.panic(customer, Panic(node="n0", confirm="n0"))
    with pytest.raises(ForbiddenError):
        await node_life.drain(customer, Drain(node="n0"))
    assert (await site.do(nodes.show, NodeAsked(node="n0"))).state == "active"


async def test_a_panic_does_not_wait_for_a_drain_and_no_drain_begins_under_it(site: Site) -> None:
    drained = await site.do(node_life.drain, Drain(node="n0"))
    told = await site.do(node_life.panic, Panic(node="n0", confirm="n0"))
    assert told.operation.subject != drained.operation.subject
    with pytest.raises(ConflictError):
        await site.do(node_life.drain, Drain(node="n0"))
    await jobs.cancel(site.context, JobAsked(job=told.operation.id))
    shown = await site.do(nodes.show, NodeAsked(node="n0"))
    assert shown.operation == drained.operation.id

"""Facts about the watching of nodes."""

import time
from typing import Any

import pytest

from schemas import identifiers
from tests.observer.field import Field, node
from workers import poller


async def test_meetings_of_ours_are_listed_with_their_users(nodes_field: Field) -> None:
    meeting = await nodes_field.create(1)
    name = identifiers.node_meeting_id(meeting)
    await nodes_field.control(
        1, "POST", f"meetings/{name}/users", userID="u1", fullName="Ada", role="MODERATOR"
    )
    await nodes_field.control(
        1, "POST", f"meetings/{name}/users", userID="u2", fullName="Bob", role="VIEWER"
    )
    started_ms = time.time_ns() // 1_000_000
    async with nodes_field.observing():
        await nodes_field.until(lambda: bool(nodes_field.of_kind("nodeSeen", 1)))
    fact = nodes_field.of_kind("nodeSeen", 1)[0]
    assert fact["as_of_ms"] >= started_ms
    assert fact["meetings"] == [
        {
            "meeting": meeting,
            "running": True,
            "ended": False,
            "users": [{"user": "u1", "moderator": True}, {"user": "u2", "moderator": False}],
        }
    ]
    view = next(view for view in nodes_field.bus.views if view["node"] == 1)
    shown = view["meetings"][meeting]
    assert (shown["meetingName"], shown["participantCount"], shown["running"]) == ("A & B", 2, True)
    assert shown["metadata"] == {"course-id": "77"}
    assert [user["fullName"] for user in shown["attendees"]] == ["Ada", "Bob"]


async def test_an_orphan_of_ours_is_listed_and_a_foreign_meeting_is_not(nodes_field: Field) -> None:
    orphan = await nodes_field.create(2)
    await nodes_field.client.call(
        nodes_field.watch.current.nodes[2], "create", [("meetingID", "foreign")], timeout_s=5
    )
    async with nodes_field.observing():
        await nodes_field.until(lambda: bool(nodes_field.of_kind("nodeSeen", 2)))
    (seen,) = nodes_field.of_kind("nodeSeen", 2)[0]["meetings"]
    assert seen["meeting"] == orphan


async def test_what_did_not_change_is_told_twice_and_then_not_again(nodes_field: Field) -> None:
    async with nodes_field.observing():
        polls = "calls?call=getMeetings"
        before = len((await nodes_field.control(1, "GET", polls))["calls"])
        while len((await nodes_field.control(1, "GET", polls))["calls"]) < before + 8:
            pass
        assert len(nodes_field.of_kind("nodeSeen", 1)) == 2
        assert len(nodes_field.of_kind("nodeHealth", 1)) == 1
        assert len([view for view in nodes_field.bus.views if view["node"] == 1]) == 1
        await nodes_field.create(1)
        await nodes_field.until(lambda: len(nodes_field.of_kind("nodeSeen", 1)) == 4)


async def test_what_was_told_before_a_missed_poll_is_told_again(nodes_field: Field) -> None:
    """The pool may have given the meetings of a silent node up; their list must come again."""
    await nodes_field.create(1)
    async with nodes_field.observing():
        await nodes_field.until(lambda: len(nodes_field.of_kind("nodeSeen", 1)) == 2)
        await nodes_field.control(1, "POST", "faults", mode="refuse")
        await nodes_field.until(lambda: not nodes_field.of_kind("nodeHealth", 1)[-1]["up"])
        assert len(nodes_field.of_kind("nodeSeen", 1)) == 2
        await nodes_field.control(1, "POST", "faults", mode="ok")
        await nodes_field.until(lambda: len(nodes_field.of_kind("nodeSeen", 1)) == 4)


@pytest.mark.parametrize("mode", ["hang", "refuse", "garbage", "error500", "failed"])
async def test_a_faulty_node_goes_down_and_lost_and_delays_no_other(
    nodes_field: Field, mode: str
) -> None:
    await nodes_field.create(1)
    async with nodes_field.observing():
        await nodes_field.until(lambda: bool(nodes_field.of_kind("nodeSeen", 1)))
        await nodes_field.control(1, "POST", "faults", mode=mode)
        started_s = time.monotonic()
        others = len(nodes_field.bus.facts)
        await nodes_field.create(2)
        await nodes_field.until(
            lambda: any(
                f["kind"] == "nodeSeen" and f["meetings"] for f in nodes_field.bus.facts[others:]
            )
        )
        assert time.monotonic() - started_s < 4, "a poll that hangs is given up after 5"
        await nodes_field.until(lambda: nodes_field.of_kind("nodeHealth", 1)[-1]["lost"])
        healths = [(f["up"], f["lost"]) for f in nodes_field.of_kind("nodeHealth", 1)]
        assert healths == [(True, False), (False, False), (False, True)]
        assert nodes_field.of_kind("nodeHealth", 1)[-1]["reason"]
        # A node that gives no list proves nothing about its meetings.
        assert all(f["meetings"] for f in nodes_field.of_kind("nodeSeen", 1))
        await nodes_field.control(1, "POST", "faults", mode="ok")
        await nodes_field.until(lambda: nodes_field.of_kind("nodeHealth", 1)[-1]["up"])
    assert all(
        fact["up"] for number in (2, 3) for fact in nodes_field.of_kind("nodeHealth", number)
    )


async def test_a_node_without_a_server_is_down_after_some_polls(nodes_field: Field) -> None:
    nodes_field.watch.set([node(1, "http://127.0.0.1:1/bigbluebutton/")])
    async with nodes_field.observing():
        await nodes_field.until(lambda: bool(nodes_field.of_kind("nodeHealth", 1)))
    fact = nodes_field.of_kind("nodeHealth", 1)[0]
    assert (fact["up"], fact["lost"]) == (False, False)
    assert "no connection" in fact["reason"]


async def test_nothing_is_lost_while_the_bus_is_away(nodes_field: Field) -> None:
    async with nodes_field.observing():
        await nodes_field.until(lambda: len(nodes_field.of_kind("nodeSeen", 3)) == 2)
        nodes_field.bus.broken = True
        meeting = await nodes_field.create(3)
        shown = len(nodes_field.bus.views)
        await nodes_field.until(lambda: len(nodes_field.bus.views) > shown)
        assert len(nodes_field.of_kind("nodeSeen", 3)) == 2
        nodes_field.bus.broken = False
        await nodes_field.until(lambda: len(nodes_field.of_kind("nodeSeen", 3)) == 4)
    assert nodes_field.of_kind("nodeSeen", 3)[-1]["meetings"][0]["meeting"] == meeting


async def test_the_observer_follows_the_directory(nodes_field: Field) -> None:
    first, second, third = nodes_field.watch.current.nodes.values()
    nodes_field.watch.set([first, node(2, second.base_url, state="disabled")])
    async with nodes_field.observing():
        await nodes_field.until(lambda: bool(nodes_field.of_kind("nodeSeen", 1)))
        assert not nodes_field.of_kind("nodeSeen", 2)
        nodes_field.watch.set([node(2, second.base_url, state="draining"), third])
        await nodes_field.until(
            lambda: all(nodes_field.of_kind("nodeSeen", number) for number in (2, 3))
        )
        told = len(nodes_field.of_kind("nodeSeen", 1))
        await nodes_field.create(3)
        await nodes_field.until(lambda: len(nodes_field.of_kind("nodeSeen", 3)) >= 3)
        assert len(nodes_field.of_kind("nodeSeen", 1)) == told


async def test_old_facts_and_views_are_refreshed(
    nodes_field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SEEN_REFRESH_S", "HEALTH_REFRESH_S", "SNAPSHOT_REFRESH_S"):
        monkeypatch.setattr(poller, name, 0.1)

    def enough() -> bool:
        views = [view for view in nodes_field.bus.views if view["node"] == 1]
        return (
            min(len(views), *(len(nodes_field.of_kind(k, 1)) for k in ("nodeSeen", "nodeHealth")))
            >= 4
        )

    async with nodes_field.observing():
        await nodes_field.until(enough)


async def test_closing_ends_polls_that_hang(nodes_field: Field) -> None:
    await nodes_field.control(1, "POST", "faults", mode="hang")
    settings: dict[str, Any] = {"poll_interval_s": 3.0}
    async with nodes_field.observing(**settings) as observer:
        await nodes_field.until(lambda: bool(observer._running))
        started_s = time.monotonic()
        await observer.close()
    assert time.monotonic() - started_s < 4, "a poll that hangs is given up after 5"

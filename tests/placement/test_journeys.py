"""Journeys through the placement worker: what callers, nodes and outsiders see of a decision."""

import asyncio
from pathlib import Path

from tests.placement.stage import stage


async def test_R9_seed_example_with_a_driven_clock(tmp_path: Path) -> None:
    """20 seats: B with 6 is refused beside A's 15, B with 5 fits, D with 10 makes A yield."""
    async with stage(tmp_path) as here:
        a = await here.create("A", seats=15, minutes=120)
        assert a["ok"], a
        refused = await here.create("B", seats=6, minutes=60)
        assert refused["reason"] == "maxParticipantsReached"
        assert "5 of 20 seats are free" in refused["message"]
        b = await here.create("B", seats=5, minutes=60)
        assert b["ok"]
        here.clock.forward(3 * 3600)
        assert (await here.end(b["view"]["id"]))["ok"]
        c = await here.create("C", seats=5, minutes=60)
        assert c["ok"]
        # A runs on in overtime beside C ...
        again = await here.create("A", seats=15, minutes=120)
        assert again["repeated"]
        # ... until D needs its seats.
        d = await here.create("D", seats=10, minutes=60)
        assert d["ok"]

        async def a_has_ended() -> bool:
            return not any("sk-" + a["view"]["id"] in node for node in await here.on_nodes())

        await here.until(a_has_ended)
        events = await here.events()
        ended = [event for event in events if event["kind"] == "meetingEnded"]
        evicted = [event for event in ended if event["meeting_id"] == "A"]
        assert [event["reason"] for event in evicted] == ["evicted"]
        assert evicted[0]["seats_needed"] == 10
        assert any(e["kind"] == "windowEnded" and e["meeting_id"] == "A" for e in events)


async def test_simultaneous_creates_never_oversell(tmp_path: Path) -> None:
    """40 creates of 5 seats at once on 20: exactly four are admitted."""
    async with stage(tmp_path) as here:
        answers = await asyncio.gather(*(here.create(f"m{i}") for i in range(40)))
        assert sum(answer["ok"] for answer in answers) == 4
        refused = [answer for answer in answers if not answer["ok"]]
        assert {answer["reason"] for answer in refused} == {"maxParticipantsReached"}


async def test_a_burst_is_spread_evenly(tmp_path: Path) -> None:
    """30 simultaneous creates over six equal nodes put exactly five on each."""
    async with stage(tmp_path, nodes=6, node_seats=200, seats=1000) as here:
        await asyncio.gather(*(here.create(f"m{i}") for i in range(30)))
        assert [len(node) for node in await here.on_nodes()] == [5] * 6
        await asyncio.gather(*(here.create(f"n{i}") for i in range(30)))
        assert [len(node) for node in await here.on_nodes()] == [10] * 6


async def test_the_same_id_at_once_is_one_meeting(tmp_path: Path) -> None:
    """Twenty creates of one id at once: one reservation, one meeting, twenty times SUCCESS."""
    async with stage(tmp_path) as here:
        answers = await asyncio.gather(*(here.create("same", seats=20) for _ in range(20)))
        assert all(answer["ok"] for answer in answers)
        assert sum(not answer["repeated"] for answer in answers) == 1
        assert len({answer["view"]["id"] for answer in answers}) == 1
        assert sum(len(node) for node in await here.on_nodes()) == 1


async def test_other_passwords_are_another_meeting(tmp_path: Path) -> None:
    """Repeating a live id with other passwords is refused and changes nothing."""
    async with stage(tmp_path) as here:
        assert (await here.create("m", passwords=("aa1", "mm1")))["ok"]
        assert (await here.create("m", passwords=("aa1", "mm1")))["repeated"]
        assert (await here.create("m"))["repeated"]
        assert (await here.create("m", passwords=("aa1", "")))["reason"] == "idNotUnique"
        assert (await here.create("m", passwords=("aa1", "other")))["reason"] == "idNotUnique"


async def test_tenants_with_one_id_have_two_meetings(tmp_path: Path) -> None:
    """Two credentials with the same meetingID have a meeting each, on one node too."""
    async with stage(tmp_path, nodes=1, node_seats=40) as here:
        mine, theirs = await here.create("room"), await here.create("room", by="beta")
        assert mine["view"]["id"] != theirs["view"]["id"]
        assert len((await here.on_nodes())[0]) == 2
        assert (await here.end(theirs["view"]["id"]))["reason"] == "notFound"
        assert (await here.create("room"))["view"]["id"] == mine["view"]["id"]


async def test_end_frees_seats_in_the_same_decision(tmp_path: Path) -> None:
    """After end has answered, the seats are free at once and a wrong password changes nothing."""
    async with stage(tmp_path) as here:
        full = await here.create("full", seats=20)
        wrong = await here.end(full["view"]["id"], password="wrong")
        assert wrong["reason"] == "invalidPassword"
        assert not (await here.create("next", seats=20))["ok"]
        assert (await here.end(full["view"]["id"], password="moderator1"))["ok"]
        assert (await here.create("next", seats=20))["ok"]


async def test_a_failing_node_is_passed_over(tmp_path: Path) -> None:
    """A node that refuses connections gets no meeting; the next one takes the reservation."""
    async with stage(tmp_path, nodes=2, node_timeout_s=1) as here:
        await here.control(0, "POST", "faults", mode="refuse")
        answers = await asyncio.gather(*(here.create(f"m{i}") for i in range(4)))
        assert all(answer["ok"] for answer in answers), answers
        assert {answer["view"]["node"] for answer in answers} == {2}


async def test_no_node_left_releases_the_seats(tmp_path: Path) -> None:
    """When every node fails, the caller is refused and holds nothing."""
    async with stage(tmp_path, nodes=2, node_timeout_s=0.5) as here:
        for node in (0, 1):
            await here.control(node, "POST", "faults", mode="failed", call="create", count=1)
        refused = await here.create("m", seats=20)
        assert refused["reason"] == "noNodesAvailable", refused
        for event in await here.events():
            assert event["kind"] != "meetingCreated"
        for node in (0, 1):
            await here.control(node, "POST", "faults", mode="ok")


async def test_duration_never_reaches_a_node(tmp_path: Path) -> None:
    """The create call at the node carries the reserved seats and no duration."""
    async with stage(tmp_path, nodes=1) as here:
        assert (await here.create("m", seats=7, minutes=1))["ok"]
        calls = await here.control(0, "GET", "calls?call=create")
        params = dict(calls["calls"][0]["params"])
        assert "duration" not in params
        assert params["maxParticipants"] == "7"
        assert params["meetingID"].startswith("sk-")


async def test_users_come_and_go_as_events(tmp_path: Path) -> None:
    """A user who leaves and comes back yields joined, left, joined, and left at the end."""
    async with stage(tmp_path, nodes=1, observe=True) as here:
        made = await here.create("m")
        path = f"meetings/sk-{made['view']['id']}/users"

        async def seen(*kinds: str) -> None:
            async def told() -> bool:
                events = [e for e in await here.events() if e["kind"].startswith("user")]
                return [e["kind"] for e in events] == list(kinds)

            await here.until(told)

        await here.control(0, "POST", path, userID="u1", fullName="Ada", role="VIEWER")
        await seen("userJoined")
        await here.control(0, "DELETE", path + "/u1")
        await seen("userJoined", "userLeft")
        await here.control(0, "POST", path, userID="u1", fullName="Ada", role="VIEWER")
        await seen("userJoined", "userLeft", "userJoined")
        assert (await here.end(made["view"]["id"]))["ok"]
        await seen("userJoined", "userLeft", "userJoined", "userLeft")
        last = (await here.events())[-1]
        assert (last["kind"], last["reason"], last["meeting_id"]) == ("meetingEnded", "ended", "m")


async def test_a_meeting_that_ends_on_its_node_frees_its_seats(tmp_path: Path) -> None:
    """What a moderator ends on the node is seen, freed and told once."""
    async with stage(tmp_path, nodes=1, observe=True) as here:
        made = await here.create("m", seats=20)
        await here.control(0, "POST", f"meetings/sk-{made['view']['id']}/end")

        async def is_free() -> bool:
            return bool((await here.create("next", seats=20))["ok"])

        await here.until(is_free)
        ended = [e for e in await here.events() if e["kind"] == "meetingEnded"]
        assert [e["meeting_id"] for e in ended] == ["m"]


async def test_orphans_of_ours_are_ended_and_foreign_meetings_left_alone(tmp_path: Path) -> None:
    """A meeting of ours that nobody reserved is ended; a foreign one is not touched."""
    async with stage(tmp_path, nodes=1, observe=True) as here:
        node = here.assembly.directory.current.nodes[1]
        orphan = "sk-" + "0" * 32
        for meeting in (orphan, "foreign"):
            params = [("name", "x1"), ("meetingID", meeting)]
            reply = await here.assembly.client.call(node, "create", params, timeout_s=5)
            assert reply.ok

        async def orphan_is_gone() -> bool:
            return (await here.on_nodes())[0] == {"foreign"}

        await here.until(orphan_is_gone)


async def test_renew_extends_without_eviction(tmp_path: Path) -> None:
    """`renew` moves the end of the window; a plain repetition does not."""
    async with stage(tmp_path) as here:
        first = (await here.create("m", minutes=60))["view"]
        here.clock.forward(600)
        assert (await here.create("m", minutes=60))["view"]["end_s"] == first["end_s"]
        renewed = await here.create("m", minutes=60, renew=True)
        assert renewed["view"]["end_s"] >= first["end_s"] + 600

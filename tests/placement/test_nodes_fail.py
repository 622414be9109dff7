"""What happens to reservations when nodes go away, come back or answer late."""

from pathlib import Path

from scheduler import operations
from tests.placement.stage import Stage, stage


async def _health(here: Stage, node: int, *, up: bool, lost: bool = False) -> None:
    fact = {
        "kind": "nodeHealth",
        "node": node,
        "up": up,
        "reason": "test",
        "lost": lost,
        "at_ms": here.clock(),
    }
    await here.assembly.bus.publish_facts("default", [fact])


async def _told(here: Stage, kind: str, count: int) -> None:
    async def enough() -> bool:
        return [event["kind"] for event in await here.events()].count(kind) >= count

    await here.until(enough)


async def test_a_node_that_is_down_gets_no_meeting_until_it_is_up(tmp_path: Path) -> None:
    """Creates go elsewhere while a node is down; it is shown as down in the directory."""
    async with stage(tmp_path, nodes=2) as here:
        await _health(here, 1, up=False)

        async def shown() -> bool:
            await here.assembly.directory.refresh()
            return here.assembly.directory.current.nodes[1].health == "down"

        await here.until(shown)
        made = [await here.create(f"m{i}") for i in range(3)]
        assert {answer["view"]["node"] for answer in made} == {2}
        await _health(here, 1, up=True)
        assert (await here.create("back"))["view"]["node"] == 1


async def test_a_lost_node_keeps_its_guarantees(tmp_path: Path) -> None:
    """A held meeting of a dead node keeps its seats; the next create re-places the rest of it."""
    async with stage(tmp_path, nodes=2, node_seats=20) as here:
        first = (await here.create("m", seats=15, minutes=60))["view"]
        here.clock.forward(600)
        await _health(here, first["node"], up=False, lost=True)
        await _told(here, "meetingEnded", 1)
        ended = [e for e in await here.events() if e["kind"] == "meetingEnded"]
        assert [(e["meeting_id"], e["reason"]) for e in ended] == [("m", "nodeLost")]
        # The seats are still the meeting's own.
        assert (await here.create("other", seats=6))["reason"] == "maxParticipantsReached"
        again = (await here.create("m", seats=15, minutes=60))["view"]
        assert again["node"] != first["node"]
        assert again["id"] != first["id"]
        assert again["end_s"] == first["end_s"]
        ended = [e for e in await here.events() if e["kind"] == "meetingEnded"]
        assert len(ended) == 1


async def test_overtime_on_a_lost_node_is_over(tmp_path: Path) -> None:
    """An overtime meeting has no guarantee that could outlive its node."""
    async with stage(tmp_path, nodes=1) as here:
        made = (await here.create("m", minutes=1))["view"]
        here.clock.forward(120)
        await _health(here, made["node"], up=False, lost=True)
        await _told(here, "meetingEnded", 1)
        await _health(here, made["node"], up=True)
        assert (await here.create("m", seats=20))["ok"]


async def test_a_late_answer_leaves_an_orphan_that_is_ended(tmp_path: Path) -> None:
    """A node that makes the meeting after our timeout does not keep it."""
    async with stage(tmp_path, nodes=2, node_timeout_s=0.5, observe=True) as here:
        await here.control(0, "POST", "faults", mode="drop_after_doing", call="create")
        made = await here.create("m")
        assert made["ok"], made
        assert made["view"]["node"] == 2
        await here.control(0, "POST", "faults", mode="ok")

        async def only_one() -> bool:
            return [len(node) for node in await here.on_nodes()] == [0, 1]

        await here.until(only_one)


async def test_an_end_is_repeated_until_the_node_confirms(tmp_path: Path) -> None:
    """A node that fails its end call gets another one; the event comes when it is confirmed."""
    async with stage(tmp_path, nodes=1, node_timeout_s=0.5) as here:
        made = (await here.create("m"))["view"]
        await here.control(0, "POST", "faults", mode="error500", call="end", count=2)
        assert (await here.end(made["id"]))["ok"]
        await _told(here, "meetingEnded", 1)
        assert await here.on_nodes() == [set()]


async def test_a_removed_subscription_is_refused(tmp_path: Path) -> None:
    """A disabled subscription gets integrationDisabled and holds nothing."""
    async with stage(tmp_path) as here:
        await operations.change_subscription(here.assembly.database, "acme", enabled=False)
        await here.assembly.directory.refresh()
        assert (await here.create("m"))["reason"] == "integrationDisabled"


async def test_an_expired_command_is_not_decided(tmp_path: Path) -> None:
    """A command whose caller has given up reserves nothing."""
    async with stage(tmp_path) as here:
        here.clock.forward(60)  # the worker's clock is ahead of what the command was made for
        bus = here.assembly.bus
        ticket = bus.submit(
            "default",
            {"kind": "create", "id": "0" * 32, "deadline_ms": here.clock() - 30_000},
        )
        answer = await ticket.done
        assert answer["reason"] == "serviceUnavailable"
        assert (await here.create("m", seats=20))["ok"]


async def test_a_redelivered_command_is_answered_not_decided_twice(tmp_path: Path) -> None:
    """The same command id again, refused or admitted, gets the stored answer."""
    async with stage(tmp_path) as here:
        first = await here.create("m", seats=20, command_id="1" * 32)
        again = await here.create("m", seats=20, command_id="1" * 32)
        assert again["view"]["id"] == first["view"]["id"]
        assert not again["repeated"]
        refused = await here.create("n", command_id="2" * 32)
        assert not refused["ok"]
        assert (await here.end(first["view"]["id"]))["ok"]
        assert await here.create("n", command_id="2" * 32) == refused
        # The admitted one has ended meanwhile: it is not made a second time.
        late = await here.create("m", seats=20, command_id="1" * 32)
        assert late["view"]["id"] == first["view"]["id"]
        assert await here.on_nodes() in ([set()] * 4, [{"sk-" + "1" * 32}, set(), set(), set()])


async def test_a_victim_is_ended_before_its_seats_are_used_on_the_node(tmp_path: Path) -> None:
    """On a single node the evicted meeting is gone when the new one is made."""
    async with stage(tmp_path, nodes=1, node_seats=20) as here:
        old = (await here.create("old", seats=20, minutes=1))["view"]
        here.clock.forward(120)
        new = (await here.create("new", seats=20, minutes=1))["view"]
        calls = (await here.control(0, "GET", "calls"))["calls"]
        order = [(c["call"], dict(c["params"]).get("meetingID")) for c in calls]
        ended, created = ("end", f"sk-{old['id']}"), ("create", f"sk-{new['id']}")
        assert order.index(ended) < order.index(created)

"""Breakout rooms and credentials in the placement worker: across evictions, losses and restarts."""

from pathlib import Path
from typing import Any

import orjson

from scheduler import credentials
from scheduler.bus.interface import Item
from scheduler.ledger.records import Batch, MeetingRecord
from schemas.identifiers import new_id
from tests.placement.stage import Stage, stage
from workers.placement import Parts, Placement


async def open_room(here: Stage, external_id: str, parent: Item, *, by: str = "acme") -> Item:
    command: Item = {
        "kind": "create",
        "id": new_id(),
        "deadline_ms": here.clock() + 20_000,
        "subscription": here.subscriptions[by],
        "credential": here.credentials[by],
        "external_id": external_id,
        "seats": 5,
        "duration_s": 60,
        "doc": {
            "name": f"Room {external_id}",
            "params": [
                ("maxParticipants", "5"),
                ("isBreakout", "true"),
                ("sequence", "1"),
                ("parentMeetingID", "sk-" + parent["view"]["id"]),
            ],
            "attendee_pw": "attendee1",
            "moderator_pw": "moderator1",
            "duration_min": 0,
            "callbacks": [("https://app.example/end", "endCallbackUrl")],
            "meta": {},
        },
        "given_attendee_pw": "",
        "given_moderator_pw": "",
        "renew": False,
        "parent": parent["view"]["id"],
    }
    return await here.assembly.bus.submit("default", command).done


async def restart(here: Stage) -> None:
    """Another worker takes the pool over from the ledger."""
    await here.placement.close()
    again = Placement(
        here.assembly.settings,
        "default",
        parts=Parts(
            bus=here.assembly.bus,
            database=here.assembly.database,
            ledger=here.ledger,
            directory=here.assembly.directory,
            client=here.assembly.client,
        ),
        clock_ms=here.clock,
    )
    await again.start()
    await again.ready.wait()
    here.placement = again


def ended(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(e["meeting_id"], e["reason"]) for e in events if e["kind"] == "meetingEnded"]


async def test_an_evicted_meeting_takes_its_rooms_along(tmp_path: Path) -> None:
    """The room reserves nothing, is told as evicted once, and leaves its node."""
    async with stage(tmp_path) as here:
        a = await here.create("A", seats=20, minutes=60)
        room = await open_room(here, "A1", a)
        assert room["ok"], room
        assert room["view"]["seats"] == 0
        assert room["view"]["node"] == a["view"]["node"]
        assert (room["view"]["parent"], room["view"]["end_s"]) == (
            a["view"]["id"],
            a["view"]["end_s"],
        )
        here.clock.forward(3700)
        assert (await here.create("D", seats=10))["ok"]

        async def only_d() -> bool:
            return sum(len(node) for node in await here.on_nodes()) == 1

        await here.until(only_d)

        async def told() -> bool:
            return len(ended(await here.events())) == 2

        await here.until(told)
        assert sorted(ended(await here.events())) == [("A", "evicted"), ("A1", "evicted")]
        assert all(not e["callbacks"] for e in await here.events() if e["meeting_id"] == "A1")
        windows = [e["meeting_id"] for e in await here.events() if e["kind"] == "windowEnded"]
        assert windows == ["A"], "a room has no window of its own"


async def test_a_renewed_meeting_takes_its_rooms_along(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        a = await here.create("A", seats=20, minutes=60)
        room = await open_room(here, "A1", a)
        renewed = await here.create("A", seats=20, minutes=120, renew=True)
        again = await open_room(here, "A1", a)
        assert (again["repeated"], again["view"]["id"]) == (True, room["view"]["id"])
        assert again["view"]["end_s"] == renewed["view"]["end_s"] > a["view"]["end_s"]


async def test_a_room_of_anothers_meeting_is_refused_in_the_decision_too(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        a = await here.create("A")
        refused = await open_room(here, "A1", a, by="beta")
        assert (refused["ok"], refused["reason"]) == (False, "parentMeetingDoesNotExist")


async def test_rooms_and_charges_of_credentials_outlive_the_worker(tmp_path: Path) -> None:
    """After a take-over the room is known, ends with its meeting, and the seats are counted."""
    async with stage(tmp_path) as here:
        await credentials.change_credential(here.assembly.database, "acme", seats=12)
        await here.assembly.directory.refresh()
        a = await here.create("A", seats=10)
        room = await open_room(here, "A1", a)
        await restart(here)
        refused = await here.create("B", seats=3)
        assert "2 of 12 seats of this credential are free" in refused["message"]
        assert (await open_room(here, "A1", a))["view"]["id"] == room["view"]["id"]
        assert (await here.end(a["view"]["id"]))["ok"]
        assert (await here.create("B", seats=12))["ok"]

        async def only_b() -> bool:
            return sum(len(node) for node in await here.on_nodes()) == 1

        await here.until(only_b)
        await here.placement.close()


async def test_a_lost_node_ends_the_rooms_and_keeps_the_meeting(tmp_path: Path) -> None:
    """The reservation stays, the room is told as lost once, and both survive a repetition."""
    async with stage(tmp_path) as here:
        a = await here.create("A", seats=10)
        assert (await open_room(here, "A1", a))["ok"]
        lost = {
            "kind": "nodeHealth",
            "node": a["view"]["node"],
            "up": False,
            "reason": "gone",
            "lost": True,
            "at_ms": here.clock(),
        }
        await here.assembly.bus.publish_facts("default", [lost, lost])

        async def told() -> bool:
            return len(ended(await here.events())) == 2

        await here.until(told)
        assert sorted(ended(await here.events())) == [("A", "nodeLost"), ("A1", "nodeLost")]
        refused = await open_room(here, "A1", a)
        assert refused["reason"] == "parentMeetingDoesNotExist"
        again = await here.create("A", seats=10)
        assert again["view"]["node"] != a["view"]["node"]


async def test_a_room_that_its_node_ended_is_found_gone(tmp_path: Path) -> None:
    """The observer sees the room by the id that we gave it; its end leaves the meeting alone."""
    async with stage(tmp_path, observe=True) as here:
        a = await here.create("A", seats=10)
        room = await open_room(here, "A1", a)
        node = int(a["view"]["node"]) - 1
        internal = "sk-" + room["view"]["id"]

        await here.control(node, "POST", f"meetings/{internal}/users", name="Ada", userID="ada")

        async def seen() -> bool:
            joined = [e for e in await here.events() if e["kind"] == "userJoined"]
            return [(e["meeting_id"], e["user_id"]) for e in joined] == [("A1", "ada")]

        await here.until(seen)
        await here.control(node, "POST", f"meetings/{internal}/end")

        async def told() -> bool:
            return ended(await here.events()) == [("A1", "ended")]

        await here.until(told)
        assert (await here.create("A", seats=10))["repeated"]


async def test_a_repeated_create_takes_the_due_booking_of_its_meeting_over(
    tmp_path: Path,
) -> None:
    """In overtime, with everything booked: the booked window becomes the meeting's own."""
    async with stage(tmp_path, nodes=1) as here:
        a = await here.create("A", seats=20, minutes=60)
        await here.placement.close()
        start_s = a["view"]["end_s"] // 60 * 60 + 120
        booking = MeetingRecord(
            id=new_id(),
            pool_id=a["view"]["pool"],
            subscription_id=a["view"]["subscription"],
            credential_id=a["view"]["credential"],
            external_id="A",
            live_key=None,
            live=True,
            node_id=a["view"]["node"],
            state="booked",
            seats=20,
            start_s=start_s,
            end_s=start_s + 3600,
            version=1,
            updated_ms=here.clock(),
            doc=orjson.dumps(a["view"]["doc"]),
        )
        epoch = await here.ledger.take_over(a["view"]["pool"], "test")
        batch = Batch(created={booking.id: booking})
        await here.ledger.commit(a["view"]["pool"], epoch, batch)
        await restart(here)
        here.clock.forward(start_s - a["view"]["start_s"])
        again = await here.create("A", seats=20, minutes=60)
        assert again["repeated"]
        assert (again["view"]["state"], again["view"]["end_s"]) == ("held", booking.end_s)
        (views,) = [view for view in here.views if view.get("id") == booking.id]
        assert (views["live"], views["state"]) == (False, "ended")
        assert (await here.create("B", seats=1))["reason"] == "maxParticipantsReached"
        await here.placement.close()

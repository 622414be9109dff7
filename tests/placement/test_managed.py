"""What management asks of the placement worker: repeated, crashed, on other nodes, in the chat."""

from pathlib import Path

import orjson
import pytest

from scheduler import operations
from scheduler.bus.interface import Item
from scheduler.ledger.reading import Reader
from schemas.identifiers import new_id
from tests.placement.stage import Stage, stage


async def send(here: Stage, kind: str, **fields: object) -> Item:
    command: Item = {"kind": kind, "id": new_id(), "deadline_ms": here.clock() + 20_000, **fields}
    return await here.assembly.bus.submit("default", command).done


def booking(here: Stage, external_id: str, seats: int, *minutes: tuple[int, int]) -> Item:
    minute_s = here.clock() // 60_000 * 60
    return {
        "subscription": here.subscriptions["acme"],
        "credential": here.credentials["acme"],
        "external_id": external_id,
        "seats": seats,
        "windows": [(minute_s + 60 * a, minute_s + 60 * b) for a, b in minutes],
    }


async def test_a_command_that_comes_twice_is_done_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        same = {"id": new_id()}
        asked = booking(here, "b", 5, (60, 120), (180, 240))
        first = await send(here, "book", **asked | same)
        again = await send(here, "book", **asked | same)
        assert first["ok"]
        assert [view["id"] for view in again["views"]] == [view["id"] for view in first["views"]]
        # The next worker knows it from the ledger.
        await here.placement.close()
        answer = await Reader(here.assembly.database).answer_of(same["id"])
        assert answer is not None
        assert [view["id"] for view in orjson.loads(answer)["views"]] == [
            view["id"] for view in first["views"]
        ]
        live = await Reader(here.assembly.database).live_meetings()
        assert len(live) == 2


async def test_a_booking_keeps_its_seats_from_everybody_else(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        made = await send(here, "book", **booking(here, "b", 15, (10, 70)))
        assert made["ok"]
        refused = await here.create("a", seats=6, minutes=60)
        assert refused["reason"] == "maxParticipantsReached"
        assert refused["fits_at_s"] == made["views"][0]["end_s"]
        assert (await here.create("a", seats=5, minutes=60))["ok"]
        assert (await here.create("b", seats=5, minutes=5))["view"]["seats"] == 15


@pytest.mark.parametrize("kind", ["end", "extend", "cancel", "move"])
async def test_what_is_not_there_is_not_changed(tmp_path: Path, kind: str) -> None:
    async with stage(tmp_path) as here:
        extra = {"managed": True, "password": "", "credential": 0} if kind == "end" else {}
        answer = await send(here, kind, meeting=new_id(), by_s=60, seats=1, **extra)
        assert (answer["ok"], answer["reason"]) == (False, "notFound")


async def test_a_booking_is_not_ended_as_a_meeting(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        made = await send(here, "book", **booking(here, "b", 15, (10, 70)))
        ended = await send(
            here, "end", meeting=made["views"][0]["id"], credential=0, password="", managed=True
        )
        assert ended["reason"] == "notFound"
        assert not (await here.create("a", seats=6, minutes=60))["ok"], "it stands"


async def test_a_switched_off_credential_books_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        await operations.change_subscription(here.assembly.database, "acme", enabled=False)
        await here.assembly.directory.refresh()
        answer = await send(here, "book", **booking(here, "b", 5, (60, 120)))
        assert answer["reason"] == "integrationDisabled"


async def test_people_are_told_once_in_the_chat_that_their_window_is_over(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        text = "Your seats may be needed by others now."
        await operations.change_subscription(here.assembly.database, "acme", overtime_text=text)
        await here.assembly.directory.refresh()
        view = (await here.create("a", minutes=1))["view"]
        await here.create("silent", minutes=1, by="beta")
        node = int(here.assembly.directory.current.nodes[view["node"]].name[1:])

        async def calls() -> list[Item]:
            found = [
                await here.control(number, "GET", "calls?call=sendChatMessage")
                for number in range(len(here.nodes))
            ]
            return [call for node in found for call in node["calls"]]

        here.clock.forward(61)
        await here.assembly.bus.publish_facts("default", [{"kind": "tick"}])

        async def told() -> bool:
            return bool(await calls())

        await here.until(told)
        await here.assembly.bus.publish_facts("default", [{"kind": "tick"}])
        await here.create("c", seats=1)
        [call] = await calls()
        assert call["params"]["message"] == text
        assert (await here.control(node, "GET", "calls?call=sendChatMessage"))["calls"] == [call]


async def test_a_meeting_that_is_extended_has_its_end_told_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        view = (await here.create("a", minutes=1))["view"]
        for _ in range(2):
            here.clock.forward(61)
            await here.assembly.bus.publish_facts("default", [{"kind": "tick"}])
            assert (await send(here, "extend", meeting=view["id"], by_s=60))["ok"]
        kinds = [event["kind"] for event in await here.events()]
        assert kinds.count("windowEnded") == kinds.count("meetingExtended") == 2

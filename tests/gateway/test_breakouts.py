"""Breakout rooms through the gateway: made by callers, and opened inside of a meeting."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from lxml import etree

from tests.gateway import world
from tests.gateway.world import Reply, World
from workers.poller import NodePoller

FULL = {"maxParticipants": "40"}


async def room(run: World, meeting_id: str = "group-1", **params: str) -> Reply:
    return await run.create(
        meeting_id,
        **{"isBreakout": "true", "parentMeetingID": "room-42", "sequence": "1", **params},
    )


def listed(reply: Reply) -> dict[str, etree._Element]:
    """Return the meetings of a getMeetings answer by their ids."""
    return {one.findtext("meetingID") or "": one for one in reply.root.iterfind("meetings/meeting")}


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.02)


async def look(run: World) -> None:
    """Poll every node once, as the observer does."""
    for node in run.directory.current.nodes.values():
        poller = NodePoller(
            run.settings,
            node_id=node.id,
            pool="default",
            bus=run.bus,
            client=run.parts.nodes,
        )
        await poller.poll(node)
    await asyncio.sleep(0)


@pytest.fixture
async def full(tmp_path: Path) -> AsyncIterator[World]:
    """Forty seats on two nodes, all of them in one meeting; the other node has as many."""
    async with world.running(tmp_path, seats=40) as run:
        assert (await run.create(**FULL)).ok
        yield run
        for text in run.outputs:
            assert "sk-" not in text, text


async def test_a_room_opens_beside_its_meeting_though_every_seat_is_taken(full: World) -> None:
    assert (await full.create("other")).key == "maxParticipantsReached"
    reply = await room(full)
    assert reply.ok, reply.text
    parent, _ = full.node_of("room-42")
    child, node_id = full.node_of("group-1")
    assert child.name == parent.name
    entry = full.parts.meetings.lookup(1, "group-1")
    assert entry is not None
    assert entry.view["seats"] == 0
    sent = [call["params"] for call in await full.node_calls("create")][-1]
    assert sent["meetingID"] == node_id
    assert (sent["isBreakout"], sent["sequence"]) == ("true", "1")


async def test_answers_show_the_callers_ids_and_the_parents_internal_one(full: World) -> None:
    """The create, both reading calls, and the parent's list of its rooms."""
    made = await room(full, freeJoin="true")
    parent = await full.call("getMeetingInfo", {"meetingID": "room-42"})
    internal = parent["internalMeetingID"]
    assert made["meetingID"] == made["internalMeetingID"] == "group-1"
    assert made["parentMeetingID"] == internal
    assert [one.text for one in parent.root.iterfind("breakoutRooms/breakout")] == ["group-1"]

    async def shown() -> None:
        info = await full.call("getMeetingInfo", {"meetingID": "group-1"})
        for seen in (info.root, listed(await full.call("getMeetings"))["group-1"]):
            assert seen.findtext("isBreakout") == "true"
            assert seen.findtext("parentMeetingID") == internal
            assert (seen.findtext("sequence"), seen.findtext("freeJoin")) == ("1", "true")
            assert seen.findtext("internalMeetingID") == "group-1"
            assert seen.findtext("maxUsers") == "40"

    await shown()
    await look(full)
    await shown()
    seen = listed(await full.call("getMeetings"))["room-42"]
    assert seen.findtext("breakoutRooms/breakout") == "group-1"


@pytest.mark.parametrize(("given", "sent"), [({}, "40"), ({"maxParticipants": "7"}, "7")])
async def test_the_limit_of_a_room_is_the_callers_else_its_meetings(
    full: World, given: dict[str, str], sent: str
) -> None:
    assert (await room(full, **given)).ok
    calls = await full.node_calls("create")
    assert calls[-1]["params"]["maxParticipants"] == sent


async def test_a_parent_may_be_named_by_its_internal_id(full: World) -> None:
    internal = (await full.call("getMeetingInfo", {"meetingID": "room-42"}))["internalMeetingID"]
    assert (await room(full, parentMeetingID=internal)).ok


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"parentMeetingID": ""}, "parentMeetingIDMissing"),
        ({"parentMeetingID": "unknown"}, "parentMeetingDoesNotExist"),
        ({"sequence": ""}, "validationError"),
        ({"sequence": "one"}, "validationError"),
    ],
)
async def test_what_a_room_needs(full: World, change: dict[str, str], key: str) -> None:
    reply = await room(full, **change)
    assert (reply.status, reply.key) == (200, key)
    assert len(await full.node_calls("create")) == 1


async def test_another_credentials_meeting_is_nobodys_parent(full: World) -> None:
    """Not by its own id, nor by the internal one, nor for a credential of the same customer."""
    internal = (await full.call("getMeetingInfo", {"meetingID": "room-42"}))["internalMeetingID"]
    for prefix in ("/t/other/bigbluebutton/api", "/t/acme-5/bigbluebutton/api"):
        for parent in ("room-42", internal):
            reply = await full.call(
                "create",
                {
                    "name": "Group",
                    "meetingID": "group-1",
                    "isBreakout": "true",
                    "parentMeetingID": parent,
                    "sequence": "1",
                },
                prefix=prefix,
                secret=world.OTHER_SECRET,
            )
            assert reply.key == "parentMeetingDoesNotExist"


async def test_a_repeated_room_is_the_same_room_and_no_id_means_two_things(full: World) -> None:
    assert (await room(full)).key == ""
    assert (await room(full)).key == "duplicateWarning"
    assert (await full.create("group-1")).key == "idNotUnique", "no seats are promised by a room"
    assert (await room(full, "room-42")).key == "idNotUnique"
    nested = await room(full, "nested", parentMeetingID="group-1")
    assert nested.key == "parentMeetingDoesNotExist"


async def test_a_room_is_joined_and_ends_alone_and_with_its_meeting(full: World) -> None:
    """After the meeting's end no room is known here, nor left on the node."""
    await room(full)
    await room(full, "group-2", sequence="2")
    joined = await full.call(
        "join", {"meetingID": "group-1", "fullName": "Ada", "role": "MODERATOR"}
    )
    assert joined.status == 302, joined.text
    assert (await full.call("end", {"meetingID": "group-2"})).ok
    assert (await full.call("getMeetingInfo", {"meetingID": "group-2"})).key == "notFound"
    assert (await full.call("getMeetingInfo", {"meetingID": "room-42"})).ok
    assert (await full.call("end", {"meetingID": "room-42"})).ok

    async def nothing_is_left() -> bool:
        gone = (await full.call("getMeetings")).key == "noMeetings"
        return gone and not any([(await node_state(full, n)) for n in range(len(full.nodes))])

    await until(nothing_is_left)
    assert (await room(full)).key == "parentMeetingDoesNotExist"
    assert (await full.create("next", **FULL)).ok


async def node_state(run: World, number: int) -> list[str]:
    url = f"{run.nodes[number].origin}/simulator/state"
    async with run.session.get(url) as response:
        return [meeting["meetingID"] for meeting in (await response.json())["meetings"]]


async def test_a_room_that_its_node_does_not_make_is_refused_and_moves_nowhere(
    full: World,
) -> None:
    await full.fault("error500", call="create")
    reply = await room(full)
    assert reply.key == "noNodesAvailable"
    assert len(await full.node_calls("create")) == 2
    assert (await full.call("getMeetingInfo", {"meetingID": "room-42"})).ok


async def test_rooms_opened_inside_a_meeting_are_shown_to_its_credential_alone(
    run: World,
) -> None:
    """As the node has them, to be read; they are never ended, nor counted as reservations."""
    assert (await run.create(maxParticipants="5", meta_course="77")).ok
    node, node_id = run.node_of("room-42")
    await run.control(node, "POST", f"/simulator/meetings/{node_id}/breakouts", name="Group 1")
    await look(run)
    await look(run)

    async def is_listed() -> bool:
        return "Group 1" in (await run.call("getMeetings")).text

    await until(is_listed)
    shown = listed(await run.call("getMeetings"))
    parent = shown.pop("room-42")
    (inside,) = shown.values()
    assert inside.findtext("isBreakout") == "true"
    assert inside.findtext("parentMeetingID") == parent.findtext("internalMeetingID")
    assert parent.findtext("breakoutRooms/breakout") == inside.findtext("meetingID")
    assert [one.tag for one in inside.iterfind("metadata/*")] == ["course"], "none of ours"
    for name in ("meetingID", "internalMeetingID"):
        asked = {"meetingID": inside.findtext(name) or ""}
        info = await run.call("getMeetingInfo", asked)
        assert info["meetingName"] == "Group 1"
        assert (await run.call("isMeetingRunning", asked))["running"] == "false"
        for prefix in ("/t/other/bigbluebutton/api", "/t/acme-5/bigbluebutton/api"):
            theirs = await run.call(
                "getMeetingInfo", asked, prefix=prefix, secret=world.OTHER_SECRET
            )
            assert theirs.key == "notFound"
    ended = await run.call("end", {"meetingID": inside.findtext("meetingID") or ""})
    assert ended.key == "notFound"
    assert len(await node_state(run, run.nodes.index(node))) == 2, "nobody ended it"
    await run.control(node, "POST", f"/simulator/meetings/{node_id}/end")
    await look(run)
    await look(run)

    async def gone() -> bool:
        return (await run.call("getMeetings")).key == "noMeetings"

    await until(gone)

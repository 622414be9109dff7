"""The control API: who comes, who goes, what the clock does."""

import pytest

from tests.simulator.caller import Caller


async def _ids(caller: Caller) -> list[str]:
    state = await caller.control("state", method="GET")
    return [meeting["meetingID"] for meeting in state["meetings"]]


async def test_users_come_and_go(caller: Caller) -> None:
    await caller.create("a/b c")
    user = {"userID": "u1", "fullName": "Ada", "role": "MODERATOR"}
    joined = await caller.control("meetings/a%2Fb%20c/users", user)
    assert (joined["userID"], joined["role"]) == ("u1", "MODERATOR")
    state = await caller.control("state", method="GET")
    assert [user["fullName"] for user in state["meetings"][0]["users"]] == ["Ada"]
    removed = await caller.control("meetings/a%2Fb%20c/users/u1", method="DELETE")
    assert removed == {"removed": 1}
    missing = await caller.control("meetings/a%2Fb%20c/users/u1", method="DELETE")
    assert "error" in missing
    assert "error" in await caller.control("meetings/nothing/users", {})


async def test_a_full_meeting_takes_nobody(caller: Caller) -> None:
    await caller.create(maxParticipants="1")
    await caller.control("meetings/room-42/users", {"userID": "u1"})
    answer = await caller.control("meetings/room-42/users", {"userID": "u2"})
    assert answer == {"error": "maxParticipantsReached"}


async def test_what_users_do_is_counted(caller: Caller) -> None:
    await caller.create()
    busy = {"userID": "u1", "hasJoinedVoice": True, "hasVideo": True}
    await caller.control("meetings/room-42/users", busy)
    await caller.control("meetings/room-42/users", {"userID": "u2", "isListeningOnly": True})
    info = await caller.call("getMeetingInfo", meetingID="room-42")
    counts = ("participantCount", "listenerCount", "voiceParticipantCount", "videoCount")
    assert [info[name] for name in counts] == ["2", "1", "1", "1"]


async def test_a_meeting_nobody_joined_expires_after_five_minutes(caller: Caller) -> None:
    await caller.create()
    await caller.control("clock", {"advance_s": 298})
    assert await _ids(caller) == ["room-42"]
    await caller.control("clock", {"advance_s": 2})
    assert await _ids(caller) == []


async def test_a_meeting_expires_a_minute_after_the_last_user_left(caller: Caller) -> None:
    await caller.create()
    await caller.control("meetings/room-42/users", {"userID": "u1"})
    await caller.control("clock", {"advance_s": 3600})
    await caller.control("meetings/room-42/users/u1", method="DELETE")
    await caller.control("clock", {"advance_s": 55})
    assert await _ids(caller) == ["room-42"]
    await caller.control("meetings/room-42/users", {"userID": "u1"})
    await caller.control("clock", {"advance_s": 600})
    assert await _ids(caller) == ["room-42"]
    await caller.control("meetings/room-42/users/u1", method="DELETE")
    await caller.control("clock", {"advance_s": 60})
    assert await _ids(caller) == []


async def test_a_duration_ends_a_meeting_with_everybody_in_it(caller: Caller) -> None:
    await caller.create(duration="10")
    await caller.create("room-43")
    for meeting in ("room-42", "room-43"):
        await caller.control(f"meetings/{meeting}/users", {"userID": "u1"})
    await caller.control("clock", {"advance_s": 600})
    assert await _ids(caller) == ["room-43"]


async def test_a_join_that_nobody_opened_is_forgotten(caller: Caller) -> None:
    await caller.create()
    reply = await caller.call(
        "join", meetingID="room-42", fullName="Ada", role="VIEWER", redirect="false"
    )
    await caller.control("clock", {"advance_s": 45})
    page = await caller.raw(reply["url"].removeprefix(caller.node.origin))
    assert page.status == 404


async def test_forgetting_all_loses_meetings_and_hooks(caller: Caller) -> None:
    await caller.create()
    await caller.call("hooks/create", callbackURL="http://cb.example/")
    await caller.control("meetings/room-42/users", {"userID": "u1"})
    await caller.control("forget-all", {})
    state = await caller.control("state", method="GET")
    assert (state["meetings"], state["hooks"]) == ([], [])
    assert (await caller.create()).key == ""


async def test_breakout_rooms_can_be_opened_from_inside(caller: Caller) -> None:
    await caller.create()
    room = await caller.control("meetings/room-42/breakouts", {})
    assert room["isBreakout"]
    info = await caller.call("getMeetingInfo", meetingID=room["meetingID"])
    assert (info["sequence"], info["isBreakout"]) == ("1", "true")


@pytest.mark.parametrize("document", [{}, {"advance_s": -1}, {"advance_s": "1"}, [1]])
async def test_a_clock_that_makes_no_sense_is_refused(caller: Caller, document: object) -> None:
    assert "error" in await caller.control("clock", document)


async def test_web_pages_cannot_steer_a_node(caller: Caller) -> None:
    headers = {"Origin": "https://evil.example"}
    reply = await caller.raw("/simulator/forget-all", method="POST", headers=headers)
    assert reply.status == 403


async def test_a_body_that_is_no_json_is_refused(caller: Caller) -> None:
    reply = await caller.raw("/simulator/faults", method="POST", data=b"{")
    assert reply.status == 400

"""The journeys of a meeting through the gateway."""

from tests.gateway.world import World


async def test_a_meeting_is_made_joined_listed_and_ended(run: World) -> None:
    created = await run.create(maxParticipants="5", duration="90")
    assert created.ok, created.text
    assert created["duration"] == "90"
    assert (await run.call("isMeetingRunning", {"meetingID": "room-42"}))["running"] == "false"
    joined = await run.call(
        "join", {"meetingID": "room-42", "fullName": "Ada", "role": "MODERATOR"}
    )
    assert joined.status == 302, joined.text
    info = await run.call("getMeetingInfo", {"meetingID": "room-42"})
    assert info["meetingID"] == "room-42"
    assert info["maxUsers"] == "5"
    assert "<meetingID>room-42</meetingID>" in (await run.call("getMeetings")).text
    assert (await run.call("end", {"meetingID": "room-42"})).key == "sentEndMeetingRequest"
    assert (await run.call("getMeetings")).key == "noMeetings"
    assert (await run.call("end", {"meetingID": "room-42"})).key == "notFound"

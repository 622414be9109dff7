"""sendChatMessage: to the meeting's node, with the caller's words and ids only."""

import pytest

from tests.gateway.world import OTHER_SECRET, World

OTHER = "/t/other/bigbluebutton/api"


async def _inhabited(run: World, meeting_id: str = "room-42") -> None:
    await run.create(meeting_id)
    node, at_node = run.node_of(meeting_id)
    path = f"/simulator/meetings/{at_node}/users"
    await run.control(node, "POST", path, userID="u1", fullName="Ada", role="VIEWER")


async def test_a_message_reaches_the_meeting_under_the_nodes_id(run: World) -> None:
    await _inhabited(run)
    params = {"meetingID": "room-42", "message": "Five & more <minutes>", "userName": "Änne"}
    sent = await run.call("sendChatMessage", {**params, "unknown": "stays here"})
    assert sent.shape == ["returncode", "messageKey", "message"]
    assert (sent.ok, sent.key, sent["message"]) == (True, "", "")
    node, at_node = run.node_of("room-42")
    (said,) = node.node.state.by_external[at_node].messages
    assert (said["sender"], said["message"]) == ("Änne", "Five & more <minutes>")
    (call,) = await run.node_calls("sendChatMessage")
    assert set(call["params"]) == {"meetingID", "message", "userName"}


async def test_without_a_name_the_node_chooses_it(run: World) -> None:
    await _inhabited(run)
    assert (await run.call("sendChatMessage", {"meetingID": "room-42", "message": "x"})).ok
    node, at_node = run.node_of("room-42")
    assert node.node.state.by_external[at_node].messages[0]["sender"] == "System"


@pytest.mark.parametrize(
    ("params", "key"),
    [
        ({"message": "x"}, "meetingNotFound"),
        ({"meetingID": "", "message": "x"}, "sizeError"),
        ({"meetingID": "unknown", "message": "x"}, "meetingNotFound"),
        ({"meetingID": "room,42", "message": "x"}, "validationError"),
        ({"meetingID": "room-42"}, "nullError"),
        ({"meetingID": "room-42", "message": ""}, "sizeError"),
        ({"meetingID": "room-42", "message": "x" * 501}, "sizeError"),
        ({"meetingID": "room-42", "message": "😀" * 251}, "sizeError"),
        ({"meetingID": "room-42", "message": "x", "userName": "x" * 256}, "sizeError"),
    ],
)
async def test_what_bbb_refuses_never_reaches_a_node(
    run: World, params: dict[str, str], key: str
) -> None:
    await _inhabited(run)
    refused = await run.call("sendChatMessage", params)
    assert (refused.ok, refused.key, bool(refused["message"])) == (False, key, True)
    assert not await run.node_calls("sendChatMessage")


async def test_the_longest_message_passes(run: World) -> None:
    await _inhabited(run)
    params = {"meetingID": "room-42", "message": "😀" * 250, "userName": "x" * 255}
    assert (await run.call("sendChatMessage", params)).ok


async def test_an_empty_meeting_is_not_found(run: World) -> None:
    await run.create()
    refused = await run.call("sendChatMessage", {"meetingID": "room-42", "message": "x"})
    assert (refused.key, refused["message"]) == ("meetingNotFound", "Meeting not found")


async def test_nobody_talks_in_the_meeting_of_another_credential(run: World) -> None:
    await _inhabited(run)
    internal = (await run.call("getMeetingInfo", {"meetingID": "room-42"}))["internalMeetingID"]
    for meeting_id in ("room-42", internal, run.node_of("room-42")[1]):
        refused = await run.call(
            "sendChatMessage", {"meetingID": meeting_id, "message": "x"}, prefix=OTHER,
            secret=OTHER_SECRET,
        )  # fmt: skip
        assert refused.key == "meetingNotFound"
    assert (await run.call("sendChatMessage", {"meetingID": internal, "message": "x"})).ok


async def test_the_nodes_refusal_shows_the_callers_id(run: World) -> None:
    await _inhabited(run)
    _, at_node = run.node_of("room-42")
    await run.fault("failed", call="sendChatMessage", key="oops", message=f"no {at_node} here")
    refused = await run.call("sendChatMessage", {"meetingID": "room-42", "message": "x"})
    assert (refused.key, refused["message"]) == ("oops", "no room-42 here")
    await run.fault("refuse", call="sendChatMessage")
    refused = await run.call("sendChatMessage", {"meetingID": "room-42", "message": "x"})
    assert refused.key == "serviceUnavailable"

"""Webhooks and callbacks: registration, signature, retries."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

import pytest

from deploy.simulator.hooks import form_body
from tests.simulator.caller import Caller
from tests.simulator.receiver import Received, Receiver, receiving


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


def _event(received: Received) -> Any:
    [event] = json.loads(parse_qs(received.body)["event"][0])
    return event["data"]


def test_a_form_body_is_spelled_as_in_the_callback_vector() -> None:
    url, secret = "https://cb.example/bbb", "gw-example-secret-7Hq2"
    internal = "5f1d0ad3b7b44e3b8d1b6a2b6f0ac2f1c1d2e3f4-1718000000000"
    event = (
        '[{"data":{"type":"event","id":"meeting-ended","attributes":{"meeting":{'
        f'"internal-meeting-id":"{internal}","external-meeting-id":"room-42"}}}},'
        '"event":{"ts":1718003600000}}}]'
    )
    body = form_body(domain="bbb.example", event=event, timestamp="1718003600123")
    signed = hashlib.sha1(f"{url}{body}{secret}".encode()).hexdigest()
    assert signed == "0588c24bcc4647819363d6229e95bd85d6ed09a4"
    assert form_body(a="~* ä") == "a=%7E*+%C3%A4"


async def test_a_hook_is_registered_once_per_address_listed_and_destroyed(caller: Caller) -> None:
    url = "http://cb.example/a"
    first = await caller.call("hooks/create", callbackURL=url, eventID="User-Joined")
    assert first.names == ["returncode", "hookID", "permanentHook", "rawData"]
    again = await caller.call("hooks/create", callbackURL=url, meetingID="x")
    assert (again.key, again["hookID"]) == ("duplicateWarning", first["hookID"])
    other = await caller.call("hooks/create", callbackURL=url + "b", meetingID="room-42")
    listed = (await caller.call("hooks/list")).root.findall("hooks/hook")
    assert [hook.findtext("hookID") for hook in listed] == [first["hookID"], other["hookID"]]
    assert [hook.findtext("eventID") for hook in listed] == ["user-joined", None]
    assert [hook.findtext("meetingID") for hook in listed] == [None, "room-42"]
    listed = (await caller.call("hooks/list", meetingID="room-43")).root.findall("hooks/hook")
    assert len(listed) == 1
    assert (await caller.call("hooks/destroy", hookID=first["hookID"]))["removed"] == "true"
    missing = await caller.call("hooks/destroy", hookID=first["hookID"])
    assert missing.key == "destroyMissingHook"
    assert (await caller.call("hooks/destroy")).key == "missingParamHookID"
    assert (await caller.call("hooks/create")).key == "missingParamCallbackURL"
    unsigned = await caller.raw("/bigbluebutton/api/hooks/list")
    assert unsigned["message"] == "You did not pass the checksum security check."


async def test_a_global_hook_hears_the_life_of_a_meeting_in_order(
    caller: Caller, receiver: Receiver
) -> None:
    url = f"{receiver.origin}/hook?pool=a"
    await caller.call("hooks/create", callbackURL=url)
    created = await caller.create(maxParticipants="7", meta_Course="77")
    user = {"userID": "u1", "fullName": "Ada", "role": "MODERATOR"}
    await caller.control("meetings/room-42/users", user)
    await caller.control("meetings/room-42/users", {"userID": "u2"})
    await caller.control("meetings/room-42/users/u1", method="DELETE")
    await caller.call("end", meetingID="room-42")
    received = [await receiver.take() for _ in range(6)]
    events = [_event(one) for one in received]
    assert [event["id"] for event in events] == [
        "meeting-created", "user-joined", "user-joined", "user-left", "user-left", "meeting-ended",
    ]  # fmt: skip
    meeting = events[0]["attributes"]["meeting"]
    assert meeting["internal-meeting-id"] == created["internalMeetingID"]
    assert (meeting["max-users"], meeting["metadata"]) == (7, {"course": "77"})
    joined = events[1]["attributes"]["user"]
    assert (joined["external-user-id"], joined["role"], joined["presenter"]) == (
        "u1", "MODERATOR", True,
    )  # fmt: skip
    path, _, checksum = received[0].path.rpartition("&checksum=")
    assert path == "/hook?pool=a"
    signed = f"{url}{received[0].body}{caller.secret}"
    assert checksum == hashlib.sha1(signed.encode()).hexdigest()
    assert parse_qs(received[0].body)["domain"] == ["node-1"]


async def test_a_hook_of_one_meeting_and_kind_hears_nothing_else(
    caller: Caller, receiver: Receiver
) -> None:
    await caller.call(
        "hooks/create",
        callbackURL=receiver.origin + "/",
        meetingID="room-43",
        eventID="meeting-ended",
    )
    for meeting in ("room-42", "room-43"):
        await caller.create(meeting)
        await caller.call("end", meetingID=meeting)
    received = await receiver.take()
    assert _event(received)["attributes"]["meeting"]["external-meeting-id"] == "room-43"
    await caller.node.node.postman.settled()
    assert receiver.arrived.empty()


async def test_a_hook_is_tried_again_and_then_given_up(caller: Caller, receiver: Receiver) -> None:
    receiver.statuses = [500, 503, 200, 500, 500, 500]
    await caller.call("hooks/create", callbackURL=receiver.origin + "/")
    await caller.create()
    bodies = [(await receiver.take()).body for _ in range(3)]
    assert len(set(bodies)) == 1
    await caller.call("end", meetingID="room-42")
    await caller.node.node.postman.settled()
    assert receiver.arrived.qsize() == 3
    state = await caller.control("state", method="GET")
    assert [attempt["outcome"] for attempt in state["callbacks"]] == [500, 503, 200, 500, 500, 500]


async def test_a_receiver_that_refuses_the_signature_is_not_asked_again(
    caller: Caller, receiver: Receiver
) -> None:
    receiver.statuses = [401]
    await caller.call("hooks/create", callbackURL=receiver.origin + "/")
    await caller.create()
    await caller.node.node.postman.settled()
    assert receiver.arrived.qsize() == 1


async def test_an_unreachable_receiver_holds_nothing_up(caller: Caller) -> None:
    await caller.call("hooks/create", callbackURL="http://127.0.0.1:1/")
    await caller.call("hooks/create", callbackURL="no address")
    assert (await caller.create())["returncode"] == "SUCCESS"
    await caller.node.node.postman.settled()
    state = await caller.control("state", method="GET")
    outcomes = {attempt["outcome"] for attempt in state["callbacks"]}
    assert outcomes == {"ClientConnectorError", "InvalidUrlClientError"}


async def test_both_end_callbacks_are_called_whoever_ends_the_meeting(
    caller: Caller, receiver: Receiver
) -> None:
    await caller.create(
        "a b",
        meta_endCallbackUrl=f"{receiver.origin}/cb?x=1",
        meetingEndedURL=f"{receiver.origin}/ended?y=2",
    )
    await caller.control("meetings/a%20b/end", {})
    paths = {(await receiver.take()).path for _ in range(2)}
    assert paths == {"/cb?x=1&recordingmarks=false&meetingID=a+b", "/ended?y=2"}


async def test_a_marked_recording_is_announced_by_a_signed_token(
    caller: Caller, receiver: Receiver
) -> None:
    created = await caller.create(
        record="true",
        autoStartRecording="true",
        **{"meta_bbb-recording-ready-url": f"{receiver.origin}/ready"},
    )
    await caller.control("meetings/room-42/users", {"userID": "u1"})
    await caller.call("end", meetingID="room-42")
    received = await receiver.take()
    token = parse_qs(received.body)["signed_parameters"][0]
    signed, _, mac = token.rpartition(".")
    expected = hmac.new(caller.secret.encode(), signed.encode(), "sha256").digest()
    assert base64.urlsafe_b64decode(mac + "=") == expected
    claims = json.loads(base64.urlsafe_b64decode(signed.split(".")[1] + "=="))
    assert claims == {"meeting_id": "room-42", "record_id": created["internalMeetingID"]}


async def test_analytics_are_posted_with_a_bearer_token(caller: Caller, receiver: Receiver) -> None:
    url = f"{receiver.origin}/analytics"
    await caller.create(meetingKeepEvents="true", **{"meta_analytics-callback-url": url})
    await caller.call("end", meetingID="room-42")
    received = await receiver.take()
    assert received.headers["Authorization"].startswith("Bearer ")
    assert json.loads(received.body)["meeting_id"] == "room-42"


async def test_a_forgotten_meeting_tells_nobody(caller: Caller, receiver: Receiver) -> None:
    await caller.create(meta_endCallbackUrl=receiver.origin + "/")
    await caller.call("hooks/create", callbackURL=receiver.origin + "/")
    await caller.control("forget", {"meetingID": "room-42"})
    await caller.node.node.postman.settled()
    assert receiver.arrived.empty()
    assert (await caller.call("getMeetings")).key == "noMeetings"

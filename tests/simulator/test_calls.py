"""Shapes and rules of the meeting calls."""

import hashlib
from typing import Any

import aiohttp
import pytest

from deploy.simulator import api
from schemas import checksum
from tests.simulator.caller import Caller

CREATE = [
    "returncode", "meetingID", "internalMeetingID", "parentMeetingID", "attendeePW", "moderatorPW",
    "createTime", "voiceBridge", "dialNumber", "createDate", "hasUserJoined", "duration",
    "hasBeenForciblyEnded", "messageKey", "message",
]  # fmt: skip
MEETING = [
    "meetingName", "meetingID", "internalMeetingID", "createTime", "createDate", "voiceBridge",
    "dialNumber", "attendeePW", "moderatorPW", "running", "duration", "hasUserJoined", "recording",
    "hasBeenForciblyEnded", "startTime", "endTime", "participantCount", "listenerCount",
    "voiceParticipantCount", "videoCount", "maxUsers", "moderatorCount", "attendees", "metadata",
    "isBreakout",
]  # fmt: skip
ATTENDEE = [
    "userID", "fullName", "role", "isPresenter", "isListeningOnly", "hasJoinedVoice", "hasVideo",
    "clientType", "customdata",
]  # fmt: skip


async def test_a_create_has_the_elements_of_the_contract_in_order(caller: Caller) -> None:
    reply = await caller.create()
    assert reply.names == CREATE
    digest = hashlib.sha1(b"room-42").hexdigest()
    assert reply["internalMeetingID"] == f"{digest}-{reply['createTime']}"
    assert (reply["messageKey"], reply["message"]) == ("", "")
    assert reply["parentMeetingID"] == "bbb-none"
    assert reply["dialNumber"] == "613-555-1234"
    assert len(reply["attendeePW"]) == len(reply["moderatorPW"]) == 8
    assert reply["attendeePW"].isalnum()
    assert len(reply["voiceBridge"]) == 5
    assert " UTC " in reply["createDate"]
    assert "<?xml" not in reply.text


async def test_a_repeated_create_answers_the_existing_meeting(caller: Caller) -> None:
    first = await caller.create(attendeePW="apw", moderatorPW="mpw")
    for passwords in ({}, {"attendeePW": "apw", "moderatorPW": "mpw"}):
        again = await caller.create(name="Other", meta_a="b", **passwords)
        assert again.key == "duplicateWarning"
        for same in ("createTime", "internalMeetingID", "attendeePW", "moderatorPW"):
            assert again[same] == first[same]


@pytest.mark.parametrize(
    "passwords",
    [{"attendeePW": "apw"}, {"moderatorPW": "mpw"}, {"attendeePW": "apw", "moderatorPW": "no"}],
)
async def test_a_create_with_other_passwords_is_refused(
    caller: Caller, passwords: dict[str, str]
) -> None:
    await caller.create(attendeePW="apw", moderatorPW="mpw")
    reply = await caller.create(**passwords)
    assert reply.key == "idNotUnique"
    assert "ID.  Please" in reply["message"]


async def test_an_id_may_be_used_again_after_the_end_and_makes_another_meeting(
    caller: Caller,
) -> None:
    first = await caller.create()
    await caller.call("end", meetingID="room-42")
    again = await caller.create()
    assert again.key == ""
    assert again["internalMeetingID"] != first["internalMeetingID"]


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ("meetingID=room-42", "nullError"),
        ("name=&meetingID=room-42", "emptyError"),
        ("name=Name&meetingID=", "sizeError"),
        ("name=Name", "validationError"),
        ("name=Name&meetingID=x", "sizeError"),
        ("name=Name&meetingID=a,b", "validationError"),
        ("name=Name&meetingID=room-42&attendeePW=x", "invalidPassword"),
        ("name=Name&meetingID=room-42&voiceBridge=abc", "validationError"),
        ("name=Name&meetingID=room-42&record=maybe", "validationError"),
        ("name=Name&meetingID=room-42&isBreakout=true", "parentMeetingIDMissing"),
        (
            "name=Name&meetingID=room-42&isBreakout=true&parentMeetingID=no",
            "parentMeetingDoesNotExist",
        ),
    ],
)
async def test_a_bad_create_is_refused_with_the_key_of_a_real_server(
    caller: Caller, query: str, key: str
) -> None:
    reply = await caller.signed("create", query)
    assert (reply.status, reply["returncode"], reply.key) == (200, "FAILED", key)
    assert (await caller.call("getMeetings")).key == "noMeetings"


@pytest.mark.parametrize(
    ("params", "shown"),
    [
        ({"maxParticipants": "abc"}, {"maxUsers": "0"}),
        ({"maxParticipants": "-1"}, {"maxUsers": "-1"}),
        ({"maxParticipants": ""}, {"maxUsers": "0"}),
        ({"duration": "abc"}, {"duration": "0"}),
        ({"duration": "90"}, {"duration": "90"}),
        ({"record": "1"}, {"recording": "false"}),
        ({"record": "TRUE"}, {"recording": "true"}),
        ({"dialNumber": "030-1"}, {"dialNumber": "030-1"}),
        ({"voiceBridge": "77001"}, {"voiceBridge": "77001"}),
        ({"meta_MyKey": "x"}, {"metadata/mykey": "x"}),
        ({"meta_course-id": "<7&>"}, {"metadata/course-id": "<7&>"}),
    ],
)
async def test_a_parameter_shows_in_the_meeting(
    caller: Caller, params: dict[str, str], shown: dict[str, str]
) -> None:
    assert (await caller.create(**params))["returncode"] == "SUCCESS"
    info = await caller.call("getMeetingInfo", meetingID="room-42")
    assert {path: info[path] for path in shown} == shown


async def test_a_meta_name_with_an_underscore_is_dropped(caller: Caller) -> None:
    await caller.create(meta_my_key="x")
    info = await caller.call("getMeetingInfo", meetingID="room-42")
    assert len(info.root.find("metadata")) == 0


@pytest.mark.parametrize("bridge", ["0", ""])
async def test_an_empty_or_zero_voice_bridge_is_drawn(caller: Caller, bridge: str) -> None:
    await caller.create(voiceBridge=bridge)
    reply = await caller.create("room-43", voiceBridge=bridge)
    assert len(reply["voiceBridge"]) == 5


async def test_a_voice_bridge_in_use_is_refused_by_an_error_list(caller: Caller) -> None:
    await caller.create(voiceBridge="77001")
    reply = await caller.create("room-43", voiceBridge="77001")
    assert reply.names == ["returncode", "errors"]
    assert reply["errors/error/key"] == "nonUniqueVoiceBridge"


async def test_a_meeting_has_the_elements_of_the_contract_in_order(caller: Caller) -> None:
    await caller.create()
    user = {"userID": "staff-7", "fullName": "Ada L&ovelace", "role": "MODERATOR"}
    await caller.control("meetings/room-42/users", user)
    info = await caller.call("getMeetingInfo", meetingID="room-42")
    assert info.names == ["returncode", *MEETING]
    listed = await caller.call("getMeetings")
    assert listed.names == ["returncode", "meetings"]
    assert [child.tag for child in listed.root.find("meetings/meeting")] == MEETING
    attendee = info.root.find("attendees/attendee")
    assert [child.tag for child in attendee] == ATTENDEE
    assert attendee.findtext("userID") == "staff-7"
    assert attendee.findtext("fullName") == "Ada L&ovelace"
    assert attendee.findtext("isPresenter") == "true"
    assert (info["running"], info["participantCount"], info["moderatorCount"]) == ("true", "1", "1")


async def test_a_meeting_can_be_asked_for_by_its_internal_id(caller: Caller) -> None:
    created = await caller.create()
    info = await caller.call("getMeetingInfo", meetingID=created["internalMeetingID"])
    assert info["meetingID"] == "room-42"


@pytest.mark.parametrize("call", ["getMeetingInfo", "end"])
async def test_an_unknown_meeting_is_not_found(caller: Caller, call: str) -> None:
    assert (await caller.call(call, meetingID="nothing")).key == "notFound"
    assert (await caller.call(call)).key == "notFound"


async def test_an_unknown_or_empty_meeting_is_not_running(caller: Caller) -> None:
    assert (await caller.call("isMeetingRunning", meetingID="room-42"))["running"] == "false"
    await caller.create()
    assert (await caller.call("isMeetingRunning", meetingID="room-42"))["running"] == "false"
    assert (await caller.call("isMeetingRunning", meetingID="")).key == "sizeError"
    assert (await caller.call("isMeetingRunning")).key == "missingParamMeetingID"


async def test_an_ended_meeting_is_gone_at_once_and_a_second_end_does_not_find_it(
    caller: Caller,
) -> None:
    await caller.create()
    first = await caller.call("end", meetingID="room-42", password="wrong")
    assert first.key == "sentEndMeetingRequest"
    assert "sent.  Please" in first["message"]
    assert (await caller.call("end", meetingID="room-42")).key == "notFound"
    assert (await caller.call("end", meetingID="")).key == "emptyError"
    assert (await caller.call("getMeetings")).names == [
        "returncode", "meetings", "messageKey", "message",
    ]  # fmt: skip


async def test_a_chat_message_needs_somebody_in_the_meeting(caller: Caller) -> None:
    await caller.create()
    message = {"meetingID": "room-42", "message": "Your time is over"}
    assert (await caller.call("sendChatMessage", **message)).key == "meetingNotFound"
    await caller.control("meetings/room-42/users", {"userID": "u1"})
    reply = await caller.call("sendChatMessage", **message)
    assert reply.names == ["returncode", "messageKey", "message"]
    state = await caller.control("state", method="GET")
    assert state["meetings"][0]["messages"][0]["sender"] == "System"
    long = await caller.call("sendChatMessage", meetingID="room-42", message="x" * 501)
    assert long.key == "sizeError"
    assert (await caller.call("sendChatMessage", meetingID="room-42")).key == "nullError"


MODULES = (
    b"<modules><module name='presentation'><document url='https://f.example/a.pdf' "
    b"filename='a.pdf'/><document name='b.pdf'>JVBERi0=</document></module></modules>"
)


async def test_documents_come_with_a_create_or_later(caller: Caller) -> None:
    xml = {"Content-Type": "application/xml"}
    query = "name=Name&meetingID=room-42"
    await caller.signed("create", query, method="POST", data=MODULES, headers=xml)
    query = "meetingID=room-42"
    options = {"method": "POST", "data": MODULES, "headers": xml}
    reply = await caller.signed("insertDocument", query, **options)
    assert reply.names == ["returncode", "message"]
    state = await caller.control("state", method="GET")
    assert state["meetings"][0]["documents"] == ["a.pdf", "b.pdf"] * 2
    reply = await caller.signed("insertDocument", "meetingID=room-43", **options)
    assert reply.names == ["returncode", "message"]
    assert reply["message"] == "Meeting with id [room-43] not found."
    options["data"] = b"<modules/>"
    assert (await caller.signed("insertDocument", query, **options))["returncode"] == "FAILED"


async def test_a_body_of_another_type_is_refused_after_the_checksum(caller: Caller) -> None:
    options: Any = {
        "method": "POST",
        "data": b"{}",
        "headers": {"Content-Type": "application/json"},
    }
    reply = await caller.signed("create", "name=Name&meetingID=room-42", **options)
    assert reply.key == "unsupportedContentType"
    reply = await caller.raw("/bigbluebutton/api/create?checksum=0", **options)
    assert reply.key == "checksumError"


async def test_malformed_modules_are_refused(caller: Caller) -> None:
    options = {"data": b"<modules>", "headers": {"Content-Type": "text/xml"}}
    reply = await caller.signed("create", "name=N&meetingID=room-42", method="POST", **options)
    assert reply.key == "sizeError"
    reply = await caller.signed("create", "name=Na&meetingID=room-42", method="POST", **options)
    assert reply.key == "malformedXml"


async def test_unknown_calls_and_methods_answer_as_a_web_server_does(caller: Caller) -> None:
    assert (await caller.raw("/bigbluebutton/api/nothing")).status == 404
    assert (await caller.raw("/bigbluebutton/api/create%09")).status == 404
    reply = await caller.signed("join", "meetingID=room-42", method="POST")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET,HEAD")
    assert (await caller.raw("/bigbluebutton/api/hooks/ping")).text == "bbb-webhooks API up!"


async def test_a_long_request_line_and_very_many_parameters_are_survived(caller: Caller) -> None:
    reply = await caller.create(welcome="x" * 60_000)
    assert reply["returncode"] == "SUCCESS"
    query = "&".join(f"p{number}=" for number in range(2_001))
    assert (await caller.signed("getMeetings", query)).key == "requestTooLarge"


async def test_breakout_rooms_hang_on_their_parent_and_end_with_it(caller: Caller) -> None:
    parent = await caller.create()
    room = await caller.create(
        "x-1718-1", isBreakout="true", parentMeetingID="room-42", sequence="1", freeJoin="true"
    )
    assert room["parentMeetingID"] == parent["internalMeetingID"]
    assert room["internalMeetingID"] == "x-1718-1"
    stem = f"{parent['internalMeetingID']}-1718-1-1".encode()
    assert room["meetingID"] == hashlib.sha1(stem, usedforsecurity=False).hexdigest() + "-1718-1"
    again = await caller.create(
        "x-1718-1", isBreakout="true", parentMeetingID="room-42", sequence="1"
    )
    assert (again.key, again["meetingID"]) == ("duplicateWarning", room["meetingID"])
    info = await caller.call("getMeetingInfo", meetingID=room["meetingID"])
    assert info.names[-4:] == ["isBreakout", "parentMeetingID", "sequence", "freeJoin"]
    info = await caller.call("getMeetingInfo", meetingID="room-42")
    assert info["breakoutRooms/breakout"] == room["meetingID"]
    await caller.call("end", meetingID="room-42")
    assert (await caller.call("getMeetings")).key == "noMeetings"


async def test_a_multipart_form_is_read_too(caller: Caller) -> None:
    form = aiohttp.FormData({"name": "By form", "meetingID": "form-1"}, default_to_multipart=True)
    signed = checksum.signed_query("create", "", caller.secret)
    path = f"/bigbluebutton/api/create?{signed}"
    reply = await caller.raw(path, method="POST", data=form)
    assert reply["meetingID"] == "form-1"


async def test_the_first_of_repeated_parameters_counts_and_all_are_cleaned(caller: Caller) -> None:
    query = "name=+First%0A+&name=Second&meetingID=%20room-42%09&%20maxParticipants=3"
    await caller.signed("create", query)
    info = await caller.call("getMeetingInfo", meetingID="room-42")
    assert (info["meetingName"], info["maxUsers"]) == ("First", "3")


@pytest.mark.parametrize(
    "call", sorted(name for name, offer in api.CALLS.items() if offer.signed and not offer.switch)
)
async def test_no_call_is_answered_without_a_signature(caller: Caller, call: str) -> None:
    method = min(api.CALLS[call].methods)
    path = f"/bigbluebutton/api/{call}?meetingID=room-42&redirect=false&recordID=1&publish=true"
    reply = await caller.raw(f"{path}&checksum={'0' * 40}", method=method)
    assert (reply.status, reply.key) == (200, "checksumError")


async def test_a_sender_of_a_chat_message_has_a_short_name(caller: Caller) -> None:
    params = {"meetingID": "room-42", "message": "Hello", "userName": "x" * 256}
    assert (await caller.call("sendChatMessage", **params)).key == "sizeError"
    reply = await caller.create("ä" * 256)
    assert reply["returncode"] == "SUCCESS"
    assert (await caller.create("\U0001f600" * 129)).key == "sizeError"

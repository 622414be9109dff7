"""The recording calls."""

import pytest

from tests.simulator.caller import Caller


async def _record(caller: Caller, meeting_id: str, **params: str) -> str:
    created = await caller.create(meeting_id, record="true", **params)
    await caller.control(f"meetings/{meeting_id}/recording-marks", {})
    await caller.call("end", meetingID=meeting_id)
    return created["internalMeetingID"]


async def _found(caller: Caller, **params: str) -> list[str]:
    reply = await caller.call("getRecordings", **params)
    assert reply["returncode"] == "SUCCESS"
    return [str(found.text) for found in reply.root.iterfind("recordings/recording/meetingID")]


async def test_no_recordings_is_a_success(caller: Caller) -> None:
    await caller.create(record="true")
    await caller.call("end", meetingID="room-42")
    reply = await caller.call("getRecordings")
    assert reply.names == ["returncode", "recordings", "messageKey", "message"]
    assert reply.key == "noRecordings"


async def test_a_recording_has_the_elements_of_the_contract_in_order(caller: Caller) -> None:
    record_id = await _record(caller, "room-42", meta_Course="77")
    reply = await caller.call("getRecordings")
    recording = reply.root.find("recordings/recording")
    assert [child.tag for child in recording] == [
        "recordID", "meetingID", "internalMeetingID", "name", "isBreakout", "published", "state",
        "startTime", "endTime", "participants", "rawSize", "metadata", "size", "playback", "data",
    ]  # fmt: skip
    assert recording.findtext("recordID") == record_id
    assert recording.findtext("metadata/course") == "77"
    assert recording.findtext("playback/format/type") == "presentation"


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({}, ["r1", "r2", "r3"]),
        ({"meetingID": "r1,r3,"}, ["r1", "r3"]),
        ({"meta_course": "77"}, ["r1", "r2"]),
        ({"meta_course": "7%"}, ["r1", "r2", "r3"]),
        ({"meta_course": "%8"}, ["r3"]),
        ({"meta_course": "%7%"}, ["r1", "r2", "r3"]),
        ({"meta_other": "77"}, []),
        ({"state": "deleted"}, []),
        ({"state": "any"}, ["r1", "r2", "r3"]),
        ({"limit": "2"}, ["r1", "r2"]),
        ({"limit": "2", "offset": "2"}, ["r3"]),
        ({"limit": "0"}, ["r1"]),
        ({"recordID": "0"}, []),
    ],
)
async def test_recordings_are_filtered_and_paged(
    caller: Caller, params: dict[str, str], found: list[str]
) -> None:
    for meeting_id, course in (("r1", "77"), ("r2", "77"), ("r3", "78")):
        await _record(caller, meeting_id, meta_course=course)
    assert await _found(caller, **params) == found


async def test_recordings_are_hidden_shown_changed_and_deleted(caller: Caller) -> None:
    record_id = await _record(caller, "r1", meta_a="1", meta_b="2")
    prefix = record_id.partition("-")[0]
    ids = f"{record_id},unknown"
    assert (await caller.call("publishRecordings", recordID=ids, publish="false")).names == [
        "returncode", "published",
    ]  # fmt: skip
    assert await _found(caller, state="unpublished", recordID=prefix) == ["r1"]
    reply = await caller.call("updateRecordings", recordID=ids, meta_a="", meta_C="3")
    assert reply["updated"] == "true"
    reply = await caller.call("getRecordings")
    names = [child.tag for child in reply.root.find("recordings/recording/metadata")]
    assert names == ["isBreakout", "meetingId", "meetingName", "b", "c"]
    assert (await caller.call("deleteRecordings", recordID=ids))["deleted"] == "true"
    assert (await caller.call("deleteRecordings", recordID=ids)).key == "notFound"
    assert await _found(caller) == []
    assert await _found(caller, state="deleted") == ["r1"]


@pytest.mark.parametrize("call", ["publishRecordings", "deleteRecordings", "updateRecordings"])
async def test_recording_calls_complain_in_the_order_of_a_real_server(
    caller: Caller, call: str
) -> None:
    path = f"/bigbluebutton/api/{call}"
    reply = await caller.raw(path)
    assert reply["message"] == "You did not pass the checksum security check"
    assert (await caller.raw(f"{path}?checksum=1")).key == "missingParamRecordID"
    reply = await caller.raw(f"{path}?recordID=1&publish=true&checksum=1")
    assert reply.key == "checksumError"
    reply = await caller.call(call, recordID="1", publish="true")
    assert reply.key == "notFound"


async def test_publish_needs_a_value(caller: Caller) -> None:
    assert (await caller.call("publishRecordings", recordID="1")).key == "missingParamPublish"

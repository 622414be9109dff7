"""The text-track calls of a simulated node."""

import json
from typing import Any

import aiohttp

from tests.simulator.caller import Caller


async def _record(caller: Caller) -> str:
    created = await caller.create("room-42", record="true")
    await caller.control("meetings/room-42/recording-marks", {})
    await caller.call("end", meetingID="room-42")
    return created["internalMeetingID"]


async def _put(caller: Caller, query: str, content: bytes | None = b"WEBVTT") -> dict[str, Any]:
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("note", "x")
    if content is not None:
        form.add_field("file", content, filename="a.vtt", content_type="text/vtt")
    reply = await caller.signed("putRecordingTextTrack", query, method="POST", data=form)
    return dict(json.loads(reply.text)["response"])


async def _get(caller: Caller, record_id: str) -> dict[str, Any]:
    reply = await caller.call("getRecordingTextTracks", recordID=record_id)
    return dict(json.loads(reply.text)["response"])


async def test_a_new_track_of_a_kind_and_language_replaces_the_old_one(caller: Caller) -> None:
    record_id = await _record(caller)
    assert (await _get(caller, "unknown"))["messageKey"] == "noRecordings"
    assert (await _get(caller, record_id))["messageKey"] == "noCaptionsFound"
    for kind in ("captions", "subtitles", "captions"):
        answer = await _put(caller, f"recordID={record_id}&kind={kind}&lang=de")
        assert answer["messageKey"] == "upload_text_track_success"
    tracks = (await _get(caller, record_id))["tracks"]
    assert [track["kind"] for track in tracks] == ["subtitles", "captions"]
    assert sorted(tracks[0]) == ["href", "kind", "label", "lang", "source"]


async def test_an_upload_complains_in_the_order_of_a_real_server(caller: Caller) -> None:
    record_id = await _record(caller)
    known = f"recordID={record_id}"
    for query, key in (
        ("kind=captions", "paramError"),
        ("recordID=unknown", "noRecordings"),
        (known, "paramError"),
        (f"{known}&kind=x", "invalidKind"),
        (f"{known}&kind=captions", "paramError"),
        (f"{known}&kind=captions&lang=1", "invalidLang"),
    ):
        assert (await _put(caller, query))["messageKey"] == key, query
    answer = await _put(caller, f"{known}&kind=captions&lang=de", None)
    assert answer["messageKey"] == "empty_uploaded_text_track"
    path = "/bigbluebutton/api/putRecordingTextTrack"
    reply = await caller.raw(f"{path}?{known}&checksum=1", method="POST")
    assert reply.key == "checksumError"
    reply = await caller.raw("/bigbluebutton/api/getRecordingTextTracks?checksum=1")
    assert reply.key == "checksumError"

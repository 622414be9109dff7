"""The text-track calls: JSON, of the caller's own recordings, to the node that holds them."""

from typing import Any

import orjson
import pytest

from schemas import checksum
from tests.gateway.world import SECRET
from tests.recordings.studio import OTHER, US, Studio, Who

VTT = b"WEBVTT\n\n00:00.000 --> 00:02.000\nHello\n"


def _form(content: bytes, *, name: str = "file", more: bytes = b"") -> tuple[bytes, str]:
    body = (
        b'--frame\r\nContent-Disposition: form-data; name="'
        + name.encode()
        + b'"; filename="a.vtt"\r\nContent-Type: text/vtt\r\n\r\n'
        + content
        + b"\r\n"
        + more
        + b"--frame--\r\n"
    )
    return body, "multipart/form-data; boundary=frame"


async def _tracks(stage: Studio, who: Who = US, /, **params: str) -> dict[str, Any]:
    reply = await stage.call("getRecordingTextTracks", who, params)
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("application/json")
    assert "\n" not in reply.text
    return dict(orjson.loads(reply.text)["response"])


async def _put(
    stage: Studio, query: str, body: bytes, content_type: str, *, secret: str = SECRET
) -> dict[str, Any]:
    signed = checksum.signed_query("putRecordingTextTrack", query, secret)
    url = stage.run.url("putRecordingTextTrack", signed)
    reply = await stage.run.raw("POST", url, data=body, headers={"Content-Type": content_type})
    assert reply.status == 200, reply.text
    return dict(orjson.loads(reply.text)["response"])


async def test_a_track_is_put_listed_and_replaced(stage: Studio) -> None:
    record_id = await stage.record("room-42")
    await stage.harvest()
    assert (await _tracks(stage, recordID=record_id))["messageKey"] == "noCaptionsFound"
    for label in ("English", "Better%20English"):
        query = f"recordID={record_id}&kind=subtitles&lang=en-US&label={label}"
        answer = await _put(stage, query, *_form(VTT))
        assert answer == {
            "returncode": "SUCCESS",
            "recordId": record_id,
            "messageKey": "upload_text_track_success",
            "message": "Text track uploaded successfully",
        }
    answer = await _tracks(stage, recordID=record_id)
    assert answer["returncode"] == "SUCCESS"
    (track,) = answer["tracks"]
    href = track.pop("href")
    assert href.startswith(stage.holder(record_id).origin)
    assert href.endswith("subtitles_en-US.vtt")
    assert track == {
        "kind": "subtitles",
        "label": "Better English",
        "lang": "en-US",
        "source": "upload",
    }
    (call,) = (await stage.run.node_calls("putRecordingTextTrack"))[1:]
    assert call["params"]["label"] == "Better English"


async def test_another_tenants_recording_has_no_tracks(stage: Studio) -> None:
    record_id = await stage.record("room-42")
    await stage.harvest()
    await _put(stage, f"recordID={record_id}&kind=captions&lang=de", *_form(VTT))
    for who, asked in ((OTHER, record_id), (US, record_id[:40]), (US, f"{record_id},x")):
        answer = await _tracks(stage, who, recordID=asked)
        assert answer == {
            "returncode": "FAILED",
            "messageKey": "noRecordings",
            "message": "No recording found for ID",
        }
    others = await stage.record("room-42", OTHER)
    await stage.harvest()
    await stage.forget_calls()
    answer = await _put(stage, f"recordID={others}&kind=captions&lang=de", *_form(VTT))
    assert answer["messageKey"] == "noRecordings"
    assert answer["message"] == "No recording was found for ID"
    assert not await stage.run.node_calls("putRecordingTextTrack")
    assert stage.recording(others).tracks == []


async def test_a_deleted_recording_has_no_tracks(stage: Studio) -> None:
    record_id = await stage.record("room-42")
    await stage.harvest()
    await stage.change("deleteRecordings", recordID=record_id)
    assert (await _tracks(stage, recordID=record_id))["messageKey"] == "noRecordings"


async def test_without_a_record_id_the_ordinary_error_comes(stage: Studio) -> None:
    assert (await stage.run.call("getRecordingTextTracks")).key == "missingParamRecordID"


@pytest.mark.parametrize(
    ("query", "key", "message"),
    [
        ("kind=captions&lang=de", "paramError", "Missing param recordID."),
        ("recordID=x", "noRecordings", "No recording was found for ID"),
        ("recordID={id}", "paramError", "Missing param kind."),
        (
            "recordID={id}&kind=lyrics",
            "invalidKind",
            "Invalid kind parameter, expected='subtitles|captions' actual=lyrics",
        ),
        ("recordID={id}&kind=captions", "paramError", "Missing param lang."),
        ("recordID={id}&kind=captions&lang=_", "invalidLang", "Malformed lang param, received=_"),
    ],
)
async def test_an_upload_complains_in_the_order_of_a_real_server(
    stage: Studio, query: str, key: str, message: str
) -> None:
    record_id = await stage.record("room-42")
    await stage.harvest()
    answer = await _put(stage, query.format(id=record_id), *_form(VTT))
    assert answer == {"returncode": "FAILED", "messageKey": key, "message": message}
    assert not await stage.run.node_calls("putRecordingTextTrack")


async def test_an_upload_without_a_file_is_empty(stage: Studio) -> None:
    record_id = await stage.record("room-42")
    await stage.harvest()
    query = f"recordID={record_id}&kind=captions&lang=de"
    for body, kind in (_form(b""), _form(VTT, name="other")):
        answer = await _put(stage, query, body, kind)
        assert answer["messageKey"] == "empty_uploaded_text_track"


async def test_an_unsigned_field_of_the_form_never_reaches_the_node(stage: Studio) -> None:
    ours = await stage.record("room-42")
    others = await stage.record("room-42", OTHER)
    await stage.harvest()
    field = (
        f'--frame\r\nContent-Disposition: form-data; name="recordID"\r\n\r\n{others}\r\n'
    ).encode()
    body, kind = _form(VTT, more=field)
    answer = await _put(stage, f"recordID={ours}&kind=captions&lang=de", body, kind)
    assert answer["recordId"] == ours
    assert len(stage.recording(ours).tracks) == 1
    assert stage.recording(others).tracks == []


async def test_a_long_track_arrives_whole(stage: Studio) -> None:
    record_id = await stage.record("room-42")
    await stage.harvest()
    long = VTT * 60_000
    answer = await _put(stage, f"recordID={record_id}&kind=captions&lang=de", *_form(long))
    assert answer["returncode"] == "SUCCESS"
    assert stage.recording(record_id).tracks[0]["bytes"] == str(len(long))


@pytest.mark.parametrize("mode", ["refuse", "hang", "garbage", "error500"])
async def test_a_node_that_is_away_makes_a_clear_failure(stage: Studio, mode: str) -> None:
    record_id = await stage.record("room-42")
    await stage.harvest()
    await stage.run.fault(mode)
    assert (await _tracks(stage, recordID=record_id))["messageKey"] == "serviceUnavailable"
    answer = await _put(stage, f"recordID={record_id}&kind=captions&lang=de", *_form(VTT))
    assert answer["messageKey"] == "upload_text_track_failed"

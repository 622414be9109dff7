"""The text-track calls of the API: which there are, and a new one.

Owns what these calls do and the order in which they complain; both answer in JSON. A track is kept
at once and only by its size. Called by `api` only.
"""

import re
from typing import Any, Final

import orjson
from aiohttp import web

from deploy.simulator.node import Node
from deploy.simulator.wire import ApiCall
from schemas import documents

_KINDS: Final = frozenset({"subtitles", "captions"})
_LANG: Final = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*\Z")
_SIGNATURE: Final = "You did not pass the checksum security check"


def get_tracks(node: Node, call: ApiCall) -> str | web.Response:
    """List the tracks of a recording, each with an address that works once."""
    if not call.is_signed(node.settings.secret):
        return documents.failure("checksumError", _SIGNATURE)
    if not call.given("recordID"):
        return documents.failure("missingParamRecordID", "You must specify a recordID.")
    recording = node.state.recordings.get(call.given("recordID"))
    if recording is None:
        return _failed("noRecordings", "No recording found for ID")
    if not recording.tracks:
        return _failed("noCaptionsFound", "No captions found for ID")
    tracks = [
        {
            "href": (
                f"{call.origin}/textTrack/{node.state.draw.lower(24)}/{recording.record_id}/"
                f"{track['kind']}_{track['lang']}.vtt"
            ),
            **{name: value for name, value in track.items() if name != "bytes"},
        }
        for track in recording.tracks
    ]
    return _json({"returncode": "SUCCESS", "tracks": tracks})


def put_track(node: Node, call: ApiCall) -> str | web.Response:
    """Keep a track; an earlier one of the same kind and language makes way."""
    refusal = _refusal(node, call)
    if refusal is not None:
        return refusal
    recording = node.state.recordings[call.given("recordID")]
    kind, lang = call.given("kind"), call.given("lang")
    label = call.given("label") or lang
    track = {"kind": kind, "label": label, "lang": lang, "source": "upload"}
    track["bytes"] = str(len(call.files["file"]))
    others = [one for one in recording.tracks if (one["kind"], one["lang"]) != (kind, lang)]
    recording.tracks = [*others, track]
    node.state.store_recording(recording)
    return _json(
        {
            "returncode": "SUCCESS",
            "recordId": recording.record_id,
            "messageKey": "upload_text_track_success",
            "message": "Text track uploaded successfully",
        }
    )


def _refusal(node: Node, call: ApiCall) -> str | web.Response | None:
    kind, lang = call.given("kind"), call.given("lang")
    refused: tuple[str, str] | None = None
    if not any(call.checksums):
        refused = ("paramError", "Missing param checksum.")
    elif not call.given("recordID"):
        refused = ("paramError", "Missing param recordID.")
    elif not call.is_signed(node.settings.secret):
        return documents.failure("checksumError", _SIGNATURE)
    elif call.given("recordID") not in node.state.recordings:
        refused = ("noRecordings", "No recording was found for ID")
    elif not kind:
        refused = ("paramError", "Missing param kind.")
    elif kind not in _KINDS:
        refused = (
            "invalidKind",
            f"Invalid kind parameter, expected='subtitles|captions' actual={kind}",
        )
    elif not lang:
        refused = ("paramError", "Missing param lang.")
    elif not _LANG.match(lang):
        refused = ("invalidLang", f"Malformed lang param, received={lang}")
    elif not call.files.get("file"):
        refused = ("empty_uploaded_text_track", "Empty uploaded text track.")
    return None if refused is None else _failed(*refused)


def _failed(key: str, message: str) -> web.Response:
    return _json({"returncode": "FAILED", "messageKey": key, "message": message})


def _json(response: dict[str, Any]) -> web.Response:
    return web.Response(body=orjson.dumps({"response": response}), content_type="application/json")

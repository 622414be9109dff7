"""The text tracks of recordings: which there are, and a new one.

Owns the JSON answers of both calls, which are JSON whatever the caller accepts, and their
complaints. The file of an upload goes to the node as it came, without what else stands in the form.
Called by the dispatch.
"""

import re
from typing import Any, Final

import orjson
import structlog
from aiohttp import web

from gateway.calls.recordings import NO_RECORD_ID
from gateway.failures import ApiFailure
from gateway.incoming import GET_POST, POST, Bodies, Call, Calls, Incoming
from gateway.parts import Parts
from scheduler.directory_records import Node
from scheduler.nodes import NodeError, Params, encode
from scheduler.recordings import RecordingIndex
from schemas import answers, checksum, recordings

_GET: Final = "getRecordingTextTracks"
_PUT: Final = "putRecordingTextTrack"
_NONE_FOUND: Final = ("noRecordings", "No recording found for ID")
_NONE_TO_PUT: Final = ("noRecordings", "No recording was found for ID")
_EMPTY: Final = ("empty_uploaded_text_track", "Empty uploaded text track.")
_FAILED: Final = ("upload_text_track_failed", "Text track upload failed.")
_DONE: Final = ("upload_text_track_success", "Text track uploaded successfully")
_AWAY: Final = "serviceUnavailable"
_KINDS: Final = ("subtitles", "captions")
_LANG: Final = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8}){0,7}\Z")
_TRACK: Final = ("href", "kind", "label", "lang", "source")
#: Longer values of callers are cut off in answers.
_SHOWN_CHARS_MAX: Final = 100
#: Tracks of one recording that are shown.
_TRACKS_MAX: Final = 1_000
#: An upload may take this much longer per byte than an ordinary call.
_BYTES_PER_S: Final = 250_000

log = structlog.get_logger(__name__)


class TextTracks:
    """The text-track calls of one gateway."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._index = RecordingIndex(parts.database, now_ms=parts.now_ms)

    def calls(self) -> Calls:
        """Return the calls by name."""
        return {
            _GET: Call(self.get_tracks, GET_POST),
            _PUT: Call(self.put_track, POST, bodies=Bodies.FILE),
        }

    async def get_tracks(self, incoming: Incoming) -> web.Response:
        """List the tracks of a recording as its node has them."""
        record_id = incoming.params.get("recordID")
        if not record_id:
            raise ApiFailure(*NO_RECORD_ID)
        node = await self._node(incoming, record_id)
        if isinstance(node, _Unknown):
            return _failed(*_NONE_FOUND)
        query = checksum.signed_query(_GET, encode([("recordID", record_id)]), node.secret)
        try:
            reply = await self._parts.nodes.exchange(
                node, _GET, query, timeout_s=self._parts.settings.node_timeout_s
            )
            said = _response(reply.content)
        except (NodeError, ValueError) as error:
            return _away(node, _GET, error)
        if said.get("returncode") != "SUCCESS":
            return _failed_as(said, _NONE_FOUND)
        tracks = said.get("tracks")
        listed = tracks[:_TRACKS_MAX] if isinstance(tracks, list) else []
        shown = [_shown(track) for track in listed if isinstance(track, dict)]
        return _json({"returncode": "SUCCESS", "tracks": shown})

    async def put_track(self, incoming: Incoming) -> web.Response:
        """Hand a track over to the node that holds the recording."""
        given = incoming.params
        record_id, kind, lang = given.get("recordID"), given.get("kind"), given.get("lang")
        if not record_id:
            return _failed("paramError", "Missing param recordID.")
        node = await self._node(incoming, record_id)
        if isinstance(node, _Unknown):
            return _failed(*_NONE_TO_PUT)
        refused = _violation(kind, lang)
        if refused is not None:
            return _failed(*refused)
        upload = incoming.body  # of a form, its file alone; None when that is empty or absent
        if upload is None:
            return _failed(*_EMPTY)
        told: Params = [("recordID", record_id), ("kind", kind), ("lang", lang)]
        if label := given.get("label"):
            told = [*told, ("label", label)]
        query = checksum.signed_query(_PUT, encode(told), node.secret)
        timeout_s = self._parts.settings.node_timeout_s + upload.size / _BYTES_PER_S
        try:
            reply = await self._parts.nodes.exchange(
                node,
                _PUT,
                query,
                timeout_s=timeout_s,
                body=upload,
                content_type=upload.content_type,
            )
            said = _response(reply.content)
        except (NodeError, ValueError) as error:
            _away(node, _PUT, error)
            return _failed(*_FAILED)
        if said.get("returncode") != "SUCCESS":
            return _failed_as(said, _EMPTY)
        return _json(
            {
                "returncode": "SUCCESS",
                "recordId": record_id,
                "messageKey": _text(said, "messageKey") or _DONE[0],
                "message": _text(said, "message") or _DONE[1],
            }
        )

    async def _node(self, incoming: Incoming, record_id: str) -> "Node | _Unknown":
        """Return the node of a recording of the caller; raises `ApiFailure` when it is away."""
        node_id = await self._index.node_of(incoming.caller.credential, record_id)
        if node_id is None:
            return _Unknown()
        node = self._parts.directory.current.nodes.get(node_id)
        if node is None:
            log.warning("recording is on a node that was removed", node=node_id)
            raise ApiFailure(_AWAY)
        return node


class _Unknown:
    """The caller has no such recording."""


def _violation(kind: str, lang: str) -> tuple[str, str] | None:
    """Return the first rule of an upload that is violated."""
    if not kind:
        return "paramError", "Missing param kind."
    if kind not in _KINDS:
        shown = kind[:_SHOWN_CHARS_MAX]
        return (
            "invalidKind",
            f"Invalid kind parameter, expected='subtitles|captions' actual={shown}",
        )
    if not lang:
        return "paramError", "Missing param lang."
    if not _LANG.match(lang):
        return "invalidLang", f"Malformed lang param, received={lang[:_SHOWN_CHARS_MAX]}"
    return None


def _response(content: bytes) -> dict[str, Any]:
    """Return the `response` of a node's JSON; raises `ValueError` when there is none."""
    document = orjson.loads(content)
    said = document.get("response") if isinstance(document, dict) else None
    if not isinstance(said, dict):
        raise ValueError("the answer has no response")  # noqa: TRY004  # the node's, not a caller's
    return said


def _text(said: dict[str, Any], name: str) -> str:
    """Return a text of a node, without the ids that only nodes know."""
    value = said.get(name, "")
    return recordings.scrubbed(value, "", "") if isinstance(value, str) else ""


def _shown(track: dict[str, Any]) -> dict[str, str]:
    return {name: _text(track, name) for name in _TRACK if name in track}


def _failed_as(said: dict[str, Any], otherwise: tuple[str, str]) -> web.Response:
    """Pass a node's failure on."""
    key, message = _text(said, "messageKey"), _text(said, "message")
    return _failed(key or otherwise[0], message or otherwise[1])


def _away(node: Node, call: str, error: NodeError | ValueError) -> web.Response:
    reason = error.detail if isinstance(error, NodeError) else "the answer is not JSON"
    log.warning("node did not answer", node=node.name, call=call, reason=reason)
    return _failed(_AWAY, answers.MESSAGES[_AWAY])


def _failed(key: str, message: str) -> web.Response:
    return _json({"returncode": "FAILED", "messageKey": key, "message": message})


def _json(response: dict[str, Any]) -> web.Response:
    return web.Response(
        body=orjson.dumps({"response": response}),
        content_type="application/json",
        headers={"Cache-Control": "no-cache"},
    )

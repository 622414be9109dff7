"""The recording calls of the API: list, publish, delete, change metadata.

Owns what these calls do and the order in which they complain, which differs from the meeting
calls. Never stores by itself. Called by `api` only.
"""

from typing import Final

from deploy.simulator.model import Recording
from deploy.simulator.node import Node
from deploy.simulator.rules import Violation
from deploy.simulator.wire import ApiCall
from schemas import documents
from schemas.documents import Pair, Raw

_CHECKSUM: Final = Violation("checksumError", "You did not pass the checksum security check")
_NO_RECORD_ID: Final = Violation("missingParamRecordID", "You must specify a recordID.")
_NO_PUBLISH: Final = Violation(
    "missingParamPublish", "You must specify a publish value true or false."
)
_NOT_FOUND: Final = Violation("notFound", "We could not find recordings")
_LIMIT_MAX: Final = 100
_SHOWN: Final = frozenset({"published", "unpublished"})
_NO_RECORDINGS: Final = (
    "<response><returncode>SUCCESS</returncode><recordings></recordings>"
    "<messageKey>noRecordings</messageKey>"
    "<message>There are no recordings for the meeting(s).</message></response>"
)


def _failed(violation: Violation) -> str:
    return documents.failure(violation.key, violation.message)


def get_recordings(node: Node, call: ApiCall) -> str:
    """List recordings by record id or prefix, else by meeting id, state and metadata."""
    if not call.is_signed(node.settings.secret):
        return _failed(_CHECKSUM)
    # As real servers do, pages count formats, so a recording may begin on one and end on the next.
    found = [
        (r, made) for r in node.state.recordings.values() if _fits(call, r) for made in r.formats
    ]
    total = len(found)
    limit = call.given("limit")
    paged = limit.lstrip("-").isdecimal() and not node.settings.legacy_recording_list
    if paged:
        offset = max(0, call.number("offset"))
        found = found[offset : offset + min(max(1, int(limit)), _LIMIT_MAX)]
    if not found:
        return _NO_RECORDINGS
    formats: dict[str, list[str]] = {}
    for recording, made in found:
        formats.setdefault(recording.record_id, []).append(made)
    shown = "".join(
        [
            documents.element("recording", _elements(call, node.state.recordings[key], types))
            for key, types in formats.items()
        ]
    )
    trailer: list[Pair] = [("totalElements", total)] if paged else []
    return documents.success([("recordings", Raw(shown)), *trailer])


def publish_recordings(node: Node, call: ApiCall) -> str:
    """Show or hide recordings; unknown ids are skipped beside known ones."""
    publish = call.given("publish")
    refusal = _refusal(node, call, None if publish else _NO_PUBLISH)
    if refusal is not None:
        return _failed(refusal)
    found = _chosen(node, call)
    for recording in found:
        recording.state = "published" if publish.lower() == "true" else "unpublished"
        node.state.store_recording(recording)
    return documents.success([("published", publish)]) if found else _failed(_NOT_FOUND)


def delete_recordings(node: Node, call: ApiCall) -> str:
    """Mark recordings as deleted."""
    refusal = _refusal(node, call)
    if refusal is not None:
        return _failed(refusal)
    found = _chosen(node, call)
    for recording in found:
        recording.state = "deleted"
        node.state.store_recording(recording)
    return documents.success([("deleted", True)]) if found else _failed(_NOT_FOUND)


def update_recordings(node: Node, call: ApiCall) -> str:
    """Set metadata of recordings; an empty value removes the key."""
    refusal = _refusal(node, call)
    if refusal is not None:
        return _failed(refusal)
    found = _chosen(node, call)
    for recording in found:
        for name, value in call.params.items():
            if name.startswith("meta_") and value:
                recording.metadata[name[5:].lower()] = value
            elif name.startswith("meta_"):
                recording.metadata.pop(name[5:].lower(), None)
        node.state.store_recording(recording)
    return documents.success([("updated", True)]) if found else _failed(_NOT_FOUND)


def _refusal(node: Node, call: ApiCall, missing: Violation | None = None) -> Violation | None:
    if not any(call.checksums):
        return _CHECKSUM
    if not call.given("recordID"):
        return _NO_RECORD_ID
    if missing is not None:
        return missing
    return None if call.is_signed(node.settings.secret) else _CHECKSUM


def _chosen(node: Node, call: ApiCall) -> list[Recording]:
    known = node.state.recordings
    wanted = [known.get(record_id) for record_id in _listed(call.given("recordID"))]
    return [r for r in wanted if r is not None and r.state in _SHOWN]


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _fits(call: ApiCall, recording: Recording) -> bool:
    record_ids, meeting_ids = _listed(call.given("recordID")), _listed(call.given("meetingID"))
    if record_ids:
        if not any(recording.record_id.startswith(prefix) for prefix in record_ids):
            return False
    elif meeting_ids and recording.meeting_id not in meeting_ids:
        return False
    states = set(_listed(call.given("state"))) or _SHOWN
    if "any" not in states and recording.state not in states:
        return False
    return all(
        _matches(recording.metadata.get(name[5:].lower()), pattern)
        for name, pattern in call.params.items()
        if name.startswith("meta_")
    )


def _matches(value: str | None, pattern: str) -> bool:
    if value is None:
        return False
    body = pattern.removeprefix("%").removesuffix("%")
    match pattern.startswith("%"), pattern.endswith("%"):
        case True, True:
            return body in value
        case True, False:
            return value.endswith(body)
        case False, True:
            return value.startswith(body)
        case _:
            return value == pattern


def _elements(call: ApiCall, recording: Recording, formats: list[str]) -> list[Pair]:
    metadata: list[Pair] = [
        ("isBreakout", "false"),
        ("meetingId", recording.meeting_id),
        ("meetingName", recording.name),
    ]
    metadata += [(k, v) for k, v in recording.metadata.items() if documents.is_element_name(k)]
    playback: list[Pair] = [("format", _format(call, recording, kind)) for kind in formats]
    return [
        ("recordID", recording.record_id),
        ("meetingID", recording.meeting_id),
        ("internalMeetingID", recording.record_id),
        ("name", recording.name),
        ("isBreakout", False),
        ("published", recording.state == "published"),
        ("state", recording.state),
        ("startTime", recording.start_ms),
        ("endTime", recording.end_ms),
        ("participants", recording.participants),
        ("rawSize", 0),
        ("metadata", metadata),
        ("size", 0),
        ("playback", playback),
        ("data", ""),
    ]


def _format(call: ApiCall, recording: Recording, kind: str) -> list[Pair]:
    return [
        ("type", kind),
        ("url", f"{call.origin}/playback/{kind}/2.3/{recording.record_id}"),
        ("processingTime", 0),
        ("length", (recording.end_ms - recording.start_ms) // 60_000),
        ("size", 0),
    ]

"""A node's words with the caller's ids: in sentences, in documents, in documents kept as text."""

import json
from typing import Any, cast

from gateway import wording
from gateway.meetings import Entry
from schemas.messages import MeetingView

EXTERNAL = 'room "42" \\ ä'
ENTRY = Entry(cast("MeetingView", {"id": "0" * 32, "external_id": EXTERNAL}), 0)
OURS = ENTRY.node_meeting_id


def test_a_sentence_has_the_callers_id() -> None:
    assert wording.text(ENTRY, f"Meeting {OURS} is over") == f"Meeting {EXTERNAL} is over"


def test_a_document_is_translated_wherever_the_id_stands() -> None:
    inner = {"extId": OURS, "list": [f"[{OURS}]", 1, None, True, 1.5]}
    found = wording.document(
        ENTRY, {"data": json.dumps(inner), OURS: {"deep": [[OURS]]}, "plain": f"{{{OURS}"}
    )
    assert json.loads(found["data"]) == {
        "extId": EXTERNAL,
        "list": [f"[{EXTERNAL}]", 1, None, True, 1.5],
    }
    assert found[EXTERNAL] == {"deep": [[EXTERNAL]]}
    assert found["plain"] == f"{{{EXTERNAL}", "what only looks like a document is a sentence"


def test_what_holds_no_id_stays_byte_for_byte() -> None:
    text = '{ "b" : 1.0, "a":[ ] }'
    assert wording.document(ENTRY, {"data": text}) == {"data": text}


def test_a_document_without_a_bottom_is_cut_off() -> None:
    nested: Any = OURS
    for _ in range(10_000):
        nested = [nested]
    assert OURS not in repr(_depth(wording.document(ENTRY, nested)))


def _depth(found: Any) -> tuple[int, Any]:
    depth = 0
    while isinstance(found, list):
        found, depth = found[0], depth + 1
    return depth, found

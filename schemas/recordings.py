"""Recordings: reading what a node lists, and the document that callers get.

Owns the plain shape in which a recording is kept, its elements in both directions, and the rule
that neither the ids nor the metadata that we gave the node are ever shown. Pure; decides nothing
about whose a recording is. Used by the harvester, the index and the gateway.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypedDict

import orjson
from lxml import etree

from schemas import documents, inward
from schemas.documents import Pair, Raw

#: Metadata under this prefix is ours: never taken from callers, never shown to them.
OWN_META_PREFIX: Final = "seatkeep-"
#: Holds our id of the meeting.
MEETING_META: Final = "seatkeep-meeting"

PUBLISHED: Final = "published"
UNPUBLISHED: Final = "unpublished"
DELETED: Final = "deleted"
STATES: Final = frozenset(("processing", "processed", PUBLISHED, UNPUBLISHED, DELETED))
#: What is listed unless a caller asks otherwise, and what can be changed.
SHOWN: Final = frozenset((PUBLISHED, UNPUBLISHED))

#: Longest id that is kept: the width of its column.
ID_CHARS_MAX: Final = 64
#: Extension elements of one recording above this are left out.
_DEPTH_MAX: Final = 12
_ELEMENTS_MAX: Final = 2_000
_NUMBER_MAX: Final = 2**63 - 1
_DIGITS: Final = re.compile(r"[0-9]{1,19}\Z")
_SCOPED: Final = re.compile(r"sk-[0-9a-f]{32}")
#: BBB's own keys among the metadata; they keep their case.
_BBB_META: Final = frozenset(("isBreakout", "meetingId", "meetingName"))
_FORMAT: Final = frozenset(("type", "url", "processingTime", "length", "size"))
_ATTRIBUTE: Final = {'"': "&quot;", "\n": "&#10;", "\t": "&#9;"}

NO_RECORDINGS: Final = ("noRecordings", "There are no recordings for the meeting(s).")

#: An element that is passed on as it is: name, attributes, text, children.
Tree = list[Any]


class Format(TypedDict):
    """One playback format."""

    type: str
    url: str
    processing_ms: int
    length_min: int
    bytes: int
    #: Extension elements, `preview` among them.
    more: list[Tree]


class Doc(TypedDict):
    """A recording as its node lists it."""

    name: str
    breakout: bool
    state: str
    start_ms: int
    end_ms: int
    participants: int
    raw_bytes: int
    bytes: int
    #: Without BBB's own keys and without ours.
    meta: dict[str, str]
    formats: list[Format]
    #: Type and URL of data formats.
    data: list[tuple[str, str]]
    #: `breakout` and `breakoutRooms`.
    more: list[Tree]


@dataclass(frozen=True, slots=True)
class Listed:
    """One `recording` element of a node's list."""

    record_id: str
    #: `meetingID` as the node knows it.
    node_meeting_id: str
    #: Our meeting id, if the metadata carries one.
    meeting_id: str
    #: Internal id of the meeting whose breakout room it was, if any.
    parent_id: str
    doc: Doc

    @property
    def fingerprint(self) -> str:
        """What tells two versions of the recording apart."""
        packed = orjson.dumps(self.doc, option=orjson.OPT_SORT_KEYS)
        return hashlib.blake2b(packed, digest_size=16).hexdigest()


# Reading a node's list


def read_page(root: etree._Element) -> tuple[list[Listed], int | None]:
    """Return the recordings of an answer, and the total when the node pages, else None.

    A recording that stands in it twice, with a part of its formats each, is one.
    """
    listed = [_read(element) for element in root.iterfind("recordings/recording")]
    page = joined([], [one for one in listed if 0 < len(one.record_id) <= ID_CHARS_MAX])
    total = root.findtext("totalElements") or root.findtext("pagination/totalElements")
    return page, None if total is None else _number(total)


def joined(held: list[Listed], page: list[Listed]) -> list[Listed]:
    """Return a page with what was held back of the one before."""
    by_id = {one.record_id: one for one in held}
    for one in page:
        if one.record_id in by_id:
            merge(by_id[one.record_id].doc, one.doc)
        else:
            by_id[one.record_id] = one
    return list(by_id.values())


def merge(doc: Doc, other: Doc) -> None:
    """Add the formats of another part of the same recording."""
    types = {made["type"] for made in doc["formats"]}
    doc["formats"] += [made for made in other["formats"] if made["type"] not in types]
    doc["data"] += [made for made in other["data"] if made not in doc["data"]]
    doc["bytes"] = max(doc["bytes"], other["bytes"])


def _read(element: etree._Element) -> Listed:
    def text(name: str) -> str:
        return (element.findtext(name) or "").strip()

    metadata = {str(child.tag): child.text or "" for child in element.iterfind("metadata/*")}
    budget = [_ELEMENTS_MAX]
    more = [
        tree
        for name in ("breakout", "breakoutRooms")
        if (found := element.find(name)) is not None and (tree := _tree(found, budget)) is not None
    ]
    doc = Doc(
        name=text("name") or metadata.get("meetingName", ""),
        breakout=text("isBreakout") == "true",
        state=_state(text("state"), published=text("published") == "true"),
        start_ms=_number(text("startTime")),
        end_ms=_number(text("endTime")),
        participants=_number(text("participants")),
        raw_bytes=_number(text("rawSize")),
        bytes=_number(text("size")),
        meta={
            k: v
            for k, v in metadata.items()
            if not (k in _BBB_META or is_own_meta(k) or inward.is_ours(k, v))
        },
        formats=[_read_format(made, budget) for made in element.iterfind("playback/format")],
        data=[
            ((made.findtext("type") or "").strip(), (made.findtext("url") or "").strip())
            for made in element.iterfind("data/format")
        ],
        more=more,
    )
    return Listed(
        record_id=text("recordID"),
        node_meeting_id=text("meetingID") or metadata.get("meetingId", ""),
        meeting_id=metadata.get(MEETING_META, ""),
        parent_id=text("breakout/parentId"),
        doc=doc,
    )


def _read_format(element: etree._Element, budget: list[int]) -> Format:
    def text(name: str) -> str:
        return (element.findtext(name) or "").strip()

    more = [
        tree
        for child in element.iterchildren()
        if child.tag not in _FORMAT and (tree := _tree(child, budget)) is not None
    ]
    return Format(
        type=text("type"),
        url=text("url"),
        processing_ms=_number(text("processingTime")),
        length_min=_number(text("length")),
        bytes=_number(text("size")),
        more=more,
    )


def _tree(element: etree._Element, budget: list[int], depth: int = 0) -> Tree | None:
    """Return an element of unknown meaning; None when it is too much or has no plain name."""
    name = element.tag
    budget[0] -= 1
    if budget[0] < 0 or depth > _DEPTH_MAX or not _is_name(name):
        return None
    attributes = {str(k): str(v) for k, v in element.attrib.items() if _is_name(k)}
    children = [
        tree
        for child in element.iterchildren()
        if (tree := _tree(child, budget, depth + 1)) is not None
    ]
    return [str(name), attributes, "" if children else element.text or "", children]


def _is_name(name: object) -> bool:
    return isinstance(name, str) and documents.is_element_name(name)


def _state(text: str, *, published: bool) -> str:
    if text in STATES:
        return text
    return PUBLISHED if text == "available" or published else UNPUBLISHED


def _number(text: str) -> int:
    """Return a number, with or without thousands separators; 0 for everything else."""
    plain = text.replace(",", "").strip()
    return min(int(plain), _NUMBER_MAX) if _DIGITS.match(plain) else 0


def is_own_meta(key: str) -> bool:
    """Tell whether metadata is ours, in whatever case somebody spells it."""
    return key.lower().startswith(OWN_META_PREFIX)


# Rendering


def rendered(
    doc: Doc,
    *,
    record_id: str,
    external_id: str,
    meeting_id: str,
    state: str,
    meta: Mapping[str, str],
) -> str:
    """Return one `recording` element in BBB's order.

    State and metadata are handed in, because a caller's change counts before the node knows it.
    """
    metadata: list[Pair] = [
        ("isBreakout", doc["breakout"]),
        ("meetingId", external_id),
        ("meetingName", doc["name"]),
    ]
    metadata += [
        (key, value)
        for key, value in meta.items()
        if documents.is_element_name(key) and not is_own_meta(key)
    ]
    pairs: list[Pair] = [
        ("recordID", record_id),
        ("meetingID", external_id),
        ("internalMeetingID", record_id),
        ("name", doc["name"]),
        ("isBreakout", doc["breakout"]),
        ("published", state == PUBLISHED),
        ("state", state),
        ("startTime", doc["start_ms"]),
        ("endTime", doc["end_ms"]),
        ("participants", doc["participants"]),
        ("rawSize", doc["raw_bytes"]),
        ("metadata", metadata),
        ("size", doc["bytes"]),
    ]
    markup = [documents.elements(pairs)]
    markup += [_markup(tree) for tree in doc["more"]]
    formats = "".join([_format_markup(made) for made in doc["formats"]])
    data: list[Pair] = [("format", [("type", kind), ("url", url)]) for kind, url in doc["data"]]
    markup.append(documents.elements([("playback", Raw(formats)), ("data", data)]))
    return scrubbed(
        f"<recording>{''.join(markup)}</recording>", meeting_id, documents.escape(external_id)
    )


def _format_markup(made: Format) -> str:
    pairs: list[Pair] = [
        ("type", made["type"]),
        ("url", made["url"]),
        ("processingTime", made["processing_ms"]),
        ("length", made["length_min"]),
        ("size", made["bytes"]),
    ]
    more = "".join([_markup(tree) for tree in made["more"]])
    return f"<format>{documents.elements(pairs)}{more}</format>"


def _inner(tree: Tree) -> str:
    return "".join([_markup(child) for child in tree[3]]) or documents.escape(tree[2])


def _markup(tree: Tree) -> str:
    attributes = "".join([f' {name}="{_attribute(value)}"' for name, value in tree[1].items()])
    return f"<{tree[0]}{attributes}>{_inner(tree)}</{tree[0]}>"


def _attribute(text: str) -> str:
    text = documents.escape(text)
    for sign, escaped in _ATTRIBUTE.items():
        text = text.replace(sign, escaped)
    return text


def scrubbed(text: str, meeting_id: str, external_id: str) -> str:
    """Return a text with the ids under which nodes know meetings taken out of it."""
    if "sk-" not in text:
        return text
    own = f"sk-{meeting_id}"
    return _SCOPED.sub(lambda found: external_id if found.group() == own else "", text)


def listing(markup: Iterable[str], *, total: int | None) -> str:
    """Return the answer of getRecordings around rendered recordings; `total` when paged."""
    inner = "".join(markup)
    pairs: list[Pair] = [("recordings", Raw(inner))]
    if not inner:
        pairs += [("messageKey", NO_RECORDINGS[0]), ("message", NO_RECORDINGS[1])]
    pairs.append(("totalElements", total))
    return documents.success(pairs)

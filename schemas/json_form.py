"""The JSON form of the API's answers: one mapping from the finished XML document, for all calls.

Owns the tables of that mapping: which elements are lists, which numbers, which booleans, and whose
children are texts of the caller. Pure; never looks at what a document means. Used by the gateway,
whose README shows the mapping to people.
"""

import re
from typing import Any, Final

import orjson
from lxml import etree

#: Elements that hold items: arrays, however many there are. True: items are objects, else texts.
LISTS: Final = {
    "attendees": True,
    "breakoutRooms": False,
    "data": True,
    "errors": True,
    "hooks": True,
    "images": True,
    "meetings": True,
    "playback": True,
    "recordings": True,
    "sessions": True,
}
#: Elements whose children are named and filled by callers: objects of texts, whatever they say.
TEXTS: Final = frozenset(("customdata", "metadata"))
#: Objects even when they are empty.
OBJECTS: Final = frozenset(("breakout", "preview"))
NUMBERS: Final = frozenset(
    (
        "createTime",
        "duration",
        "endTime",
        "height",
        "length",
        "listenerCount",
        "maxUsers",
        "moderatorCount",
        "participantCount",
        "participants",
        "processingTime",
        "rawSize",
        "sequence",
        "size",
        "startTime",
        "totalElements",
        "videoCount",
        "voiceParticipantCount",
        "width",
    )
)
FLAGS: Final = frozenset(
    (
        "deleted",
        "ended",
        "freeJoin",
        "hasBeenForciblyEnded",
        "hasJoinedVoice",
        "hasUserJoined",
        "hasVideo",
        "isBreakout",
        "isListeningOnly",
        "isPresenter",
        "permanentHook",
        "published",
        "rawData",
        "recording",
        "removed",
        "running",
        "updated",
    )
)
#: Where the text of an element stands that has attributes as well.
TEXT: Final = "text"

_START: Final = b"<response>"
_WORDS: Final = {"true": True, "false": False}
#: What every reader of JSON can hold exactly.
_NUMBER: Final = re.compile(r"-?[0-9]{1,15}\Z")
#: Deeper elements, which only a node can have made, are shown as their text.
_DEPTH_MAX: Final = 32


class MalformedError(ValueError):
    """The document is not well-formed."""


def is_document(body: bytes) -> bool:
    """Tell whether a body is an answer that has a JSON form."""
    return body.startswith(_START)


def converted(document: bytes) -> bytes:
    """Return an answer as JSON; raises `MalformedError`, which no answer of our making does."""
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        huge_tree=True,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(document, parser)
    except etree.XMLSyntaxError as error:
        raise MalformedError(str(error)) from error
    return orjson.dumps({"response": _object(root, 0)})


def typed(name: str, text: str) -> str | int | bool | None:
    """Return the text of an element as what the element is; what does not fit stays a text."""
    if name in NUMBERS:
        text = text.strip()
        return int(text) if _NUMBER.match(text) else text or None
    if name in FLAGS:
        return _WORDS.get(text.strip(), text or None)
    return text


def _value(element: etree._Element, depth: int) -> Any:
    name = str(element.tag)
    if depth > _DEPTH_MAX:
        return _all_text(element)
    if name in LISTS and (len(element) or not _text(element).strip()):
        if LISTS[name]:
            return [_object(item, depth + 1) for item in element]
        return [_text(item) for item in element]
    if name in TEXTS:
        return _texts(element)
    if len(element) or element.attrib or name in OBJECTS:
        return _object(element, depth)
    return typed(name, _text(element))


def _object(element: etree._Element, depth: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        str(name): typed(str(name), str(value)) for name, value in element.attrib.items()
    }
    if not len(element) and (text := _text(element)).strip():
        fields[TEXT] = text
    repeated: set[str] = set()
    seen: set[str] = set()
    for child in element:
        name = str(child.tag)
        value = _value(child, depth + 1)
        if name not in seen:
            seen.add(name)
            fields[name] = value
        elif name in repeated:
            fields[name].append(value)
        else:
            repeated.add(name)
            fields[name] = [fields[name], value]
    return fields


def _texts(element: etree._Element) -> dict[str, str]:
    found: dict[str, str] = {}
    for child in element:
        found.setdefault(str(child.tag), _all_text(child))
    return found


def _text(element: etree._Element) -> str:
    return element.text or ""


def _all_text(element: etree._Element) -> str:
    return "".join(str(text) for text in element.itertext())

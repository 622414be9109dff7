"""Text of a state file → plain values, with the lines on which they stand.

Owns the limits of size and depth. Reads JSON, and of YAML what state needs: mappings, lists and
scalars, without anchors, aliases or tags; a name that comes twice is an error. Only null, true,
false and decimal numbers are no texts, so `no` and `08` mean what they say. Never fails otherwise
than with `StateError`.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import yaml
from yaml import events

from scheduler.checks import OperationError

#: Ten thousand subscriptions with all that can be set are a quarter of it.
TEXT_BYTES_MAX: Final = 64 * 1_048_576
DEPTH_MAX: Final = 16
#: Names, values, lists and mappings together.
PARTS_MAX: Final = 4_000_000
FAULTS_SHOWN_MAX: Final = 20

_NULLS: Final = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE: Final = frozenset(("true", "True", "TRUE"))
_FALSE: Final = frozenset(("false", "False", "FALSE"))
_WHOLE: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\Z")
_DECIMAL: Final = re.compile(r"[-+]?[0-9]{1,15}\.[0-9]{0,15}\Z")
#: Tags that say what is so anyway.
_TAGS: Final = (None, "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:map")

#: The line of a scalar, or that of a mapping or list with the places of what is in it.
Place: TypeAlias = int | tuple[int, dict[Any, Any]]
Path: TypeAlias = Sequence[str | int]


class StateError(OperationError):
    """A state file cannot be used; one sentence for each fault."""

    def __init__(self, faults: Sequence[str]) -> None:
        shown = list(faults[:FAULTS_SHOWN_MAX])
        if len(faults) > len(shown):
            shown.append(f"… and {len(faults) - len(shown)} more")
        super().__init__("\n".join(shown))
        self.faults = tuple(faults)


class Parsed:
    """A value and where its parts stand."""

    def __init__(self, value: Any, place: Place | None = None) -> None:
        self.value = value
        self._place = place

    def line(self, path: Path) -> int | None:
        """Return the line of what the path leads to, or of what is nearest above it."""
        place = self._place
        for step in path:
            if not isinstance(place, tuple) or step not in place[1]:
                break
            place = place[1][step]
        return place[0] if isinstance(place, tuple) else place

    def fault(self, path: Path, said: str) -> str:
        """Return the sentence with its place in front."""
        line = self.line(path)
        where = [f"line {line}"] if line is not None else []
        if path:
            where.append(".".join(map(str, path)))
        return ": ".join([*where, said])


def parse(content: bytes) -> Parsed:
    """Return what a file says; raises `StateError`."""
    if len(content) > TEXT_BYTES_MAX:
        raise StateError([f"a state file may have {TEXT_BYTES_MAX // 1_048_576} MiB; divide it"])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise StateError([f"line {line}: this is no text in UTF-8"]) from error
    return _json(text) if text.lstrip()[:1] in ("{", "[") else _yaml(text)


# --- JSON


def _json(text: str) -> Parsed:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise StateError([f"{twice!r} comes twice in one object; leave one of them"])
        return found

    def no_number(name: str) -> Any:
        raise StateError([f"{name} is no number that can be used here"])

    try:
        value = json.loads(text, object_pairs_hook=once, parse_constant=no_number)
    except json.JSONDecodeError as error:
        if text.lstrip().startswith("{") and not text.lstrip()[1:].lstrip().startswith(('"', "}")):
            return _yaml(text)  # a YAML mapping in braces
        raise StateError([f"line {error.lineno}: this is no JSON: {error.msg}"]) from error
    except (RecursionError, ValueError) as error:
        raise StateError(["this JSON is nested too deeply, or has a number too long"]) from error
    check_value(value)
    return Parsed(value)


def check_value(value: Any) -> None:
    """Refuse what is nested deeper than any state is; also for values that were no text."""
    layer, depth = [value], 0
    while layer:
        if depth > DEPTH_MAX:
            raise StateError([f"this is nested deeper than {DEPTH_MAX} levels"])
        depth += 1
        below: list[Any] = []
        for part in layer:
            if isinstance(part, dict):
                below.extend(part.values())
            elif isinstance(part, list):
                below.extend(part)
        layer = below


# --- YAML


class _Open:
    """A mapping or list whose end has not come."""

    __slots__ = ("key", "keyed", "line", "places", "value")

    def __init__(self, value: Any, line: int) -> None:
        self.value = value
        self.line = line
        self.places: dict[Any, Any] = {}
        self.key: Any = None
        #: Whether a name was read whose value comes next.
        self.keyed = False


def _yaml(text: str) -> Parsed:
    try:
        return _composed(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}: " if mark is not None else ""
        said = error.problem or error.context or "it cannot be read"
        raise StateError([f"{where}this is no YAML: {said}"]) from error
    except yaml.YAMLError as error:
        said = str(error).splitlines()[0] if str(error) else "it cannot be read"
        raise StateError([f"this is no YAML: {said}"]) from error


def _composed(stream: Any) -> Parsed:
    """Put the parts together without recursion, so that no nesting can exhaust the stack."""
    stack: list[_Open] = []
    root: Parsed | None = None
    for number, event in enumerate(stream):
        if number > PARTS_MAX:
            raise StateError([f"a state file may have {PARTS_MAX} parts; divide it"])
        line = event.start_mark.line + 1
        if isinstance(event, events.ScalarEvent):
            _check_plain(event, line)
            naming = stack and isinstance(stack[-1].value, dict) and not stack[-1].keyed
            # A name is a text, even one that looks like a number.
            value: Any = (event.value or None) if naming else _scalar(event)
            place: Place = line
        elif isinstance(event, events.MappingStartEvent | events.SequenceStartEvent):
            _check_plain(event, line)
            if len(stack) >= DEPTH_MAX:
                raise StateError([f"line {line}: nested deeper than {DEPTH_MAX} levels"])
            stack.append(_Open({} if isinstance(event, events.MappingStartEvent) else [], line))
            continue
        elif isinstance(event, events.MappingEndEvent | events.SequenceEndEvent):
            ended = stack.pop()
            value, place, line = ended.value, (ended.line, ended.places), ended.line
        elif isinstance(event, events.AliasEvent):
            raise StateError([f"line {line}: *{event.anchor} is an alias; write it out"])
        else:
            continue
        if stack:
            _put(stack[-1], value, place, line)
        elif root is not None:
            raise StateError([f"line {line}: a second document begins here; leave one of them"])
        else:
            root = Parsed(value, place)
    return root or Parsed(None, 1)


def _check_plain(event: Any, line: int) -> None:
    if event.anchor is not None:
        raise StateError([f"line {line}: &{event.anchor} is an anchor; write out what it is for"])
    if event.tag not in _TAGS:
        raise StateError([f"line {line}: the tag {event.tag} is not read; leave it out"])


def _put(parent: _Open, value: Any, place: Place, line: int) -> None:
    """Add a value to what it stands in, or note it as a name."""
    if isinstance(parent.value, list):
        parent.places[len(parent.value)] = place
        parent.value.append(value)
    elif parent.keyed:
        parent.value[parent.key] = value
        parent.places[parent.key] = place
        parent.keyed = False
    else:
        if isinstance(value, dict | list) or value is None:
            raise StateError([f"line {line}: a name is missing before the colon"])
        if value in parent.value:
            raise StateError([f"line {line}: {value!r} comes twice here; leave one of them"])
        parent.key, parent.keyed = value, True


def _scalar(event: events.ScalarEvent) -> Any:
    text = event.value
    if not event.implicit[0]:
        return text
    if text in _NULLS:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if _WHOLE.match(text):
        return int(text)
    return float(text) if _DECIMAL.match(text) else text


#: The reader in C is some ten times as fast; its build is missing in few environments.
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

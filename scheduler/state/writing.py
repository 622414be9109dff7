"""Items → the text of a state file.

Owns what is left out (defaults, what is over) and the look of the file; the same state is always
the same text, so that it can be kept under version control. Secrets are written as the given writer
says. Pure.
"""

import datetime as dt
import json
from typing import Any, Final

import yaml

from scheduler.state import items
from scheduler.state.items import (
    MAINTENANCE,
    PREVIOUS,
    PREVIOUS_UNTIL,
    SECRET,
    Item,
    Kind,
    State,
)
from scheduler.state.secrets import Writer
from schemas.dialects.names import Dialect
from schemas.management.state import VERSION, Encryption

_SECTIONS_OF: Final = tuple(kind for kind in Kind if kind is not Kind.ENDPOINT)


def document(
    state: State, write: Writer | None = None, *, now_ms: int, encryption: Encryption | None = None
) -> dict[str, Any]:
    """Return the state as a document, in the order of the format; without a writer no secrets."""
    found: dict[str, Any] = {"seatkeep": VERSION}
    if encryption is not None:
        found["encryption"] = encryption.model_dump(exclude_defaults=True)
    by_kind: dict[Kind, list[Item]] = {kind: [] for kind in Kind}
    for item in state.values():
        by_kind[item.kind].append(item)
    for kind in _SECTIONS_OF:
        ordered = sorted(by_kind[kind], key=lambda item: item.name)
        found[kind.section] = {item.name: _fields(item, write, now_ms) for item in ordered}
    # Numbers of equal ones follow from the order, so it stays as it is.
    ordered = sorted(by_kind[Kind.ENDPOINT], key=lambda item: item.fields["subscription"])
    found[Kind.ENDPOINT.section] = [_fields(item, write, now_ms) for item in ordered]
    return found


_DEFAULTS: Final = {kind: items.defaults(kind) for kind in Kind}


def _fields(item: Item, write: Writer | None, now_ms: int) -> dict[str, Any]:
    table = items.TABLES[item.kind]
    defaults = _DEFAULTS[item.kind]
    shown = {}
    for name in table.model.model_fields:
        if name not in item.fields or name in items.SECRET_FIELDS:
            continue
        value = item.fields[name]
        if name == MAINTENANCE:
            value = [_window(window) for window in value if window[1] * 1_000 > now_ms]
        if name == "own_secret":
            value = None if item.fields["dialect"] == Dialect.SIGNED or not value else True
        if name not in defaults or value != defaults[name]:
            shown[name] = value
    if write is not None:
        shown |= _secrets(item, write, now_ms)
    return shown


def _secrets(item: Item, write: Writer, now_ms: int) -> dict[str, Any]:
    secret, previous = item.fields.get(SECRET), item.fields.get(PREVIOUS)
    if secret is None:
        return {}
    shown = {SECRET: write(secret, item.kind.value, item.name, SECRET)}
    until_ms = item.fields.get(PREVIOUS_UNTIL)
    if previous is not None and (until_ms is None or until_ms > now_ms):
        shown[PREVIOUS] = write(previous, item.kind.value, item.name, PREVIOUS)
        if until_ms is not None:
            shown[PREVIOUS_UNTIL] = _instant(until_ms)
    return shown


def _window(window: list[Any]) -> dict[str, Any]:
    start_s, end_s, note = window
    shown = {"start_at": _instant(start_s * 1_000), "end_at": _instant(end_s * 1_000)}
    return shown | ({"note": note} if note else {})


def _instant(at_ms: int) -> str:
    at = dt.datetime.fromtimestamp(at_ms // 1_000, dt.UTC)
    tail = f".{at_ms % 1_000:03d}" if at_ms % 1_000 else ""
    return f"{at:%Y-%m-%dT%H:%M:%S}{tail}Z"


# --- text


def as_json(found: dict[str, Any]) -> str:
    """Return a document as JSON."""
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def as_yaml(found: dict[str, Any], heading: str = "") -> str:
    """Return a document as YAML; the heading becomes comments."""
    lines = [f"# {line}".rstrip() for line in heading.splitlines()]
    text: str = yaml.dump(
        found,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=100,
    )
    return "\n".join([*lines, text])


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # either of them
    """Writes texts of several lines as such, and short lists in one line."""

    def ignore_aliases(self, _data: Any) -> bool:
        """Never write an alias: none is read."""
        return True


def _text(dumper: Any, text: str) -> Any:
    # What YAML would fold or cannot show as it is gets quotes from the dumper.
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _list(dumper: Any, value: list[Any]) -> Any:
    flat = all(not isinstance(part, dict | list) for part in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=flat)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)

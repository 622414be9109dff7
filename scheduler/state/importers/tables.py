"""Tables (CSV) of nodes or subscriptions.

Owns the names of columns, which are those of the state format. The first line names them; commas,
semicolons or tabs part them. Called by the command line.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any, Final

from scheduler.state.importers.converted import Converted, words
from scheduler.state.parsing import StateError

_ROWS_MAX: Final = 100_000
_OF_NODES: Final = frozenset(
    ("name", "url", "secret", "seats", "meeting_seats_max", "weight", "tags", "pool", "state")
)
_NUMBERS: Final = (
    *("seats", "meetings_max", "default_seats", "default_duration_s"),
    *("meeting_seats_max", "duration_max_s"),
)
_OF_SUBSCRIPTIONS: Final = frozenset(
    ("slug", "name", "pool", "enabled", "language", "node_tags", *_NUMBERS)
)
_OF_CREDENTIALS: Final = frozenset(("sub", "secret", "previous_secret", "hosts", "label"))
_LISTS: Final = frozenset(("tags", "node_tags", "hosts"))
_TEXTS: Final = frozenset(
    ("name", "slug", "url", "secret", "previous_secret", "pool", "state", "language", "label")
)
_TRUE: Final = frozenset(("true", "yes", "1", "on"))
_FALSE: Final = frozenset(("false", "no", "0", "off"))


def nodes(text: str, into: Converted) -> None:
    """Add the nodes of a table; raises `StateError` with the lines that cannot be read."""
    for number, row in _rows(text, _OF_NODES, needed=("url", "secret")):
        named = row.pop("name", None)
        made = into.node(row.pop("url"), row.pop("secret"), **row)
        if made is None:
            into.note(f"line {number} was left out")
        elif named and named not in into.nodes:
            into.nodes[named] = into.nodes.pop(made)


def subscriptions(text: str, into: Converted) -> None:
    """Add the subscriptions of a table, and their credentials: a line each."""
    slugs: dict[str, str] = {}
    for _, row in _rows(text, _OF_SUBSCRIPTIONS | _OF_CREDENTIALS, needed=("slug",)):
        named = row.pop("slug")
        credential = {name: row.pop(name) for name in _OF_CREDENTIALS if name in row}
        if named not in slugs:
            slugs[named] = into.subscription(named, **row)
        secrets = (credential.pop("secret", None), credential.pop("previous_secret", None))
        sub = credential.pop("sub", None)
        into.credential(slugs[named], secrets, sub=sub, **credential)


def _rows(
    text: str, known: frozenset[str], *, needed: tuple[str, ...]
) -> Iterator[tuple[int, dict[str, Any]]]:
    text = text.removeprefix("\ufeff")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        _check_names(names, known, needed)
        for row in reader:
            if reader.line_num > _ROWS_MAX:
                raise StateError([f"a table may have {_ROWS_MAX} lines; divide it"])
            if any(cell.strip() for cell in row):
                cells = {n: c.strip() for n, c in zip(names, row, strict=False) if c.strip()}
                yield reader.line_num, _typed(cells, reader.line_num, needed)
    except csv.Error as error:
        raise StateError([f"line {reader.line_num}: this is no CSV: {error}"]) from error


def _check_names(names: list[str], known: frozenset[str], needed: tuple[str, ...]) -> None:
    if unknown := [name for name in names if name not in known]:
        raise StateError(
            [f"line 1: there is no column {unknown[0]!r}; there are {', '.join(sorted(known))}"]
        )
    if twice := [name for name in names if names.count(name) > 1]:
        raise StateError([f"line 1: the column {twice[0]} comes twice"])
    if missing := [name for name in needed if name not in names]:
        raise StateError([f"line 1: the column {missing[0]} is missing"])


def _typed(cells: Mapping[str, str], line: int, needed: tuple[str, ...]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name in needed:
        if name not in cells:
            raise StateError([f"line {line}: {name} is empty"])
    for name, cell in cells.items():
        if name in _LISTS:
            row[name] = words(cell)
        elif name in _TEXTS:
            row[name] = cell
        elif name == "enabled":
            if cell.lower() not in _TRUE | _FALSE:
                raise StateError([f"line {line}: enabled is true or false, not {cell!r}"])
            row[name] = cell.lower() in _TRUE
        elif cell.isascii() and cell.isdigit() and len(cell) < 10:  # noqa: PLR2004  # no limit of ours has more digits
            row[name] = int(cell)
        else:
            raise StateError([f"line {line}: {name} is a whole number, not {cell!r}"])
    return row

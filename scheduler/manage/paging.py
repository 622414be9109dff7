"""Pages of a list, and the cursors between them.

Owns what a cursor consists of: the keys of the last item that was shown, in the order of the list.
Asks no database; the caller asks it for one row more than the limit, behind those keys. Called by
all operations that list.
"""

import base64
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

import orjson

from scheduler.checks import OperationError
from schemas.management.paging import Listed

Row = TypeVar("Row")
Item = TypeVar("Item")
#: What a list is ordered by.
Key: TypeAlias = int | str


def cursor(*keys: Key) -> str:
    """Return the cursor that leads behind the item with these keys.

    >>> read_cursor(cursor("acme", 5), str, int)
    ('acme', 5)
    """
    return base64.urlsafe_b64encode(orjson.dumps(keys)).rstrip(b"=").decode()


def read_cursor(after: str | None, *kinds: type[int] | type[str]) -> tuple[Key, ...] | None:
    """Return the keys of a cursor, or None for the first page; raises `OperationError`."""
    if after is None:
        return None
    try:
        padded = after.encode("ascii") + b"=" * (-len(after) % 4)
        keys = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except ValueError:
        keys = None
    if (
        not isinstance(keys, list)
        or len(keys) != len(kinds)
        or any(type(key) is not kind for key, kind in zip(keys, kinds, strict=True))
        or any(isinstance(key, str) and "\0" in key for key in keys)
        or any(isinstance(key, int) and not -(2**63) <= key < 2**63 for key in keys)
    ):
        raise OperationError(
            "'after' is not the 'next' of a page of this list; leave it out to begin anew"
        )
    return tuple(keys)


def page(
    rows: Sequence[Row],
    limit: int,
    *,
    keys: Callable[[Row], tuple[Key, ...]],
    shown: Callable[[Row], Item],
) -> Listed[Item]:
    """Return a page of the rows behind the cursor, of which there may be more than the limit."""
    last = rows[limit - 1] if len(rows) > limit else None
    return Listed(
        items=[shown(row) for row in rows[:limit]],
        next=None if last is None else cursor(*keys(last)),
    )

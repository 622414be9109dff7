"""Webhooks that applications registered by `hooks/create`, per credential.

Owns the rows and what makes two registrations the same one: the address. Every question names the
credential, so nobody sees, removes or hears of another's. Never calls a hook. Used by the gateway,
which registers, and by whoever delivers, which asks for those `concerning` its meetings.
"""

import hashlib
import uuid
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, String, cast, delete, func, literal, or_, select, update

from scheduler import store
from scheduler.database import Database
from schemas.tables import HookRow

URL_CHARS_MAX: Final = 2_048
EVENTS_CHARS_MAX: Final = 2_048
ID_CHARS_MAX: Final = 256

_TABLES: Final = HookRow.metadata.tables
_HOOK: Final = _TABLES["hook"]
_MEETING: Final = _TABLES["meeting"]
_CREDENTIAL: Final = _TABLES["credential"]


class TooManyHooksError(Exception):
    """The credential has as many webhooks as it may have: remove some first."""


class Hook(NamedTuple):
    """One webhook."""

    id: str
    credential_id: int
    url: str
    #: The caller's `meetingID`; None means all meetings of the credential.
    external_id: str | None
    #: Names as bbb-webhooks has them; empty means all.
    events: tuple[str, ...]


async def register(
    database: Database,
    credential_id: int,
    url: str,
    *,
    external_id: str | None,
    events: tuple[str, ...],
    hooks_max: int,
    now_ms: int,
) -> tuple[Hook, bool]:
    """Return the hook of an address and whether it is new; an existing one is not changed.

    Raises `TooManyHooksError` and `StoreDown`.
    """
    hook = Hook(str(uuid.uuid4()), credential_id, url, external_id, events)
    mine = _HOOK.c.credential_id == credential_id
    same = mine & (_HOOK.c.url_digest.in_((_digest(url),)))
    async with store.writing(database) as connection:
        # Registrations of one credential come one after the other, so that none is counted late.
        await connection.execute(
            select(_CREDENTIAL.c.id).where(_CREDENTIAL.c.id == credential_id).with_for_update()
        )
        known = (await connection.execute(_hooks().where(same))).first()
        if known is not None:
            # Whoever registers again wants to hear again; how it fared is not forgotten.
            await connection.execute(
                update(_HOOK)
                .where(same & ~_HOOK.c.enabled)
                .values(enabled=True, disabled_reason="")
            )
            return _hook(known), False
        count = await connection.scalar(select(func.count()).select_from(_HOOK).where(mine))
        if (count or 0) >= hooks_max:
            raise TooManyHooksError
        await connection.execute(
            _HOOK.insert().values(
                id=hook.id,
                credential_id=credential_id,
                url=url,
                url_digest=_digest(url),
                external_id=external_id,
                events=",".join(events),
                raw=False,
                created_ms=now_ms,
                used_ms=now_ms,
            )
        )
    return hook, True


async def remove(database: Database, credential_id: int, hook_id: str) -> bool:
    """Remove a hook of the credential; tell whether it was there. Raises `StoreDown`."""
    async with store.writing(database) as connection:
        done = await connection.execute(
            delete(_HOOK).where(_HOOK.c.id == hook_id).where(_HOOK.c.credential_id == credential_id)
        )
        return done.rowcount > 0


async def listed(
    database: Database, credential_id: int, external_id: str | None = None
) -> list[Hook]:
    """Return the hooks of a credential, oldest first; raises `StoreDown`.

    With a `meetingID`: those of all meetings and those of this one.
    """
    statement = _hooks().where(_HOOK.c.credential_id == credential_id)
    if external_id is not None:
        statement = statement.where(_concerns(external_id))
    found = await store.rows(database, statement.order_by(_HOOK.c.created_ms, _HOOK.c.id))
    return [_hook(row) for row in found]


async def concerning(
    database: Database, meetings: Collection[tuple[int, str]]
) -> dict[int, list[Hook]]:
    """Return the hooks of some meetings by credential, switched off ones left out.

    `meetings` are credentials and `meetingID`s; an empty one is no meeting, and concerns only the
    hooks of all meetings. What a hook wants to hear is not looked at. Raises `StoreDown`.
    """
    credentials = {credential for credential, _ in meetings}
    rooms = {external_id for _, external_id in meetings if external_id}
    if not credentials:
        return {}
    statement = _hooks().where(
        _HOOK.c.credential_id.in_(credentials),
        _HOOK.c.enabled,
        or_(_HOOK.c.external_id.is_(None), _HOOK.c.external_id.in_(rooms)),
    )
    found: dict[int, list[Hook]] = {}
    for row in await store.rows(database, statement.order_by(_HOOK.c.created_ms, _HOOK.c.id)):
        hook = _hook(row)
        found.setdefault(hook.credential_id, []).append(hook)
    return found


async def note_use(database: Database, *, now_ms: int) -> None:
    """Note which hooks of one meeting have theirs alive; raises `StoreDown`.

    Called before the cleaner looks for hooks that have been idle for long.
    """
    key = cast(_HOOK.c.credential_id, String) + literal(":") + _HOOK.c.external_id
    alive = select(_MEETING.c.id).where(_MEETING.c.live_key == key).exists()
    async with store.writing(database) as connection:
        await connection.execute(
            update(_HOOK).where(_HOOK.c.external_id.is_not(None) & alive).values(used_ms=now_ms)
        )


def idle_since(before_ms: int) -> ColumnElement[bool]:
    """Return the condition on rows of hooks of one meeting that nobody has needed for long."""
    return _HOOK.c.external_id.is_not(None) & (_HOOK.c.used_ms < before_ms)


_NAMES: Final = ("id", "credential_id", "url", "external_id", "events")


def _hooks() -> Any:
    return select(*(_HOOK.c[name] for name in _NAMES))


def _concerns(external_id: str) -> ColumnElement[bool]:
    return or_(_HOOK.c.external_id.is_(None), _HOOK.c.external_id == external_id)


def _hook(row: Sequence[Any]) -> Hook:
    hook_id, credential_id, url, external_id, events = row
    return Hook(hook_id, credential_id, url, external_id, tuple(filter(None, events.split(","))))


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()

"""Webhooks of applications: list and remove.

Owns what of them is shown to whom. They are made by applications themselves, see `scheduler.hooks`.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Select, select, tuple_

from scheduler import audit, hooks
from scheduler.checks import NotFoundError
from scheduler.directory_records import credential_name
from scheduler.manage import instants, owned, paging
from scheduler.manage.context import Context
from scheduler.manage.operation import Access, Operation
from schemas.management.hooks import HookAsked, HooksAsked, HookShown
from schemas.management.paging import Listed
from schemas.tables import HookRow

_TABLES: Final = HookRow.metadata.tables
_HOOK: Final = _TABLES["hook"]
_CREDENTIAL: Final = _TABLES["credential"]
_SUBSCRIPTION: Final = _TABLES["subscription"]


async def list_hooks(context: Context, asked: HooksAsked) -> Listed[HookShown]:
    """List the webhooks that applications registered, the newest first."""
    after = paging.read_cursor(asked.after, int, str)
    slug = await owned.slug_seen(context, asked.subscription)
    statement = _rows()
    if slug is not None:
        statement = statement.where(_SUBSCRIPTION.c.slug == slug)
    if asked.credential is not None:
        mine = await owned.check_credential(context, asked.credential)
        statement = statement.where(_HOOK.c.credential_id == mine)
    if after is not None:
        statement = statement.where(tuple_(_HOOK.c.created_ms, _HOOK.c.id) < tuple_(*after))
    statement = statement.order_by(_HOOK.c.created_ms.desc(), _HOOK.c.id.desc())
    async with context.database.connect() as connection:
        found = await connection.execute(statement.limit(asked.limit + 1))
        rows = [dict(row) for row in found.mappings()]
    return paging.page(
        rows, asked.limit, keys=lambda row: (row["created_ms"], row["id"]), shown=_shown
    )


async def show(context: Context, asked: HookAsked) -> HookShown:
    """Show a webhook that an application registered."""
    return _shown(await _row(context, asked.hook))


async def remove(context: Context, asked: HookAsked) -> None:
    """Remove a webhook; its application may register it again."""
    row = await _row(context, asked.hook)
    if not await hooks.remove(context.database, row["credential_id"], asked.hook):
        raise NotFoundError(f"there is no webhook {asked.hook}")
    async with context.database.write_lock, context.database.begin() as connection:
        await audit.note(
            *(connection, "hook.removed", f"hook {asked.hook}", {"url": row["url"]}),
            subscription_id=row["subscription_id"],
        )


async def _row(context: Context, hook: str) -> dict[str, Any]:
    async with context.database.connect() as connection:
        found = await connection.execute(_rows().where(_HOOK.c.id == hook))
        row = found.mappings().first()
    if row is None or not context.sees(row["subscription_id"]):
        raise NotFoundError(f"there is no webhook {hook}")
    return dict(row)


def _rows() -> Select[Any]:
    return (
        select(_HOOK, _SUBSCRIPTION.c.slug, _CREDENTIAL.c.sub, _CREDENTIAL.c.subscription_id)
        .join(_CREDENTIAL, _CREDENTIAL.c.id == _HOOK.c.credential_id)
        .join(_SUBSCRIPTION, _SUBSCRIPTION.c.id == _CREDENTIAL.c.subscription_id)
    )


def _shown(row: Mapping[str, Any]) -> HookShown:
    return HookShown(
        id=row["id"],
        subscription=row["slug"],
        credential=credential_name(row["slug"], row["sub"]),
        url=row["url"],
        meeting_id=row["external_id"],
        events=[event for event in row["events"].split(",") if event],
        enabled=row["enabled"],
        disabled_reason=row["disabled_reason"],
        created_at=instants.of_ms(row["created_ms"]),
        used_at=instants.of_ms(row["used_ms"]),
    )


OPERATIONS: Final = (
    Operation("hook.list", "GET", "/hooks", list_hooks, HooksAsked, Listed[HookShown]),
    Operation("hook.show", "GET", "/hooks/{hook}", show, HookAsked, HookShown),
    Operation(
        *("hook.remove", "DELETE", "/hooks/{hook}", remove, HookAsked, None),
        access=Access.WRITE,
        status=204,
        shown_by=show,
    ),
)

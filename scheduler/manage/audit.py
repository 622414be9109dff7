"""Reading the audit log.

Owns who sees which lines: a subscription's own, and of those not who of the provider's people it
was. Lines are written by `scheduler.audit`, in the transaction of the change.
"""

import re
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, or_, select
from sqlmodel import col

from scheduler import changes
from scheduler.manage import paging
from scheduler.manage.context import Context
from scheduler.manage.operation import Operation
from schemas.management.audit import AuditEntry, AuditList
from schemas.management.paging import Listed
from schemas.management_tables import AuditRow, TokenRow

#: What a subscription sees instead of a name that is none of its own tokens.
PROVIDER: Final = "provider"
_TOKEN: Final = re.compile(r"token:([0-9]{1,9})(?: .*)?", re.DOTALL)


async def listed(context: Context, asked: AuditList) -> Listed[AuditEntry]:
    """List what was changed, by whom and when, the newest first."""
    before = paging.read_cursor(asked.after, int)
    own = await _own_tokens(context)
    statement = select(AuditRow).order_by(col(AuditRow.id).desc()).limit(asked.limit + 1)
    statement = statement.where(*_wanted(asked), *_visible(context, asked, own))
    if before is not None:
        statement = statement.where(col(AuditRow.id) < before[0])
    async with context.database.session() as session:
        rows = list(await session.scalars(statement))
    return paging.page(
        rows,
        asked.limit,
        keys=lambda row: (changes.row_id(row.id),),
        shown=lambda row: _shown(context, row, own),
    )


def _wanted(asked: AuditList) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if asked.since is not None:
        found.append(col(AuditRow.at_ms) >= _ms(asked.since))
    if asked.until is not None:
        found.append(col(AuditRow.at_ms) < _ms(asked.until))
    if asked.subject is not None:
        found.append(col(AuditRow.subject) == asked.subject)
    if asked.action is not None and asked.action.endswith("."):
        found.append(col(AuditRow.action).startswith(asked.action, autoescape=True))
    elif asked.action is not None:
        found.append(col(AuditRow.action) == asked.action)
    return found


def _visible(context: Context, asked: AuditList, own: set[int] | None) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if asked.subscription is not None:
        subscription = context.subscription(asked.subscription)
        found.append(col(AuditRow.subscription_id) == subscription.id)
    if context.only is not None:
        found.append(col(AuditRow.subscription_id) == context.only)
    if asked.actor is None:
        return found
    actor = col(AuditRow.actor)
    if own is None:
        # `token:7` finds `token:7 billing` as well.
        exact = actor == asked.actor
        found.append(or_(exact, actor.startswith(f"{asked.actor} ", autoescape=True)))
        return found
    mine = or_(*(_by_token(number) for number in own)) if own else actor != actor  # noqa: PLR0124
    if asked.actor == PROVIDER:
        found.append(~mine)
        return found
    # Whoever could ask for the others by name would learn their names.
    wanted = _TOKEN.fullmatch(asked.actor)
    number = int(wanted.group(1)) if wanted is not None else 0
    found.append(_by_token(number) if number in own else actor != actor)  # noqa: PLR0124
    return found


def _by_token(number: int) -> ColumnElement[bool]:
    actor = col(AuditRow.actor)
    return or_(actor == f"token:{number}", actor.startswith(f"token:{number} "))


async def _own_tokens(context: Context) -> set[int] | None:
    """Return the numbers of the tokens that a subscription may see; None: all."""
    if context.only is None:
        return None
    statement = select(col(TokenRow.id)).where(col(TokenRow.subscription_id) == context.only)
    async with context.database.session() as session:
        return {number for number in await session.scalars(statement) if number is not None}


def _shown(context: Context, row: AuditRow, own: set[int] | None) -> AuditEntry:
    detail: Any = orjson.loads(row.detail)
    owner = context.directory.current.subscriptions.get(row.subscription_id or 0)
    return AuditEntry(
        id=changes.row_id(row.id),
        recorded_at=datetime.fromtimestamp(row.at_ms / 1_000, UTC),
        actor=_actor(row.actor, own),
        action=row.action,
        subject=row.subject,
        subscription=owner.slug if owner is not None else None,
        changes=detail,
        request_id=row.request_id,
    )


def _actor(name: str, own: set[int] | None) -> str:
    if own is None:
        return name
    found = _TOKEN.fullmatch(name)
    return name if found is not None and int(found.group(1)) in own else PROVIDER


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1_000)


OPERATIONS: Final = (
    Operation("audit.list", "GET", "/audit", listed, AuditList, Listed[AuditEntry]),
)

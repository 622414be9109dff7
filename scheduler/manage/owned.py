"""Finding what belongs to a subscription in the database, for who may see it.

Owns the rule that what belongs to others does not exist. The directory of a process may be a second
behind; what was just added is found here. Called by the operations of management.
"""

from typing import Any, Final

from sqlalchemy import select

from scheduler.checks import NotFoundError
from scheduler.directory_records import slug_and_sub
from scheduler.manage.context import Context
from schemas.tables import MeetingRow

_TABLES: Final = MeetingRow.metadata.tables
_SUBSCRIPTION: Final = _TABLES["subscription"]
_CREDENTIAL: Final = _TABLES["credential"]
_ENDPOINT: Final = _TABLES["endpoint"]


async def subscription_id(context: Context, slug: str) -> int:
    """Return the id of a subscription; raises `NotFoundError` when it is not seen."""
    found = await _first(
        context, select(_SUBSCRIPTION.c.id, _SUBSCRIPTION.c.id).where(_SUBSCRIPTION.c.slug == slug)
    )
    if found is None:
        raise NotFoundError(f"there is no subscription {slug}")
    return found


async def slug_seen(context: Context, slug: str | None) -> str | None:
    """Return the slug that a list is limited to; None: all. What is asked for must be seen."""
    if slug is not None:
        await subscription_id(context, slug)
        return slug
    if context.only is None:
        return None
    async with context.database.connect() as connection:
        mine = select(_SUBSCRIPTION.c.slug).where(_SUBSCRIPTION.c.id == context.only)
        return str((await connection.execute(mine)).scalar_one_or_none() or "")


async def check_credential(context: Context, name: str) -> int:
    """Return the id of a credential; raises `NotFoundError` unless it is there and seen."""
    slug, sub = slug_and_sub(name)
    statement = (
        select(_CREDENTIAL.c.id, _CREDENTIAL.c.subscription_id)
        .join(_SUBSCRIPTION, _SUBSCRIPTION.c.id == _CREDENTIAL.c.subscription_id)
        .where(_SUBSCRIPTION.c.slug == slug, _CREDENTIAL.c.sub == sub)
    )
    found = await _first(context, statement)
    if found is None:
        raise NotFoundError(f"there is no credential {name}")
    return found


async def check_endpoint(context: Context, endpoint: int) -> None:
    """Raise `NotFoundError` unless an endpoint is there and seen."""
    statement = select(_ENDPOINT.c.id, _ENDPOINT.c.subscription_id)
    if await _first(context, statement.where(_ENDPOINT.c.id == endpoint)) is None:
        raise NotFoundError(f"there is no endpoint {endpoint}")


async def _first(context: Context, statement: Any) -> int | None:
    """Return the id of what is found, when the actor sees its subscription."""
    async with context.database.connect() as connection:
        row = (await connection.execute(statement)).first()
    if row is None or not context.sees(row[1]):
        return None
    return int(row[0])

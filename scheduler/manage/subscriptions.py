"""Subscriptions: list, add, show, change, move, remove, and their limits.

Owns which settings are the customer's and which the provider's. The doing is `scheduler.operations`
and `scheduler.subscriptions`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import Select, or_, select

from scheduler import operations, subscriptions
from scheduler.checks import ForbiddenError, NotFoundError
from scheduler.directory_records import credential_name
from scheduler.manage import owned, paging
from scheduler.manage.context import Context, Scope
from scheduler.manage.operation import Access, Operation
from schemas.management.paging import Listed
from schemas.management.subscriptions import (
    OF_CUSTOMERS,
    LimitShown,
    LimitsShown,
    NewSubscription,
    SubscriptionAsked,
    SubscriptionChange,
    SubscriptionNow,
    SubscriptionsAsked,
    SubscriptionShown,
)
from schemas.tables import SubscriptionRow

_TABLES: Final = SubscriptionRow.metadata.tables
_SUBSCRIPTION: Final = _TABLES["subscription"]
_POOL: Final = _TABLES["pool"]
_CREDENTIAL: Final = _TABLES["credential"]
#: Limits that a credential may have of its own.
_OF_CREDENTIALS: Final = ("seats", "meetings_max", "meeting_seats_max", "duration_max_s")


async def list_subscriptions(
    context: Context, asked: SubscriptionsAsked
) -> Listed[SubscriptionShown]:
    """List the subscriptions, by slug."""
    after = paging.read_cursor(asked.after, str)
    statement = _rows()
    if context.only is not None:
        statement = statement.where(_SUBSCRIPTION.c.id == context.only)
    if after is not None:
        statement = statement.where(_SUBSCRIPTION.c.slug > after[0])
    if asked.pool is not None:
        statement = statement.where(_POOL.c.name == asked.pool)
    if asked.enabled is not None:
        on = _SUBSCRIPTION.c.enabled & ~_SUBSCRIPTION.c.suspended
        statement = statement.where(on if asked.enabled else ~on)
    if asked.search is not None:
        part = asked.search
        statement = statement.where(
            or_(
                _SUBSCRIPTION.c.slug.icontains(part, autoescape=True),
                _SUBSCRIPTION.c.name.icontains(part, autoescape=True),
            )
        )
    rows = await _read(context, statement.order_by(_SUBSCRIPTION.c.slug).limit(asked.limit + 1))
    return paging.page(rows, asked.limit, keys=lambda row: (row["slug"],), shown=_shown)


async def show(context: Context, asked: SubscriptionAsked) -> SubscriptionShown:
    """Show a subscription: its settings, and what it has at present."""
    rows = await _read(context, _rows().where(_SUBSCRIPTION.c.slug == asked.subscription))
    if not rows or not context.sees(rows[0]["id"]):
        raise NotFoundError(f"there is no subscription {asked.subscription}")
    return _shown(rows[0])


async def add(context: Context, asked: NewSubscription) -> SubscriptionShown:
    """Add a subscription; give it a credential next."""
    context.operate("subscriptions can be added")
    terms = _terms(asked, besides=("slug", "pool")) | {"seats": asked.seats}
    await operations.add_subscription(context.database, asked.slug, pool=asked.pool, **terms)
    return await show(context, SubscriptionAsked(subscription=asked.slug))


async def change(context: Context, asked: SubscriptionChange) -> SubscriptionShown:
    """Change settings of a subscription; meetings that are admitted already stay so."""
    await owned.subscription_id(context, asked.subscription)
    terms = _terms(asked, besides=("subscription",))
    refuse_foreign(context, terms, OF_CUSTOMERS)
    await operations.change_subscription(context.database, asked.subscription, **terms)
    return await show(context, SubscriptionAsked(subscription=asked.subscription))


async def remove(context: Context, asked: SubscriptionAsked) -> None:
    """Remove a subscription without credentials and meetings; endpoints and tokens go with it."""
    context.operate("subscriptions can be removed")
    await subscriptions.remove(context.database, asked.subscription)


async def limits(context: Context, asked: SubscriptionAsked) -> LimitsShown:
    """Show the limits of a subscription: each with where it is set, and what is used of it."""
    owner_id = await owned.subscription_id(context, asked.subscription)
    mine = select(_CREDENTIAL).where(_CREDENTIAL.c.subscription_id == owner_id)
    async with context.database.snapshot() as connection:
        owner = (
            (await connection.execute(select(_SUBSCRIPTION).where(_SUBSCRIPTION.c.id == owner_id)))
            .mappings()
            .one()
        )
        used = (await subscriptions.use(connection, [owner_id]))[owner_id]
        by_credential = await subscriptions.use(connection, [owner_id], by_credential=True)
        has = (await subscriptions.belongings(connection, [owner_id]))[owner_id]
        hooks = await subscriptions.hooks_of(connection, owner_id)
        credentials = (await connection.execute(mine.order_by(_CREDENTIAL.c.sub))).mappings().all()
    found = [
        _limit(name, owner[name], "subscription", used=_used(name, used))
        for name in _OF_CREDENTIALS
    ]
    for row in credentials:
        name = credential_name(owner["slug"], row["sub"])
        found += [
            _limit(
                *(limit, row[limit], "credential"),
                used=_used(limit, by_credential.get(row["id"], {})),
                credential=name,
            )
            for limit in _OF_CREDENTIALS
            if row[limit] is not None
        ]
    settings = context.settings
    full = max(credentials, key=lambda row: hooks.get(row["id"], 0), default=None)
    found += [
        _limit(
            *("owner_credentials_max", settings.owner_credentials_max, "installation"),
            used=has["credentials"],
        ),
        _limit(
            *("owner_endpoints_max", settings.owner_endpoints_max, "installation"),
            used=has["endpoints"],
        ),
        _limit(
            *("hooks_max", settings.hooks_max, "installation"),
            used=0 if full is None else hooks.get(full["id"], 0),
            credential=None if full is None else credential_name(owner["slug"], full["sub"]),
        ),
    ]
    return LimitsShown(items=found)


def refuse_foreign(context: Context, entered: Iterable[str], own: frozenset[str]) -> None:
    """Refuse customers what is the provider's to set."""
    if context.actor.scope is Scope.OPERATOR:
        return
    if foreign := [name for name in entered if name not in own]:
        raise ForbiddenError(f"{', '.join(sorted(foreign))} can be set by the provider only")


def _limit(
    name: str, value: int | None, set_on: Any, *, used: int | None, credential: str | None = None
) -> LimitShown:
    return LimitShown(limit=name, value=value, set_on=set_on, credential=credential, used=used)


def _used(limit: str, used: Mapping[str, int]) -> int | None:
    if limit == "seats":
        return used.get("held_seats", 0) + used.get("overtime_seats", 0)
    if limit == "meetings_max":
        return used.get("meetings", 0)
    if limit == "meeting_seats_max":
        return used.get("largest_seats", 0)
    return None


def _terms(asked: NewSubscription | SubscriptionChange, *, besides: Sequence[str]) -> Any:
    """Return what was sent, in the form in which it is checked and stored."""
    terms = asked.model_dump(exclude_unset=True, exclude=set(besides))
    if "origins" in terms:
        terms["origins"] = " ".join(terms["origins"])
    if "node_tags" in terms:
        terms["node_tags"] = ",".join(terms["node_tags"])
    return terms


def _rows() -> Select[Any]:
    return select(_SUBSCRIPTION, _POOL.c.name.label("pool")).join(
        _POOL, _POOL.c.id == _SUBSCRIPTION.c.pool_id
    )


async def _read(context: Context, statement: Select[Any]) -> list[dict[str, Any]]:
    """Return rows with what they have at present."""
    async with context.database.snapshot() as connection:
        rows = [dict(row) for row in (await connection.execute(statement)).mappings()]
        ids = [row["id"] for row in rows]
        used = await subscriptions.use(connection, ids)
        has = await subscriptions.belongings(connection, ids)
    return [{**row, **used[row["id"]], **has[row["id"]]} for row in rows]


def _shown(row: Mapping[str, Any]) -> SubscriptionShown:
    free = row["seats"] - row["held_seats"] - row["overtime_seats"]
    now = {name: row[name] for name in SubscriptionNow.model_fields if name != "free_seats"}
    fields = {name: row[name] for name in SubscriptionShown.model_fields if name != "now"}
    return SubscriptionShown(
        **fields
        | {
            "refusal_texts": orjson.loads(row["refusal_texts"] or b"{}"),
            "origins": row["origins"].split(),
            "node_tags": [tag for tag in row["node_tags"].split(",") if tag],
        },
        now=SubscriptionNow(**now, free_seats=free),
    )


OPERATIONS: Final = (
    Operation(
        *("subscription.list", "GET", "/subscriptions", list_subscriptions, SubscriptionsAsked),
        Listed[SubscriptionShown],
    ),
    Operation(
        *("subscription.add", "POST", "/subscriptions", add, NewSubscription, SubscriptionShown),
        access=Access.OPERATE,
        status=201,
    ),
    Operation(
        *("subscription.show", "GET", "/subscriptions/{subscription}", show, SubscriptionAsked),
        SubscriptionShown,
    ),
    Operation(
        *("subscription.change", "PATCH", "/subscriptions/{subscription}", change),
        *(SubscriptionChange, SubscriptionShown),
        access=Access.WRITE,
        shown_by=show,
    ),
    Operation(
        *("subscription.remove", "DELETE", "/subscriptions/{subscription}", remove),
        *(SubscriptionAsked, None),
        access=Access.OPERATE,
        status=204,
        shown_by=show,
    ),
    Operation(
        *("subscription.limits", "GET", "/subscriptions/{subscription}/limits", limits),
        *(SubscriptionAsked, LimitsShown),
    ),
)

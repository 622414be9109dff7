"""Endpoints: list, add, show, change, remove, switch, ping, and rotate their secrets.

Owns how their health is told, and that a secret is answered once, when it is made. The doing is
`scheduler.endpoints`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from scheduler import changes, endpoints
from scheduler.checks import NotFoundError
from scheduler.directory_records import credential_name
from scheduler.manage import instants, owned, paging
from scheduler.manage.context import Context, Scope
from scheduler.manage.operation import Access, Operation
from schemas.delivery_tables import DeliveryRow
from schemas.management.endpoints import (
    EndpointAsked,
    EndpointChange,
    EndpointHealth,
    EndpointMade,
    EndpointRotation,
    EndpointsAsked,
    EndpointShown,
    NewEndpoint,
    PingSent,
)
from schemas.management.paging import Listed
from schemas.tables import EndpointRow

_TABLES: Final = EndpointRow.metadata.tables
_ENDPOINT: Final = _TABLES["endpoint"]
_SUBSCRIPTION: Final = _TABLES["subscription"]
_CREDENTIAL: Final = _TABLES["credential"]
_DELIVERY: Final = DeliveryRow.metadata.tables["delivery"]
_TARGET: Final = DeliveryRow.metadata.tables["target"]
_OPEN: Final = ("waiting", "queued", "sending")


async def list_endpoints(context: Context, asked: EndpointsAsked) -> Listed[EndpointShown]:
    """List the endpoints, by number; secrets are never shown."""
    after = paging.read_cursor(asked.after, int)
    slug = await owned.slug_seen(context, asked.subscription)
    statement = _rows()
    if slug is not None:
        statement = statement.where(_SUBSCRIPTION.c.slug == slug)
    if asked.enabled is not None:
        statement = statement.where(_ENDPOINT.c.enabled.is_(asked.enabled))
    if after is not None:
        statement = statement.where(_ENDPOINT.c.id > after[0])
    rows = await _read(context, statement.order_by(_ENDPOINT.c.id).limit(asked.limit + 1))
    return paging.page(rows, asked.limit, keys=lambda row: (row["id"],), shown=_shown)


async def show(context: Context, asked: EndpointAsked) -> EndpointShown:
    """Show all that is set on an endpoint, and how it fares; never its secret."""
    rows = await _read(context, _rows().where(_ENDPOINT.c.id == asked.endpoint))
    if not rows or not context.sees(rows[0]["subscription_id"]):
        raise NotFoundError(f"there is no endpoint {asked.endpoint}")
    return _shown(rows[0])


async def add(context: Context, asked: NewEndpoint) -> EndpointMade:
    """Add an endpoint; a secret made for it is in this answer, and never again."""
    await owned.subscription_id(context, asked.subscription)
    owner = context.actor.scope is not Scope.OPERATOR
    made = await endpoints.add(
        context.database,
        context.vault,
        subscription=asked.subscription,
        dialect=asked.dialect,
        credential=asked.credential,
        secret=asked.secret,
        endpoints_max=context.settings.owner_endpoints_max if owner else None,
        url=asked.url,
        kinds=",".join(asked.kinds),
        external_id=asked.meeting_id,
        label=asked.label,
        ordering=asked.ordering,
    )
    return await _made(context, made)


async def change(context: Context, asked: EndpointChange) -> EndpointShown:
    """Change an endpoint; what is queued for it goes where it was meant to go."""
    await owned.check_endpoint(context, asked.endpoint)
    terms: Any = asked.model_dump(exclude_unset=True, exclude={"endpoint"})
    if "kinds" in terms:
        terms["kinds"] = ",".join(terms["kinds"])
    if "meeting_id" in terms:
        terms["external_id"] = terms.pop("meeting_id")
    await endpoints.change(context.database, asked.endpoint, **terms)
    return await show(context, asked)


async def remove(context: Context, asked: EndpointAsked) -> None:
    """Remove an endpoint; what is still queued for it is parked when its turn comes."""
    await owned.check_endpoint(context, asked.endpoint)
    await endpoints.remove(context.database, asked.endpoint)


async def enable(context: Context, asked: EndpointAsked) -> EndpointShown:
    """Switch an endpoint on; what it missed is sent by a replay."""
    await owned.check_endpoint(context, asked.endpoint)
    await endpoints.enable(context.database, asked.endpoint)
    return await show(context, asked)


async def disable(context: Context, asked: EndpointAsked) -> EndpointShown:
    """Switch an endpoint off; new events pass it by."""
    await owned.check_endpoint(context, asked.endpoint)
    await endpoints.disable(context.database, asked.endpoint)
    return await show(context, asked)


async def ping(context: Context, asked: EndpointAsked) -> PingSent:
    """Send a test event to an endpoint."""
    await owned.check_endpoint(context, asked.endpoint)
    return PingSent(event_id=await endpoints.ping(context.database, asked.endpoint))


async def rotate(context: Context, asked: EndpointRotation) -> EndpointMade:
    """Give an endpoint a new secret, in this answer only; for a while both sign signed JSON."""
    await owned.check_endpoint(context, asked.endpoint)
    made = await endpoints.rotate(
        *(context.database, context.vault, asked.endpoint),
        overlap_s=asked.overlap_s,
        secret=asked.secret,
    )
    return await _made(context, made)


async def _made(context: Context, made: endpoints.NewEndpoint) -> EndpointMade:
    shown = await show(context, EndpointAsked(endpoint=made.id))
    return EndpointMade(endpoint=shown, secret=made.secret)


def _rows() -> Select[Any]:
    return (
        select(_ENDPOINT, _SUBSCRIPTION.c.slug, _CREDENTIAL.c.sub)
        .join(_SUBSCRIPTION, _SUBSCRIPTION.c.id == _ENDPOINT.c.subscription_id)
        .outerjoin(_CREDENTIAL, _CREDENTIAL.c.id == _ENDPOINT.c.credential_id)
    )


async def _read(context: Context, statement: Select[Any]) -> list[dict[str, Any]]:
    """Return rows with how their targets fare, and what is open for them."""
    async with context.database.snapshot() as connection:
        rows = [dict(row) for row in (await connection.execute(statement)).mappings()]
        names = [f"endpoint:{row['id']}" for row in rows]
        fares = {
            row["id"]: dict(row)
            for row in (
                await connection.execute(select(_TARGET).where(_TARGET.c.id.in_(names)))
            ).mappings()
        }
        counts = await _counts(connection, names)
    for row, name in zip(rows, names, strict=True):
        row["target"], row["counts"] = fares.get(name), counts.get(name, {})
    return rows


async def _counts(connection: AsyncConnection, targets: Sequence[str]) -> dict[str, dict[str, int]]:
    counted = (
        select(_DELIVERY.c.target, _DELIVERY.c.state, func.count())
        .where(_DELIVERY.c.target.in_(targets), _DELIVERY.c.state != "delivered")
        .group_by(_DELIVERY.c.target, _DELIVERY.c.state)
    )
    found: dict[str, dict[str, int]] = {}
    for target, state, number in await connection.execute(counted):
        found.setdefault(target, {})[state] = number
    return found


def _shown(row: Mapping[str, Any]) -> EndpointShown:
    until_ms = row["previous_until_ms"]
    rotating = row["previous_secret"] is not None and (until_ms or 0) > changes.now_ms()
    of_one = row["credential_id"] is not None
    return EndpointShown(
        id=row["id"],
        subscription=row["slug"],
        credential=credential_name(row["slug"], row["sub"]) if of_one else None,
        dialect=row["dialect"],
        ordering=row["ordering"],
        kinds=[kind for kind in row["kinds"].split(",") if kind],
        meeting_id=row["external_id"],
        enabled=row["enabled"],
        disabled_reason=row["disabled_reason"],
        label=row["label"],
        signed_by="endpoint" if row["secret"] is not None else "credential",
        previous_until_at=instants.maybe_ms(until_ms) if rotating else None,
        created_at=instants.of_ms(row["created_ms"]),
        url=row["url"],
        health=_health(row["target"], row["counts"]),
    )


def _health(target: Mapping[str, Any] | None, counts: Mapping[str, int]) -> EndpointHealth:
    waiting = sum(counts.get(state, 0) for state in _OPEN)
    if target is None:
        return EndpointHealth(
            state="unused",
            failures=0,
            failing_since_at=None,
            paused_until_at=None,
            last_success_at=None,
            waiting=waiting,
            parked=counts.get("parked", 0),
        )
    paused = target["trips"] > 0 and target["open_until_ms"] > changes.now_ms()
    failing = target["failing_since_ms"] is not None
    return EndpointHealth(
        state="paused" if paused else "failing" if failing else "well",
        failures=target["failures"],
        failing_since_at=instants.maybe_ms(target["failing_since_ms"]),
        paused_until_at=instants.of_ms(target["open_until_ms"]) if paused else None,
        last_success_at=instants.maybe_ms(target["last_success_ms"] or None),
        waiting=waiting,
        parked=counts.get("parked", 0),
    )


OPERATIONS: Final = (
    Operation(
        *("endpoint.list", "GET", "/endpoints", list_endpoints, EndpointsAsked),
        Listed[EndpointShown],
    ),
    Operation(
        *("endpoint.add", "POST", "/endpoints", add, NewEndpoint, EndpointMade),
        access=Access.WRITE,
        status=201,
    ),
    Operation(
        *("endpoint.show", "GET", "/endpoints/{endpoint}", show, EndpointAsked, EndpointShown)
    ),
    Operation(
        *("endpoint.change", "PATCH", "/endpoints/{endpoint}", change),
        *(EndpointChange, EndpointShown),
        access=Access.WRITE,
        shown_by=show,
    ),
    Operation(
        *("endpoint.remove", "DELETE", "/endpoints/{endpoint}", remove, EndpointAsked, None),
        access=Access.WRITE,
        status=204,
        shown_by=show,
    ),
    Operation(
        *("endpoint.enable", "POST", "/endpoints/{endpoint}/enable", enable),
        *(EndpointAsked, EndpointShown),
        access=Access.WRITE,
    ),
    Operation(
        *("endpoint.disable", "POST", "/endpoints/{endpoint}/disable", disable),
        *(EndpointAsked, EndpointShown),
        access=Access.WRITE,
    ),
    Operation(
        *("endpoint.ping", "POST", "/endpoints/{endpoint}/ping", ping, EndpointAsked, PingSent),
        access=Access.WRITE,
        status=202,
    ),
    Operation(
        *("endpoint.rotate", "POST", "/endpoints/{endpoint}/rotate", rotate),
        *(EndpointRotation, EndpointMade),
        access=Access.WRITE,
    ),
)

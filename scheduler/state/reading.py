"""The present state: rows of the directory → items.

Owns the one reading of all tables of the state, for exports, plans and their carrying out alike. A
stored secret that this installation's key does not open is as if there were none. Never writes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel, col

from scheduler.database import Database
from scheduler.directory_records import credential_name
from scheduler.state import items
from scheduler.state.items import MAINTENANCE, PREVIOUS, PREVIOUS_UNTIL, SECRET, Item, Kind, State
from scheduler.vault import Vault, VaultError
from schemas.management_tables import MaintenanceRow
from schemas.tables import (
    CredentialRow,
    EndpointRow,
    MeetingRow,
    NodeRow,
    PoolRow,
    RecordingRow,
    SubscriptionRow,
)

_Row = TypeVar("_Row", bound=SQLModel)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Rows:
    """All rows that the state stands in; of the five kinds by the names of their items."""

    of: dict[Kind, dict[str, Any]]
    maintenance: list[MaintenanceRow]
    #: Fields of the endpoints by name: they are named by what they are about.
    endpoints: dict[str, dict[str, Any]] = field(default_factory=dict)


async def rows(session: AsyncSession) -> Rows:
    """Read all tables of the state."""
    pools = {row.name: row for row in await _all(session, PoolRow)}
    nodes = {row.name: row for row in await _all(session, NodeRow)}
    subscriptions = {row.slug: row for row in await _all(session, SubscriptionRow)}
    slugs = {row.id: slug for slug, row in subscriptions.items()}
    credentials = {
        credential_name(slugs[row.subscription_id], row.sub): row
        for row in await _all(session, CredentialRow)
    }
    names = {row.id: name for name, row in credentials.items()}
    found = await _all(session, EndpointRow)
    about = [
        {
            "subscription": slugs[row.subscription_id],
            "url": row.url,
            "dialect": row.dialect,
            "credential": names.get(row.credential_id),
            "external_id": row.external_id,
        }
        for row in found
    ]
    named = items.named_endpoints(about)
    return Rows(
        of={
            Kind.POOL: pools,
            Kind.NODE: nodes,
            Kind.SUBSCRIPTION: subscriptions,
            Kind.CREDENTIAL: credentials,
            Kind.ENDPOINT: {name: row for (name, _), row in zip(named, found, strict=True)},
        },
        maintenance=await _all(session, MaintenanceRow),
        endpoints=dict(named),
    )


async def _all(session: AsyncSession, kind: type[_Row]) -> list[_Row]:
    return list(await session.scalars(select(kind).order_by(kind.id)))  # type: ignore[attr-defined]  # each has one


def state(found: Rows, vault: Vault) -> State:
    """Return the items of the rows."""
    return {item.key: item for item in _items(found, vault)}


async def present(database: Database, vault: Vault) -> State:
    """Return the present state of an installation."""
    async with database.snapshot() as connection, AsyncSession(bind=connection) as session:
        return state(await rows(session), vault)


def _items(found: Rows, vault: Vault) -> Iterable[Item]:
    pools = {row.id: name for name, row in found.of[Kind.POOL].items()}
    windows: dict[int, list[list[Any]]] = {}
    for window in found.maintenance:
        windows.setdefault(window.node_id, []).append([window.start_s, window.end_s, window.note])
    for kind, table in items.TABLES.items():
        for name, row in found.of[kind].items():
            fields = {
                field_: items.read(table.form(field_), getattr(row, table.column(field_)))
                for field_ in table.fields
            }
            if "pool" in table.special:
                fields["pool"] = pools[row.pool_id]
            if kind is Kind.NODE:
                fields[MAINTENANCE] = sorted(windows.get(row.id, []))
            if kind is Kind.ENDPOINT:
                fields |= found.endpoints[name] | {"own_secret": row.secret is not None}
            if SECRET in table.special:
                fields |= _secrets(row, f"{kind} {name}", vault)
            yield Item(kind, name, fields)


def _secrets(row: Any, name: str, vault: Vault) -> dict[str, Any]:
    return {
        SECRET: _opened(row.secret, name, vault),
        PREVIOUS: _opened(row.previous_secret, name, vault),
        PREVIOUS_UNTIL: row.previous_until_ms,
    }


def _opened(sealed: bytes | None, name: str, vault: Vault) -> str | None:
    if sealed is None:
        return None
    try:
        return vault.open(sealed)
    except VaultError as error:
        # Without a traceback: the reason says it all, and this comes once per record.
        log.error("a stored secret cannot be opened", of=name, reason=str(error))  # noqa: TRY400
        return None


# --- what is in use


@dataclass(frozen=True, slots=True)
class InUse:
    """How much is on what, by its id."""

    #: Live meetings and bookings.
    meetings: Mapping[Kind, Mapping[int, int]]
    #: Recordings that would be listed no more.
    recordings: Mapping[Kind, Mapping[int, int]]


async def in_use(session: AsyncSession) -> InUse:
    """Count what is on nodes, subscriptions and credentials."""
    live = col(MeetingRow.live).is_(True)
    there = (col(RecordingRow.doc).is_not(None), col(RecordingRow.state) != "deleted")
    return InUse(
        meetings={
            Kind.NODE: await _counted(session, col(MeetingRow.node_id), live),
            Kind.SUBSCRIPTION: await _counted(session, col(MeetingRow.subscription_id), live),
            Kind.CREDENTIAL: await _counted(session, col(MeetingRow.credential_id), live),
        },
        recordings={
            Kind.NODE: await _counted(session, col(RecordingRow.node_id), *there),
            Kind.CREDENTIAL: await _counted(session, col(RecordingRow.credential_id), *there),
        },
    )


async def _counted(session: AsyncSession, by: Any, *conditions: Any) -> dict[int, int]:
    found = await session.execute(select(by, func.count()).where(*conditions).group_by(by))
    return {number or 0: count for number, count in found}

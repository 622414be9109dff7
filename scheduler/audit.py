"""The audit log: who changed what of the configuration, and when.

Owns the reading of changes off a session, the masking of secrets in them, and the rows. Written in
the transaction of the change, so there is no change without its line. What processes note by
themselves all the time (health, versions) is not in it. Called by `changes` and by operations that
are no changes of the directory, such as ending a meeting.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import event, inspect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session
from sqlmodel import SQLModel

from scheduler.directory_records import credential_name
from schemas.management_tables import AssetRow, AuditRow, MaintenanceRow, TokenRow
from schemas.tables import CredentialRow, EndpointRow, NodeRow, PoolRow, SubscriptionRow

#: Who acts in this task, and for which request; set at the edges.
actor: ContextVar[str] = ContextVar("actor", default="system")
request_id: ContextVar[str] = ContextVar("request_id", default="")

MASK: Final = "***"
_TEXT_MAX: Final = 1_000
#: What is watched, by what people call it, and the column of its name.
_KINDS: Final[dict[type[SQLModel], tuple[str, str]]] = {
    PoolRow: ("pool", "name"),
    NodeRow: ("node", "name"),
    MaintenanceRow: ("maintenance", "id"),
    SubscriptionRow: ("subscription", "slug"),
    CredentialRow: ("credential", "sub"),
    EndpointRow: ("endpoint", "id"),
    AssetRow: ("asset", "kind"),
    TokenRow: ("token", "id"),
}
#: Observed, not decided by anybody.
_OBSERVED: Final = frozenset(
    {
        *("health", "health_reason", "health_ms", "health_fault", "answered_ms", "misses"),
        *("version", "previous_in_use", "epoch", "holder", "used_ms"),
    }
)
_SECRET: Final = frozenset({"secret", "previous_secret", "digest", "content"})


@dataclass(frozen=True, slots=True)
class Seen:
    """One row that a session added, changed or removed."""

    row: SQLModel
    verb: str
    #: Field → before, after.
    fields: dict[str, list[Any]]
    #: What it belongs to, when the session knew it: that may be removed a moment later.
    owner: Any = None


@contextlib.contextmanager
def watching(session: AsyncSession) -> Iterator[list[Seen]]:
    """Collect what the session changes within the block."""
    seen: list[Seen] = []

    def flushed(inner: Session, _context: object) -> None:
        for verb, rows in (("added", inner.new), ("changed", inner.dirty)):
            seen.extend(
                Seen(row, verb, fields, _owner(inner, row))
                for row in rows
                if type(row) in _KINDS and (fields := _changed(row))
            )
        seen.extend(
            Seen(row, "removed", {}, _owner(inner, row))
            for row in inner.deleted
            if type(row) in _KINDS
        )

    event.listen(session.sync_session, "after_flush", flushed)
    try:
        yield seen
    finally:
        event.remove(session.sync_session, "after_flush", flushed)


async def write(session: AsyncSession, seen: list[Seen]) -> None:
    """Add the rows of what was collected to the transaction."""
    for change in seen:
        kind, _ = _KINDS[type(change.row)]
        subject, subscription_id = await _subject(session, change.row, change.owner)
        session.add(
            _row(f"{kind}.{change.verb}", subject, change.fields, subscription_id=subscription_id)
        )


async def note(
    connection: AsyncConnection | AsyncSession,
    action: str,
    subject: str,
    detail: Mapping[str, Any],
    *,
    subscription_id: int | None = None,
) -> None:
    """Write one line for something that no row of the directory shows; commits nothing."""
    row = _row(action, subject, detail, subscription_id=subscription_id)
    table = AuditRow.metadata.tables["audit"]
    await connection.execute(table.insert().values(row.model_dump(exclude={"id"})))


def _row(
    action: str, subject: str, detail: Mapping[str, Any], *, subscription_id: int | None
) -> AuditRow:
    return AuditRow(
        at_ms=time.time_ns() // 1_000_000,
        actor=actor.get(),
        action=action,
        subject=subject,
        subscription_id=subscription_id,
        detail=orjson.dumps(detail, default=str),
        request_id=request_id.get(),
    )


def _owner(session: Session, row: SQLModel) -> Any:
    """Return the subscription or node of a row, when the session has it at hand."""
    if isinstance(row, CredentialRow | AssetRow):
        key = session.identity_key(SubscriptionRow, row.subscription_id)
    elif isinstance(row, MaintenanceRow):
        key = session.identity_key(NodeRow, row.node_id)
    else:
        return None
    return session.identity_map.get(key)


async def _subject(
    session: AsyncSession, row: SQLModel, owner: Any = None
) -> tuple[str, int | None]:
    """Return kind and name of a row for people, and whose it is."""
    kind, column = _KINDS[type(row)]
    name = getattr(row, column)
    if isinstance(row, SubscriptionRow):
        return f"{kind} {name}", row.id
    owner_id: int | None = getattr(row, "subscription_id", None)
    if isinstance(row, CredentialRow | AssetRow):
        owner = owner or await session.get(SubscriptionRow, owner_id)
        slug = "" if owner is None else owner.slug
        shown = credential_name(slug, row.sub) if isinstance(row, CredentialRow) else slug
        return f"{kind} {shown}" + ("" if isinstance(row, CredentialRow) else f" {name}"), owner_id
    if isinstance(row, MaintenanceRow):
        node = owner or await session.get(NodeRow, row.node_id)
        return f"{kind} {name} of node {node.name if node else row.node_id}", None
    return f"{kind} {name}", owner_id


def _changed(row: SQLModel) -> dict[str, list[Any]]:
    """Return what differs from before, without what is only observed."""
    fields: dict[str, list[Any]] = {}
    for attribute in inspect(row).attrs:
        name = attribute.key
        history = attribute.history
        if name in _OBSERVED or not history.has_changes():
            continue
        before = history.deleted[0] if history.deleted else None
        after = history.added[0] if history.added else None
        if before != after:
            fields[name] = [_shown(name, before), _shown(name, after)]
    return fields


def _shown(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _SECRET or isinstance(value, bytes):
        return MASK
    if isinstance(value, str) and len(value) > _TEXT_MAX:
        return value[:_TEXT_MAX] + "…"
    return value

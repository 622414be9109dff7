"""Changing credentials: limits, switches, hosts and rules, and the rotation of their secrets.

Owns what may change of a credential, and that at most two secrets are valid at once. A new secret
is returned once and never read back; nothing here shows one otherwise. Raises `OperationError` with
a sentence when it refuses. Called by the command line, the management API, and the timers.
"""

from typing import Any, Final, TypedDict, Unpack

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from scheduler import changes, checks
from scheduler.checks import ConflictError, NotFoundError, OperationError
from scheduler.database import Database
from scheduler.directory_records import credential_name, slug_and_sub
from scheduler.operations import NewCredential, new_secret
from scheduler.vault import Vault
from schemas.tables import (
    CredentialRow,
    EndpointRow,
    HookRow,
    MeetingRow,
    RecordingRow,
    SubscriptionRow,
)

OVERLAP_MAX_S: Final = 366 * 86_400


class CredentialTerms(TypedDict, total=False):
    """What can be set on a credential; None clears a limit, or falls back to the subscription."""

    label: str
    enabled: bool
    is_default: bool
    hosts: str
    algorithms: str
    seats: int | None
    meetings_max: int | None
    default_seats: int | None
    default_duration_s: int | None
    meeting_seats_max: int | None
    duration_max_s: int | None
    rules: str
    origins: str
    jsonp: bool
    draft: bool
    refused_calls: str
    moderators_pass: bool


async def change_credential(
    database: Database, name: str, **terms: Unpack[CredentialTerms]
) -> CredentialRow:
    """Change what is set on a credential; meetings that are admitted already stay so."""
    if not terms:
        raise OperationError("there is nothing to change")
    stored = checks.fields(terms, CredentialTerms)
    async with changes.change(database) as session:
        row, _ = await _named(session, name)
        await _free_hosts(session, row, stored.get("hosts", ""))
        if stored.get("is_default"):
            await give_up_default(session)
        row.sqlmodel_update(stored)
    return row


async def give_up_default(session: AsyncSession) -> None:
    """Take the bare path from whoever owns it: at most one credential does."""
    for other in await session.scalars(select(CredentialRow).where(col(CredentialRow.is_default))):
        other.is_default = False


async def remove(database: Database, name: str, *, force: bool = False) -> None:
    """Remove a credential with its webhooks, and the endpoints that hear of it alone.

    Ends nothing. Unless forced it is refused while something would be out of everybody's reach:
    meetings that are not over, bookings, recordings, endpoints.
    """
    async with changes.change(database) as session:
        row, full = await _named(session, name)
        if not force:
            await _refuse_in_use(session, row, full)
        mine = col(EndpointRow.credential_id) == row.id
        for endpoint in list(await session.scalars(select(EndpointRow).where(mine))):
            await changes.remove(session, endpoint)
        hooks = delete(HookRow).where(col(HookRow.credential_id) == row.id)
        await session.execute(hooks.execution_options(synchronize_session=False))
        await changes.remove(session, row)


async def _refuse_in_use(session: AsyncSession, row: CredentialRow, name: str) -> None:
    meeting, recording = (
        MeetingRow.metadata.tables["meeting"],
        RecordingRow.metadata.tables["recording"],
    )
    endpoint = EndpointRow.metadata.tables["endpoint"]
    used = []
    for what, table, only in (
        ("meetings or bookings that are not over", meeting, (meeting.c.live.is_(True),)),
        ("recordings", recording, (recording.c.doc.is_not(None), recording.c.state != "deleted")),
        ("endpoints of its own", endpoint, ()),
    ):
        mine = select(table.c.id).where(table.c.credential_id == row.id, *only).limit(1)
        if (await session.execute(mine)).first() is not None:
            used.append(what)
    if used:
        raise ConflictError(
            f"{name} has {', '.join(used)}: switch it off instead, or remove it by force; then"
            " nobody can reach them any more"
        )


async def rotate(
    database: Database, vault: Vault, name: str, *, overlap_s: int, secret: str | None = None
) -> NewCredential:
    """Give a credential a new secret, made unless given; the old one stays valid for a while."""
    if not 0 <= overlap_s <= OVERLAP_MAX_S:
        raise OperationError(f"the overlap must be from 0 to {OVERLAP_MAX_S // 86_400} days")
    secret = new_secret() if secret is None else secret
    checks.secret(secret, characters_min=8)
    now_ms = changes.now_ms()
    async with changes.change(database) as session:
        row, full = await _named(session, name)
        until_ms = row.previous_until_ms
        if row.previous_secret is not None and (until_ms is None or until_ms > now_ms):
            # A third secret would silently shut out whoever still uses the first.
            raise ConflictError(
                f"a rotation of {full} lasts already; end it with `credential revoke {full}`"
            )
        row.previous_secret = row.secret if overlap_s else None
        row.previous_until_ms = now_ms + overlap_s * 1_000 if overlap_s else None
        row.secret = vault.seal(secret)
    return NewCredential(id=changes.row_id(row.id), name=full, secret=secret)


async def revoke_previous(database: Database, name: str) -> None:
    """End the rotation of a credential now: only its newest secret stays valid."""
    async with changes.change(database) as session:
        row, full = await _named(session, name)
        if row.previous_secret is None:
            raise ConflictError(f"{full} has one secret only; there is nothing to revoke")
        row.previous_secret = row.previous_until_ms = None


async def drop_previous(database: Database) -> int:
    """Remove previous secrets whose time is over, and return how many; they are void already.

    Safe to repeat: what is gone is not found again, and then nothing is written.
    """
    over = col(CredentialRow.previous_until_ms) <= changes.now_ms()
    async with database.session() as session:
        found = list(await session.scalars(select(CredentialRow.id).where(over)))  # type: ignore[call-overload]  # SQLModel types a column as its value
    if not found:
        return 0
    async with changes.change(database) as session:
        await session.execute(
            update(CredentialRow)
            .where(over)
            .values(previous_secret=None, previous_until_ms=None)
            .execution_options(synchronize_session=False)
        )
    return len(found)


async def describe(
    database: Database, *, subscription: str | None = None, name: str | None = None
) -> list[dict[str, Any]]:
    """Return what is set on credentials, by name: all, a subscription's, or one; no secrets."""
    async with database.session() as session:
        if name is not None:
            row, full = await _named(session, name)
            return [_described(row, full)]
        statement = select(CredentialRow, SubscriptionRow).where(
            col(CredentialRow.subscription_id) == col(SubscriptionRow.id)
        )
        if subscription is not None:
            await changes.get(session, SubscriptionRow, "slug", subscription, what="subscription")
            statement = statement.where(col(SubscriptionRow.slug) == subscription)
        found = (await session.execute(statement)).all()
    pairs = [(row, credential_name(owner.slug, row.sub)) for row, owner in found]
    return [_described(row, full) for row, full in sorted(pairs, key=lambda pair: pair[1])]


def _described(row: CredentialRow, name: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": name}
    shown |= {field: getattr(row, field) for field in CredentialTerms.__annotations__}
    until_ms = row.previous_until_ms
    rotating = row.previous_secret is not None
    if rotating and until_ms is not None and until_ms <= changes.now_ms():
        rotating = False
    return shown | {
        #: Whether the secret before the present one is still valid.
        "previous": rotating,
        "previous_until_ms": until_ms if rotating else None,
    }


async def _named(session: AsyncSession, name: str) -> tuple[CredentialRow, str]:
    """Return the row of `acme`, `acme-5` or `acme-005`, and its name without leading zeros."""
    slug, sub = slug_and_sub(name)
    found = await session.scalars(
        select(CredentialRow)
        .join(SubscriptionRow, col(SubscriptionRow.id) == col(CredentialRow.subscription_id))
        .where(col(SubscriptionRow.slug) == slug, col(CredentialRow.sub) == sub)
    )
    row = found.first()
    if row is None:
        raise NotFoundError(f"there is no credential {name}")
    return row, credential_name(slug, sub)


async def _free_hosts(session: AsyncSession, row: CredentialRow, hosts: str) -> None:
    """Refuse host names that belong to another credential."""
    wanted = set(filter(None, hosts.split(",")))
    for other in await session.scalars(select(CredentialRow)):
        if other.id != row.id and (taken := wanted & set(other.hosts.split(","))):
            raise ConflictError(f"the host {min(taken)} belongs to another credential")

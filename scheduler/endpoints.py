"""Endpoints: where events of a subscription go, in which form, and signed with what.

Owns their making, changing, switching and removing, and the rotation of their secrets. What fails
is switched off, never removed. A secret is returned once and never read back. Raises
`OperationError` with a sentence when it refuses. Called by the command line, the management API,
and by delivery workers, which switch off.
"""

from dataclasses import dataclass, field
from typing import Any, Final, TypedDict, Unpack

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from scheduler import changes, checks, outbox
from scheduler.checks import ConflictError, NotFoundError, OperationError
from scheduler.database import Database
from scheduler.directory_records import credential_name, slug_and_sub
from scheduler.vault import Vault
from schemas import events
from schemas.dialects import signed
from schemas.dialects.names import Dialect
from schemas.events import EventKind
from schemas.tables import CredentialRow, EndpointRow, SubscriptionRow

OVERLAP_MAX_S: Final = 366 * 86_400
SECRET_CHARACTERS_MIN: Final = 8


class EndpointFilter(TypedDict, total=False):
    """What an endpoint is told, and in which order; None as the meeting means all of them."""

    label: str
    kinds: str
    external_id: str | None
    ordering: str


class EndpointTerms(EndpointFilter, total=False):
    """What can be changed of an endpoint."""

    url: str


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint with a secret just made: the only time that it is shown."""

    id: int
    #: None: its deliveries are signed with the secret of the credential.
    secret: str | None = field(repr=False)


async def add(
    database: Database,
    vault: Vault,
    *,
    subscription: str,
    url: str,
    dialect: str = Dialect.DRAFT,
    credential: str | None = None,
    secret: str | None = None,
    endpoints_max: int | None = None,
    **terms: Unpack[EndpointFilter],
) -> NewEndpoint:
    """Add an endpoint for events of a subscription, or of one credential of it.

    Signed JSON has a secret of its own, made unless given; the other dialects are signed with the
    credential's, unless one is given. With `endpoints_max` it is refused when the subscription has
    as many already.
    """
    checks.choice("dialect", dialect)
    stored = _checked({"url": url, **terms})
    if dialect == Dialect.SIGNED and secret is None:
        secret = signed.new_secret()
    if secret is not None:
        _check_secret(secret, dialect)
    async with changes.change(database) as session:
        owner = await changes.get(
            session, SubscriptionRow, "slug", subscription, what="subscription"
        )
        owner_id = changes.row_id(owner.id)
        if endpoints_max is not None:
            await _check_count(session, owner, endpoints_max)
        row = EndpointRow(
            subscription_id=owner_id,
            credential_id=await _credential_id(session, owner, credential),
            url=stored.pop("url"),
            dialect=dialect,
            created_ms=changes.now_ms(),
            secret=None if secret is None else vault.seal(secret),
        )
        row.sqlmodel_update(stored)
        await changes.insert(session, row)
    return NewEndpoint(changes.row_id(row.id), secret)


async def change(
    database: Database, endpoint_id: int, **terms: Unpack[EndpointTerms]
) -> EndpointRow:
    """Change an endpoint; what is queued for it goes where it was meant to go."""
    if not terms:
        raise OperationError("there is nothing to change")
    stored = _checked(terms)
    async with changes.change(database) as session:
        row = await _get(session, endpoint_id)
        row.sqlmodel_update(stored)
    return row


async def enable(database: Database, endpoint_id: int) -> None:
    """Switch an endpoint on; how it fared before is not forgotten."""
    async with changes.change(database) as session:
        row = await _get(session, endpoint_id)
        row.enabled, row.disabled_reason = True, ""


async def disable(
    database: Database, endpoint_id: int, *, reason: str = "", failing_since_ms: int | None = None
) -> bool:
    """Switch an endpoint off and tell whether it was on; `reason` is empty for a person.

    With a reason, the subscription's other endpoints are told in the same transaction. Safe to
    repeat: what is off already stays as it is, and nobody is told again.
    """
    async with changes.change(database) as session:
        row = await _get(session, endpoint_id)
        if not row.enabled:
            return False
        row.enabled, row.disabled_reason = False, reason
        if reason:
            data: dict[str, Any] = {"endpoint": endpoint_id, "label": row.label, "reason": reason}
            if failing_since_ms is not None:
                data["failingSince"] = failing_since_ms
            await _tell(session, EventKind.ENDPOINT_DISABLED, row, data)
    return True


async def ping(database: Database, endpoint_id: int) -> str:
    """Send a test event to one endpoint and return its id."""
    async with (
        database.write_lock,
        # A write transaction from its beginning: one that reads first may find others in its way.
        database.begin() as connection,
        AsyncSession(bind=connection, expire_on_commit=False) as session,
    ):
        row = await _get(session, endpoint_id)
        if not row.enabled:
            raise ConflictError(f"the endpoint {endpoint_id} is switched off: enable it first")
        event_id = await _tell(session, EventKind.PING, row, {"endpoint": endpoint_id})
        await session.commit()
    return event_id


async def remove(database: Database, endpoint_id: int) -> None:
    """Remove an endpoint; what is still queued for it is parked when its turn comes."""
    async with changes.change(database) as session:
        await changes.remove(session, await _get(session, endpoint_id))


async def rotate(
    database: Database, vault: Vault, endpoint_id: int, *, overlap_s: int, secret: str | None = None
) -> NewEndpoint:
    """Give an endpoint a new secret; for a while deliveries of signed JSON carry both signatures.

    The other dialects have room for one signature, which is that of the new secret at once.
    """
    if not 0 <= overlap_s <= OVERLAP_MAX_S:
        raise OperationError(f"the overlap must be from 0 to {OVERLAP_MAX_S // 86_400} days")
    now_ms = changes.now_ms()
    async with changes.change(database) as session:
        row = await _get(session, endpoint_id)
        if row.secret is None:
            raise ConflictError(
                f"the endpoint {endpoint_id} is signed with the secret of its credential:"
                " rotate that one"
            )
        until_ms = row.previous_until_ms
        if row.previous_secret is not None and (until_ms is None or until_ms > now_ms):
            raise ConflictError(
                f"the endpoint {endpoint_id} has two secrets already: wait until the older one ends"
            )
        secret = signed.new_secret() if secret is None else secret
        _check_secret(secret, row.dialect)
        row.previous_secret = row.secret if overlap_s else None
        row.previous_until_ms = now_ms + overlap_s * 1_000 if overlap_s else None
        row.secret = vault.seal(secret)
    return NewEndpoint(endpoint_id, secret)


async def drop_previous(database: Database) -> int:
    """Remove previous secrets whose time is over, and return how many; they sign no more already.

    Safe to repeat: what is gone is not found again, and then nothing is written.
    """
    over = col(EndpointRow.previous_until_ms) <= changes.now_ms()
    async with database.session() as session:
        found = len(list(await session.scalars(select(EndpointRow).where(over))))
    if not found:
        return 0
    async with changes.change(database) as session:
        for row in await session.scalars(select(EndpointRow).where(over)):
            row.previous_secret = row.previous_until_ms = None
    return found


async def describe(
    database: Database, *, subscription: str | None = None, endpoint_id: int | None = None
) -> list[dict[str, Any]]:
    """Return what is set on endpoints, by number: all, a subscription's, or one; no secrets."""
    statement = select(EndpointRow).order_by(col(EndpointRow.id))
    async with database.session() as session:
        owners = {row.id: row for row in await session.scalars(select(SubscriptionRow))}
        names = {
            row.id: credential_name(owners[row.subscription_id].slug, row.sub)
            for row in await session.scalars(select(CredentialRow))
        }
        if subscription is not None:
            owner = await changes.get(
                session, SubscriptionRow, "slug", subscription, what="subscription"
            )
            statement = statement.where(col(EndpointRow.subscription_id) == owner.id)
        if endpoint_id is not None:
            rows = [await _get(session, endpoint_id)]
        else:
            rows = list(await session.scalars(statement))
    return [_described(row, owners[row.subscription_id].slug, names) for row in rows]


def _described(row: EndpointRow, slug: str, names: dict[int | None, str]) -> dict[str, Any]:
    until_ms = row.previous_until_ms
    rotating = row.previous_secret is not None and (until_ms is None or until_ms > changes.now_ms())
    return {
        "id": row.id,
        "subscription": slug,
        "credential": names.get(row.credential_id) if row.credential_id is not None else None,
        "dialect": row.dialect,
        "ordering": row.ordering,
        "kinds": row.kinds,
        "meeting": row.external_id,
        "enabled": row.enabled,
        "disabled_reason": row.disabled_reason,
        "label": row.label,
        "signed_by": "endpoint" if row.secret is not None else "credential",
        "previous_until_ms": until_ms if rotating else None,
        "created_ms": row.created_ms,
        "url": row.url,
    }


def _checked(terms: EndpointTerms) -> dict[str, Any]:
    """Return the entries as they are stored."""
    stored = checks.fields(terms, EndpointTerms)
    if stored.get("external_id") == "":
        raise OperationError("a meetingID is not empty; leave it out for all meetings")
    return stored


def _check_secret(secret: str, dialect: str) -> None:
    if dialect == Dialect.SIGNED and not signed.fitting_secret(secret):
        raise OperationError(
            f"a secret for signed JSON is {signed.SECRET_PREFIX} and 24 to 64 bytes in base64"
        )
    checks.secret(secret, characters_min=SECRET_CHARACTERS_MIN)


async def _check_count(session: AsyncSession, owner: SubscriptionRow, count_max: int) -> None:
    mine = col(EndpointRow.subscription_id) == owner.id
    count = len((await session.scalars(select(EndpointRow).where(mine))).all())
    if count >= count_max:
        raise ConflictError(
            f"{owner.slug} has {count} endpoints, as many as it may add itself: remove one, or ask"
            " the provider"
        )


async def _get(session: AsyncSession, endpoint_id: int) -> EndpointRow:
    return await changes.get(session, EndpointRow, "id", endpoint_id, what="endpoint")


async def _credential_id(
    session: AsyncSession, owner: SubscriptionRow, name: str | None
) -> int | None:
    """Return the id of a credential of the subscription."""
    if name is None:
        return None
    slug, sub = slug_and_sub(name)
    found = await session.scalars(
        select(CredentialRow).where(
            col(CredentialRow.subscription_id) == owner.id, col(CredentialRow.sub) == sub
        )
    )
    row = found.first()
    if row is None or slug != owner.slug:
        raise NotFoundError(f"there is no credential {name} of {owner.slug}")
    return row.id


async def _tell(
    session: AsyncSession, kind: EventKind, row: EndpointRow, data: dict[str, Any]
) -> str:
    """Write an event of the endpoint's subscription and return its id."""
    owner = await changes.get(
        session, SubscriptionRow, "id", row.subscription_id, what="subscription"
    )
    event = events.about_subscription(
        kind,
        changes.now_ms(),
        pool=owner.pool_id,
        subscription=row.subscription_id,
        credential=row.credential_id or 0,
        data=data,
    )
    await outbox.write(session, event)
    return event["id"]

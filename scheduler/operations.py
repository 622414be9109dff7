"""Management operations: pools, nodes, subscriptions and credentials.

Owns their making and changing, except that of credentials (`scheduler.credentials`); what may be
entered is checked in `scheduler.checks`. Every change raises the directory version in the same
transaction, so that all processes see it within a second.
Raises `OperationError` with a sentence when it refuses. Never touches meetings. Called by the
command line, the management API, and the observer (health).
"""

import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypedDict, Unpack

from sqlalchemy import select
from sqlmodel import col

from scheduler import changes, checks, subscriptions
from scheduler.checks import ConflictError
from scheduler.database import Database
from scheduler.directory_records import credential_name
from scheduler.pools import PoolRules
from scheduler.vault import Vault
from schemas.tables import (
    CredentialRow,
    NodeRow,
    PoolRow,
    SubscriptionRow,
)

#: The one error of this module; its class lives where entries are checked.
OperationError = checks.OperationError

SECRET_CHARACTERS: Final = 40
_ALPHABET: Final = string.ascii_letters + string.digits


class SubscriptionTerms(TypedDict, total=False):
    """What can be set on a subscription."""

    seats: int
    name: str
    enabled: bool
    suspended: bool
    meetings_max: int | None
    default_seats: int
    default_duration_s: int
    meeting_seats_max: int | None
    duration_max_s: int | None
    welcome_text: str
    moderator_text: str
    rules: str
    event_names: bool
    event_hashed_ids: bool
    node_tags: str
    language: str
    #: Texts by the key of the refusal, by language.
    refusal_texts: Mapping[str, Mapping[str, str]]
    overtime_text: str
    origins: str


class MoreOfNode(TypedDict, total=False):
    """What may be said of a node besides what must be."""

    meeting_seats_max: int | None
    weight: int
    tags: str
    #: What it said of itself.
    version: str


@dataclass(frozen=True, slots=True)
class NewCredential:
    """A credential just made: the only time that its secret is shown."""

    id: int
    name: str
    secret: str = field(repr=False)


def new_secret() -> str:
    """Return a random secret."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(SECRET_CHARACTERS))


async def ensure_pool(database: Database, name: str, **rules: Unpack[PoolRules]) -> int:
    """Make the pool unless it is there, set the given rules, and return its id."""
    checks.name("pool", name)
    checks.fields(rules, PoolRules)
    async with database.session() as session:
        row = await changes.find(session, PoolRow, "name", name)
    if row is not None and all(getattr(row, rule) == value for rule, value in rules.items()):
        return changes.row_id(row.id)
    async with changes.change(database) as session:
        row = await changes.find(session, PoolRow, "name", name)
        if row is None:
            row = await changes.insert(session, PoolRow(name=name))
        row.sqlmodel_update({**rules})
    return changes.row_id(row.id)


async def add_node(
    database: Database,
    vault: Vault,
    *,
    name: str,
    base_url: str,
    secret: str,
    seats: int,
    pool: str = "default",
    **more: Unpack[MoreOfNode],
) -> int:
    """Add a node to a pool and return its id."""
    checks.name("node", name)
    checks.number("seats", seats)
    checks.number("meeting_seats_max", more.get("meeting_seats_max"))
    checks.number("weight", more.get("weight", 100))
    if "tags" in more:
        more["tags"] = checks.tags(more["tags"])
    checks.secret(secret, characters_min=1)
    url = checks.node_url(base_url)
    async with changes.change(database) as session:
        in_pool = await changes.get(session, PoolRow, "name", pool, what="pool")
        if await changes.find(session, NodeRow, "name", name):
            raise ConflictError(f"there is a node {name} already")
        same = await changes.find(session, NodeRow, "base_url", url)
        if same is not None:
            # Two names for one server would sell its seats twice.
            raise ConflictError(f"the node {same.name} has the URL {url} already")
        row = NodeRow(
            pool_id=changes.row_id(in_pool.id),
            name=name,
            base_url=url,
            secret=vault.seal(secret),
            seats=seats,
            **more,
        )
        await changes.insert(session, row)
    return changes.row_id(row.id)


async def list_nodes(database: Database, *, pool: str | None = None) -> list[NodeRow]:
    """Return the nodes by name, of one pool or of all; their secrets stay sealed."""
    statement = select(NodeRow).order_by(col(NodeRow.name))
    async with database.session() as session:
        if pool is not None:
            in_pool = await changes.get(session, PoolRow, "name", pool, what="pool")
            statement = statement.where(col(NodeRow.pool_id) == in_pool.id)
        return list(await session.scalars(statement))


async def set_node_state(database: Database, name: str, state: str) -> None:
    """Let a node take new meetings (active), none (draining), or leave it alone (disabled)."""
    checks.choice("state", state)
    async with changes.change(database) as session:
        row = await changes.get(session, NodeRow, "name", name, what="node")
        row.state = state


async def add_subscription(
    database: Database, slug: str, *, pool: str = "default", **terms: Unpack[SubscriptionTerms]
) -> int:
    """Add a subscription, with `seats` at least, and return its id."""
    checks.slug(slug)
    stored = checks.fields(terms, SubscriptionTerms)
    if "seats" not in terms:
        raise OperationError("a subscription needs a number of seats")
    async with changes.change(database) as session:
        in_pool = await changes.get(session, PoolRow, "name", pool, what="pool")
        if await changes.find(session, SubscriptionRow, "slug", slug):
            raise ConflictError(f"there is a subscription {slug} already")
        row = SubscriptionRow(pool_id=changes.row_id(in_pool.id), slug=slug, seats=terms["seats"])
        row.sqlmodel_update(stored)
        await changes.insert(session, row)
    return changes.row_id(row.id)


async def list_subscriptions(database: Database) -> list[SubscriptionRow]:
    """Return the subscriptions by slug."""
    async with database.session() as session:
        return list(
            await session.scalars(select(SubscriptionRow).order_by(col(SubscriptionRow.slug)))
        )


async def change_subscription(
    database: Database, slug: str, *, pool: str | None = None, **terms: Unpack[SubscriptionTerms]
) -> SubscriptionRow:
    """Change terms of a subscription, or its pool; meetings that are admitted stay so."""
    if not terms and pool is None:
        raise OperationError("there is nothing to change")
    stored = checks.fields(terms, SubscriptionTerms)
    async with changes.change(database) as session:
        row = await changes.get(session, SubscriptionRow, "slug", slug, what="subscription")
        if pool is not None:
            await subscriptions.move(session, row, pool)
        row.sqlmodel_update(stored)
    return row


async def add_credential(  # noqa: PLR0913  # each is a field
    database: Database,
    vault: Vault,
    *,
    subscription: str,
    sub: int | None = None,
    secret: str | None = None,
    label: str = "",
    hosts: Sequence[str] = (),
    is_default: bool = False,
    credentials_max: int | None = None,
) -> NewCredential:
    """Add a credential, `acme` without `sub`, `acme-5` with 5; its secret is made unless given.

    With `credentials_max` it is refused when the subscription has as many already.
    """
    checks.number("sub", sub)
    checks.text("label", label)
    if secret is None:
        secret = new_secret()
    checks.secret(secret, characters_min=8)
    names = checks.hosts(hosts)
    async with changes.change(database) as session:
        owner = await changes.get(
            session, SubscriptionRow, "slug", subscription, what="subscription"
        )
        name = credential_name(subscription, sub)
        mine = 0
        for other in await session.scalars(select(CredentialRow)):
            mine += other.subscription_id == owner.id
            if (other.subscription_id, other.sub) == (owner.id, sub):
                raise ConflictError(f"there is a credential {name} already")
            if is_default and other.is_default:
                raise ConflictError("another credential owns the bare path already")
            if taken := set(names) & set(other.hosts.split(",")):
                raise ConflictError(f"the host {min(taken)} belongs to another credential")
        if credentials_max is not None and mine >= credentials_max:
            raise ConflictError(
                f"{subscription} has {mine} credentials, as many as it may add itself: remove one,"
                " or ask the provider"
            )
        row = CredentialRow(
            subscription_id=changes.row_id(owner.id),
            sub=sub,
            label=label,
            secret=vault.seal(secret),
            is_default=is_default,
            hosts=",".join(names),
        )
        await changes.insert(session, row)
    return NewCredential(id=changes.row_id(row.id), name=name, secret=secret)


async def list_credentials(
    database: Database, *, subscription: str | None = None
) -> list[CredentialRow]:
    """Return the credentials, of one subscription or of all; their secrets stay sealed."""
    statement = select(CredentialRow).order_by(
        col(CredentialRow.subscription_id), col(CredentialRow.sub)
    )
    async with database.session() as session:
        if subscription is not None:
            owner = await changes.get(
                session, SubscriptionRow, "slug", subscription, what="subscription"
            )
            statement = statement.where(col(CredentialRow.subscription_id) == owner.id)
        return list(await session.scalars(statement))

"""Credentials: list, add, show, change, remove, rotate, revoke, and the dry run of their rules.

Owns which settings are the customer's, and that a secret is answered once, when it is made. The
doing is `scheduler.operations`, `scheduler.credentials` and `scheduler.trial`.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, func, select, tuple_

from scheduler import changes, credentials, operations, subscriptions, trial
from scheduler.checks import NotFoundError
from scheduler.directory_records import credential_name, slug_and_sub
from scheduler.manage import instants, owned, paging
from scheduler.manage.context import Context, Scope
from scheduler.manage.operation import Access, Operation
from scheduler.manage.subscriptions import refuse_foreign
from schemas.management.credentials import (
    OF_CUSTOMERS,
    CredentialAsked,
    CredentialChange,
    CredentialMade,
    CredentialNow,
    CredentialRemoval,
    CredentialRotation,
    CredentialsAsked,
    CredentialShown,
    NewCredential,
    TrialAsked,
    TrialShown,
)
from schemas.management.paging import Listed
from schemas.tables import CredentialRow

_TABLES: Final = CredentialRow.metadata.tables
_CREDENTIAL: Final = _TABLES["credential"]
_SUBSCRIPTION: Final = _TABLES["subscription"]
_HOOK: Final = _TABLES["hook"]
#: `acme` comes before `acme-0`.
_NUMBER: Final[ColumnElement[int]] = func.coalesce(_CREDENTIAL.c.sub, -1)
_LISTS: Final = ("hosts", "algorithms", "origins", "refused_calls")


async def list_credentials(context: Context, asked: CredentialsAsked) -> Listed[CredentialShown]:
    """List the credentials, by subscription and number; secrets are never shown."""
    after = paging.read_cursor(asked.after, str, int)
    slug = await owned.slug_seen(context, asked.subscription)
    statement = _rows()
    if slug is not None:
        statement = statement.where(_SUBSCRIPTION.c.slug == slug)
    if after is not None:
        statement = statement.where(tuple_(_SUBSCRIPTION.c.slug, _NUMBER) > tuple_(*after))
    rows = await _read(
        context, statement.order_by(_SUBSCRIPTION.c.slug, _NUMBER).limit(asked.limit + 1)
    )
    return paging.page(
        rows,
        asked.limit,
        keys=lambda row: (row["slug"], -1 if row["sub"] is None else row["sub"]),
        shown=_shown,
    )


async def show(context: Context, asked: CredentialAsked) -> CredentialShown:
    """Show all that is set on a credential; never its secret."""
    slug, sub = slug_and_sub(asked.credential)
    rows = await _read(
        context, _rows().where(_SUBSCRIPTION.c.slug == slug, _CREDENTIAL.c.sub == sub)
    )
    if not rows or not context.sees(rows[0]["subscription_id"]):
        raise NotFoundError(f"there is no credential {asked.credential}")
    return _shown(rows[0])


async def add(context: Context, asked: NewCredential) -> CredentialMade:
    """Add a credential; its secret is in this answer, and never again."""
    await owned.subscription_id(context, asked.subscription)
    ours = asked.model_dump(include={"hosts", "is_default"})
    refuse_foreign(context, [name for name, value in ours.items() if value], frozenset())
    owner = context.actor.scope is not Scope.OPERATOR
    made = await operations.add_credential(
        context.database,
        context.vault,
        subscription=asked.subscription,
        sub=asked.sub,
        secret=asked.secret,
        label=asked.label,
        hosts=asked.hosts,
        is_default=asked.is_default,
        credentials_max=context.settings.owner_credentials_max if owner else None,
    )
    return await _made(context, made)


async def change(context: Context, asked: CredentialChange) -> CredentialShown:
    """Change what is set on a credential; meetings that are admitted already stay so."""
    await owned.check_credential(context, asked.credential)
    terms: Any = asked.model_dump(exclude_unset=True, exclude={"credential"})
    refuse_foreign(context, terms, OF_CUSTOMERS)
    terms |= {name: " ".join(terms[name]) for name in _LISTS if name in terms}
    await credentials.change_credential(context.database, asked.credential, **terms)
    return await show(context, asked)


async def remove(context: Context, asked: CredentialRemoval) -> None:
    """Remove a credential; it ends no meetings, and is refused while they or recordings need it."""
    context.operate("credentials can be removed")
    await credentials.remove(context.database, asked.credential, force=asked.force)


async def rotate(context: Context, asked: CredentialRotation) -> CredentialMade:
    """Give a credential a new secret, in this answer only; the old one stays valid for a while."""
    await owned.check_credential(context, asked.credential)
    made = await credentials.rotate(
        *(context.database, context.vault, asked.credential),
        overlap_s=asked.overlap_s,
        secret=asked.secret,
    )
    return await _made(context, made)


async def revoke(context: Context, asked: CredentialAsked) -> CredentialShown:
    """End a rotation now: only the newest secret stays valid."""
    await owned.check_credential(context, asked.credential)
    await credentials.revoke_previous(context.database, asked.credential)
    return await show(context, asked)


async def try_rules(context: Context, asked: TrialAsked) -> TrialShown:
    """Show what the rules would make of a call: its seats, and what the node would get."""
    await owned.check_credential(context, asked.credential)
    # What was changed a moment ago is to be tried.
    await context.directory.refresh()
    directory = context.directory.current
    return TrialShown.model_validate(
        trial.trial(directory, asked.credential, asked.call, asked.query)
    )


async def _made(context: Context, made: operations.NewCredential) -> CredentialMade:
    shown = await show(context, CredentialAsked(credential=made.name))
    return CredentialMade(credential=shown, secret=made.secret)


def _rows() -> Select[Any]:
    hooks = (
        select(func.count())
        .where(_HOOK.c.credential_id == _CREDENTIAL.c.id)
        .correlate(_CREDENTIAL)
        .scalar_subquery()
    )
    return select(_CREDENTIAL, _SUBSCRIPTION.c.slug, hooks.label("hooks")).join(
        _SUBSCRIPTION, _SUBSCRIPTION.c.id == _CREDENTIAL.c.subscription_id
    )


async def _read(context: Context, statement: Select[Any]) -> list[dict[str, Any]]:
    """Return rows with what they have at present."""
    async with context.database.snapshot() as connection:
        rows = [dict(row) for row in (await connection.execute(statement)).mappings()]
        owners = list({row["subscription_id"] for row in rows})
        used = await subscriptions.use(connection, owners, by_credential=True)
    return [{**row, "used": used.get(row["id"], {})} for row in rows]


def _shown(row: Mapping[str, Any]) -> CredentialShown:
    name = credential_name(row["slug"], row["sub"])
    until_ms = row["previous_until_ms"]
    rotating = row["previous_secret"] is not None
    if until_ms is not None and until_ms <= changes.now_ms():
        rotating = False
    counted = {field: row["used"].get(field, 0) for field in CredentialNow.model_fields}
    fields = {field: row[field] for field in CredentialShown.model_fields if field in row}
    return CredentialShown(
        **fields
        | {field: row[field].replace(",", " ").split() for field in _LISTS}
        | {"name": name, "subscription": row["slug"], "path": f"/t/{name}/bigbluebutton/"}
        | {"previous": rotating},
        previous_until_at=instants.maybe_ms(until_ms) if rotating else None,
        now=CredentialNow(**counted | {"hooks": row["hooks"]}),
    )


OPERATIONS: Final = (
    Operation(
        *("credential.list", "GET", "/credentials", list_credentials, CredentialsAsked),
        Listed[CredentialShown],
    ),
    Operation(
        *("credential.add", "POST", "/credentials", add, NewCredential, CredentialMade),
        access=Access.WRITE,
        status=201,
    ),
    Operation(
        *("credential.show", "GET", "/credentials/{credential}", show, CredentialAsked),
        CredentialShown,
    ),
    Operation(
        *("credential.change", "PATCH", "/credentials/{credential}", change, CredentialChange),
        CredentialShown,
        access=Access.WRITE,
        shown_by=show,
    ),
    Operation(
        *("credential.remove", "DELETE", "/credentials/{credential}", remove, CredentialRemoval),
        None,
        access=Access.OPERATE,
        status=204,
        shown_by=show,
    ),
    Operation(
        *("credential.rotate", "POST", "/credentials/{credential}/rotate", rotate),
        *(CredentialRotation, CredentialMade),
        access=Access.WRITE,
    ),
    Operation(
        *("credential.revoke", "POST", "/credentials/{credential}/revoke", revoke),
        *(CredentialAsked, CredentialShown),
        access=Access.WRITE,
    ),
    Operation(
        *("rules.try", "POST", "/credentials/{credential}/rules/try", try_rules),
        *(TrialAsked, TrialShown),
    ),
)

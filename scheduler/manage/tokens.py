"""Tokens of the management API: making, listing, changing and revoking them.

Owns their form and who may make which. Stores digests only; the token itself is in the answer of
its making and nowhere else. Who presents one is found by `bearers`. A token that a token makes
sees no more and lives no longer than that one.
"""

import hashlib
import secrets
import time
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import ColumnElement, and_, or_, select
from sqlmodel import col

from scheduler import changes, checks
from scheduler.checks import ConflictError, ForbiddenError, NotFoundError, OperationError
from scheduler.manage import paging
from scheduler.manage.context import Context, Scope
from scheduler.manage.operation import Access, Operation
from schemas.management.paging import Listed
from schemas.management.tokens import (
    AToken,
    MadeToken,
    NewToken,
    Token,
    TokenChange,
    TokenList,
    TokenState,
)
from schemas.management_tables import TokenRow

#: 43 characters of 6 bits: nobody guesses one, and nothing slower than SHA-256 is needed.
_RANDOM_BYTES: Final = 32
#: Of one subscription, or of the provider, that are neither revoked nor expired.
TOKENS_MAX: Final = 1_000
_LIFE_MAX_DAYS: Final = 36_525


async def add(context: Context, asked: NewToken) -> MadeToken:
    """Make a token; it is shown this once.

    An owner may make readers of its own subscription.
    """
    scope, subscription_id = _granted(context, asked)
    expires_ms = _expires_ms(asked.expires_at)
    checks.text("label", asked.label)
    secret = secrets.token_urlsafe(_RANDOM_BYTES)
    async with changes.change(context.database) as session:
        if context.actor.token_id is not None:
            parent = await session.get(TokenRow, context.actor.token_id)
            expires_ms = _least(expires_ms, None if parent is None else parent.expires_ms)
        owned = col(TokenRow.subscription_id).is_not_distinct_from(subscription_id)
        statement = select(col(TokenRow.id)).where(owned, _is("active", _now_ms()))
        if len((await session.scalars(statement.limit(TOKENS_MAX))).all()) == TOKENS_MAX:
            raise ConflictError(f"there are {TOKENS_MAX} tokens already; revoke some of them first")
        row = TokenRow(
            label=asked.label,
            digest=digest_of(secret),
            scope=scope.value,
            subscription_id=subscription_id,
            created_ms=_now_ms(),
            expires_ms=expires_ms,
        )
        await changes.insert(session, row)
    return MadeToken(**_shown(context, row).model_dump(), token=f"sk_{row.id}_{secret}")


async def show(context: Context, asked: AToken) -> Token:
    """Show a token, without what only its owner has."""
    async with context.database.session() as session:
        return _shown(context, _seen(context, await session.get(TokenRow, asked.token), asked))


async def listed(context: Context, asked: TokenList) -> Listed[Token]:
    """List the tokens by their number."""
    before = paging.read_cursor(asked.after, int)
    statement = select(TokenRow).order_by(col(TokenRow.id)).limit(asked.limit + 1)
    if asked.subscription is not None:
        subscription = context.subscription(asked.subscription)
        statement = statement.where(col(TokenRow.subscription_id) == subscription.id)
    if context.only is not None:
        statement = statement.where(col(TokenRow.subscription_id) == context.only)
    if asked.state is not None:
        statement = statement.where(_is(asked.state, _now_ms()))
    if before is not None:
        statement = statement.where(col(TokenRow.id) > before[0])
    async with context.database.session() as session:
        rows = list(await session.scalars(statement))
    return paging.page(
        rows,
        asked.limit,
        keys=lambda row: (changes.row_id(row.id),),
        shown=lambda row: _shown(context, row),
    )


async def change(context: Context, asked: TokenChange) -> Token:
    """Change what a token is called."""
    async with changes.change(context.database) as session:
        row = _changeable(context, await session.get(TokenRow, asked.token), asked)
        if "label" in asked.model_fields_set:
            checks.text("label", asked.label)
            row.label = asked.label
    return _shown(context, row)


async def revoke(context: Context, asked: AToken) -> None:
    """Revoke a token: from now on it is good for nothing; it stays in the list.

    The last operator's token may be revoked too: the command line makes a new one.
    """
    async with changes.change(context.database) as session:
        row = _changeable(context, await session.get(TokenRow, asked.token), asked)
        if row.revoked_ms is None:
            row.revoked_ms = _now_ms()


def digest_of(secret: str) -> str:
    """Return what is stored of the random part of a token."""
    return hashlib.sha256(secret.encode()).hexdigest()


def state_of(row: TokenRow, now_ms: int) -> TokenState:
    """Return whether a token is good for anything."""
    if row.revoked_ms is not None:
        return "revoked"
    return "expired" if row.expires_ms is not None and row.expires_ms <= now_ms else "active"


def _is(state: TokenState, now_ms: int) -> ColumnElement[bool]:
    """Return the condition on rows that `state_of` is."""
    revoked, expires = col(TokenRow.revoked_ms), col(TokenRow.expires_ms)
    if state == "revoked":
        return revoked.is_not(None)
    if state == "expired":
        return and_(revoked.is_(None), expires <= now_ms)
    return and_(revoked.is_(None), or_(expires.is_(None), expires > now_ms))


def _granted(context: Context, asked: NewToken) -> tuple[Scope, int | None]:
    """Return what a token is to be good for; raises `OperationError` when that may not be."""
    scope = Scope(asked.scope)
    slug = asked.subscription
    if context.actor.scope is not Scope.OPERATOR:
        if scope is not Scope.READER:
            raise ForbiddenError("tokens that change something are made by the provider only")
        if slug is None:
            return scope, context.only
    if scope is Scope.OPERATOR and slug is not None:
        raise OperationError("an operator sees everything: leave the subscription out")
    if scope is Scope.OWNER and slug is None:
        raise OperationError("an owner belongs to one subscription: name it")
    return scope, None if slug is None else context.subscription(slug).id


def _expires_ms(expires_at: datetime | None) -> int | None:
    if expires_at is None:
        return None
    expires_ms = int(expires_at.timestamp() * 1_000)
    life_ms = expires_ms - _now_ms()
    if life_ms <= 0:
        raise OperationError("expires_at has passed already; give a time in the future")
    if life_ms > _LIFE_MAX_DAYS * 86_400_000:
        raise OperationError("expires_at lies too far ahead; leave it out for a token that lasts")
    return expires_ms


def _least(*limits_ms: int | None) -> int | None:
    return min((limit for limit in limits_ms if limit is not None), default=None)


def _seen(context: Context, row: TokenRow | None, asked: AToken) -> TokenRow:
    """Return a row that the actor may see."""
    if row is None or not context.sees(row.subscription_id):
        raise NotFoundError(f"there is no token {asked.token}")
    return row


def _changeable(context: Context, row: TokenRow | None, asked: AToken) -> TokenRow:
    found = _seen(context, row, asked)
    if context.actor.scope is Scope.READER:
        raise ForbiddenError("a reader changes nothing; use the token of an owner")
    return found


def _shown(context: Context, row: TokenRow) -> Token:
    owner = context.directory.current.subscriptions.get(row.subscription_id or 0)
    return Token.model_validate(
        {
            "id": row.id,
            "scope": row.scope,
            "subscription": owner.slug if owner is not None else None,
            "label": row.label,
            "created_at": _at(row.created_ms),
            "expires_at": _at(row.expires_ms),
            "revoked_at": _at(row.revoked_ms),
            "used_at": _at(row.used_ms),
            "state": state_of(row, _now_ms()),
        }
    )


def _at(at_ms: int | None) -> datetime | None:
    return None if at_ms is None else datetime.fromtimestamp(at_ms / 1_000, UTC)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


OPERATIONS: Final = (
    Operation(
        "token.add", "POST", "/tokens", add, NewToken, MadeToken, access=Access.WRITE, status=201
    ),
    Operation("token.list", "GET", "/tokens", listed, TokenList, Listed[Token]),
    Operation("token.show", "GET", "/tokens/{token}", show, AToken, Token),
    Operation(
        "token.change",
        "PATCH",
        "/tokens/{token}",
        change,
        TokenChange,
        Token,
        access=Access.WRITE,
        shown_by=show,
    ),
    Operation(
        "token.revoke",
        "DELETE",
        "/tokens/{token}",
        revoke,
        AToken,
        None,
        access=Access.WRITE,
        status=204,
        shown_by=show,
    ),
)

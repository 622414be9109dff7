"""Tokens: who may make which, what is stored of them, and what a list shows."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from scheduler.checks import ConflictError, ForbiddenError, NotFoundError, OperationError
from scheduler.manage import bearers, tokens
from scheduler.manage.context import Scope
from schemas.management.tokens import AToken, NewToken, TokenChange, TokenList
from schemas.management_tables import TokenRow
from tests.manage.access.conftest import acting
from tests.management.desk import Desk

TABLE = TokenRow.metadata.tables["token"]


def new(scope: Any = "reader", **more: Any) -> NewToken:
    return NewToken(scope=scope, **more)


async def test_only_a_digest_of_a_token_is_stored(any_desk: Desk) -> None:
    made = await tokens.add(any_desk.context, new("operator", label="x"))
    prefix, number, secret = made.token.split("_", 2)
    assert (prefix, int(number), len(secret)) == ("sk", made.id, 43)
    async with any_desk.parts.database.connect() as connection:
        row = (await connection.execute(select(TABLE).where(TABLE.c.id == made.id))).one()
    assert secret not in repr(tuple(row))
    assert row.digest == tokens.digest_of(secret)
    found = await bearers.bearer(any_desk.parts.database, made.token)
    assert (found.actor.name, found.actor.scope) == (f"token:{made.id} x", Scope.OPERATOR)
    assert found.actor.token_id == made.id


async def test_an_owner_makes_readers_of_its_own_subscription(desk: Desk) -> None:
    owner = await acting(desk, "owner")
    made = await tokens.add(owner, new(label="mine"))
    assert (made.scope, made.subscription) == ("reader", "acme")
    assert (await tokens.add(owner, new(subscription="acme"))).subscription == "acme"
    for scope in ("owner", "operator"):
        with pytest.raises(ForbiddenError, match="by the provider"):
            await tokens.add(owner, new(scope, subscription="acme"))
    with pytest.raises(NotFoundError, match="no subscription other"):
        await tokens.add(owner, new(subscription="other"))


async def test_what_a_token_makes_lives_no_longer_than_itself(desk: Desk) -> None:
    soon = datetime.now(UTC) + timedelta(days=1)
    await desk.make_token("brief", scope="owner", subscription="acme", expires_at=soon)
    owner = await acting(desk, "brief")
    for later in (None, soon + timedelta(days=7)):
        made = await tokens.add(owner, new(expires_at=later))
        assert made.expires_at is not None
        assert abs(made.expires_at - soon) < timedelta(seconds=1)
    sooner = soon - timedelta(hours=2)
    made = await tokens.add(owner, new(expires_at=sooner))
    assert made.expires_at is not None
    assert abs(made.expires_at - sooner) < timedelta(seconds=1)


async def test_what_makes_no_sense_is_refused(desk: Desk) -> None:
    now = datetime.now(UTC)
    for asked, said in (
        (new("owner"), "name it"),
        (new("operator", subscription="acme"), "leave the subscription out"),
        (new(expires_at=now - timedelta(seconds=1)), "has passed"),
        (new(expires_at=datetime(9999, 12, 31, tzinfo=UTC)), "too far ahead"),
        (new(label="a\x07b"), "cannot be shown"),
    ):
        with pytest.raises(OperationError, match=said):
            await tokens.add(desk.context, asked)
    with pytest.raises(NotFoundError):
        await tokens.add(desk.context, new("owner", subscription="nobody"))


async def test_there_may_be_so_many_tokens(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "TOKENS_MAX", 3)  # acme has two
    owner = await acting(desk, "owner")
    made = await tokens.add(owner, new())
    with pytest.raises(ConflictError, match="3 tokens already"):
        await tokens.add(owner, new())
    await tokens.revoke(owner, AToken(token=made.id))
    await tokens.add(owner, new())
    await tokens.add(await acting(desk, "other"), new())


async def test_a_list_has_pages_states_and_an_owner(any_desk: Desk) -> None:
    desk = any_desk
    for number in range(5):
        await desk.make_token(f"n{number}", scope="reader", subscription="other")
    await tokens.revoke(desk.context, AToken(token=5))
    async with desk.parts.database.write_lock, desk.parts.database.begin() as connection:
        await connection.execute(update(TABLE).where(TABLE.c.id == 6).values(expires_ms=1))
    seen: list[int] = []
    after = None
    while True:
        page = await tokens.listed(desk.context, TokenList(limit=2, after=after))
        seen += [token.id for token in page.items]
        after = page.next
        if after is None:
            break
    assert seen == list(range(1, 10))

    async def ids(who: str | None = None, **more: Any) -> list[int]:
        context = desk.context if who is None else await acting(desk, who)
        return [token.id for token in (await tokens.listed(context, TokenList(**more))).items]

    assert await ids(state="revoked") == [5]
    assert await ids(state="expired") == [6]
    assert await ids(state="active", subscription="other") == [4, 7, 8, 9]
    assert await ids("owner") == [2, 3]
    assert await ids("other", state="expired") == [6]
    for state, number in (("revoked", 5), ("expired", 6), ("active", 7)):
        assert (await tokens.show(desk.context, AToken(token=number))).state == state


async def test_what_is_anothers_does_not_exist(desk: Desk) -> None:
    other = await acting(desk, "other")
    for number in (1, 2, 3, 99):
        for refused in (
            tokens.show(other, AToken(token=number)),
            tokens.change(other, TokenChange(token=number, label="x")),
            tokens.revoke(other, AToken(token=number)),
        ):
            with pytest.raises(NotFoundError, match=f"no token {number}"):
                await refused
    with pytest.raises(NotFoundError):
        await tokens.listed(other, TokenList(subscription="acme"))
    reader = await acting(desk, "reader")
    with pytest.raises(ForbiddenError):
        await tokens.change(reader, TokenChange(token=3, label="x"))


async def test_revoking_lasts_and_may_be_repeated(desk: Desk) -> None:
    await tokens.revoke(desk.context, AToken(token=1))
    first = await tokens.show(desk.context, AToken(token=1))
    await tokens.revoke(desk.context, AToken(token=1))
    assert await tokens.show(desk.context, AToken(token=1)) == first
    assert first.state == "revoked"
    with pytest.raises(bearers.BearerError, match="revoked"):
        await acting(desk, "operator")
    # The last one of the provider is gone; the machine itself makes another one.
    await desk.make_token("operator", scope="operator")
    assert (await acting(desk, "operator")).actor.scope is Scope.OPERATOR


async def test_a_label_is_changed_and_cleared_and_nothing_else_is(desk: Desk) -> None:
    before = await tokens.show(desk.context, AToken(token=2))
    changed = await tokens.change(desk.context, TokenChange(token=2, label="new"))
    assert changed == before.model_copy(update={"label": "new"})
    assert await tokens.change(desk.context, TokenChange(token=2)) == changed
    assert (await tokens.change(desk.context, TokenChange(token=2, label=""))).label == ""

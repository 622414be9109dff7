"""Webhooks and session tokens in the database: whose they are, when they go."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlmodel import col

from scheduler import hooks, sessions
from scheduler.database import Database
from scheduler.hooks import Hook, TooManyHooksError
from scheduler.ledger import cleaner
from scheduler.ledger.errors import StoreDown
from scheduler.ledger.interface import Ledger
from scheduler.sessions import SessionRecord
from scheduler.settings import Settings
from schemas.tables import CredentialRow, HookRow, SubscriptionRow
from tests.ledger.builders import creating, meeting
from tests.ledger.conftest import count

DAY_MS = 86_400_000
NOW_MS = 1_800_000_000_000
URL = "https://app.example/hook?a=1"


async def _registered(
    database: Database,
    credential_id: int = 1,
    url: str = URL,
    external_id: str | None = None,
    *events: str,
) -> Hook:
    hook, _ = await hooks.register(
        database,
        credential_id,
        url,
        external_id=external_id,
        events=events,
        hooks_max=20,
        now_ms=NOW_MS,
    )
    return hook


async def test_one_address_is_one_hook_of_each_credential(database: Database) -> None:
    first = await _registered(database)
    again = await _registered(database, 1, URL, "room", "user-joined")
    other = await _registered(database, 2)
    assert again == first, "nothing changed"
    assert other.id != first.id
    assert await hooks.listed(database, 2) == [other]


async def test_registrations_at_once_make_one_hook_and_keep_to_the_limit(
    pool_id: int, database: Database
) -> None:
    async with database.write_lock, database.session() as session:
        session.add(SubscriptionRow(id=1, pool_id=pool_id, slug="acme", seats=1))
        await session.flush()
        session.add(CredentialRow(id=1, subscription_id=1, secret=b""))
        await session.commit()
    same = await asyncio.gather(*(_registered(database) for _ in range(8)))
    assert len({hook.id for hook in same}) == 1
    many = await asyncio.gather(
        *(_registered(database, 1, f"{URL}&n={n}") for n in range(25)), return_exceptions=True
    )
    assert sum(isinstance(found, TooManyHooksError) for found in many) == 6
    assert await count(database, "hook") == 20


async def test_nobody_removes_the_hook_of_another_credential(database: Database) -> None:
    hook = await _registered(database)
    assert not await hooks.remove(database, 2, hook.id)
    assert await hooks.remove(database, 1, hook.id)
    assert not await hooks.remove(database, 1, hook.id)


async def test_a_meeting_finds_the_hooks_that_concern_it(database: Database) -> None:
    everything = await _registered(database, 1, "https://a.example/")
    mine = await _registered(database, 1, "https://b.example/", "room", "user-joined")
    await _registered(database, 1, "https://c.example/", "another")
    await _registered(database, 1, "https://d.example/", "")
    await _registered(database, 2, "https://e.example/")

    async def found(room: str) -> set[Hook]:
        return set((await hooks.concerning(database, {(1, room)}))[1])

    assert await found("room") == {everything, mine}
    assert await found("elsewhere") == {everything}
    assert await found("") == {everything}


async def test_a_hook_goes_when_its_meeting_has_not_been_alive_for_long(
    ledger: Ledger, pool_id: int, database: Database
) -> None:
    epoch = await ledger.take_over(pool_id, "worker")
    live = meeting(pool_id)
    await ledger.commit(pool_id, epoch, creating(live))
    await _registered(database, live.credential_id, "https://a.example/")
    await _registered(database, live.credential_id, "https://b.example/", live.external_id)
    await _registered(database, live.credential_id, "https://c.example/", "another room")
    await _registered(database, live.credential_id + 1, "https://d.example/", live.external_id)
    later_ms = NOW_MS + 31 * DAY_MS
    removed = await cleaner.remove_old(database, 7, now_ms=later_ms, hook_keep_days=30)
    assert removed["hook"] == 2
    async with database.connect() as connection:
        kept = set(await connection.scalars(select(col(HookRow.url))))
    assert kept == {"https://a.example/", "https://b.example/"}


def _session(digest: str, credential_id: int = 1, *, until_ms: int = NOW_MS + 1) -> SessionRecord:
    return SessionRecord(digest, credential_id, 7, "m" * 32, b"sealed", until_ms)


async def test_a_token_is_found_by_its_credential_until_its_time_is_over(
    database: Database,
) -> None:
    mine, over = _session("a"), _session("b", until_ms=NOW_MS)
    await sessions.keep(database, [mine, over])
    assert await sessions.find(database, 1, "a", now_ms=NOW_MS) == mine
    assert await sessions.find(database, 2, "a", now_ms=NOW_MS) is None
    assert await sessions.find(database, 1, "b", now_ms=NOW_MS) is None
    removed = await cleaner.remove_old(database, 7, now_ms=NOW_MS)
    assert removed["session"] == 1
    await sessions.forget(database, 2, "a")
    assert await sessions.find(database, 1, "a", now_ms=NOW_MS) == mine
    await sessions.forget(database, 1, "a")
    assert await count(database, "session") == 0


async def test_a_known_token_stays_with_whom_it_was_given_to(database: Database) -> None:
    await sessions.keep(database, [_session("a")])
    await sessions.keep(database, [_session("a", 2), _session("b", 2)])
    assert await sessions.find(database, 2, "a", now_ms=NOW_MS) is None
    assert await sessions.find(database, 2, "b", now_ms=NOW_MS) is not None


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_database_without_tables_is_one_that_is_down(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    url = "" if kind == "sqlite" else request.getfixturevalue("empty_postgresql_url")
    database = Database(Settings(data_dir=tmp_path, database_url=url))
    try:
        with pytest.raises(StoreDown):
            await hooks.listed(database, 1)
        with pytest.raises(StoreDown):
            await sessions.keep(database, [_session("a")])
    finally:
        await database.close()

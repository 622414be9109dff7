"""What the cleaner removes, and what it leaves alone."""

import pytest
from sqlalchemy import insert
from sqlmodel import SQLModel

from scheduler.database import Database
from scheduler.ledger import cleaner
from scheduler.ledger.interface import Ledger
from schemas.delivery_tables import AttemptRow, DeliveryRow
from schemas.management_tables import AuditRow, IdempotencyRow
from schemas.tables import OutboxRow
from tests.ledger.builders import creating, ended, meeting
from tests.ledger.conftest import count

DAY_MS = 86_400_000
NOW_MS = 1_800_000_000_000
OLD_MS = NOW_MS - 7 * DAY_MS - 1
YOUNG_MS = NOW_MS - 7 * DAY_MS


async def _insert(database: Database, kind: type[SQLModel], *rows: SQLModel) -> None:
    async with database.write_lock, database.begin() as connection:
        values = [row.model_dump(exclude_none=True) for row in rows]
        await connection.execute(insert(kind), values)


def _delivery(name: str, finished_ms: int | None) -> DeliveryRow:
    return DeliveryRow(
        id=name,
        event_id=name,
        target="endpoint:1",
        lane="lane",
        seq=1,
        url="http://example.org/",
        dialect="draft",
        body=b"{}",
        next_attempt_ms=0,
        created_ms=OLD_MS,
        finished_ms=finished_ms,
    )


def _outbox(name: str, published_ms: int | None) -> OutboxRow:
    return OutboxRow(
        event_id=name, meeting_id="m", fact=name, body=b"", at_ms=1, published_ms=published_ms
    )


async def test_only_what_is_over_and_older_than_the_retention_goes(
    ledger: Ledger, pool_id: int, database: Database
) -> None:
    epoch = await ledger.take_over(pool_id, "worker")
    old, young = (ended(meeting(pool_id), at_ms=at_ms) for at_ms in (OLD_MS, YOUNG_MS))
    live = meeting(pool_id, updated_ms=1)
    batch = creating(old, young, live)
    batch.answers = [("c" * 32, OLD_MS, b""), ("d" * 32, YOUNG_MS, b"")]
    batch.attendees = [
        (m.id, user, True, False, 1, 1, "") for m in (old, young, live) for user in "ab"
    ]
    await ledger.commit(pool_id, epoch, batch)
    for name, at_ms in (("old", OLD_MS), ("young", YOUNG_MS), ("open", None)):
        await _insert(database, OutboxRow, _outbox(name, at_ms))
        await _insert(database, DeliveryRow, _delivery(name, at_ms))
        await _insert(
            database, AttemptRow, AttemptRow(delivery_id=name, number=1, at_ms=1, took_ms=1)
        )
    removed = await cleaner.remove_old(database, 7, now_ms=NOW_MS)
    assert {table: rows for table, rows in removed.items() if rows} == {
        "meeting": 1, "command": 1, "outbox": 1, "delivery": 1,
    }  # fmt: skip
    left = {"meeting": 2, "attendee": 4, "command": 1, "outbox": 2, "delivery": 2, "attempt": 2}
    assert {table: await count(database, table) for table in left} == left
    assert await ledger.answer_of("c" * 32) is None
    assert (await ledger.load(pool_id, epoch)).meetings == [live]
    assert not any((await cleaner.remove_old(database, 7, now_ms=NOW_MS)).values())


async def test_the_audit_log_and_idempotency_keys_have_times_of_their_own(
    database: Database,
) -> None:
    def line(days: int) -> AuditRow:
        at_ms = NOW_MS - days * DAY_MS
        return AuditRow(at_ms=at_ms, actor="a", action="b.c", subject="d", detail=b"{}")

    def key(age_ms: int) -> IdempotencyRow:
        return IdempotencyRow(digest=f"{age_ms:064d}", request="r", at_ms=NOW_MS - age_ms)

    await _insert(database, AuditRow, line(10), line(29), line(31), line(500))
    await _insert(database, IdempotencyRow, key(1), key(DAY_MS), key(DAY_MS + 1))
    removed = await cleaner.remove_old(database, 7, now_ms=NOW_MS, audit_keep_days=30)
    assert (removed["audit"], removed["idempotency"]) == (2, 1)
    assert await count(database, "audit") == 2
    assert await count(database, "idempotency") == 2


async def test_one_transaction_and_one_call_are_bounded(
    ledger: Ledger, pool_id: int, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaner, "CHUNK_ROWS", 10)
    monkeypatch.setattr(cleaner, "CHUNKS_MAX", 3)
    epoch = await ledger.take_over(pool_id, "worker")
    await ledger.commit(
        pool_id, epoch, creating(*(ended(meeting(pool_id), at_ms=1) for _ in range(45)))
    )
    for left in (15, 0):
        await cleaner.remove_old(database, 7)
        assert await count(database, "meeting") == left


async def test_a_number_of_an_event_is_never_given_out_twice(
    ledger: Ledger, pool_id: int, database: Database
) -> None:
    await _insert(database, OutboxRow, _outbox("first", OLD_MS))
    await cleaner.remove_old(database, 7, now_ms=NOW_MS)
    await _insert(database, OutboxRow, _outbox("second", None))
    async with database.session() as session:
        row = await session.get(OutboxRow, 1)
        assert row is None

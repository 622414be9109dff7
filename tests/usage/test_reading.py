"""What was used is read to the second, folded without loss, and shown to whom it belongs."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import ValidationError
from sqlalchemy import insert

from scheduler import usage, usage_reading
from scheduler.checks import NotFoundError, OperationError
from scheduler.database import Database
from scheduler.ledger.errors import Deposed
from scheduler.ledger.opening import open_ledger
from scheduler.ledger.records import Batch
from scheduler.manage import usage as manage
from scheduler.manage.context import Actor, Context, Scope
from scheduler.manage.operation import Document
from scheduler.settings import Settings
from scheduler.usage import COLUMNS, DAY_S
from schemas.management.paging import Listed
from schemas.management.usage import UsageLine, UsageList
from schemas.management_tables import UsageRow
from tests.placement.stage import Stage, stage

DAY = 20_000


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    return Settings(data_dir=tmp_path, database_url=url)


@pytest_asyncio.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    database = Database(settings)
    await database.migrate()
    yield database
    await database.close()


def batch(key: usage.UsageKey, **values: int) -> Batch:
    made = Batch()
    for name, value in values.items():
        usage.add(made.usage, key, name, value)
    return made


async def test_the_ledger_adds_sums_keeps_peaks_and_is_fenced(
    database: Database, settings: Settings
) -> None:
    async with database.write_lock, database.begin() as connection:
        pool = UsageRow.metadata.tables["pool"]
        await connection.execute(insert(pool).values(_POOL))
    ledger = open_ledger(database, settings)
    epoch = await ledger.take_over(1, "first")
    key = (DAY, 3, 7)
    await ledger.commit(1, epoch, batch(key, creates=2, reserved_seat_s=2**40, peak_seats=9))
    await ledger.commit(1, epoch, batch(key, creates=1, joins=5, peak_seats=4, peak_users=3))
    await ledger.take_over(1, "second")
    with pytest.raises(Deposed):
        await ledger.commit(1, epoch, batch(key, creates=100))
    await ledger.close()
    found = await usage_reading.rows(database, first_day=DAY, last_day=DAY)
    row = dict(zip(COLUMNS, found[key], strict=True))
    assert {name: value for name, value in row.items() if value} == {
        "creates": 3,
        "joins": 5,
        "reserved_seat_s": 2**40,
        "peak_seats": 9,
        "peak_users": 3,
    }


async def totals(database: Database) -> dict[int, dict[str, int]]:
    table = UsageRow.metadata.tables["usage"]
    found: dict[int, dict[str, int]] = {}
    async with database.connect() as connection:
        for row in (await connection.execute(table.select())).mappings():
            sums = found.setdefault(row["credential_id"], dict.fromkeys(usage.SUMS, 0))
            for name in usage.SUMS:
                sums[name] += row[name]
    return found


async def test_folding_keeps_every_total(database: Database) -> None:
    rows = [
        _row(day, subscription, credential, creates=day - DAY + 1, peak_seats=day - DAY)
        for day in range(DAY, DAY + 10)
        for subscription, credential in ((1, 1), (1, 2), (2, 3), (1, 0))
    ]
    async with database.write_lock, database.begin() as connection:
        await connection.execute(insert(UsageRow.metadata.tables["usage"]), rows)
    before = await totals(database)
    now_s = (DAY + 10) * DAY_S
    assert await usage_reading.fold(database, 5, now_s=now_s) == 5 * 4
    assert await usage_reading.fold(database, 5, now_s=now_s) == 0
    assert await usage_reading.fold(database, 2, now_s=now_s) == 3 * 4
    assert await totals(database) == before
    assert before[1]["creates"] == 55
    left = await usage_reading.rows(database, first_day=0, last_day=DAY + 20, now_s=now_s)
    assert {key[0] for key in left} == {DAY + 8, DAY + 9}
    async with database.connect() as connection:
        table = UsageRow.metadata.tables["usage"]
        folded = await connection.execute(table.select().where(table.c.day == usage.FOLDED))
        assert {row.peak_seats for row in folded} == {7}


async def test_what_goes_on_is_in_the_report_before_it_is_counted(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        answer = await made.create("room", seats=5, minutes=60)
        assert answer["ok"]
        refused = await made.create("large", seats=16)
        assert refused["reason"] == "maxParticipantsReached"
        start_s = answer["view"]["start_s"]
        found = await usage_reading.rows(
            made.assembly.database,
            first_day=start_s // DAY_S,
            last_day=start_s // DAY_S + 1,
            now_s=start_s + 600,
        )
        total = [sum(values) for values in zip(*found.values(), strict=True)]
        row = dict(zip(COLUMNS, total, strict=True))
        assert row["reserved_seat_s"] == 5 * 600
        assert (row["creates"], row["refused_seats"]) == (1, 1)
        assert row["peak_seats"] == 2 * 5  # the credential's and the subscription's
        # Once it is over the table says the same, without the meeting's help.
        made.clock.forward(600)
        assert (await made.end(answer["view"]["id"]))["ok"]
        shown = await _shown(made, UsageList(split="credential"))
        assert isinstance(shown, Listed)
        lines = [line for line in shown.items if line.subscription == "acme"]
        assert 5 * 600 <= sum(line.reserved_seat_s for line in lines) <= 5 * 602
        assert max(line.peak_seats for line in lines) == 5


async def test_lines_are_grouped_paged_and_shown_to_their_owner_only(tmp_path: Path) -> None:
    async with stage(tmp_path) as made:
        acme, beta = made.subscriptions["acme"], made.subscriptions["beta"]
        first, other = made.credentials["acme"], made.credentials["beta"]
        days = [(date(2026, 10, 30) + timedelta(n) - date(1970, 1, 1)).days for n in range(4)]
        rows = [_row(day, acme, first, creates=1, peak_seats=9) for day in days]
        rows += [_row(day, acme, first + 100, creates=10, peak_seats=8) for day in days]
        rows += [_row(day, acme, 0, peak_seats=12) for day in days]
        rows += [_row(day, beta, other, creates=100) for day in days]
        database = made.assembly.database
        async with database.write_lock, database.begin() as connection:
            await connection.execute(insert(UsageRow.metadata.tables["usage"]), rows)
        span: dict[str, Any] = {"first_day": "2026-10-01", "last_day": "2026-11-30"}
        months = await _shown(made, UsageList(**span, by="month"))
        assert [
            (line.period, line.subscription, line.creates, line.peak_seats)
            for line in _lines(months)
        ] == [
            ("2026-10", "acme", 22, 12),
            ("2026-10", "beta", 200, 0),
            ("2026-11", "acme", 22, 12),
            ("2026-11", "beta", 200, 0),
        ]
        paged, after = [], None
        while True:
            page = await _shown(made, UsageList(**span, limit=3, after=after))
            paged += _lines(page)
            assert isinstance(page, Listed)
            after = page.next
            if after is None:
                break
        assert paged == _lines(await _shown(made, UsageList(**span)))
        assert len(paged) == 8
        owner = Actor("token:1", Scope.READER, subscription_id=beta)
        assert {
            line.subscription for line in _lines(await _shown(made, UsageList(**span), owner))
        } == {"beta"}
        for foreign in ({"subscription": "acme"}, {"credential": "acme"}):
            with pytest.raises(NotFoundError):
                await _shown(made, UsageList.model_validate(span | foreign), owner)
        text = await _shown(made, UsageList(**span, format="csv", split="credential"))
        assert isinstance(text, Document)
        table = list(csv.DictReader(io.StringIO(text.content.decode())))
        assert [row["creates"] for row in table[:3]] == ["1", "10", "100"]
        assert table[1]["credential"] == f"#{first + 100}"


async def test_senseless_spans_are_refused_with_a_sentence(tmp_path: Path) -> None:
    async with stage(tmp_path, nodes=1) as made:
        with pytest.raises(OperationError, match="after the last"):
            await _shown(made, UsageList(first_day=date(2026, 2, 2), last_day=date(2026, 2, 1)))
        with pytest.raises(OperationError, match="too long"):
            await _shown(made, UsageList(first_day=date(1990, 1, 1), last_day=date(2026, 2, 1)))
        with pytest.raises(ValidationError):
            UsageList.model_validate({"by": "week"})


def _lines(found: Any) -> list[UsageLine]:
    assert isinstance(found, Listed)
    return list(found.items)


async def _shown(made: Stage, asked: UsageList, actor: Actor | None = None) -> Any:
    parts = made.assembly
    await parts.directory.refresh()
    context = Context(
        settings=parts.settings,
        database=parts.database,
        vault=parts.vault,
        directory=parts.directory,
        nodes=parts.client,
        bus=None,
        actor=actor or Actor("test"),
    )
    return await manage.listed(context, asked)


def _row(day: int, subscription: int, credential: int, **values: int) -> dict[str, int]:
    key = {"day": day, "subscription_id": subscription, "credential_id": credential}
    return {**dict.fromkeys(COLUMNS, 0), **key, **values}


_POOL = {
    "name": "default",
    "mode": "spread",
    "large_seats": 100,
    "evict_across_subscriptions": True,
    "epoch": 0,
    "holder": "",
}

"""The usage by the management API: JSON by pages, CSV as a file, a customer's own only."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from sqlalchemy import insert

from scheduler.usage import COLUMNS
from schemas.management_tables import UsageRow
from tests.management import desk as desks
from tests.management.desk import Desk

#: 2026-11-01.
DAY = 20_758


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desks.opened(tmp_path) as made:
        plans = made.parts.directory.current.subscription_by_slug
        key = [(DAY, plans[slug].id, number) for slug in ("acme", "other") for number in (0, 70)]
        rows = [
            {
                **dict.fromkeys(COLUMNS, 0),
                "day": day,
                "subscription_id": plan,
                "credential_id": credential,
                "creates": 3 if credential else 0,
            }
            for day, plan, credential in key
        ]
        database = made.parts.database
        async with database.write_lock, database.begin() as connection:
            await connection.execute(insert(UsageRow.metadata.tables["usage"]), rows)
        yield made


SPAN = "first_day=2026-11-01&last_day=2026-11-02"


async def test_the_provider_sees_all_and_a_customer_its_own(desk: Desk) -> None:
    everything = await desk.call("GET", f"/usage?{SPAN}")
    assert everything.status == 200, everything.content
    assert [(line["subscription"], line["creates"]) for line in everything.body["items"]] == [
        ("acme", 3),
        ("other", 3),
    ]
    own = await desk.call("GET", f"/usage?{SPAN}", who="reader")
    assert [line["subscription"] for line in own.body["items"]] == ["acme"]
    foreign = await desk.call("GET", f"/usage?{SPAN}&subscription=other", who="reader")
    assert foreign.status == 404
    assert (await desk.call("GET", "/usage", who=None)).status == 401


async def test_csv_is_a_file(desk: Desk) -> None:
    found = await desk.call("GET", f"/usage?{SPAN}&format=csv", who="owner")
    assert (found.status, found.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert "usage.csv" in found.headers["Content-Disposition"]
    lines = found.content.decode().split("\r\n")
    assert lines[0].startswith("period,subscription,credential,creates,")
    assert lines[1].startswith("2026-11-01,acme,,3,")


async def test_senseless_questions_are_answered_with_a_problem(desk: Desk) -> None:
    for query in ("first_day=2026-02-30", "by=week", "first_day=2026-11-02&last_day=2026-11-01"):
        answer = await desk.call("GET", f"/usage?{query}")
        assert 400 <= answer.status < 500
        assert answer.code

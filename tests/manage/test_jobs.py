"""Long operations: done once, by one worker at a time, told, stopped, begun again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from sqlalchemy import select, update

from scheduler import audit, operations
from scheduler.assembly import Assembly, assembled
from scheduler.checks import ConflictError, NotFoundError, OperationError
from scheduler.database import Database
from scheduler.manage import jobs
from scheduler.manage.context import Actor, Context, Scope
from scheduler.manage.progress import Progress, Work
from scheduler.settings import Settings
from schemas.management.jobs import JobAsked, JobsAsked, JobShown
from schemas.management_tables import JobRow
from workers import job_store
from workers import jobs as role
from workers.job_store import ClaimLostError, JobStore

_JOB = JobRow.metadata.tables["job"]


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def parts(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Assembly]:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    settings = Settings(data_dir=tmp_path, database_url=url)
    database = Database(settings)
    await database.migrate()
    await database.close()
    async with assembled(settings) as made:
        await operations.ensure_pool(made.database, "default")
        await operations.add_subscription(made.database, "acme", seats=20)
        await made.directory.refresh()
        yield made


def context_of(parts: Assembly, actor: Actor | None = None) -> Context:
    return Context(
        settings=parts.settings,
        database=parts.database,
        vault=parts.vault,
        directory=parts.directory,
        nodes=parts.client,
        bus=parts.bus,
        actor=actor or Actor("tests"),
    )


@contextlib.asynccontextmanager
async def working(parts: Assembly, **work: Work) -> AsyncIterator[role.Jobs]:
    """Run the role with kinds of work of this test."""
    worker = role.Jobs(parts, {name.replace("_", "."): one for name, one in work.items()})
    await worker.start()
    try:
        yield worker
    finally:
        await worker.close()


async def over(context: Context, job: str) -> JobShown:
    async with asyncio.timeout(30):
        while True:
            shown = await jobs.show(context, JobAsked(job=job))
            if shown.finished_at is not None:
                return shown
            await asyncio.sleep(0.05)


async def count(context: Context, params: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Count to what was asked for."""
    for number in range(params["to"]):
        await progress.report(number + 1, params["to"], f"at {number + 1}")
    return {"counted": params["to"], "as": context.actor.name, "audited": audit.actor.get()}


async def test_a_job_is_done_in_the_name_of_who_asked_and_tells_how_far_it_is(
    parts: Assembly,
) -> None:
    context = context_of(parts)
    asked = await jobs.start(context, "test.count", {"to": 5, "secret": "x7Q"}, subject="node n1")
    assert (asked.state, asked.done, asked.total) == ("waiting", 0, None)
    async with parts.database.connect() as connection:
        stored = (await connection.execute(select(_JOB.c.params))).scalar_one()
    assert b"x7Q" not in stored
    async with working(parts, test_count=count):
        done = await over(context, asked.id)
    assert (done.state, done.done, done.total, done.note) == ("done", 5, 5, "at 5")
    assert done.result == {"counted": 5, "as": "tests", "audited": "tests"}


async def test_jobs_of_one_subject_run_one_after_the_other(parts: Assembly) -> None:
    context = context_of(parts)
    busy: list[str] = []
    most: dict[str, int] = {}
    b_begun = asyncio.Event()

    async def work(_: Context, params: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        about = params["about"]
        busy.append(about)
        most[about] = max(most.get(about, 0), busy.count(about))
        if about == "b":
            b_begun.set()
        # An "a" goes on as soon as "b" has begun beside it; another "a" could as well by then.
        await asyncio.wait_for(b_begun.wait(), 20)
        await asyncio.sleep(0.05)
        busy.remove(about)
        return {}

    ids = [
        (await jobs.start(context, "test.work", {"about": about}, subject=about)).id
        for about in ("a", "a", "b", "a")
    ]
    async with working(parts, test_work=work), working(parts, test_work=work):
        for job in ids:
            assert (await over(context, job)).state == "done"
    assert most == {"a": 1, "b": 1}


async def test_a_job_is_cancelled_while_it_waits_and_while_it_runs(parts: Assembly) -> None:
    context = context_of(parts)
    begun = asyncio.Event()

    async def endless(_: Context, __: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        begun.set()
        for number in range(10_000):
            await asyncio.sleep(0.02)
            await progress.report(number)
        return {}

    waiting = await jobs.start(context, "test.endless", {}, subject="a")
    cancelled = await jobs.cancel(context, JobAsked(job=waiting.id))
    assert cancelled.state == "cancelled"
    assert cancelled.finished_at is not None
    running = await jobs.start(context, "test.endless", {}, subject="a")
    async with working(parts, test_endless=endless):
        await asyncio.wait_for(begun.wait(), 10)
        assert (await jobs.cancel(context, JobAsked(job=running.id))).cancel_asked
        ended = await over(context, running.id)
        assert (ended.state, ended.result) == ("cancelled", None)
    with pytest.raises(ConflictError, match="cancelled already"):
        await jobs.cancel(context, JobAsked(job=running.id))


async def test_work_that_fails_says_why_and_a_fault_of_ours_tells_nothing_else(
    parts: Assembly,
) -> None:
    context = context_of(parts)

    async def wrong(_: Context, __: Mapping[str, Any], ___: Progress) -> dict[str, Any]:
        raise OperationError("node n1 does not answer: try again")

    async def broken(_: Context, __: Mapping[str, Any], ___: Progress) -> dict[str, Any]:
        raise ZeroDivisionError("a secret of ours")

    first = await jobs.start(context, "test.wrong", {}, subject="a")
    second = await jobs.start(context, "test.broken", {}, subject="b")
    async with working(parts, test_wrong=wrong, test_broken=broken):
        failed = await over(context, first.id)
        faulty = await over(context, second.id)
    assert (failed.state, failed.error) == ("failed", "node n1 does not answer: try again")
    assert failed.result is None
    assert faulty.state == "failed"
    assert second.id in faulty.error
    assert "secret" not in faulty.error


async def test_a_worker_that_stops_gives_its_job_back(parts: Assembly) -> None:
    context = context_of(parts)
    tries: list[int] = []

    async def work(_: Context, __: Mapping[str, Any], ___: Progress) -> dict[str, Any]:
        tries.append(1)
        if len(tries) == 1:
            await asyncio.sleep(60)
        return {"tries": len(tries)}

    job = await jobs.start(context, "test.work", {}, subject="a")
    async with working(parts, test_work=work):
        async with asyncio.timeout(10):
            while not tries:
                await asyncio.sleep(0.02)
    async with working(parts, test_work=work):
        assert (await over(context, job.id)).result == {"tries": 2}


async def test_who_was_away_too_long_writes_nothing_more(
    parts: Assembly, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_of(parts)
    await jobs.start(context, "test.work", {}, subject="a")
    first, second = JobStore(parts.database, parts.vault), JobStore(parts.database, parts.vault)
    mine = await first.claim(["test.work"])
    assert mine is not None
    assert await second.claim(["test.work"]) is None, "it is in good hands"
    async with parts.database.write_lock, parts.database.begin() as connection:
        await connection.execute(update(_JOB).values(claimed_until_ms=mine.until_ms - 100_000))
    assert await second.claim(["other"]) is None, "a kind that it does not know"
    again = await second.claim(["test.work"])
    assert again is not None
    assert again.id == mine.id
    with pytest.raises(ClaimLostError):
        await first.renew(mine, (9, 10, "late"))
    with pytest.raises(ClaimLostError):
        await first.finish(mine, "done", {})
    assert not await second.renew(again, (1, 10, "on it"))
    await second.finish(again, "done", {"by": "second"})
    shown = (await jobs.list_jobs(context, JobsAsked())).items[0]
    assert (shown.state, shown.done, shown.result) == ("done", 1, {"by": "second"})
    assert job_store.LEASE_MS > 2_000 * 4, "several heartbeats may be missed"


async def test_customers_see_the_jobs_of_their_subscription_only(parts: Assembly) -> None:
    context = context_of(parts)
    acme = parts.directory.current.subscription_by_slug["acme"].id
    theirs = await jobs.start(context, "a.b", {}, subject="acme", subscription_id=acme)
    ours = await jobs.start(context, "a.c", {}, subject="node n1")
    owner = context_of(parts, Actor("acme", Scope.OWNER, acme))
    assert [job.id for job in (await jobs.list_jobs(owner, JobsAsked())).items] == [theirs.id]
    assert theirs.subscription == "acme"
    with pytest.raises(NotFoundError):
        await jobs.show(owner, JobAsked(job=ours.id))
    with pytest.raises(NotFoundError):
        await jobs.cancel(owner, JobAsked(job=ours.id))
    assert (await jobs.cancel(owner, JobAsked(job=theirs.id))).state == "cancelled"
    listed = await jobs.list_jobs(context, JobsAsked(state="waiting", kind="a.c"))
    assert [job.id for job in listed.items] == [ours.id]
    page = await jobs.list_jobs(context, JobsAsked(limit=1))
    rest = await jobs.list_jobs(replace(context), JobsAsked(after=page.next))
    assert [job.id for job in (*page.items, *rest.items)] == [ours.id, theirs.id]


async def test_a_result_is_stored_as_json(parts: Assembly) -> None:
    context = context_of(parts)
    job = await jobs.start(context, "test.count", {"to": 0}, subject="a")
    async with working(parts, test_count=count):
        await over(context, job.id)
    async with parts.database.connect() as connection:
        stored = (await connection.execute(select(_JOB.c.result))).scalar_one()
    assert orjson.loads(stored)["counted"] == 0

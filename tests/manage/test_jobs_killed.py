"""A worker that is killed in the middle of a job: the next one begins it again and ends it."""

import asyncio
import signal
import sys
from pathlib import Path

from sqlalchemy import select, update

from scheduler.assembly import assembled
from scheduler.database import Database
from scheduler.manage import jobs
from scheduler.manage.context import Actor, Context
from scheduler.settings import Settings
from schemas.management.jobs import JobAsked
from schemas.management_tables import JobRow
from tests.services import programs

_JOB = JobRow.metadata.tables["job"]
_PROGRAM = """
import asyncio, sys
from pathlib import Path
from scheduler.assembly import assembled
from scheduler.settings import Settings
from workers.jobs import Jobs

async def work(context, params, progress):
    done = Path(sys.argv[2])
    steps = done.read_text().split() if done.exists() else []
    for number in range(len(steps), params["to"]):
        with done.open("a") as file:
            file.write(f"{number} ")
        await progress.report(number + 1, params["to"])
        await asyncio.sleep(float(sys.argv[3]))
    return {"steps": params["to"]}

async def main():
    async with assembled(Settings(data_dir=Path(sys.argv[1])), bus=False) as parts:
        worker = Jobs(parts, {"test.steps": work})
        await worker.start()
        print("ready", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def worker(data: Path, steps: Path, pause_s: float) -> asyncio.subprocess.Process:
    """Start a process with the role `jobs` alone."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROGRAM, str(data), str(steps), str(pause_s)),
        env=programs.inherited_environment(),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while b"ready" not in (line := await process.stdout.readline()):
            assert line, "it has ended"
    return process


async def test_a_job_whose_worker_was_killed_is_begun_again_by_the_next_one(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    database = Database(settings)
    await database.migrate()
    await database.close()
    steps = tmp_path / "steps"
    async with assembled(settings) as parts:
        context = Context(
            settings=settings,
            database=parts.database,
            vault=parts.vault,
            directory=parts.directory,
            nodes=parts.client,
            bus=None,
            actor=Actor("tests"),
        )
        job = await jobs.start(context, "test.steps", {"to": 40}, subject="a")
        first = await worker(tmp_path, steps, 0.2)
        async with asyncio.timeout(20):
            while not steps.exists() or len(steps.read_text().split()) < 3:
                await asyncio.sleep(0.05)
        first.send_signal(signal.SIGKILL)
        await first.wait()
        half = await jobs.show(context, JobAsked(job=job.id))
        assert half.state == "running"
        assert 0 < half.done < 40
        reached = len(steps.read_text().split())

        async with parts.database.write_lock, parts.database.begin() as connection:
            # Its claim runs out; nobody waits half a minute for that here.
            until_ms = (await connection.execute(select(_JOB.c.claimed_until_ms))).scalar_one()
            assert until_ms > 0
            await connection.execute(update(_JOB).values(claimed_until_ms=1))
        second = await worker(tmp_path, steps, 0)
        async with asyncio.timeout(20):
            while (await jobs.show(context, JobAsked(job=job.id))).state != "done":
                await asyncio.sleep(0.05)
        second.send_signal(signal.SIGKILL)
        await second.wait()
        done = await jobs.show(context, JobAsked(job=job.id))
        assert (done.result, done.done) == ({"steps": 40}, 40)
        # Each step once: the work itself goes on where it was.
        assert steps.read_text().split() == [str(number) for number in range(40)]
        assert reached < 40

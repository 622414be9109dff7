"""Errands: management without a bus reaches the writer of the pool through the role `jobs`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from sqlalchemy import insert, select

from scheduler.bus.errors import BusTimeout
from scheduler.bus.interface import Item, Ticket
from scheduler.changes import now_ms
from scheduler.checks import UnavailableError
from scheduler.manage import errands, meetings
from schemas.identifiers import new_id
from schemas.management.meetings import ExtendAsked, MeetingAsked
from schemas.management_tables import ErrandRow
from tests.manage.desk import Desk, desk
from workers.jobs import Jobs

_ERRAND = ErrandRow.metadata.tables["errand"]


@contextlib.asynccontextmanager
async def runner(here: Desk) -> AsyncIterator[Jobs]:
    role = Jobs(here.stage.assembly, {})
    await role.start()
    try:
        yield role
    finally:
        await role.close()


async def test_a_command_line_ends_and_extends_without_a_bus(tmp_path: Path) -> None:
    async with desk(tmp_path) as here, runner(here):
        mine = await here.meeting("a")
        before = await meetings.show(here.operator, MeetingAsked(meeting=mine))
        asked = ExtendAsked(meeting=mine, duration_s=600)
        shown = await meetings.extend(here.without_bus, asked)
        assert (shown.end_at - before.end_at).total_seconds() == 600
        ended = await meetings.end(here.without_bus, MeetingAsked(meeting=mine))
        assert ended.state in ("ending", "ended")
        async with here.operator.database.connect() as connection:
            left = (await connection.execute(select(_ERRAND.c.id))).all()
        assert left == [], "who asked has cleared up"


async def test_without_a_worker_it_says_what_is_missing(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        with pytest.raises(UnavailableError, match="is `seatkeep up` or a worker running"):
            await errands.ask(here.without_bus, "default", {"kind": "end"}, deadline_s=0.3)


async def test_two_workers_that_see_one_errand_make_one_command_of_it(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        mine = await here.meeting("a", minutes=10)
        command = {"kind": "extend", "meeting": mine, "by_s": 600}
        sent = command | {"id": new_id(), "deadline_ms": now_ms() + 10_000}
        row = ErrandRow(
            id=str(sent["id"]),
            pool="default",
            command=orjson.dumps(sent),
            at_ms=now_ms(),
            deadline_ms=now_ms() + 10_000,
        )
        database = here.operator.database
        async with database.write_lock, database.begin() as connection:
            await connection.execute(insert(_ERRAND).values(row.model_dump()))
        before = await meetings.show(here.operator, MeetingAsked(meeting=mine))
        async with runner(here), runner(here), asyncio.timeout(10):
            answer = None
            while answer is None:
                await asyncio.sleep(0.05)
                async with database.connect() as connection:
                    answer = await connection.scalar(select(_ERRAND.c.answer))
        # A third one comes much later, after a crash.
        again = await here.stage.assembly.bus.submit("default", sent).done
        assert orjson.loads(answer) == orjson.loads(orjson.dumps(again))
        after = await meetings.show(here.operator, MeetingAsked(meeting=mine))
        assert (after.end_at - before.end_at).total_seconds() == 600, "once"


async def test_an_answer_that_got_lost_is_found_in_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path) as here:
        mine = await here.meeting("a")
        bus = here.stage.assembly.bus
        submit = bus.submit

        def deaf(pool: str, command: Item) -> Ticket:
            ticket = submit(pool, command)
            # As after a restart of the broker: the command is done, nobody hears of it.
            lost: asyncio.Future[Item] = asyncio.get_running_loop().create_future()
            ticket.done.add_done_callback(lambda _: lost.set_exception(BusTimeout("no answer")))
            return Ticket(ticket.accepted, lost)

        monkeypatch.setattr(bus, "submit", deaf)
        command = {"kind": "extend", "meeting": mine, "by_s": 60}
        answer = await errands.ask(here.operator, "default", command)
        assert answer["ok"]

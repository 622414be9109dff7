"""Commands about meetings, bookings and seats, run beside a worker as an operator runs them."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from scheduler.cli import instants
from tests.commands import Result, run_inside
from tests.manage.desk import Desk, desk
from workers.jobs import Jobs


async def run(directory: Path, *arguments: str) -> Result:
    environment = {"SEATKEEP_DATA_DIR": str(directory), "COLUMNS": "120"}
    return await asyncio.to_thread(
        run_inside, *arguments, directory=directory, environment=environment
    )


async def done(directory: Path, *arguments: str) -> str:
    result = await run(directory, *arguments)
    assert (result.exit_code, result.errors) == (0, ""), result
    return result.output


async def shown(directory: Path, *arguments: str) -> Any:
    return json.loads(await done(directory, *arguments, "--json"))


async def day(here: Desk, directory: Path) -> None:
    """Go through what an operator does with meetings and bookings."""
    mine = await here.meeting("lecture", seats=8, minutes=30)
    listed = await done(directory, "meeting", "list")
    assert re.search(rf"{mine} +lecture +acme +n\d +held +8 +0 ", listed)
    one = await done(directory, "meeting", "show", mine)
    assert "open nodes (4 in all): the least full, 20 seats were free there" in one
    assert re.search(r"admitted +8 seats", one)

    said = await done(directory, "meeting", "extend", mine, "--by", "1h")
    assert said.startswith("8 seats of lecture are kept until 20")
    wrong = await run(directory, "meeting", "extend", mine)
    assert wrong.exit_code == 2
    assert "--by 30m or --until" in wrong.errors

    weekly = ("--every", "week", "--times", "3")
    options = ("--seats", "10", "--start", "+3h", "--duration", "90m")
    made = await shown(directory, "booking", "add", "acme", "seminar", *options, *weekly)
    assert len(made["items"]) == 3
    first = made["items"][0]["id"]
    refused = await run(directory, "booking", "add", "acme", "other", *options, "--credential", "x")
    assert (refused.exit_code, refused.errors) == (1, "seatkeep: there is no credential x\n")
    moved = await done(directory, "booking", "move", first, "--start", "+5h", "--seats", "12")
    assert re.search(r"seats +12", moved)
    assert "given back" in await done(directory, "booking", "cancel", first)
    assert "seminar" in await done(directory, "booking", "list", "--past")
    assert len((await shown(directory, "booking", "list"))["items"]) == 2

    assert "lecture" in await done(directory, "reservations")
    steps = (await shown(directory, "capacity", "subscription", "--name", "acme"))["items"][0]
    assert [steps["seats"], steps["steps"][0]["reserved"]] == [20, 8]
    assert "default  80 seats, 40 sold" in await done(directory, "capacity")
    yes = await done(directory, "whatif", "acme", "12", "1h")
    assert yes.startswith("12 seats from 20")
    no = await run(directory, "whatif", "acme", "13", "1h")
    assert no.exit_code == 1
    assert no.output.startswith("12 of 20 seats are free; 13 seats for 60 minutes fit at")

    ended = await done(directory, "meeting", "end", mine, "--yes")
    assert ended.startswith("lecture is end")
    unknown = await run(directory, "meeting", "show", "0" * 32)
    assert (unknown.exit_code, unknown.errors) == (
        1,
        f"seatkeep: there is no meeting {'0' * 32}\n",
    )
    misspelt = await run(directory, "meeting", "show", "lecture")
    assert misspelt.exit_code == 2
    assert "none" in await done(directory, "job", "list")


async def test_an_operators_day_with_meetings_and_bookings(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        role = Jobs(here.stage.assembly, {})
        await role.start()
        try:
            await day(here, tmp_path)
        finally:
            await role.close()


@pytest.mark.parametrize(
    ("text", "expected"), [("90m", 5_400), ("1h30m", 5_400), ("2d", 172_800), ("60", 60)]
)
def test_durations_as_people_type_them(text: str, expected: int) -> None:
    assert instants.seconds(text) == expected


@pytest.mark.parametrize("text", ["", "m", "90 minutes", "-5m", "1m1h", "9" * 12])
def test_a_duration_that_nobody_can_read_is_refused_with_examples(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="90m, 1h30m"):
        instants.seconds(text)


def test_instants_without_a_zone_are_utc() -> None:
    assert instants.instant("2026-11-22T14:30").isoformat() == "2026-11-22T14:30:00+00:00"
    assert instants.instant("2026-11-22 14:30+02:00").isoformat().endswith("+02:00")
    ahead = instants.instant("00:00") - instants.instant("now")
    assert 0 < ahead.total_seconds() <= 86_400
    with pytest.raises(typer.BadParameter, match="no instant"):
        instants.instant("tomorrow")

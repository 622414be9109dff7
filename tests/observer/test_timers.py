"""Facts about the timers."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from scheduler import operations
from scheduler.database import Database
from scheduler.directory import DirectoryWatch
from scheduler.settings import Settings
from scheduler.vault import Vault
from schemas import identifiers
from schemas.tables import MeetingRow
from tests.observer.field import FactBus
from workers.timers import Timers

TABLE = MeetingRow.metadata.tables["meeting"]


class Room:
    """A database with one pool, a bus, and a clock that stands still."""

    def __init__(self, settings: Settings, database: Database, watch: DirectoryWatch) -> None:
        self.now_s = 1_000_000.0
        self.database = database
        self.bus = FactBus()
        self.timers = Timers(settings, database, watch, self.bus, now_s=lambda: self.now_s)
        self.ids: list[str] = []

    async def meeting(
        self, end_s: int, *, state: str = "held", live: bool = True, start_s: int = 0
    ) -> str:
        row: dict[str, Any] = {
            "id": identifiers.new_id(),
            "pool_id": 1,
            "subscription_id": 1,
            "credential_id": 1,
            "external_id": "x",
            "live": live,
            "state": state,
            "seats": 5,
            "start_s": start_s,
            "end_s": end_s,
            "doc": b"",
            "version": 1,
            "updated_ms": 0,
            "end_reason": "",
        }
        async with self.database.write_lock, self.database.begin() as connection:
            await connection.execute(insert(TABLE), [row])
        return str(row["id"])

    async def change(self, meeting: str, state: str) -> None:
        async with self.database.write_lock, self.database.begin() as connection:
            await connection.execute(update(TABLE).where(TABLE.c.id == meeting).values(state=state))

    async def ticks_after(self, seconds: int) -> int:
        """Let time pass second by second; return how many ticks were published meanwhile."""
        before = len(self.bus.facts)
        for _ in range(seconds):
            self.now_s += 1
            await self.timers.look()
        return len(self.bus.facts) - before


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    settings = Settings(data_dir=tmp_path)
    database = Database(settings)
    await database.migrate()
    await operations.ensure_pool(database, "default")
    watch = DirectoryWatch(database, Vault.from_settings(settings), interval_s=60)
    await watch.start()
    yield Room(settings, database, watch)
    await watch.close()
    await database.close()


async def test_no_tick_without_a_window_that_ends(room: Room) -> None:
    await room.meeting(2_000_000)
    await room.meeting(5, state="overtime")
    await room.meeting(5, live=False)
    assert await room.ticks_after(30) == 0


async def test_a_tick_comes_in_the_second_in_which_a_window_ends(room: Room) -> None:
    meeting = await room.meeting(1_000_012)
    assert await room.ticks_after(11) == 0
    assert await room.ticks_after(1) == 1
    assert room.bus.facts == [{"kind": "tick"}]
    await room.change(meeting, "overtime")
    assert await room.ticks_after(30) == 0


async def test_ticks_that_nobody_takes_become_rare(room: Room) -> None:
    await room.meeting(1_000_001)
    assert await room.ticks_after(60) <= 8
    assert 55 <= await room.ticks_after(3_600) <= 70


async def test_each_window_end_has_its_own_tick(room: Room) -> None:
    first, second = await room.meeting(1_000_003), await room.meeting(1_000_004)
    assert await room.ticks_after(3) == 1
    await room.change(first, "overtime")
    assert await room.ticks_after(1) == 1
    await room.change(second, "overtime")
    assert await room.ticks_after(10) == 0


async def test_a_booking_ticks_once_when_it_is_to_be_announced(room: Room) -> None:
    now_s = int(room.now_s)
    await room.ticks_after(10)
    await room.meeting(now_s + 9_000, state="booked", start_s=now_s + 960)
    assert await room.ticks_after(45) == 0
    assert await room.ticks_after(20) == 1
    assert await room.ticks_after(1_000) == 0


async def test_it_runs_by_itself_and_stops(room: Room) -> None:
    await room.meeting(5)
    await room.timers.start()
    async with asyncio.timeout(10):
        while not room.bus.facts:
            await asyncio.sleep(0.02)
    await room.timers.close()


async def test_the_cleaner_is_called(room: Room) -> None:
    meeting = await room.meeting(5, live=False)
    await room.timers.clean()
    async with room.database.connect() as connection:
        rows = (await connection.execute(TABLE.select().where(TABLE.c.id == meeting))).all()
    assert rows == []

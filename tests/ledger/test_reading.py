"""What readers find in the ledger."""

import time

from scheduler.database import Database
from scheduler.ledger.interface import Ledger
from scheduler.ledger.reading import Reader
from scheduler.ledger.records import Batch
from tests.ledger.builders import creating, ended, meeting
from tests.ledger.conftest import make_pool


async def test_nothing_is_found_of_what_never_was(reader: Reader, pool_id: int) -> None:
    assert await reader.meeting("f" * 32) is None
    assert await reader.meeting_by_key(7, "course") is None
    assert await reader.meeting_by_internal_id(7, "inner") is None
    assert await reader.outcome("f" * 32) == (None, None)
    assert await reader.instances(7, "course", 10) == []
    assert await reader.changed_since(0, 10) == []
    assert await reader.live_meetings() == []
    assert await reader.live_meetings(pool_ids=[]) == []


async def test_a_meeting_is_found_by_each_of_its_ids(
    ledger: Ledger, reader: Reader, pool_id: int
) -> None:
    epoch = await ledger.take_over(pool_id, "worker")
    first = meeting(pool_id, external_id="Übung 1", internal_id="inner-1")
    second = meeting(pool_id, external_id="Übung 1", credential_id=8, internal_id="inner-1")
    await ledger.commit(pool_id, epoch, creating(first, second))
    assert await reader.meeting(first.id) == first
    assert await reader.meeting_by_key(7, "Übung 1") == first
    assert await reader.meeting_by_key(8, "Übung 1") == second
    assert await reader.meeting_by_internal_id(7, "inner-1") == first
    assert await reader.meeting_by_internal_id(9, "inner-1") is None


async def test_an_ended_meeting_has_lost_its_key_but_stays_an_instance(
    ledger: Ledger, reader: Reader, pool_id: int
) -> None:
    epoch = await ledger.take_over(pool_id, "worker")
    old = ended(meeting(pool_id, external_id="daily", internal_id="inner"))
    new = meeting(pool_id, external_id="daily")
    await ledger.commit(pool_id, epoch, creating(old, new))
    assert await reader.meeting_by_key(7, "daily") == new
    assert await reader.meeting_by_internal_id(7, "inner") == old
    assert await reader.instances(7, "daily", 10) == [new, old]
    assert await reader.instances(7, "daily", 1) == [new]
    assert await reader.live_meetings() == [new]


async def test_the_outcome_of_a_command_is_its_meeting_or_its_answer(
    ledger: Ledger, reader: Reader, pool_id: int
) -> None:
    epoch = await ledger.take_over(pool_id, "worker")
    record = meeting(pool_id)
    batch = creating(record)
    batch.answers = [("c" * 32, 1, b"refused"), (record.id, 1, b"ended since")]
    await ledger.commit(pool_id, epoch, batch)
    assert await reader.outcome("c" * 32) == (None, b"refused")
    assert await reader.outcome(record.id) == (record, b"ended since")


async def test_the_outcomes_of_many_commands_are_read_at_once(
    ledger: Ledger, reader: Reader, pool_id: int
) -> None:
    epoch = await ledger.take_over(pool_id, "worker")
    both, made = meeting(pool_id), meeting(pool_id)
    batch = creating(both, made)
    batch.answers = [("c" * 32, 1, b"refused"), (both.id, 1, b"ended since")]
    await ledger.commit(pool_id, epoch, batch)
    assert await reader.outcomes([both.id, "c" * 32, "f" * 32, made.id]) == {
        both.id: (both, b"ended since"),
        made.id: (made, None),
        "c" * 32: (None, b"refused"),
    }
    assert await reader.outcomes([]) == {}


async def test_changes_are_read_from_a_time_on_oldest_first_ended_ones_too(
    ledger: Ledger, reader: Reader, pool_id: int
) -> None:
    epoch = await ledger.take_over(pool_id, "worker")
    early = meeting(pool_id, updated_ms=10)
    over = ended(meeting(pool_id), at_ms=30)
    late = meeting(pool_id, updated_ms=20)
    await ledger.commit(pool_id, epoch, creating(early, over, late))
    assert await reader.changed_since(20, 10) == [late, over]
    assert await reader.changed_since(0, 2) == [early, late]


async def test_ten_thousand_live_meetings_are_read_in_little_time(
    ledger: Ledger, reader: Reader, pool_id: int, database: Database
) -> None:
    other_id = await make_pool(database, "other")
    epoch = await ledger.take_over(pool_id, "worker")
    for _ in range(20):
        records = [meeting(pool_id, doc=b"d" * 700) for _ in range(500)]
        await ledger.commit(pool_id, epoch, creating(*records))
    await ledger.commit(
        pool_id, epoch, Batch(attendees=[(records[0].id, "a", True, True, 1, 1, "")])
    )
    times_s = []
    for _ in range(3):  # the machine may have other things to do
        started_s = time.perf_counter()
        found = await reader.live_meetings()
        times_s.append(time.perf_counter() - started_s)
        assert len(found) == 10_000
    assert min(times_s) < 5
    assert await reader.live_meetings(pool_ids=[other_id]) == []
    assert len(await reader.live_meetings(pool_ids=[pool_id, other_id])) == 10_000
    assert len((await ledger.load(pool_id, epoch)).attendees) == 1

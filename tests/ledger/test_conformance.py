"""Both kinds of ledger keep the same promises."""

import asyncio
import random

import pytest
from sqlalchemy import select, text

from scheduler.database import Database
from scheduler.ledger.errors import BatchRefused, Deposed, LedgerError
from scheduler.ledger.interface import Ledger
from scheduler.ledger.reading import Reader
from scheduler.ledger.records import AttendeeRecord, Batch, MeetingRecord
from schemas.tables import OutboxRow
from tests.ledger.builders import changing, creating, ended, meeting
from tests.ledger.conftest import count, make_pool


async def test_what_was_committed_is_what_is_loaded(
    ledger: Ledger, successor: Ledger, pool_id: int
) -> None:
    epoch = await ledger.take_over(pool_id, "first")
    plain = meeting(pool_id)
    full = meeting(
        pool_id,
        node_id=4,
        state="held",
        version=2**31 - 1,
        bound=b"\x00\xff",
        internal_id="a" * 40,
        parent_id=plain.id,
        live_key=None,
        end_reason="evicted",
        ended_ms=2**40,
    )
    await ledger.commit(pool_id, epoch, creating(plain, full))
    loaded = await successor.load(pool_id, await successor.take_over(pool_id, "second"))
    assert sorted(loaded.meetings, key=lambda record: record.id) == [plain, full]


async def test_an_update_writes_all_that_may_change_and_nothing_else(
    ledger: Ledger, pool_id: int, reader: Reader
) -> None:
    epoch = await ledger.take_over(pool_id, "worker")
    record = meeting(pool_id)
    await ledger.commit(pool_id, epoch, creating(record))
    changed = meeting(
        pool_id,
        id=record.id,
        live_key="7:other",
        live=False,
        node_id=9,
        state="ended",
        seats=16,
        start_s=1_800_000_060,
        end_s=1_800_000_120,
        version=2,
        updated_ms=1_800_000_000_999,
        doc=b"never written",
        bound=b"node",
        internal_id="inner",
        end_reason="expired",
        ended_ms=1_800_000_000_999,
    )
    await ledger.commit(pool_id, epoch, changing(changed))
    changed.doc, changed.external_id = record.doc, record.external_id
    assert await reader.meeting(record.id) == changed


async def test_a_random_history_is_loaded_as_it_was_left(
    ledger: Ledger, pool_id: int, reader: Reader
) -> None:
    """Everything at once, for many batches: seats, keys, ends, attendees."""
    chance = random.Random(5)
    epoch = await ledger.take_over(pool_id, "worker")
    known: dict[str, MeetingRecord] = {}
    people: dict[tuple[str, str], AttendeeRecord] = {}
    for step in range(40):
        batch = Batch()
        for record in chance.sample(list(known.values()), k=min(len(known), 5)):
            if record.live:
                over = chance.random() < 0.4
                known[record.id] = ended(record) if over else _with_seats(record, step + 1)
                batch.changed[record.id] = known[record.id]
        for _ in range(chance.randint(0, 6)):
            key = f"room-{chance.randint(1, 10)}"
            if all(not (m.live and m.external_id == key) for m in known.values()):
                created = meeting(pool_id, external_id=key)
                known[created.id] = batch.created[created.id] = created
                seen = AttendeeRecord._make((created.id, "müller", True, False, 1, step, "w_m:1"))
                people[seen[:2]] = seen
                batch.attendees.append(seen)
        for key2 in chance.sample(sorted(people), k=min(len(people), 3)):
            people[key2] = people[key2]._replace(present=False, joins=step, changed_ms=step)
            batch.attendees.append(people[key2])
        await ledger.commit(pool_id, epoch, batch)
    loaded = await ledger.load(pool_id, epoch)
    live = {record.id: record for record in known.values() if record.live}
    assert {record.id: record for record in loaded.meetings} == live
    assert sorted(loaded.attendees) == sorted(p for p in people.values() if p.meeting_id in live)
    assert all([await reader.meeting(key) == record for key, record in known.items()])


def _with_seats(record: MeetingRecord, seats: int) -> MeetingRecord:
    fields = {name: getattr(record, name) for name in MeetingRecord.__dataclass_fields__}
    return MeetingRecord(**fields | {"seats": seats, "version": record.version + 1})


async def test_a_batch_becomes_durable_as_a_whole_or_not_at_all(
    ledger: Ledger, pool_id: int, database: Database
) -> None:
    epoch = await ledger.take_over(pool_id, "worker")
    taken = meeting(pool_id)
    await ledger.commit(pool_id, epoch, creating(taken))
    rival = meeting(pool_id, external_id=taken.external_id)
    batch = creating(meeting(pool_id), rival)
    batch.changed[taken.id] = _with_seats(taken, 99)
    batch.answers.append(("c" * 32, 1, b"{}"))
    batch.events.append(("e" * 32, taken.id, "created", b"{}", 1))
    batch.attendees.append((taken.id, "user", True, False, 1, 1, ""))
    with pytest.raises(BatchRefused):
        await ledger.commit(pool_id, epoch, batch)
    assert (await ledger.load(pool_id, epoch)).meetings == [taken]
    for table in ("command", "outbox", "attendee"):
        assert await count(database, table) == 0


async def test_only_one_live_meeting_has_a_key(
    ledger: Ledger, pool_id: int, database: Database
) -> None:
    epoch = await ledger.take_over(pool_id, "worker")
    first = meeting(pool_id)
    await ledger.commit(pool_id, epoch, creating(first))
    with pytest.raises(BatchRefused):
        await ledger.commit(pool_id, epoch, creating(meeting(pool_id, live_key=first.live_key)))
    assert await count(database, "meeting") == 1


async def test_a_key_given_up_in_a_batch_can_be_taken_in_the_same_batch(
    ledger: Ledger, pool_id: int, reader: Reader
) -> None:
    epoch = await ledger.take_over(pool_id, "worker")
    old, other = meeting(pool_id), meeting(pool_id)
    await ledger.commit(pool_id, epoch, creating(old, other))
    new = meeting(pool_id, external_id=old.external_id)
    heir = _with_seats(other, 2)
    heir.live_key = "7:another"
    batch = Batch(created={new.id: new}, changed={heir.id: heir, old.id: ended(old)})
    await ledger.commit(pool_id, epoch, batch)
    assert await reader.meeting_by_key(7, old.external_id) == new


async def test_among_changes_a_key_is_given_up_before_it_is_taken(
    ledger: Ledger, pool_id: int, reader: Reader
) -> None:
    epoch = await ledger.take_over(pool_id, "worker")
    old, heir = meeting(pool_id), meeting(pool_id)
    await ledger.commit(pool_id, epoch, creating(old, heir))
    heir.live_key = old.live_key
    await ledger.commit(pool_id, epoch, changing(heir, ended(old)))
    assert await reader.meeting_by_key(7, old.external_id) == heir


async def test_a_meeting_created_and_changed_in_one_batch_is_written_as_created(
    ledger: Ledger, pool_id: int, reader: Reader
) -> None:
    epoch = await ledger.take_over(pool_id, "worker")
    record = meeting(pool_id, state="held")
    batch = Batch(created={record.id: record}, changed={record.id: record})
    await ledger.commit(pool_id, epoch, batch)
    assert await reader.meeting(record.id) == record


async def test_a_change_of_a_meeting_that_is_not_there_is_refused(
    ledger: Ledger, pool_id: int, database: Database
) -> None:
    epoch = await ledger.take_over(pool_id, "worker")
    batch = changing(meeting(pool_id))
    batch.answers.append(("c" * 32, 1, b"{}"))
    with pytest.raises(BatchRefused):
        await ledger.commit(pool_id, epoch, batch)
    assert await count(database, "command") == 0


async def test_a_command_keeps_its_first_answer(ledger: Ledger, pool_id: int) -> None:
    epoch = await ledger.take_over(pool_id, "worker")
    await ledger.commit(pool_id, epoch, Batch(answers=[("c" * 32, 1, b"first")]))
    again = Batch(answers=[("c" * 32, 2, b"second"), ("d" * 32, 2, b"other")])
    await ledger.commit(pool_id, epoch, again)
    assert await ledger.answer_of("c" * 32) == b"first"
    assert await ledger.answer_of("d" * 32) == b"other"
    assert await ledger.answer_of("e" * 32) is None


async def test_a_fact_is_told_once_and_events_are_numbered_in_their_order(
    ledger: Ledger, pool_id: int, database: Database
) -> None:
    epoch = await ledger.take_over(pool_id, "worker")
    facts = [f"joined:{number}:1" for number in (3, 1, 2)]
    events = [(f"event-{fact}", "m" * 32, fact, b"{}", 5) for fact in facts]
    await ledger.commit(pool_id, epoch, Batch(events=events))
    more = [("event-again", "m" * 32, facts[0], b"{}", 6), ("event-z", "m" * 32, "ended", b"{}", 6)]
    await ledger.commit(pool_id, epoch, Batch(events=[*more, *more[1:]]))
    async with database.session() as session:
        rows = list(await session.scalars(select(OutboxRow).order_by(text("seq"))))
    assert [row.fact for row in rows] == [*facts, "ended"]
    assert [row.event_id for row in rows] == [*(event[0] for event in events), "event-z"]
    assert all(row.published_ms is None for row in rows)


async def test_the_last_word_on_an_attendee_wins(ledger: Ledger, pool_id: int) -> None:
    epoch = await ledger.take_over(pool_id, "worker")
    record = meeting(pool_id)
    batch = creating(record)
    batch.attendees = [
        (record.id, "a", True, False, 1, 1, ""),
        (record.id, "a", False, True, 1, 2, ""),
    ]
    await ledger.commit(pool_id, epoch, batch)
    await ledger.commit(pool_id, epoch, Batch(attendees=[(record.id, "a", True, True, 2, 3, "")]))
    loaded = await ledger.load(pool_id, epoch)
    assert loaded.attendees == [(record.id, "a", True, True, 2, 3, "")]


async def test_an_empty_batch_proves_only_that_the_epoch_is_in_force(
    ledger: Ledger, successor: Ledger, pool_id: int
) -> None:
    assert Batch().is_empty()
    epoch = await ledger.take_over(pool_id, "worker")
    await ledger.commit(pool_id, epoch, Batch())
    await successor.take_over(pool_id, "other")
    with pytest.raises(Deposed):
        await ledger.commit(pool_id, epoch, Batch())


async def test_a_deposed_writer_writes_nothing_and_loads_nothing(
    ledger: Ledger, successor: Ledger, pool_id: int, database: Database
) -> None:
    first = await ledger.take_over(pool_id, "first")
    record = meeting(pool_id)
    await ledger.commit(pool_id, first, creating(record))
    second = await successor.take_over(pool_id, "second")
    assert second == first + 1
    batch = creating(meeting(pool_id))
    batch.changed[record.id] = ended(record)
    batch.answers.append(("c" * 32, 1, b"{}"))
    batch.events.append(("e" * 32, record.id, "ended", b"{}", 1))
    batch.attendees.append((record.id, "user", True, False, 1, 1, ""))
    with pytest.raises(Deposed):
        await ledger.commit(pool_id, first, batch)
    with pytest.raises(Deposed):
        await ledger.load(pool_id, first)
    assert (await successor.load(pool_id, second)).meetings == [record]
    for table in ("command", "outbox", "attendee"):
        assert await count(database, table) == 0


async def test_a_pool_that_is_not_there_cannot_be_taken_over(ledger: Ledger, pool_id: int) -> None:
    with pytest.raises(LedgerError, match="no pool"):
        await ledger.take_over(pool_id + 1, "worker")
    with pytest.raises(LedgerError, match="no pool"):
        await ledger.load(pool_id + 1, 1)


async def test_pools_have_epochs_and_meetings_of_their_own(
    ledger: Ledger, pool_id: int, database: Database
) -> None:
    other_id = await make_pool(database, "other")
    epoch = await ledger.take_over(pool_id, "worker")
    await ledger.take_over(other_id, "worker")
    other_epoch = await ledger.take_over(other_id, "worker")
    mine, theirs = meeting(pool_id), meeting(other_id)
    await ledger.commit(pool_id, epoch, creating(mine))
    await ledger.commit(other_id, other_epoch, creating(theirs))
    assert (await ledger.load(pool_id, epoch)).meetings == [mine]
    assert (await ledger.load(other_id, other_epoch)).meetings == [theirs]


async def test_whatever_a_writer_was_told_is_what_its_successor_finds(
    ledger: Ledger, successor: Ledger, pool_id: int
) -> None:
    """A take-over in the middle of commits: each is either there and acknowledged, or refused."""

    async def write(epoch: int, commits: int, begun: asyncio.Event) -> None:
        while True:
            records = [meeting(pool_id) for _ in range(20)]
            await ledger.commit(pool_id, epoch, creating(*records))
            acknowledged.update(record.id for record in records)
            commits -= 1
            if commits <= 0:
                begun.set()

    acknowledged: set[str] = set()
    for commits in range(8):
        epoch = await ledger.take_over(pool_id, "first")
        begun = asyncio.Event()
        writing = asyncio.ensure_future(write(epoch, commits, begun))
        await begun.wait()
        second = await successor.take_over(pool_id, "second")
        loaded = await successor.load(pool_id, second)
        with pytest.raises(Deposed):
            await writing
        assert {record.id for record in loaded.meetings} == acknowledged


async def test_a_cancelled_commit_is_carried_out_and_the_next_one_waits_for_it(
    ledger: Ledger, pool_id: int
) -> None:
    epoch = await ledger.take_over(pool_id, "worker")
    record = meeting(pool_id)
    committing = asyncio.ensure_future(ledger.commit(pool_id, epoch, creating(record)))
    await asyncio.sleep(0)
    committing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await committing
    await ledger.commit(pool_id, epoch, Batch(answers=[("c" * 32, 1, b"{}")]))
    assert (await ledger.load(pool_id, epoch)).meetings == [record]

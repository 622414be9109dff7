"""The cache of meetings: versions, gaps, misses, and what is believed of observations."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import orjson
import pytest

from gateway.flights import Flights
from gateway.meetings import Meetings, view_of
from gateway.observed import ARRIVES_WITHIN_MS, JOINS_TOLD_EVERY_MS, STALE_AFTER_MS, Observed
from scheduler.ledger.errors import StoreDown
from scheduler.ledger.reading import Reader
from scheduler.ledger.records import MeetingRecord
from schemas.messages import JoinedThrough, MeetingDoc, MeetingView, NodeAnswer, NodeSnapshot


def record(number: int, **changes: Any) -> MeetingRecord:
    doc = MeetingDoc(
        name=f"Room {number}",
        params=[],
        attendee_pw="apw",
        moderator_pw="mpw",
        duration_min=0,
        callbacks=[],
        meta={},
    )
    bound = NodeAnswer(
        internal_id=f"{number:040x}-1718000000000",
        create_time_ms=1_718_000_000_000,
        create_date="",
        voice_bridge="1",
        dial_number="2",
    )
    row = MeetingRecord(
        id=f"{number:032x}",
        pool_id=1,
        subscription_id=1,
        credential_id=1,
        external_id=f"room-{number}",
        live_key=f"1:room-{number}",
        live=True,
        node_id=1,
        state="held",
        seats=10,
        start_s=0,
        end_s=10,
        version=2,
        updated_ms=1_000,
        doc=orjson.dumps(doc),
        bound=orjson.dumps(bound),
        internal_id=bound["internal_id"],
    )
    for name, value in changes.items():
        setattr(row, name, value)
    return row


def ended(number: int, version: int = 3) -> MeetingRecord:
    return record(number, live=False, live_key=None, state="ended", version=version)


class Store:
    """A reader over a few rows; counts and can delay its reads."""

    def __init__(self, *rows: MeetingRecord) -> None:
        self.rows = {row.id: row for row in rows}
        self.reads = 0
        self.down = False
        self.before_answer: Callable[[], Awaitable[None]] | None = None

    async def _read(self) -> list[MeetingRecord]:
        if self.down:
            raise StoreDown("down")
        self.reads += 1
        rows = list(self.rows.values())
        if self.before_answer is not None:
            await self.before_answer()
        return rows

    async def live_meetings(self) -> list[MeetingRecord]:
        return [row for row in await self._read() if row.live]

    async def meeting_by_key(self, credential: int, external_id: str) -> MeetingRecord | None:
        key = f"{credential}:{external_id}"
        return next((row for row in await self._read() if row.live_key == key), None)

    async def meeting_by_internal_id(self, _: int, internal: str) -> MeetingRecord | None:
        return next((row for row in await self._read() if row.internal_id == internal), None)

    async def changed_since(self, updated_ms: int, limit: int) -> list[MeetingRecord]:
        rows = [row for row in await self._read() if row.updated_ms >= updated_ms]
        return sorted(rows, key=lambda row: row.updated_ms)[:limit]


def cache(store: Store) -> Meetings:
    return Meetings(cast("Reader", store), now_ms=lambda: 5_000)


def view(row: MeetingRecord) -> dict[str, Any]:
    return cast("dict[str, Any]", view_of(row))


async def test_the_higher_version_wins() -> None:
    meetings = cache(Store())
    meetings.on_view(view(record(1, version=3, seats=3)))
    meetings.on_view(view(record(1, version=2, seats=2)))
    entry = meetings.lookup(1, "room-1")
    assert entry is not None
    assert entry.view["seats"] == 3


async def test_an_ended_meeting_does_not_come_back_by_a_late_view() -> None:
    meetings = cache(Store())
    meetings.on_view(view(record(1)))
    meetings.on_view(view(ended(1)))
    meetings.on_view(view(record(1)))
    assert meetings.lookup(1, "room-1") is None
    assert b"noMeetings" in meetings.document(1)


async def test_the_next_meeting_of_an_id_survives_the_end_of_the_one_before() -> None:
    meetings = cache(Store())
    meetings.on_view(view(record(1)))
    following = record(2, external_id="room-1", live_key="1:room-1")
    meetings.on_view(view(following))
    meetings.on_view(view(ended(1)))
    entry = meetings.lookup(1, "room-1")
    assert entry is not None
    assert entry.view["id"] == following.id


async def test_a_miss_is_read_once_for_all_who_ask_at_the_same_time() -> None:
    store = Store(record(1))
    meetings = cache(store)
    found = await asyncio.gather(*(meetings.find(1, "room-1") for _ in range(10)))
    assert all(entry is not None and entry.view["external_id"] == "room-1" for entry in found)
    assert store.reads == 1


async def test_a_meeting_made_during_a_read_is_found_by_whoever_asks_after_it() -> None:
    """A caller never gets the outcome of a read that began before he asked."""
    store = Store()
    meetings = cache(store)
    reading = asyncio.Event()
    go_on = asyncio.Event()

    async def hold() -> None:
        reading.set()
        await go_on.wait()

    store.before_answer = hold
    early = asyncio.ensure_future(meetings.find(1, "room-1"))
    await reading.wait()
    store.rows[record(1).id] = record(1)
    late = asyncio.ensure_future(meetings.find(1, "room-1"))
    go_on.set()
    assert await early is None
    assert await late is not None


async def test_a_meeting_is_found_by_its_internal_id() -> None:
    internal = f"{1:040x}-1718000000000"
    meetings = cache(Store(record(1)))
    assert meetings.lookup(1, internal) is None
    assert await meetings.find(1, internal) is not None
    assert meetings.lookup(1, internal) is not None
    assert meetings.lookup(2, internal) is None, "another credential's"
    ended_one = cache(Store(ended(1)))
    assert await ended_one.find(1, internal) is None


@pytest.mark.parametrize("state", ["lost", "booked", "ending"])
async def test_a_meeting_that_is_not_running_anywhere_is_not_shown(state: str) -> None:
    meetings = cache(Store(record(1, state=state)))
    await meetings.start()
    assert await meetings.find(1, "room-1") is None
    assert b"noMeetings" in meetings.document(1)
    await meetings.close()


async def test_a_gap_in_the_feed_reloads_everything() -> None:
    store = Store(record(1), record(2))
    meetings = cache(store)
    await meetings.start()
    store.rows = {row.id: row for row in (record(2), record(3))}
    reads = store.reads
    meetings.on_gap()
    while store.reads == reads:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [meetings.lookup(1, f"room-{n}") is not None for n in (1, 2, 3)] == [False, True, True]
    await meetings.close()


async def test_what_comes_during_a_reload_is_kept() -> None:
    store = Store(record(1))
    meetings = cache(store)
    reading = asyncio.Event()
    go_on = asyncio.Event()

    async def hold() -> None:
        reading.set()
        await go_on.wait()

    store.before_answer = hold
    starting = asyncio.ensure_future(meetings.start())
    await reading.wait()
    meetings.on_view(view(record(2)))
    meetings.on_view(view(ended(1)))
    go_on.set()
    await starting
    assert meetings.lookup(1, "room-1") is None, "ended while the rows were read"
    assert meetings.lookup(1, "room-2") is not None, "made while the rows were read"
    await meetings.close()


async def test_the_comparison_finds_what_the_feed_dropped() -> None:
    store = Store(record(1))
    meetings = cache(store)
    await meetings.start()
    store.rows = {row.id: row for row in (ended(1), record(2))}
    await meetings._sync()
    assert meetings.lookup(1, "room-1") is None
    assert meetings.lookup(1, "room-2") is not None
    await meetings.close()


async def test_the_comparison_turns_pages_even_of_one_millisecond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.meetings.SYNC_ROWS_MAX", 2)
    store = Store(*(record(number) for number in range(7)))
    meetings = cache(store)
    await meetings._sync()
    assert meetings.lookup(1, "room-6") is not None


async def test_a_store_that_is_down_at_start_is_loaded_later() -> None:
    store = Store(record(1))
    store.down = True
    meetings = cache(store)
    await meetings.start()
    ready_at_start = meetings.ready
    assert not ready_at_start
    store.down = False
    async with asyncio.timeout(5):
        while not meetings.ready:
            await asyncio.sleep(0.01)
    assert meetings.lookup(1, "room-1") is not None
    await meetings.close()


async def test_ten_thousand_meetings_are_loaded_in_little_time() -> None:
    meetings = cache(Store(*(record(number) for number in range(10_000))))
    started_s = time.process_time()
    await meetings.start()
    assert time.process_time() - started_s < 5, "0.1 s on an idle machine"
    await meetings.close()


async def test_a_promised_end_hides_the_meeting_at_once() -> None:
    meetings = cache(Store())
    meetings.on_view(view(record(1)))
    assert b"room-1" in meetings.document(1)
    meetings.hide(record(1).id)
    assert meetings.lookup(1, "room-1") is None
    assert b"noMeetings" in meetings.document(1)


async def test_a_waiter_gets_the_view_when_placing_is_over() -> None:
    meetings = cache(Store())
    meetings.on_view(view(record(1, state="placing", version=1)))
    waiting = meetings.settled(record(1).id)
    assert not waiting.done()
    meetings.on_view(view(record(1)))
    assert (await waiting)["state"] == "held"
    assert (await meetings.settled(record(1).id))["state"] == "held"
    left = meetings.settled("unknown")
    left.cancel()
    await asyncio.sleep(0)
    assert not meetings._waiters


async def test_a_snapshot_changes_the_list_of_those_whom_it_concerns() -> None:
    meetings = cache(Store())
    meetings.on_view(view(record(1)))
    before = meetings.document(1)
    assert meetings.document(1) is before
    snapshot = {"kind": "node", "node": 1, "as_of_ms": 1, "meetings": {}}
    meetings.on_view(snapshot)
    assert meetings.document(1) is before
    seen = {record(1).id: {"running": True, "participantCount": 3}}
    meetings.on_view({**snapshot, "as_of_ms": 2, "meetings": seen})
    assert b"<running>true</running>" in meetings.document(1)
    assert b"<participantCount>3</participantCount>" in meetings.document(1)
    meetings.on_view({**snapshot, "as_of_ms": 1})
    assert b"<running>true</running>" in meetings.document(1), "an older poll changes nothing"


def shown() -> MeetingView:
    return view_of(record(1))


def snapshot(as_of_ms: int, *, running: bool) -> NodeSnapshot:
    meetings: dict[str, dict[str, Any]] = {record(1).id: {"running": running}}
    return NodeSnapshot(kind="node", node=1, as_of_ms=as_of_ms, meetings=meetings)


def test_running_is_believed_and_not_running_only_when_young() -> None:
    observed = Observed()
    assert observed.running(shown(), 10_000) is None, "nothing was observed"
    observed.apply(snapshot(10_000, running=True))
    assert observed.running(shown(), 19_000) is True
    observed.apply(snapshot(20_000, running=False))
    assert observed.running(shown(), 20_000 + STALE_AFTER_MS) is False
    assert observed.running(shown(), 20_001 + STALE_AFTER_MS) is None


def test_not_running_is_not_believed_until_whoever_joined_has_arrived_or_been_forgotten() -> None:
    """A browser opens the page of the node after the join, and maybe after the next poll."""
    observed = Observed()
    observed.apply(snapshot(10_000, running=False))
    assert observed.join_here(record(1).id, 10_100) is not None
    arrived_ms = 10_100 + ARRIVES_WITHIN_MS
    for as_of_ms in (10_300, arrived_ms):
        observed.note(record(1).id, running=False, as_of_ms=as_of_ms)
        assert observed.running(shown(), as_of_ms + 100) is None
    observed.note(record(1).id, running=False, as_of_ms=arrived_ms + 1)
    assert observed.running(shown(), arrived_ms + 100) is False


def test_joins_elsewhere_count_for_the_time_in_which_they_are_not_told() -> None:
    observed = Observed()
    joined = JoinedThrough(kind="joined", meeting=record(1).id, at_ms=10_000)
    observed.join_elsewhere(joined)
    settled_ms = 10_000 + JOINS_TOLD_EVERY_MS + ARRIVES_WITHIN_MS
    observed.apply(snapshot(settled_ms, running=False))
    assert observed.running(shown(), settled_ms + 100) is None
    observed.apply(snapshot(settled_ms + 1, running=False))
    assert observed.running(shown(), settled_ms + 100) is False


def test_joins_are_told_a_few_times_a_second_and_our_own_come_back_unused() -> None:
    observed = Observed()
    told = observed.join_here(record(1).id, 10_000)
    assert told is not None
    assert observed.join_here(record(1).id, 9_999 + JOINS_TOLD_EVERY_MS) is None
    assert observed.join_here(record(1).id, 10_000 + JOINS_TOLD_EVERY_MS) is not None
    observed = Observed()
    told = observed.join_here(record(1).id, 10_000)
    assert told is not None
    observed.join_elsewhere(told)
    observed.apply(snapshot(10_001 + ARRIVES_WITHIN_MS, running=False))
    assert observed.running(shown(), 10_100 + ARRIVES_WITHIN_MS) is False


def test_the_newer_of_answer_and_snapshot_counts() -> None:
    observed = Observed()
    observed.note(record(1).id, running=True, as_of_ms=10_000)
    assert observed.running(shown(), 10_100) is True
    observed.apply(snapshot(10_200, running=False))
    assert observed.running(shown(), 10_300) is False
    observed.note(record(1).id, running=True, as_of_ms=10_100)
    assert observed.last_running(shown()) is False
    observed.forget(record(1).id)
    assert not observed._answers


async def test_an_error_of_a_shared_read_reaches_all() -> None:
    async def fail(_key: str) -> None:
        raise StoreDown("down")

    flights: Flights[str, None] = Flights(fail)
    found = await asyncio.gather(*(flights.get("a") for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in found] == [StoreDown] * 3
    assert not flights._flying
    assert not flights._boarding


async def test_reads_that_are_given_up_leave_nothing_behind() -> None:
    started = asyncio.Event()

    async def hang(_key: str) -> None:
        started.set()
        await asyncio.Event().wait()

    flights: Flights[str, None] = Flights(hang)
    first = asyncio.ensure_future(flights.get("a"))
    await started.wait()
    second = asyncio.ensure_future(flights.get("a"))
    await asyncio.sleep(0)
    await flights.close()
    found = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(error) for error in found] == [asyncio.CancelledError] * 2
    assert not flights._flying
    assert not flights._boarding


async def test_keeping_up_survives_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.meetings.SYNC_EVERY_S", 0.01)
    store = Store()
    meetings = cache(store)
    await meetings.start()
    broken = record(1, doc=b"not JSON")
    store.rows = {broken.id: broken}
    reads = store.reads
    while store.reads < reads + 2:
        await asyncio.sleep(0.01)
    store.rows = {record(1).id: record(1)}
    async with asyncio.timeout(5):
        while meetings.lookup(1, "room-1") is None:
            await asyncio.sleep(0.01)
    await meetings.close()

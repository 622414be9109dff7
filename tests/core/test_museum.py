"""Ways in which others oversold or lost capacity; each entry is a regression test here.

Entry 11, a limit raced at join, is the gateway's; the part of the core is that joins do not count.
"""

from __future__ import annotations

import random

import pytest

from scheduler.core import admission
from scheduler.core.books import Rules
from scheduler.core.calendar import Calendar
from scheduler.core.commands import Admitted, Book, Cancel, Create, Extend, Refused, Repeated
from scheduler.core.model import Pool, StaleVerdictError
from schemas.values import MeetingState, Reason, Window
from tests.core import worlds
from tests.core.worlds import NOW_S

MINUTE_S = NOW_S // 60 * 60


def test_museum_01_a_batch_sees_what_its_own_admissions_took() -> None:
    """Several admissions of one batch never see the same free seats."""
    one_by_one, batch = worlds.make_pool(nodes=(20, 20)), worlds.make_pool(nodes=(20, 20))
    creates = [Create(f"m{number}", 1, f"k{number}", 6, 600) for number in range(5)]
    for create in creates:
        worlds.do(one_by_one, create)
    batch.advance(NOW_S)
    verdicts = [admission.decide(batch, create, NOW_S) for create in creates]
    batch.apply(verdicts[0])
    with pytest.raises(StaleVerdictError):
        batch.apply(verdicts[1])
    for create in creates[1:]:
        batch.apply(admission.decide(batch, create, NOW_S))
    assert batch.state_hash() == one_by_one.state_hash()
    assert len(batch.meetings) == 3


def test_museum_02_cancelling_a_later_booking_frees_nothing_now() -> None:
    pool = worlds.make_pool()
    window = Window(MINUTE_S + 3600, MINUTE_S + 7200)
    worlds.create(pool, "now", 15)
    worlds.do(pool, Book("later", 1, "later", 20, window))
    worlds.do(pool, Cancel("later"))
    assert pool.subscriptions[1].calendar.used_now == 15
    assert isinstance(worlds.create(pool, "more", 6, 600), Refused)


def test_museum_03_a_refused_extension_leaves_everything_as_it_was() -> None:
    pool = worlds.make_pool()
    worlds.create(pool, "m", 15, 600)
    worlds.do(pool, Book("next", 1, "next", 10, Window(MINUTE_S + 1200, MINUTE_S + 3600)))
    before = pool.state_hash()
    refused = worlds.do(pool, Extend("m", 1800))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.MAX_PARTICIPANTS
    assert pool.state_hash() == before
    assert isinstance(worlds.create(pool, "other", 6, 300), Refused)


def test_museum_04_a_hole_is_not_filled_twice() -> None:
    """Between two bookings only what is left fits, however often it is asked for."""
    pool = worlds.make_pool()
    for number, start_s in enumerate((MINUTE_S + 600, MINUTE_S + 1800)):
        window = Window(start_s, start_s + 600)
        worlds.do(pool, Book(f"b{number}", 1, f"b{number}", 20, window))
    hole = Window(MINUTE_S + 1200, MINUTE_S + 1800)
    verdicts = [worlds.do(pool, Book(f"h{at}", 1, f"h{at}", 10, hole)) for at in range(3)]
    assert [isinstance(one, Admitted) for one in verdicts] == [True, True, False]


def test_museum_05_overlaps_count_by_their_peak_and_not_by_pairs() -> None:
    """Two bookings that do not overlap each other leave the seats of one to a third."""
    pool = worlds.make_pool()
    worlds.do(pool, Book("a", 1, "a", 12, Window(MINUTE_S + 600, MINUTE_S + 1200)))
    worlds.do(pool, Book("b", 1, "b", 12, Window(MINUTE_S + 1200, MINUTE_S + 1800)))
    both = Window(MINUTE_S + 600, MINUTE_S + 1800)
    assert isinstance(worlds.do(pool, Book("c", 1, "c", 8, both)), Admitted)
    assert isinstance(worlds.do(pool, Book("d", 1, "d", 1, both)), Refused)


def test_museum_06_a_refusal_is_repeated_until_something_changes() -> None:
    """What is asked and what is applied cannot disagree: the same check decides, then nothing."""
    pool = worlds.make_pool()
    worlds.create(pool, "m", 15, 600)
    verdicts = [worlds.create(pool, "n", 6, 600) for _ in range(3)]
    assert all(isinstance(one, Refused) for one in verdicts)
    assert verdicts[0] == verdicts[1] == verdicts[2]
    refused = verdicts[0]
    assert isinstance(refused, Refused)
    fits_at_s = refused.detail.fits_at_s
    assert fits_at_s is not None
    pool.advance(fits_at_s)
    pool.end("m")
    assert isinstance(worlds.create(pool, "n", 6, 600), Admitted)


def test_museum_07_the_room_of_a_victim_belongs_to_the_admission() -> None:
    """Eviction and admission are one change: nobody can step between them."""
    pool = worlds.make_pool()
    worlds.put(pool, "old", 15)
    verdict = admission.decide(pool, Create("new", 1, "new", 10, 600), NOW_S)
    assert isinstance(verdict, Admitted)
    assert set(pool.subscriptions[1].overdue) == {"old"}
    pool.apply(verdict)
    assert pool.meetings["old"].state is MeetingState.ENDING
    assert isinstance(worlds.create(pool, "thief", 11, 600), Refused)


def test_museum_08_an_evicted_meeting_comes_back_by_normal_admission_alone() -> None:
    """Two meetings cannot evict each other in turn: the newer one is inside its window."""
    pool = worlds.make_pool()
    worlds.put(pool, "old", 15)
    worlds.create(pool, "new", 10, 600)
    again = worlds.create(pool, "old-2", 15, 600, key="old")
    assert isinstance(again, Refused)
    assert pool.meetings["new"].state is MeetingState.HELD


def test_museum_09_a_reservation_whose_process_died_still_ends() -> None:
    """The part of the core: restored while placing, it counts, it can be moved, and it ends.

    Bringing it back after a crash is the ledger's part.
    """
    pool = worlds.make_pool()
    window = (NOW_S - 60, NOW_S + 600)
    worlds.put(pool, "m", 15, state=MeetingState.PLACING, window=window)
    assert isinstance(worlds.create(pool, "n", 6, 300), Refused)
    assert pool.advance(NOW_S + 600) == ("m",)
    pool.end("m")
    assert isinstance(worlds.create(pool, "n", 20, 300), Admitted)


def test_museum_10_windows_that_touch_do_not_overlap() -> None:
    pool = worlds.make_pool()
    first = Window(MINUTE_S + 600, MINUTE_S + 1200)
    second = Window(MINUTE_S + 1200, MINUTE_S + 1800)
    assert isinstance(worlds.do(pool, Book("a", 1, "a", 20, first)), Admitted)
    assert isinstance(worlds.do(pool, Book("b", 1, "a", 20, second)), Admitted)


def test_museum_11_admission_never_counts_joins() -> None:
    """Seats are what was reserved, not who is there; the gate at join is the gateway's."""
    pool = worlds.make_pool()
    worlds.create(pool, "m", 15, 600)
    for count in (0, 15, 400):
        pool.connected("m", count)
        refused = worlds.create(pool, "n", 6, 600)
        assert isinstance(refused, Refused)
        assert refused.detail.free_seats == 5


def test_museum_12_a_create_at_each_join_changes_nothing() -> None:
    pool = worlds.make_pool()
    worlds.create(pool, "m", 15, 600)
    before = pool.meetings["m"].window
    for number in range(20):
        again = worlds.create(pool, f"again-{number}", 1, 9000, key="m", now_s=NOW_S + number)
        assert again == Repeated("m")
    assert pool.meetings["m"].window == before
    assert len(pool.meetings) == 1


def test_museum_13_every_time_is_in_seconds() -> None:
    """A window given in milliseconds would lie in the year 59,000 and is never near."""
    pool = worlds.make_pool()
    worlds.create(pool, "m", 15, 600)
    assert pool.meetings["m"].window == Window(NOW_S, NOW_S + 600)
    assert pool.advance(NOW_S + 599) == ()
    assert pool.advance(NOW_S + 600) == ("m",)


def test_museum_14_a_booking_cancelled_before_its_start_is_freed_once() -> None:
    """Fuzzed: add and cancel at any time leaves no trace, before, at and after the start."""
    chance = random.Random(14)
    for _ in range(200):
        calendar = Calendar(100, NOW_S)
        start_s = MINUTE_S + chance.randint(1, 5) * 60
        end_s = start_s + chance.randint(1, 300)
        calendar.add(start_s, end_s, 7)
        calendar.advance(NOW_S + chance.randint(0, 700))
        calendar.remove(start_s, end_s, 7)
        assert (calendar.used_now, calendar.steps()) == (0, ())
        assert calendar.peak(calendar.now_s, calendar.now_s + 900) == 0
        calendar.advance(NOW_S + 1000)
        assert calendar.used_now == 0


def test_no_pool_ever_evicts_for_an_extension() -> None:
    pool = Pool(Rules(), NOW_S)
    pool.put_subscription(1, seats=20)
    pool.put_node(1, name="a", seats=20)
    worlds.put(pool, "old", 15)
    worlds.create(pool, "m", 5, 300)
    worlds.do(pool, Book("next", 1, "next", 15, Window(MINUTE_S + 60, MINUTE_S + 300)))
    assert isinstance(worlds.do(pool, Extend("old", 900)), Refused)
    assert pool.meetings["old"].state is MeetingState.OVERTIME

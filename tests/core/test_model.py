"""The pool as a store: what it takes in, what it reports, what it refuses."""

from __future__ import annotations

import time

import pytest

from scheduler.core.books import Meeting, Rules
from scheduler.core.commands import Book, Create, Refused, Repeated
from scheduler.core.model import Pool
from schemas.values import MeetingState, Window
from tests.core import worlds
from tests.core.worlds import NOW_S


def test_windows_end_in_the_order_of_time_and_then_of_ids() -> None:
    pool = worlds.make_pool()
    for meeting, seats, length_s in (("c", 2, 60), ("a", 2, 90), ("b", 2, 60)):
        worlds.create(pool, meeting, seats, length_s)
    pool.end("never")
    assert pool.advance(NOW_S + 100) == ("b", "c", "a")
    assert pool.advance(NOW_S + 100) == ()
    assert pool.advance(NOW_S) == ()
    assert pool.now_s == NOW_S + 100


def test_a_meeting_that_ended_early_is_not_reported_again() -> None:
    pool = worlds.make_pool()
    worlds.create(pool, "a", 2, 60)
    worlds.create(pool, "b", 2, 60)
    pool.end("a")
    assert pool.advance(NOW_S + 60) == ("b",)


def test_windows_that_ended_while_nobody_looked_are_reported_after_a_restore() -> None:
    pool = worlds.make_pool(nodes=(200,), subscriptions=(200,))
    past = (NOW_S - 900, NOW_S - 300)
    for state in (MeetingState.HELD, MeetingState.PLACING, MeetingState.BOOKED):
        worlds.put(pool, state.value, 5, state=state, window=past)
    worlds.put(pool, "lost", 5, node=None, state=MeetingState.LOST, window=past)
    worlds.put(pool, "overtime", 5)
    worlds.put(pool, "ending", 5, state=MeetingState.ENDING)
    assert pool.advance(NOW_S) == ("booked", "held", "lost", "placing")
    assert pool.advance(NOW_S) == ()
    assert pool.meetings["held"].state is MeetingState.OVERTIME
    subscription = pool.subscriptions[1]
    assert (subscription.overtime_seats, subscription.late_seats) == (15, 5)
    for meeting in list(pool.meetings):
        pool.end(meeting)
    assert (subscription.overtime_seats, subscription.late_seats, pool.by_key) == (0, 0, {})


def test_what_cannot_be_restored_is_named() -> None:
    pool = worlds.make_pool()
    worlds.put(pool, "m", 5)
    for meeting, node, state in (
        ("m", 1, MeetingState.OVERTIME),
        ("over", 1, MeetingState.ENDED),
        ("nowhere", None, MeetingState.OVERTIME),
    ):
        with pytest.raises(ValueError, match=meeting):
            worlds.put(pool, meeting, 5, node=node, state=state)


def test_ten_thousand_meetings_are_restored_in_little_time() -> None:
    pool = worlds.make_pool(nodes=(200,) * 1000, subscriptions=(500,) * 1000)
    meetings = [
        Meeting(
            f"m{number}",
            1 + number % 1000,
            f"k{number}",
            12,
            Window(NOW_S - number % 600, NOW_S + 60 + number % 7200),
            1 + number * 7 % 1000,
            MeetingState.HELD,
        )
        for number in range(10_000)
    ]
    before_s = time.process_time()
    pool.restore(*meetings)
    assert time.process_time() - before_s < 5, "0.3 s on an idle machine"
    assert len(pool.meetings) == 10_000


def test_a_node_with_running_meetings_cannot_be_removed() -> None:
    pool = worlds.make_pool()
    worlds.create(pool, "m", 5)
    with pytest.raises(ValueError, match="1 meetings still run on node node-1"):
        pool.remove_node(1)
    pool.doom("m")
    pool.remove_node(1)
    assert pool.nodes == {}
    pool.end("m")


@pytest.mark.parametrize(("node", "seats"), [(0, 5), (1, 0)])
def test_a_node_has_an_id_and_seats(node: int, seats: int) -> None:
    with pytest.raises(ValueError, match="above 0"):
        worlds.make_pool().put_node(node, name="x", seats=seats)


def test_a_booking_that_lost_its_node_keeps_the_seats_of_its_subscription() -> None:
    pool = worlds.make_pool()
    window = Window(NOW_S // 60 * 60 + 600, NOW_S // 60 * 60 + 1200)
    worlds.do(pool, Book("b", 1, "b", 15, window))
    assert pool.lose("b")
    assert not pool.lose("b")
    assert pool.nodes[1].calendar.steps() == ()
    assert isinstance(worlds.do(pool, Book("c", 1, "c", 6, window)), Refused)


def test_a_late_placing_meeting_ends_with_its_node() -> None:
    pool = worlds.make_pool()
    worlds.do(pool, Create("m", 1, "m", 15, 60))
    pool.advance(NOW_S + 60)
    assert pool.lose("m")
    assert pool.meetings == {}
    assert pool.subscriptions[1].late_seats == 0


def test_facts_may_come_twice() -> None:
    pool = worlds.make_pool()
    worlds.create(pool, "m", 5)
    before = pool.state_hash()
    assert not pool.confirm("m")
    assert not pool.connected("m", 0)
    assert pool.state_hash() == before
    assert pool.connected("m", 3)
    assert pool.meetings["m"].connected == 3


def test_only_admissions_change_a_pool() -> None:
    pool = worlds.make_pool()
    before = pool.state_hash()
    pool.apply(Repeated("m"))
    assert pool.state_hash() == before


def test_rules_are_part_of_the_state() -> None:
    assert Pool(Rules(), 0).state_hash() != Pool(Rules(keep_free=1), 0).state_hash()

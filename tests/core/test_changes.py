"""Extensions, re-placements and the dates of refusals, case by case."""

from __future__ import annotations

import time

import pytest

from scheduler.core import admission, forecast
from scheduler.core.commands import Admitted, Book, Create, Extend, Refused, Repeated, Replace
from schemas.values import MeetingState, Reason, Window
from tests.core import worlds
from tests.core.worlds import NOW_S

MINUTE_S = NOW_S // 60 * 60
_HELD = (NOW_S - 60, NOW_S + 600)


def refused(verdict: object) -> Refused:
    assert isinstance(verdict, Refused), verdict
    return verdict


def admitted(verdict: object) -> Admitted:
    assert isinstance(verdict, Admitted), verdict
    return verdict


class TestExtend:
    def test_a_window_grows_from_now_and_never_shrinks(self) -> None:
        pool = worlds.make_pool()
        worlds.create(pool, "m", 15, 600)
        assert worlds.do(pool, Extend("m", 300)) == Repeated("m")
        verdict = admitted(worlds.do(pool, Extend("m", 900), NOW_S + 60))
        assert verdict.window == Window(NOW_S, NOW_S + 960)
        assert pool.advance(NOW_S + 600) == ()
        assert pool.advance(NOW_S + 960) == ("m",)

    def test_a_meeting_in_overtime_is_held_again(self) -> None:
        pool = worlds.make_pool()
        worlds.put(pool, "m", 15)
        admitted(worlds.do(pool, Extend("m", 900)))
        assert pool.meetings["m"].state is MeetingState.HELD
        assert isinstance(worlds.create(pool, "n", 6), Refused)

    def test_overtime_is_not_sold_again_while_all_of_it_is_too_much(self) -> None:
        """A booking that started unclaimed and two meetings in overtime fill more than the plan."""
        pool = worlds.make_pool(nodes=(40,))
        worlds.do(pool, Book("b", 1, "b", 10, Window(MINUTE_S, MINUTE_S + 1800)))
        worlds.put(pool, "m", 6)
        worlds.put(pool, "n", 6)
        verdict = refused(worlds.do(pool, Extend("m", 900)))
        assert verdict.reason is Reason.MAX_PARTICIPANTS
        pool.end("n")
        admitted(worlds.do(pool, Extend("m", 900)))

    def test_a_node_that_is_booked_refuses(self) -> None:
        pool = worlds.make_pool(nodes=(20,), subscriptions=(40, 40))
        worlds.create(pool, "m", 15, 600)
        window = Window(MINUTE_S + 660, MINUTE_S + 1200)
        worlds.do(pool, Book("b", 2, "b", 10, window))
        assert refused(worlds.do(pool, Extend("m", 900))).reason is Reason.NO_NODE

    def test_only_running_meetings_are_extended(self) -> None:
        pool = worlds.make_pool()
        worlds.put(pool, "lost", 5, node=None, state=MeetingState.LOST, window=_HELD)
        for meeting in ("lost", "unknown"):
            assert refused(worlds.do(pool, Extend(meeting, 900))).reason is Reason.NOT_FOUND


class TestReplace:
    def test_a_placing_meeting_moves_to_the_next_node_and_keeps_its_window(self) -> None:
        pool = worlds.make_pool(nodes=(20, 20))
        worlds.do(pool, Create("m", 1, "m", 20, 600))
        verdict = admitted(worlds.do(pool, Replace("m", frozenset({1})), NOW_S + 5))
        assert (verdict.node, verdict.window) == (2, Window(NOW_S, NOW_S + 600))
        assert pool.nodes[1].running_seats == 0
        last = refused(worlds.do(pool, Replace("m", frozenset({1, 2}))))
        assert last.reason is Reason.NO_NODE
        assert pool.meetings["m"].node == 2

    def test_a_lost_meeting_takes_the_seats_of_overtime_as_a_create_does(self) -> None:
        pool = worlds.make_pool(nodes=(20, 20), subscriptions=(40, 40))
        worlds.create(pool, "m", 20, 600)
        worlds.put(pool, "old", 20, node=2, subscription=2)
        pool.lose("m")
        verdict = admitted(worlds.do(pool, Replace("m", frozenset({1}))))
        assert (verdict.node, verdict.evicted) == (2, ("old",))
        assert pool.meetings["m"].state is MeetingState.PLACING

    def test_a_booking_moves_to_another_node(self) -> None:
        pool = worlds.make_pool(nodes=(20, 20))
        window = Window(MINUTE_S + 600, MINUTE_S + 1200)
        worlds.do(pool, Book("b", 1, "b", 20, window))
        assert admitted(worlds.do(pool, Replace("b", frozenset({1})))).node == 2
        both = frozenset({1, 2})
        assert refused(worlds.do(pool, Replace("b", both))).reason is Reason.NO_NODE

    def test_nothing_is_left_to_place_after_the_window(self) -> None:
        pool = worlds.make_pool()
        worlds.do(pool, Create("m", 1, "m", 15, 60))
        pool.advance(NOW_S + 60)
        assert refused(worlds.do(pool, Replace("m"))).reason is Reason.NO_NODE

    def test_a_held_meeting_stays_where_it_is(self) -> None:
        pool = worlds.make_pool()
        worlds.create(pool, "m", 15)
        for meeting in ("m", "unknown"):
            assert refused(worlds.do(pool, Replace(meeting))).reason is Reason.NOT_FOUND


class TestForecast:
    def test_the_subscription_and_a_node_must_agree_on_a_date(self) -> None:
        pool = worlds.make_pool(nodes=(10,), subscriptions=(10, 10))
        for number, subscription in enumerate((2, 1, 2, 1)):
            start_s = MINUTE_S + 60 + number * 600
            window = Window(start_s, start_s + 600)
            worlds.do(pool, Book(f"b{number}", subscription, f"b{number}", 10, window))
        verdict = refused(worlds.create(pool, "m", 5, 600))
        assert verdict.detail.fits_at_s == MINUTE_S + 60 + 2400

    def test_the_search_ends_when_they_never_agree(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(forecast, "_ROUNDS_MAX", 1)
        pool = worlds.make_pool(nodes=(10,), subscriptions=(10, 10))
        worlds.do(pool, Book("a", 2, "a", 10, Window(MINUTE_S + 60, MINUTE_S + 660)))
        assert refused(worlds.create(pool, "m", 5, 600)).detail.fits_at_s is None

    def test_a_date_beyond_four_weeks_is_not_looked_for(self) -> None:
        pool = worlds.make_pool()
        worlds.create(pool, "m", 20, forecast.HORIZON_S + 7200)
        assert refused(worlds.create(pool, "n", 5)).detail.fits_at_s is None

    def test_a_date_is_found_among_nodes_with_different_futures(self) -> None:
        pool = worlds.make_pool(nodes=(10, 20, 5), subscriptions=(100,))
        worlds.create(pool, "a", 20, 1800)
        worlds.create(pool, "b", 10, 1200)
        verdict = refused(worlds.create(pool, "n", 8, 600))
        assert verdict.detail.fits_at_s == -(-(NOW_S + 1200) // 60) * 60

    def test_a_refusal_is_cheap_among_two_hundred_booked_nodes(self) -> None:
        pool = worlds.make_pool(nodes=(20,) * 200, subscriptions=(9000,))
        for number in range(800):
            start_s = MINUTE_S + 60 + number // 200 * 1260
            window = Window(start_s, start_s + 1200 + number % 50)
            worlds.do(pool, Book(f"b{number}", 1, f"b{number}", 20, window))
        command = Create("m", 1, "m", 20, 1800)
        before_s = time.process_time()
        verdict = refused(admission.decide(pool, command, NOW_S))
        took_s = time.process_time() - before_s
        assert verdict.detail.fits_at_s is not None
        assert took_s < 0.5, "a bound with room for a busy machine; the benchmark has figures"

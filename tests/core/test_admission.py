"""What each command is answered, case by case."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scheduler.core import admission
from scheduler.core.books import Rules
from scheduler.core.commands import (
    Admitted,
    Book,
    Cancel,
    Create,
    Detail,
    Extend,
    Refused,
    Repeated,
)
from schemas.values import MeetingState, Reason, Window
from tests.core import worlds
from tests.core.worlds import NOW_S

MINUTE_S = NOW_S // 60 * 60


def refused(verdict: object) -> Refused:
    assert isinstance(verdict, Refused), verdict
    return verdict


def admitted(verdict: object) -> Admitted:
    assert isinstance(verdict, Admitted), verdict
    return verdict


class TestCreate:
    def test_time_must_have_been_moved_before_a_decision(self) -> None:
        pool = worlds.make_pool()
        with pytest.raises(ValueError, match="advanced"):
            admission.decide(pool, Create("m", 1, "m", 1, 60), NOW_S + 1)
        earlier = admission.decide(pool, Create("m", 1, "m", 1, 60), NOW_S - 5)
        assert admitted(earlier).window.start_s == NOW_S

    def test_the_same_command_again_is_repeated(self) -> None:
        pool = worlds.make_pool()
        worlds.create(pool, "m", 5)
        assert worlds.create(pool, "m", 5, key="other") == Repeated("m")

    def test_a_subscription_that_is_not_here_is_not_found(self) -> None:
        pool = worlds.make_pool()
        verdict = refused(worlds.create(pool, "m", 5, subscription=9))
        assert verdict == Refused(Reason.NOT_FOUND, Detail(0, 0, 5, 3600, None, permanent=True))

    def test_more_seats_than_the_plan_has_never_fit(self) -> None:
        verdict = refused(worlds.create(worlds.make_pool(), "m", 21))
        assert (verdict.reason, verdict.detail.permanent) == (Reason.MAX_PARTICIPANTS, True)
        assert verdict.detail.fits_at_s is None

    def test_without_nodes_nothing_fits_and_waiting_may_help(self) -> None:
        verdict = refused(worlds.create(worlds.make_pool(nodes=()), "m", 5))
        assert (verdict.reason, verdict.detail.permanent) == (Reason.NO_NODE, False)
        assert verdict.detail.fits_at_s is None

    def test_every_running_or_lost_meeting_counts_for_the_limit_of_meetings(self) -> None:
        pool = worlds.make_pool()
        pool.put_subscription(1, seats=20, meetings_max=2)
        worlds.put(pool, "old", 5)
        worlds.create(pool, "m", 5)
        verdict = refused(worlds.create(pool, "n", 5))
        assert (verdict.reason, verdict.detail.free_seats) == (Reason.MAX_MEETINGS, 15)
        pool.doom("old")
        assert isinstance(worlds.create(pool, "n", 5), Admitted)

    def test_a_key_is_free_as_soon_as_its_meeting_is_ending(self) -> None:
        pool = worlds.make_pool()
        worlds.create(pool, "m", 20)
        pool.doom("m")
        assert isinstance(worlds.create(pool, "n", 20, key="m"), Admitted)
        pool.end("m")
        assert pool.by_key == {"m": "n"}

    def test_a_lost_meeting_is_placed_again_with_the_rest_of_its_window(self) -> None:
        pool = worlds.make_pool(nodes=(20, 20))
        pool.put_subscription(1, seats=20, meetings_max=1)
        worlds.create(pool, "m", 20, 600)
        assert pool.lose("m")
        verdict = admitted(worlds.create(pool, "n", 3, 9000, key="m", now_s=NOW_S + 60))
        assert (verdict.replaces, verdict.adopted, verdict.seats) == ("m", False, 20)
        assert verdict.window == Window(NOW_S + 60, NOW_S + 600)
        assert set(pool.meetings) == {"n"}

    def test_a_lost_meeting_keeps_its_claim_when_no_node_is_left(self) -> None:
        pool = worlds.make_pool()
        worlds.create(pool, "m", 20, 600)
        pool.lose("m")
        pool.remove_node(1)
        verdict = refused(worlds.create(pool, "n", 20, key="m"))
        assert (verdict.reason, verdict.detail.free_seats) == (Reason.NO_NODE, 20)
        assert pool.meetings["m"].state is MeetingState.LOST

    def test_a_lost_meeting_whose_window_is_over_holds_nothing(self) -> None:
        pool = worlds.make_pool()
        worlds.create(pool, "m", 20, 600)
        pool.lose("m")
        assert pool.advance(NOW_S + 600) == ("m",)
        verdict = admitted(worlds.create(pool, "n", 20, key="m"))
        assert verdict.replaces is None
        pool.end("m")
        assert pool.by_key == {"m": "n"}


class TestEviction:
    def test_the_overtime_of_others_is_the_last_resort(self) -> None:
        pool = worlds.make_pool(nodes=(20,), subscriptions=(20, 20))
        worlds.put(pool, "own", 10, connected=10)
        worlds.put(pool, "foreign", 10, subscription=2)
        assert admitted(worlds.create(pool, "m", 10)).evicted == ("own",)
        assert admitted(worlds.create(pool, "n", 10)).evicted == ("foreign",)

    def test_the_overtime_of_others_stays_where_the_rules_say_so(self) -> None:
        rules = Rules(evict_across_subscriptions=False)
        pool = worlds.make_pool(nodes=(20,), subscriptions=(20, 20), rules=rules)
        worlds.put(pool, "foreign", 15, subscription=2)
        verdict = refused(worlds.create(pool, "m", 10))
        assert verdict.reason is Reason.NO_NODE
        assert verdict.detail.fits_at_s is None, "nobody knows when it ends"
        worlds.put(pool, "own", 5)
        assert refused(worlds.create(pool, "m", 10)).reason is Reason.NO_NODE
        assert admitted(worlds.create(pool, "n", 5)).evicted == ("own",)

    def test_one_set_frees_seats_of_the_subscription_and_of_a_node(self) -> None:
        """The cheapest set for the subscription alone leaves no node with room."""
        pool = worlds.make_pool(nodes=(20, 20), subscriptions=(40, 40))
        worlds.put(pool, "a", 5, node=1, connected=1)
        worlds.put(pool, "b", 15, node=1, connected=3)
        worlds.put(pool, "c", 20, node=2, subscription=1, connected=9)
        verdict = admitted(worlds.create(pool, "m", 20))
        assert (verdict.evicted, verdict.node) == (("a", "b"), 1)

    def test_seats_of_the_subscription_and_of_the_node_may_come_from_different_meetings(
        self,
    ) -> None:
        pool = worlds.make_pool(nodes=(20, 20), subscriptions=(20, 20))
        worlds.put(pool, "own", 20, node=1)
        worlds.put(pool, "foreign", 20, node=2, subscription=2)
        pool.put_node(1, name="node-1", seats=20, accepting=False)
        verdict = admitted(worlds.create(pool, "m", 20))
        assert (verdict.evicted, verdict.node) == (("foreign", "own"), 2)

    def test_the_node_whose_victims_disturb_the_fewest_is_taken(self) -> None:
        pool = worlds.make_pool(nodes=(20, 20, 20), subscriptions=(20, 60))
        for node, connected in ((1, 5), (2, 1), (3, 3)):
            worlds.put(pool, f"m{node}", 20, node=node, subscription=2, connected=connected)
        verdict = admitted(worlds.create(pool, "m", 20))
        assert (verdict.evicted, verdict.node) == (("m2",), 2)

    def test_a_meeting_that_is_placing_is_no_victim_even_after_its_window(self) -> None:
        pool = worlds.make_pool()
        worlds.do(pool, Create("m", 1, "m", 15, 60))
        pool.advance(NOW_S + 60)
        verdict = refused(worlds.create(pool, "n", 6))
        assert verdict.reason is Reason.MAX_PARTICIPANTS
        assert (verdict.detail.free_seats, verdict.detail.fits_at_s) == (5, None)
        assert pool.confirm("m")
        assert pool.meetings["m"].state is MeetingState.OVERTIME
        assert admitted(worlds.create(pool, "n", 6)).evicted == ("m",)


class TestBooking:
    window = Window(MINUTE_S + 3600 + 5, MINUTE_S + 7200 - 5)

    def test_a_window_is_widened_to_whole_minutes(self) -> None:
        pool = worlds.make_pool()
        verdict = admitted(worlds.do(pool, Book("b", 1, "b", 20, self.window)))
        assert verdict.window == Window(MINUTE_S + 3600, MINUTE_S + 7200)
        assert worlds.do(pool, Book("b", 1, "b", 20, self.window)) == Repeated("b")

    def test_a_start_in_the_past_is_this_minute(self) -> None:
        pool = worlds.make_pool()
        window = Window(NOW_S - 9000, NOW_S + 30)
        verdict = admitted(worlds.do(pool, Book("b", 1, "b", 20, window)))
        assert verdict.window.start_s == MINUTE_S
        assert pool.subscriptions[1].calendar.used_now == 20

    def test_a_window_that_is_over_cannot_be_booked(self) -> None:
        verdict = worlds.do(
            worlds.make_pool(), Book("b", 1, "b", 5, Window(NOW_S - 900, NOW_S - 300))
        )
        assert refused(verdict).reason is Reason.UNSUPPORTED

    def test_bookings_of_one_key_may_touch_and_not_overlap(self) -> None:
        pool = worlds.make_pool()
        worlds.do(pool, Book("b", 1, "key", 5, self.window))
        assert refused(worlds.do(pool, Book("c", 1, "key", 5, self.window))).reason is (
            Reason.NOT_UNIQUE
        )
        after = Window(MINUTE_S + 7200, MINUTE_S + 9000)
        admitted(worlds.do(pool, Book("d", 1, "key", 5, after)))
        assert len(pool.bookings_by_key["key"]) == 2

    def test_refusals_carry_the_next_date(self) -> None:
        pool = worlds.make_pool(nodes=(10, 20), subscriptions=(30, 30))
        worlds.do(pool, Book("b", 1, "b", 20, self.window))
        by_node = refused(worlds.do(pool, Book("c", 2, "c", 15, self.window)))
        assert (by_node.reason, by_node.detail.fits_at_s) == (Reason.NO_NODE, MINUTE_S + 7200)
        by_plan = refused(worlds.do(pool, Book("c", 1, "c", 15, self.window)))
        assert by_plan.reason is Reason.MAX_PARTICIPANTS
        assert by_plan.detail.fits_at_s == MINUTE_S + 7200
        unknown = refused(worlds.do(pool, Book("c", 7, "c", 15, self.window)))
        assert unknown.reason is Reason.NOT_FOUND

    def test_only_bookings_are_cancelled(self) -> None:
        pool = worlds.make_pool()
        worlds.create(pool, "m", 5)
        for meeting in ("m", "unknown"):
            assert refused(worlds.do(pool, Cancel(meeting))).reason is Reason.NOT_FOUND
        worlds.do(pool, Book("b", 1, "b", 5, self.window))
        assert admitted(worlds.do(pool, Cancel("b"))).node == 1
        worlds.do(pool, Book("c", 1, "c", 5, self.window))
        pool.lose("c")
        assert admitted(worlds.do(pool, Cancel("c"))).node == 0
        assert set(pool.meetings) == {"m"}


class TestAdoption:
    window = Window(MINUTE_S + 600, MINUTE_S + 4200)

    def test_a_create_up_to_a_quarter_hour_early_adopts_the_booking(self) -> None:
        pool = worlds.make_pool(nodes=(20, 20))
        worlds.do(pool, Book("b", 1, "key", 15, self.window))
        verdict = admitted(worlds.create(pool, "m", 5, 1800, key="key"))
        assert (verdict.replaces, verdict.adopted, verdict.seats) == ("b", True, 15)
        assert verdict.window == Window(NOW_S, MINUTE_S + 4200)
        assert set(pool.meetings) == {"m"}
        assert pool.bookings_by_key == {}

    def test_the_earliest_due_booking_is_adopted_and_may_grow(self) -> None:
        pool = worlds.make_pool()
        worlds.do(pool, Book("b", 1, "key", 5, self.window))
        early = Window(MINUTE_S + 120, MINUTE_S + 600)
        worlds.do(pool, Book("a", 1, "key", 10, early))
        verdict = admitted(worlds.create(pool, "m", 12, 660, key="key"))
        assert (verdict.replaces, verdict.seats) == ("a", 12)
        assert verdict.window.end_s == NOW_S + 660

    def test_what_was_booked_is_given_when_more_does_not_fit(self) -> None:
        pool = worlds.make_pool()
        worlds.do(pool, Book("b", 1, "key", 10, self.window))
        worlds.do(pool, Book("c", 1, "other", 15, Window(MINUTE_S + 4200, MINUTE_S + 9000)))
        verdict = admitted(worlds.create(pool, "m", 20, 7200, key="key"))
        assert (verdict.seats, verdict.window.end_s) == (10, MINUTE_S + 4200)

    def test_too_early_without_free_seats_is_refused_until_the_start(self) -> None:
        pool = worlds.make_pool()
        worlds.create(pool, "now", 15, 590 - 17)
        worlds.do(pool, Book("b", 1, "key", 10, self.window))
        verdict = refused(worlds.create(pool, "m", 10, key="key"))
        assert verdict.reason is Reason.MAX_PARTICIPANTS
        assert verdict.detail.fits_at_s == MINUTE_S + 600
        pool.advance(MINUTE_S + 600)
        verdict_at_start = admitted(worlds.create(pool, "m", 10, key="key"))
        assert verdict_at_start.evicted == ("now",)

    def test_a_booking_that_started_needs_a_node_like_any_other(self) -> None:
        pool = worlds.make_pool()
        worlds.do(pool, Book("b", 1, "key", 10, self.window))
        pool.remove_node(1)
        assert pool.meetings["b"].node is None
        pool.advance(MINUTE_S + 600)
        verdict = refused(worlds.create(pool, "m", 10, key="key"))
        assert (verdict.reason, verdict.detail.fits_at_s) == (Reason.NO_NODE, None)

    def test_no_date_is_promised_for_a_booking_that_no_node_can_take(self) -> None:
        pool = worlds.make_pool(nodes=(20, 5))
        worlds.do(pool, Book("b", 1, "key", 10, self.window))
        pool.put_node(1, name="node-1", seats=20, meeting_seats_max=5)
        verdict = refused(worlds.create(pool, "m", 10, key="key"))
        assert (verdict.detail.permanent, verdict.detail.fits_at_s) == (True, None)
        pool.lose("b")
        pool.put_node(1, name="node-1", seats=20, accepting=False)
        verdict = refused(worlds.create(pool, "m", 10, key="key"))
        assert (verdict.detail.permanent, verdict.detail.fits_at_s) == (False, None)

    def test_a_booking_far_away_leaves_its_key_to_a_meeting_of_today(self) -> None:
        pool = worlds.make_pool()
        far = Window(MINUTE_S + 7200, MINUTE_S + 9000)
        worlds.do(pool, Book("b", 1, "key", 10, far))
        verdict = admitted(worlds.create(pool, "m", 5, 600, key="key"))
        assert verdict.replaces is None
        assert set(pool.meetings) == {"b", "m"}

    def test_a_booking_is_honoured_on_a_plan_that_became_smaller(self) -> None:
        pool = worlds.make_pool()
        worlds.do(pool, Book("b", 1, "key", 15, self.window))
        worlds.put(pool, "old", 5)
        pool.put_subscription(1, seats=10)
        pool.advance(MINUTE_S + 600)
        verdict = admitted(worlds.create(pool, "m", 15, 600, key="key"))
        assert verdict.evicted == ("old",), "overtime makes way, the booking does not"
        assert refused(worlds.create(pool, "n", 1)).detail.free_seats == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Create("m", 1, "m", 0, 60),
        lambda: Create("m", 1, "m", 5, 0),
        lambda: Book("m", 1, "m", -1, Window(0, 60)),
        lambda: Extend("m", 0),
        lambda: Window(60, 60),
    ],
)
def test_nonsense_is_turned_away_before_it_is_decided(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="must"):
        make()

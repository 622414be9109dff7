"""Limits of a credential inside its subscription, told as stories."""

from __future__ import annotations

from scheduler.core.commands import Admitted, Book, Create, Extend, Refused
from schemas.values import MeetingState, Reason, Window
from tests.core import worlds
from tests.core.worlds import NOW_S


def test_R1_credential_seats_are_refused_though_the_subscription_has_more() -> None:
    pool = worlds.make_pool(nodes=(50,), subscriptions=(20,), credentials={5: 8})
    assert isinstance(worlds.create(pool, "a", 6, credential=5), Admitted)
    refused = worlds.create(pool, "b", 3, credential=5)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.MAX_PARTICIPANTS
    assert (refused.detail.free_seats, refused.detail.seats) == (2, 8)
    assert refused.detail.of_credential
    assert refused.detail.fits_at_s == -(-(NOW_S + 3600) // 60) * 60
    assert isinstance(worlds.create(pool, "c", 14, credential=6), Admitted), "no limit of its own"
    assert isinstance(worlds.create(pool, "d", 3, credential=5), Refused)


def test_the_subscription_is_spoken_of_when_it_is_the_tighter_one() -> None:
    pool = worlds.make_pool(nodes=(50,), subscriptions=(20,), credentials={5: 15})
    worlds.create(pool, "a", 18, credential=6)
    refused = worlds.create(pool, "b", 3, credential=5)
    assert isinstance(refused, Refused)
    assert (refused.detail.free_seats, refused.detail.seats) == (2, 20)
    assert not refused.detail.of_credential


def test_a_request_larger_than_the_part_of_a_credential_never_fits() -> None:
    pool = worlds.make_pool(nodes=(50,), subscriptions=(20,), credentials={5: 8})
    refused = worlds.create(pool, "b", 9, credential=5)
    assert isinstance(refused, Refused)
    assert (refused.detail.permanent, refused.detail.of_credential) == (True, True)
    assert refused.detail.seats == 8


def test_the_date_of_a_refusal_waits_for_both_accounts_and_a_node() -> None:
    pool = worlds.make_pool(nodes=(20,), subscriptions=(20,), credentials={5: 10})
    worlds.create(pool, "mine", 8, 1800, credential=5)
    worlds.do(pool, Book("b", 1, "b", 12, Window(NOW_S - 17 + 1800, NOW_S - 17 + 7200), 6))
    refused = worlds.create(pool, "new", 10, 600, credential=5)
    assert isinstance(refused, Refused)
    assert refused.detail.fits_at_s == NOW_S - 17 + 7200


def test_R3_the_overtime_of_a_credential_yields_to_its_own_create() -> None:
    pool = worlds.make_pool(nodes=(50,), subscriptions=(40,), credentials={5: 10})
    worlds.put(pool, "mine", 8, credential=5, connected=7)
    worlds.put(pool, "theirs", 8, credential=6, connected=0)
    verdict = worlds.create(pool, "new", 9, credential=5)
    assert isinstance(verdict, Admitted)
    assert verdict.evicted == ("mine",), "only its own overtime frees seats of the credential"


def test_R5_one_victim_serves_credential_subscription_and_node_at_once() -> None:
    pool = worlds.make_pool(nodes=(16, 16), subscriptions=(24,), credentials={5: 8})
    worlds.put(pool, "both", 8, node=1, credential=5, connected=3)
    worlds.put(pool, "cheap", 8, node=2, credential=6, connected=0)
    verdict = worlds.create(pool, "new", 8, credential=5)
    assert isinstance(verdict, Admitted)
    assert verdict.evicted == ("both",)


def test_R4_nobody_goes_for_a_credential_whose_held_meetings_are_in_the_way() -> None:
    pool = worlds.make_pool(nodes=(50,), subscriptions=(40,), credentials={5: 10})
    worlds.create(pool, "held", 8, credential=5)
    worlds.put(pool, "over", 1, credential=5)
    refused = worlds.create(pool, "new", 3, credential=5)
    assert isinstance(refused, Refused)
    assert pool.meetings["over"].state is MeetingState.OVERTIME


def test_simultaneous_meetings_of_a_credential_are_limited() -> None:
    pool = worlds.make_pool(nodes=(50,), subscriptions=(40,))
    pool.put_credential(5, meetings_max=1)
    assert isinstance(worlds.create(pool, "a", 2, credential=5), Admitted)
    refused = worlds.create(pool, "b", 2, credential=5)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.MAX_MEETINGS
    assert refused.detail.of_credential
    assert isinstance(worlds.create(pool, "b", 2, credential=6), Admitted)
    pool.doom("a")
    assert isinstance(worlds.create(pool, "c", 2, credential=5), Admitted)


def test_the_limit_of_the_subscription_is_named_before_that_of_the_credential() -> None:
    pool = worlds.make_pool(nodes=(50,))
    pool.put_subscription(1, seats=40, meetings_max=1)
    pool.put_credential(5, seats=4, meetings_max=1)
    worlds.create(pool, "a", 2, credential=5)
    refused = worlds.create(pool, "b", 2, credential=5)
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.detail.of_credential) == (Reason.MAX_MEETINGS, False)


def test_a_smaller_part_honours_what_there_is_and_binds_what_comes() -> None:
    pool = worlds.make_pool(nodes=(50,), subscriptions=(40,))
    worlds.create(pool, "a", 12, credential=5)
    worlds.create(pool, "gone", 5, credential=5)
    pool.doom("gone")
    pool.put_credential(5, seats=10, meetings_max=9)
    assert pool.meetings["a"].state is MeetingState.HELD
    assert isinstance(worlds.create(pool, "b", 1, credential=5), Refused)
    pool.put_credential(5, seats=14, meetings_max=9)
    assert isinstance(worlds.create(pool, "b", 2, credential=5), Admitted)
    pool.put_credential(5)
    pool.put_credential(5)
    assert isinstance(worlds.create(pool, "c", 20, credential=5), Admitted)


def test_a_limit_of_meetings_alone_is_changed_and_counts_only_its_own() -> None:
    pool = worlds.make_pool(nodes=(50,), subscriptions=(40,))
    worlds.create(pool, "mine", 2, credential=5)
    worlds.create(pool, "other", 2, credential=6)
    pool.put_credential(5, meetings_max=1)
    assert isinstance(worlds.create(pool, "a", 2, credential=5), Refused)
    pool.put_credential(5, meetings_max=2)
    assert isinstance(worlds.create(pool, "a", 2, credential=5), Admitted)
    assert isinstance(worlds.create(pool, "b", 2, credential=5), Refused)


def test_bookings_and_extensions_ask_the_credential_too() -> None:
    pool = worlds.make_pool(nodes=(50,), subscriptions=(40,), credentials={5: 10})
    worlds.create(pool, "a", 6, 1800, credential=5)
    later = Window(NOW_S + 1800, NOW_S + 7200)
    assert isinstance(worlds.do(pool, Book("b", 1, "b", 7, later, 5)), Refused)
    assert isinstance(worlds.do(pool, Book("b", 1, "b", 7, later, 6)), Admitted)
    after = Window(later.start_s + 60, later.end_s)
    assert isinstance(worlds.do(pool, Book("c", 1, "c", 7, after, 5)), Admitted)
    refused = worlds.do(pool, Extend("a", 3600))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.MAX_PARTICIPANTS


def test_a_credential_comes_into_the_decision_with_its_create_alone() -> None:
    """A create without a credential, as a what-if asks, is bound by the subscription alone."""
    pool = worlds.make_pool(nodes=(50,), subscriptions=(20,), credentials={5: 8})
    assert isinstance(worlds.do(pool, Create("a", 1, "a", 9, 60)), Admitted)

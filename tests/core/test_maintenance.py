"""Maintenance of nodes, known in advance."""

from __future__ import annotations

import pytest

from scheduler.core.accounts import Traits
from scheduler.core.books import Rules
from scheduler.core.commands import Admitted, Create, Extend, Refused, Replace
from scheduler.core.model import Pool
from schemas.values import MeetingState, Mode, Reason, Window
from tests.core import worlds
from tests.core.worlds import NOW_S

MINUTE_S = NOW_S // 60 * 60


def close(pool: Pool, node: int, *minutes: tuple[int, int]) -> None:
    known = pool.nodes[node]
    pool.put_node(
        node, name=known.name, seats=known.seats, traits=Traits(closed=worlds.closed(*minutes))
    )


@pytest.mark.parametrize("mode", Mode)
def test_a_create_whose_window_would_reach_into_maintenance_goes_elsewhere(mode: Mode) -> None:
    pool = worlds.make_pool(
        nodes=(20, 20),
        subscriptions=(40,),
        rules=Rules(mode),
        traits={1: Traits(closed=worlds.closed((30, 60)))},
    )
    verdict = worlds.create(pool, "long", 5, 3600)
    assert isinstance(verdict, Admitted)
    assert verdict.node == 2
    short = worlds.create(pool, "short", 20, 29 * 60)
    assert isinstance(short, Admitted)
    assert short.node == 1, "it is over before the maintenance begins"


def test_a_window_may_end_when_maintenance_begins_and_begin_when_it_ends() -> None:
    pool = worlds.make_pool(traits={1: Traits(closed=worlds.closed((30, 60)))})
    until_s = MINUTE_S + 30 * 60
    assert isinstance(worlds.create(pool, "before", 5, until_s - NOW_S), Admitted)
    refused = worlds.create(pool, "into", 5, until_s - NOW_S + 1)
    assert isinstance(refused, Refused)
    assert isinstance(worlds.book(pool, "after", 5, minutes=(60, 90)), Admitted)


def test_a_refusal_names_the_first_minute_after_the_maintenance() -> None:
    pool = worlds.make_pool(traits={1: Traits(closed=worlds.closed((0, 30), (50, 60)))})
    refused = worlds.create(pool, "a", 5, 1800)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.NO_NODE
    assert not refused.detail.permanent
    assert refused.detail.fits_at_s == MINUTE_S + 60 * 60, "20 minutes between them do not suffice"
    refused = worlds.create(pool, "a", 5, 1200)
    assert isinstance(refused, Refused)
    assert refused.detail.fits_at_s == MINUTE_S + 30 * 60


def test_bookings_and_extensions_keep_out_of_maintenance() -> None:
    pool = worlds.make_pool(traits={1: Traits(closed=worlds.closed((30, 60)))})
    assert isinstance(worlds.create(pool, "m", 5, 600), Admitted)
    assert isinstance(worlds.do(pool, Extend("m", 25 * 60)), Admitted)
    refused = worlds.do(pool, Extend("m", 3600))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.NO_NODE
    assert isinstance(worlds.book(pool, "b", 5, minutes=(59, 70)), Refused)


def test_maintenance_evicts_nobody_and_what_was_promised_stays() -> None:
    pool = worlds.make_pool()
    worlds.create(pool, "m", 15, 3600)
    close(pool, 1, (0, 90))
    assert (pool.meetings["m"].state, pool.meetings["m"].node) == (MeetingState.HELD, 1)
    pool.advance(NOW_S + 3600)
    assert pool.meetings["m"].state is MeetingState.OVERTIME
    assert isinstance(worlds.create(pool, "n", 20), Refused)
    assert pool.meetings["m"].state is MeetingState.OVERTIME, "it would free nothing that is open"


def test_a_booking_in_the_way_moves_when_another_node_has_room() -> None:
    pool = worlds.make_pool(nodes=(20, 20), subscriptions=(40,))
    booked = worlds.book(pool, "b", 15, minutes=(30, 60))
    assert isinstance(booked, Admitted)
    assert booked.node == 1
    close(pool, 1, (45, 50))
    moved = worlds.do(pool, Replace("b"))
    assert isinstance(moved, Admitted)
    assert moved.node == 2
    close(pool, 2, (40, 46))
    stays = worlds.do(pool, Replace("b"))
    assert isinstance(stays, Refused)
    assert pool.meetings["b"].node == 2


def test_a_booking_that_nobody_could_take_does_not_start_in_maintenance() -> None:
    pool = worlds.make_pool()
    worlds.book(pool, "b", 15, minutes=(30, 60))
    close(pool, 1, (30, 60))
    refused = worlds.do(pool, Create("m", 1, "b", 15, 600), MINUTE_S + 20 * 60)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.NO_NODE
    assert refused.detail.fits_at_s is None, "its start is not a promise any more"
    close(pool, 1)
    assert isinstance(worlds.do(pool, Create("m", 1, "b", 15, 600)), Admitted)


def test_maintenance_that_is_over_is_forgotten() -> None:
    pool = worlds.make_pool(traits={1: Traits(closed=worlds.closed((1, 5)))})
    before = worlds.create(pool, "m", 5, 120)
    assert isinstance(before, Refused)
    assert isinstance(worlds.create(pool, "m", 5, 120, now_s=MINUTE_S + 5 * 60), Admitted)
    fresh = worlds.make_pool(now_s=pool.now_s)
    fresh.restore(*(worlds.copy_of(one) for one in pool.meetings.values()))
    assert fresh.state_hash() == pool.state_hash()


def test_years_of_maintenance_cost_nothing() -> None:
    pool = worlds.make_pool()
    pool.put_node(
        1,
        name="node-1",
        seats=20,
        traits=Traits(closed=(Window(MINUTE_S, MINUTE_S + 10 * 366 * 86400),)),
    )
    refused = worlds.create(pool, "m", 5)
    assert isinstance(refused, Refused)
    assert refused.detail.fits_at_s is None

"""Which node takes a meeting."""

from __future__ import annotations

from collections import Counter

import pytest

from scheduler.core.books import Rules
from scheduler.core.commands import Admitted, Book, Refused, Replace
from scheduler.core.model import Pool
from schemas.values import MeetingState, Mode, Reason, Window
from tests.core import worlds
from tests.core.worlds import NOW_S

MINUTE_S = NOW_S // 60 * 60


def node_of(verdict: object) -> int:
    assert isinstance(verdict, Admitted), verdict
    return verdict.node


def counts(pool: Pool) -> Counter[int | None]:
    return Counter(meeting.node for meeting in pool.meetings.values())


@pytest.mark.parametrize(("creates", "each"), [(30, 5), (60, 10)])
def test_a_burst_spreads_evenly_over_equal_nodes(creates: int, each: int) -> None:
    pool = worlds.make_pool(nodes=(200,) * 6, subscriptions=(600,))
    for number in range(creates):
        worlds.create(pool, f"m{number}", 10)
    assert counts(pool) == dict.fromkeys(range(1, 7), each)


def test_spread_weighs_reserved_seats_by_capacity_and_never_users() -> None:
    pool = worlds.make_pool(nodes=(100, 200), subscriptions=(300,))
    assert node_of(worlds.create(pool, "a", 10)) == 1
    pool.connected("a", 0)
    assert node_of(worlds.create(pool, "b", 10)) == 2
    assert node_of(worlds.create(pool, "c", 8)) == 2
    assert node_of(worlds.create(pool, "d", 8)) == 2, "18 of 200 is less than 10 of 100"


def test_the_emptiest_nodes_wait_for_large_meetings_while_another_fits() -> None:
    rules = Rules(keep_free=1, large_seats=50)
    pool = worlds.make_pool(nodes=(60, 60), subscriptions=(200,), rules=rules)
    assert node_of(worlds.create(pool, "a", 20)) == 2
    assert node_of(worlds.create(pool, "b", 20)) == 2
    assert node_of(worlds.create(pool, "large", 50)) == 1
    pool.end("large")
    assert node_of(worlds.create(pool, "c", 30)) == 1, "no other node fits any more"


def test_one_node_in_seven_is_held_back_by_default() -> None:
    pool = worlds.make_pool(nodes=(200,) * 14, subscriptions=(5000,))
    for number in range(36):
        worlds.create(pool, f"m{number}", 50)
    used = set(counts(pool))
    assert len(used) == 12
    assert node_of(worlds.create(pool, "large", 150)) not in used


def test_pack_fills_the_fullest_node_that_has_room() -> None:
    pool = worlds.make_pool(nodes=(30, 20, 20), subscriptions=(200,), rules=Rules(mode=Mode.PACK))
    assert node_of(worlds.create(pool, "a", 12)) == 2
    assert node_of(worlds.create(pool, "b", 10)) == 3
    assert node_of(worlds.create(pool, "c", 9)) == 3
    assert node_of(worlds.create(pool, "d", 25)) == 1


def test_pack_sees_the_room_that_the_own_victims_leave() -> None:
    pool = worlds.make_pool(nodes=(20, 30), subscriptions=(30,), rules=Rules(mode=Mode.PACK))
    worlds.put(pool, "old", 20, node=1)
    verdict = worlds.create(pool, "new", 20)
    assert node_of(verdict) == 1
    assert isinstance(verdict, Admitted)
    assert verdict.evicted == ("old",)


def test_pack_can_leave_a_meeting_where_it_is() -> None:
    pool = worlds.make_pool(nodes=(20,), rules=Rules(mode=Mode.PACK))
    window = (NOW_S - 60, NOW_S + 600)
    worlds.put(pool, "m", 15, state=MeetingState.PLACING, window=window)
    assert node_of(worlds.do(pool, Replace("m"))) == 1


def test_ties_go_to_the_first_name() -> None:
    pool = worlds.make_pool(nodes=())
    pool.put_node(1, name="zebra", seats=20)
    pool.put_node(2, name="aardvark", seats=20)
    assert node_of(worlds.create(pool, "a", 5)) == 2


def test_a_node_takes_no_meeting_above_its_limit() -> None:
    pool = worlds.make_pool(nodes=(20, 30), subscriptions=(50,))
    pool.put_node(2, name="node-2", seats=30, meeting_seats_max=9)
    assert node_of(worlds.create(pool, "a", 9)) == 1
    assert node_of(worlds.create(pool, "b", 9)) == 2
    assert node_of(worlds.create(pool, "c", 10)) == 1
    refused = worlds.create(pool, "d", 21)
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.detail.permanent) == (Reason.NO_NODE, True)


@pytest.mark.parametrize(("accepting", "alive"), [(False, True), (True, False)])
def test_a_node_that_drains_or_is_dead_takes_nothing_new(*, accepting: bool, alive: bool) -> None:
    pool = worlds.make_pool(nodes=(20, 20))
    pool.put_node(1, name="node-1", seats=20, accepting=accepting, alive=alive)
    assert node_of(worlds.create(pool, "a", 5)) == 2
    pool.put_node(1, name="node-1", seats=20)
    assert node_of(worlds.create(pool, "b", 5)) == 1


@pytest.mark.parametrize(("mode", "nodes"), [(Mode.SPREAD, [1, 2, 1]), (Mode.PACK, [1, 1, 2])])
def test_bookings_are_placed_by_the_peak_of_their_own_window(mode: Mode, nodes: list[int]) -> None:
    pool = worlds.make_pool(nodes=(20, 20), subscriptions=(60,), rules=Rules(mode=mode))
    worlds.create(pool, "now", 10, 600)
    window = Window(MINUTE_S + 1200, MINUTE_S + 1800)
    verdicts = [worlds.do(pool, Book(f"b{at}", 1, f"b{at}", 10, window)) for at in range(3)]
    assert [node_of(one) for one in verdicts] == nodes


def test_a_full_pool_says_so_when_the_subscription_has_seats() -> None:
    pool = worlds.make_pool(nodes=(10,), subscriptions=(20,))
    worlds.create(pool, "a", 6, 600)
    refused = worlds.create(pool, "b", 6, 600)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.NO_NODE
    assert refused.detail.fits_at_s == -(-(NOW_S + 600) // 60) * 60

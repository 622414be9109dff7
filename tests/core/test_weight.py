"""How much of the load a node gets beside others."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.accounts import Traits
from scheduler.core.books import Rules
from scheduler.core.commands import Admitted
from schemas.values import Mode
from tests.core import oracle, worlds


def test_spread_fills_nodes_in_proportion_to_their_weight() -> None:
    pool = worlds.make_pool(
        nodes=(100, 100, 100), subscriptions=(300,), traits={2: Traits(weight=200)}
    )
    for number in range(20):
        worlds.create(pool, f"m{number}", 5)
    seats = {node.id: node.running_seats for node in pool.nodes.values()}
    assert seats == {1: 25, 2: 50, 3: 25}


def test_a_heavy_node_is_never_filled_above_its_seats() -> None:
    pool = worlds.make_pool(nodes=(20, 100), subscriptions=(200,), traits={1: Traits(weight=1000)})
    for number in range(20):
        worlds.create(pool, f"m{number}", 6)
    assert pool.nodes[1].running_seats == 18
    assert pool.nodes[2].running_seats == 96


def test_bookings_follow_the_weight_as_well() -> None:
    pool = worlds.make_pool(nodes=(100, 100), subscriptions=(200,), traits={2: Traits(weight=300)})
    for number in range(8):
        worlds.book(pool, f"b{number}", 5, minutes=(10, 20))
    assert Counter(one.node for one in pool.meetings.values()) == {1: 2, 2: 6}


def test_pack_does_not_look_at_weights() -> None:
    def nodes_used(weight: int) -> list[int | None]:
        pool = worlds.make_pool(
            nodes=(20, 30, 40),
            subscriptions=(90,),
            rules=Rules(Mode.PACK),
            traits={3: Traits(weight=weight)},
        )
        for number in range(12):
            worlds.create(pool, f"m{number}", 7)
        return [one.node for one in pool.meetings.values()]

    assert nodes_used(1) == nodes_used(100) == nodes_used(1000)


def test_a_node_weighs_something() -> None:
    with pytest.raises(ValueError, match="above 0"):
        worlds.make_pool().put_node(1, name="x", seats=5, traits=Traits(weight=0))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 1000), min_size=2, max_size=5),
    st.lists(st.integers(1, 9), min_size=1, max_size=30),
)
def test_whatever_the_weights_the_same_meetings_fit(weights: list[int], sizes: list[int]) -> None:
    """A weight moves meetings of equal size, and it never refuses one."""
    nodes = (18,) * len(weights)
    plan = (1000,)
    traits = {number: Traits(weight=weight) for number, weight in enumerate(weights, 1)}
    pool = worlds.make_pool(nodes=nodes, subscriptions=plan, traits=traits)
    for number, seats in enumerate(sizes):
        free = max(node.seats - node.running_seats for node in pool.nodes.values())
        verdict = worlds.create(pool, f"m{number}", seats)
        assert isinstance(verdict, Admitted) is (seats <= free)
    for node in pool.nodes.values():
        assert oracle.reserved_at(oracle.on_node(pool.meetings.values(), node.id), pool.now_s) <= 18

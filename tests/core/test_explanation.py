"""Why a meeting is where it is: what is noted says what was decided."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.core import admission
from scheduler.core.accounts import Traits
from scheduler.core.books import Rules
from scheduler.core.commands import Admitted, Book, Create
from scheduler.core.explanation import LOOKED_AT, NAMED, REASONS, Explanation, explain, unpacked
from scheduler.core.model import Pool
from schemas.values import Mode, Window
from tests.core import worlds
from tests.core.worlds import NOW_S, Op

_pools = st.builds(
    worlds.make_pool,
    nodes=st.lists(st.integers(4, 14), min_size=1, max_size=5).map(tuple),
    subscriptions=st.lists(st.integers(6, 20), min_size=1, max_size=2).map(tuple),
    rules=st.builds(
        Rules,
        mode=st.sampled_from(Mode),
        keep_free=st.sampled_from((None, 0, 1, 9)),
        large_seats=st.sampled_from((6, 100)),
    ),
)


def why(pool: Pool, seats: int, meeting: str = "m", **more: Any) -> Explanation:
    verdict = admission.decide(pool, Create(meeting, 1, meeting, seats, 3_600, **more), pool.now_s)
    assert isinstance(verdict, Admitted), verdict
    noted = explain(pool, verdict)
    assert noted is not None
    return unpacked(noted)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_pools, worlds.ops)
def test_it_agrees_with_the_decision_and_changes_nothing(pool: Pool, story: list[Op]) -> None:
    for number, op in enumerate(story):
        command = worlds.make_command(pool, op, number)
        if command is None:
            if op[0] in {"advance", "end", "lose", "doom", "confirm", "connected"}:
                worlds.do_fact(pool, op)
            continue
        before = pool.state_hash()
        verdict = admission.decide(pool, command, pool.now_s)
        if isinstance(verdict, Admitted):
            noted = explain(pool, verdict)
            assert pool.state_hash() == before
            assert (noted is not None) is isinstance(command, Create)
            if noted is not None:
                told = unpacked(noted)
                assert (told.node, tuple(told.evicted)) == (verdict.node, verdict.evicted)
                assert told.nodes == len(pool.nodes)
                assert told.open_nodes == len(pool.order.entries)
                assert told.resumed is (verdict.replaces is not None)
                assert len(told.best) <= NAMED
                assert {entry[2] for entry in told.best} <= set(pool.nodes)
                if not any(told.passed) and told.best:
                    assert told.best[0][2] == verdict.node
        pool.apply(verdict)


def test_the_least_full_node_is_named_first_with_its_rank() -> None:
    pool = worlds.make_pool(nodes=(20, 20, 20, 20), subscriptions=(80,))
    worlds.create(pool, "a", 10)
    told = why(pool, 5)
    assert [name for _, name, _ in told.best] == ["node-2", "node-3", "node-4"]
    assert [rank for rank, _, _ in told.best] == [0, 0, 0]
    assert (told.mode, told.node, told.nodes, told.open_nodes) == ("spread", 2, 4, 4)
    assert not any(told.passed)


@pytest.mark.parametrize(("wished", "best"), [("eu", ["node-2"]), ("us", ["node-1", "node-2"])])
def test_what_is_preferred_and_was_there_is_all_that_is_compared(
    wished: str, best: list[str]
) -> None:
    pool = worlds.make_pool(
        nodes=(20, 20), subscriptions=(80,), traits={2: Traits(tags=frozenset({"eu"}))}
    )
    told = why(pool, 5, prefers=frozenset({wished}))
    assert [name for _, name, _ in told.best] == best


def test_a_booking_has_no_explanation() -> None:
    pool = worlds.make_pool()
    window = Window(NOW_S // 60 * 60 + 600, NOW_S // 60 * 60 + 1200)
    verdict = admission.decide(pool, Book("b", 1, "b", 5, window), pool.now_s)
    assert isinstance(verdict, Admitted)
    assert explain(pool, verdict) is None


def test_nodes_that_were_passed_over_are_counted_by_reason() -> None:
    pool = worlds.make_pool(nodes=(4, 20, 20, 20), subscriptions=(80,))
    pool.put_subscription(1, seats=80, node_tags=frozenset({"gpu"}))
    tags = frozenset({"gpu"})
    closed = (Window(NOW_S + 600, NOW_S + 900),)
    pool.put_node(1, name="node-1", seats=4, traits=Traits(tags=tags))
    pool.put_node(3, name="node-3", seats=20, traits=Traits(tags=tags, closed=closed))
    pool.put_node(4, name="node-4", seats=20, traits=Traits(tags=tags))
    told = why(pool, 5)
    assert told.node == 4
    assert dict(zip(REASONS, told.passed, strict=True)) == {
        "size": 1,
        "tags": 1,
        "maintenance": 1,
        "full": 0,
        "calendar": 0,
    }
    assert [entry[2] for entry in told.best] == [3, 4], "those that are made for such meetings"


def test_no_more_nodes_are_named_than_help_behind_one_that_was_passed_over() -> None:
    gpu = Traits(tags=frozenset({"gpu"}))
    pool = worlds.make_pool(
        nodes=(4, *[20] * 5), subscriptions=(80,), traits=dict.fromkeys(range(1, 7), gpu)
    )
    pool.put_subscription(1, seats=80, node_tags=gpu.tags)
    told = why(pool, 5)
    assert sum(told.passed) == 1
    assert len(told.best) == NAMED
    assert told.best[0][2] == told.node


def test_a_full_and_a_booked_node_are_told_apart() -> None:
    pool = worlds.make_pool(nodes=(20, 20, 40), subscriptions=(80,))
    worlds.put(pool, "a", 18, node=2, window=(NOW_S - 60, NOW_S + 600))
    worlds.put(pool, "b", 20, node=3, window=(NOW_S - 60, NOW_S + 600))
    worlds.do(pool, Book("c", 1, "c", 18, Window(NOW_S // 60 * 60 + 600, NOW_S + 1_200)))
    assert pool.meetings["c"].node == 1
    told = why(pool, 5)
    assert told.node == 3
    assert dict(zip(REASONS, told.passed, strict=True))["calendar"] == 1


def test_it_names_who_made_way_and_how_many_users_that_were() -> None:
    pool = worlds.make_pool()
    worlds.put(pool, "old", 15, connected=7)
    told = why(pool, 10)
    assert (list(told.evicted), told.disturbed) == (["old"], 7)


def test_a_booking_that_is_taken_up_is_told() -> None:
    pool = worlds.make_pool()
    worlds.do(pool, Book("b", 1, "m", 10, Window(NOW_S, NOW_S + 600)))
    assert why(pool, 5).resumed
    assert not why(worlds.make_pool(), 5).resumed


@pytest.mark.parametrize("mode", Mode)
def test_large_pools_cost_no_more_than_small_ones(mode: Mode) -> None:
    """What is looked at is bounded: the first nodes, however many there are."""
    pool = worlds.make_pool(
        nodes=(20,) * 400, subscriptions=(8_000,), rules=Rules(mode=mode, keep_free=0)
    )
    looked = 0

    class Counting(dict[int, Any]):
        def __getitem__(self, key: int) -> Any:
            nonlocal looked
            looked += 1
            return super().__getitem__(key)

    for number in range(50):
        worlds.create(pool, f"m{number}", 20)
    verdict = admission.decide(pool, Create("m", 1, "m", 5, 3_600), pool.now_s)
    assert isinstance(verdict, Admitted)
    pool.nodes = Counting(pool.nodes)
    assert explain(pool, verdict) is not None
    assert looked == 0
    pool.nodes = dict(pool.nodes)
    # The same for a node that the policy would not have named first.
    elsewhere = dataclasses.replace(verdict, node=399)
    pool.nodes = Counting(pool.nodes)
    assert explain(pool, elsewhere) is not None
    assert 0 < looked <= LOOKED_AT + 8

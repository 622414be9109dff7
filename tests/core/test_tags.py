"""Nodes that have what a subscription wants."""

from __future__ import annotations

import pytest

from scheduler.core.accounts import Traits
from scheduler.core.books import Rules
from scheduler.core.commands import Admitted, Create, Refused, Replace
from scheduler.core.model import Pool
from schemas.values import MeetingState, Mode, Reason
from tests.core import worlds

GPU = frozenset({"gpu"})
BOTH = frozenset({"gpu", "eu"})


def tagged_pool(mode: Mode = Mode.SPREAD) -> Pool:
    """Three nodes of 20 seats: plain, gpu, gpu and eu; subscription 1 wants gpu, 3 wants both."""
    return worlds.make_pool(
        nodes=(20, 20, 20),
        subscriptions=(100, 100, 100),
        rules=Rules(mode, keep_free=0),
        traits={2: Traits(tags=GPU), 3: Traits(tags=BOTH)},
        node_tags={1: GPU, 3: BOTH},
    )


@pytest.mark.parametrize("mode", Mode)
def test_meetings_go_only_to_nodes_with_all_the_tags(mode: Mode) -> None:
    pool = tagged_pool(mode)
    for subscription, allowed in ((1, {2, 3}), (2, {1, 2, 3}), (3, {3})):
        verdict = worlds.create(pool, f"m{subscription}", 6, subscription=subscription)
        assert isinstance(verdict, Admitted)
        assert verdict.node in allowed


def test_a_full_node_with_the_tags_refuses_although_another_is_free() -> None:
    pool = tagged_pool()
    assert isinstance(worlds.create(pool, "a", 15, subscription=3), Admitted)
    refused = worlds.create(pool, "b", 6, subscription=3)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.NO_NODE
    assert not refused.detail.permanent
    end_s = pool.meetings["a"].window.end_s
    assert refused.detail.fits_at_s == -(-end_s // 60) * 60, "when the node with the tags is free"


def test_no_waiting_helps_when_no_node_has_the_tags() -> None:
    pool = worlds.make_pool(node_tags={1: frozenset({"moon"})})
    refused = worlds.create(pool, "a", 5)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.NO_NODE
    assert refused.detail.permanent


def test_overtime_makes_way_only_on_nodes_with_the_tags() -> None:
    pool = tagged_pool()
    worlds.put(pool, "on-plain", 20, node=1, subscription=2)
    worlds.put(pool, "on-gpu", 20, node=2, subscription=2)
    worlds.put(pool, "on-both", 20, node=3, subscription=2, connected=9)
    verdict = worlds.create(pool, "new", 5, subscription=3)
    assert isinstance(verdict, Admitted)
    assert (verdict.node, verdict.evicted) == (3, ("on-both",))


def test_bookings_and_moves_ask_for_the_tags_as_well() -> None:
    pool = tagged_pool()
    booked = worlds.book(pool, "b", 20, minutes=(10, 20), subscription=3)
    assert isinstance(booked, Admitted)
    assert booked.node == 3
    refused = worlds.book(pool, "c", 5, minutes=(15, 30), subscription=3)
    assert isinstance(refused, Refused)
    moved = worlds.do(pool, Replace("b", frozenset({3})))
    assert isinstance(moved, Refused)
    assert pool.meetings["b"].node == 3


def test_what_runs_stays_when_the_tags_of_its_node_change() -> None:
    pool = tagged_pool()
    worlds.create(pool, "m", 5, subscription=3)
    pool.put_node(3, name="node-3", seats=20)
    meeting = pool.meetings["m"]
    assert (meeting.node, meeting.state) == (3, MeetingState.HELD)
    assert isinstance(worlds.create(pool, "n", 5, subscription=3), Refused)


def wish(meeting: str, seats: int, *, only: str = "", prefers: str = "") -> Create:
    return Create(
        *(meeting, 2, meeting, seats, 3600),
        tags=frozenset(filter(None, (only,))),
        prefers=frozenset(filter(None, (prefers,))),
    )


@pytest.mark.parametrize("mode", Mode)
def test_a_create_may_narrow_its_nodes_further(mode: Mode) -> None:
    pool = tagged_pool(mode)
    verdict = worlds.do(pool, wish("a", 15, only="eu"))
    assert isinstance(verdict, Admitted)
    assert verdict.node == 3
    refused = worlds.do(pool, wish("b", 15, only="eu"))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.NO_NODE
    moved = worlds.do(pool, Replace("a", frozenset({3})))
    assert isinstance(moved, Refused), "what it asked for holds when its node fails"


@pytest.mark.parametrize("mode", Mode)
def test_a_create_that_prefers_a_tag_takes_another_node_when_it_must(mode: Mode) -> None:
    pool = tagged_pool(mode)
    for meeting, nodes in (("a", {3}), ("b", {1, 2})):
        verdict = worlds.do(pool, wish(meeting, 15, prefers="eu"))
        assert isinstance(verdict, Admitted)
        assert verdict.node in nodes


def test_a_preference_is_not_worth_an_eviction() -> None:
    pool = tagged_pool()
    worlds.put(pool, "late", 20, node=3, subscription=2)
    verdict = worlds.do(pool, wish("a", 15, prefers="eu"))
    assert isinstance(verdict, Admitted)
    assert verdict.evicted == ()
    pool.end("a")
    verdict = worlds.do(pool, wish("b", 15, only="eu"))
    assert isinstance(verdict, Admitted)
    assert verdict.evicted == ("late",)


def test_a_create_cannot_leave_the_nodes_of_its_subscription() -> None:
    pool = tagged_pool()
    asked = Create("m", 1, "m", 15, 3600, tags=frozenset({"eu"}))
    verdict = worlds.do(pool, asked)
    assert isinstance(verdict, Admitted)
    assert verdict.node == 3
    refused = worlds.do(pool, Create("n", 1, "n", 5, 3600, tags=frozenset({"moon"})))
    assert isinstance(refused, Refused)
    assert refused.detail.permanent

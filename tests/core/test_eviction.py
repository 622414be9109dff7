"""The choice of victims alone: exact when small, bounded and minimal when large."""

from __future__ import annotations

import itertools
import random
import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.core import eviction
from scheduler.core.eviction import Candidate, Cover

_candidates = st.lists(
    st.builds(
        lambda end_s, connected, seats, own, here, mine: (
            end_s,
            connected,
            seats if own else 0,
            seats if here else 0,
            seats if own and mine else 0,
        ),
        st.integers(0, 3),
        st.integers(0, 4),
        st.integers(1, 6),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    max_size=8,
).map(
    lambda rows: [
        Candidate(end_s, f"m{number}", connected, own, here, mine)
        for number, (end_s, connected, own, here, mine) in enumerate(rows)
    ]
)


Need = tuple[int, int, int]


def frees(victims: tuple[Candidate, ...], need: Need) -> bool:
    return (
        sum(one.subscription_seats for one in victims) >= need[0]
        and sum(one.node_seats for one in victims) >= need[1]
        and sum(one.credential_seats for one in victims) >= need[2]
    )


def brute(candidates: list[Candidate], need: Need) -> Cover | None:
    return min(
        (
            Cover(
                sum(one.connected for one in victims),
                len(victims),
                tuple(sorted(one.window_end_s for one in victims)),
                tuple(sorted(one.id for one in victims)),
            )
            for size in range(len(candidates) + 1)
            for victims in itertools.combinations(candidates, size)
            if frees(victims, need)
        ),
        default=None,
    )


_needs = st.tuples(st.integers(-2, 14), st.integers(-2, 14), st.integers(-2, 10))


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_candidates, _needs)
def test_R5_small_choices_are_exact(candidates: list[Candidate], need: Need) -> None:
    found = eviction.cheapest(
        candidates, subscription_seats=need[0], node_seats=need[1], credential_seats=need[2]
    )
    assert found == brute(candidates, need)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_candidates, _needs.filter(lambda need: max(need) > 0))
def test_R5_without_a_budget_nobody_ends_who_could_stay(
    candidates: list[Candidate], need: Need
) -> None:
    found = eviction.cheapest(
        candidates,
        subscription_seats=need[0],
        node_seats=need[1],
        credential_seats=need[2],
        budget=-1,
    )
    assert (found is None) is (brute(candidates, need) is None)
    if found is None:
        return
    victims = tuple(one for one in candidates if one.id in found.ids)
    assert frees(victims, need)
    for spared in victims:
        left = tuple(one for one in victims if one is not spared)
        assert not frees(left, need)


def test_a_set_that_frees_less_and_costs_no_less_is_forgotten() -> None:
    cheap, dear, cheaper = (Cover(users, 1, (0,), ("m",)) for users in (3, 4, 2))
    labels = {(9, 5, 0): cheap, (9, 4, 0): dear, (8, 5, 0): cheaper}
    assert eviction._front(labels) == {(9, 5, 0): cheap, (8, 5, 0): cheaper}


def test_a_choice_among_three_hundred_is_bounded_and_repeatable() -> None:
    chance = random.Random(5)
    candidates = [
        Candidate(
            chance.randint(0, 999),
            f"m{number:03}",
            chance.randint(0, 30),
            seats := chance.randint(2, 60),
            seats if number % 20 == 0 else 0,
        )
        for number in range(300)
    ]
    before_s = time.process_time()
    first = eviction.cheapest(candidates, subscription_seats=900, node_seats=100)
    took_s = time.process_time() - before_s
    chance.shuffle(candidates)
    assert eviction.cheapest(candidates, subscription_seats=900, node_seats=100) == first
    assert took_s < 5, "every subset would take longer than the world is old"


def test_fewer_users_then_fewer_meetings_then_the_longest_overtime_then_the_lowest_id() -> None:
    def choose(*candidates: Candidate) -> tuple[str, ...]:
        found = eviction.cheapest(candidates, subscription_seats=10, node_seats=0)
        assert found is not None
        return found.ids

    assert choose(Candidate(1, "a", 5, 10, 0), Candidate(9, "b", 4, 10, 0)) == ("b",)
    assert choose(
        Candidate(1, "a", 2, 5, 0), Candidate(1, "b", 2, 5, 0), Candidate(9, "c", 4, 10, 0)
    ) == ("c",)
    assert choose(Candidate(2, "a", 4, 10, 0), Candidate(1, "b", 4, 10, 0)) == ("b",)
    assert choose(Candidate(1, "b", 4, 10, 0), Candidate(1, "a", 4, 10, 0)) == ("a",)

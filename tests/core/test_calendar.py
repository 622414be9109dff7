"""The calendar against a plain list of reservations."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.core.calendar import Calendar

DAY_S = 86_400
#: Five minutes before midnight: pages change under most windows.
NOW_S = 20_000 * DAY_S - 300 + 13

Reservation = tuple[int, int, int]


def brute_peak(held: list[Reservation], start_s: int, end_s: int) -> int:
    seconds = {start_s} | {one[0] for one in held if start_s <= one[0] < end_s}
    return max(
        sum(seats for begin_s, stop_s, seats in held if begin_s <= second < stop_s)
        for second in seconds
    )


def test_what_ends_is_free_from_that_second_on() -> None:
    calendar = Calendar(50, NOW_S)
    calendar.add(NOW_S, NOW_S + 2, 7)
    calendar.advance(NOW_S + 1)
    assert calendar.used_now == 7
    calendar.advance(NOW_S + 2)
    assert calendar.used_now == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32))
def test_peaks_equal_those_of_a_plain_list_at_every_step(seed: int) -> None:
    chance = random.Random(seed)
    now_s = NOW_S
    calendar = Calendar(50, now_s)
    held: list[Reservation] = []
    for _ in range(60):
        action = chance.random()
        if action < 0.5:
            start_s = now_s if chance.random() < 0.5 else (now_s // 60 + chance.randint(1, 9)) * 60
            length_s = chance.choice((chance.randint(1, 900), chance.randint(1, 3 * DAY_S)))
            held.append((start_s, start_s + length_s, chance.randint(1, 9)))
            calendar.add(*held[-1])
        elif action < 0.7 and held:
            calendar.remove(*held.pop(chance.randrange(len(held))))
        else:
            now_s += chance.choice((0, 1, 7, 61, 900, DAY_S))
            calendar.advance(now_s)
        start_s = now_s + chance.randint(0, 1200)
        end_s = start_s + chance.choice((1, 30, 600, 2 * DAY_S))
        assert calendar.used_now == brute_peak(held, now_s, now_s + 1)
        assert calendar.peak(start_s, end_s) == brute_peak(held, start_s, end_s)
        seats = chance.randint(1, 40)
        assert calendar.fits(start_s, end_s, seats) is (
            brute_peak(held, start_s, end_s) + seats <= 50
        )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32))
def test_the_earliest_minute_is_the_first_that_fits(seed: int) -> None:
    chance = random.Random(seed)
    calendar = Calendar(20, NOW_S)
    for _ in range(12):
        start_s = (NOW_S // 60 + chance.randint(1, 30)) * 60
        calendar.add(start_s, start_s + chance.randint(1, 900), chance.randint(1, 6))
    if chance.random() < 0.3:
        calendar.add(NOW_S, NOW_S + 2 * DAY_S, 9)
    seats, length_s = chance.randint(1, 22), chance.randint(1, 1200)
    from_s = NOW_S + chance.randint(-60, 600)
    until_s = NOW_S + 3600
    minutes = range((max(from_s, NOW_S + 1) + 59) // 60 * 60, until_s + 1, 60)
    expected = next((at for at in minutes if calendar.fits(at, at + length_s, seats)), None)
    found, _ = calendar.earliest(seats, length_s, from_s=from_s, until_s=until_s, probes_max=10_000)
    assert found == expected


def test_the_search_for_a_minute_stops_at_its_bound() -> None:
    calendar = Calendar(10, NOW_S)
    for minute in range(100):
        start_s = (NOW_S // 60 + 2 * minute) * 60
        calendar.add(max(start_s, NOW_S), start_s + 60, 10)
    assert calendar.earliest(1, 120, from_s=NOW_S, until_s=NOW_S + DAY_S, probes_max=5) == (None, 5)


def test_a_year_of_maintenance_blocks_every_day_and_is_taken_back_exactly() -> None:
    calendar = Calendar(200, NOW_S)
    start_s = NOW_S // 60 * 60 + 600
    calendar.add(start_s, start_s + 365 * DAY_S, 200)
    at_s = start_s + 200 * DAY_S
    assert not calendar.fits(at_s, at_s + 60, 1)
    assert calendar.earliest(
        1, 60, from_s=start_s, until_s=start_s + 400 * DAY_S, probes_max=9
    ) == (start_s + 365 * DAY_S, 2)
    calendar.remove(start_s, start_s + 365 * DAY_S, 200)
    assert calendar.fits(NOW_S, start_s + 365 * DAY_S, 200)
    assert calendar.steps() == ()
    calendar.advance(start_s + 370 * DAY_S)
    assert calendar.peak(start_s, start_s + 400 * DAY_S) == 0


def test_the_search_for_a_minute_skips_days_that_are_full() -> None:
    calendar = Calendar(10, NOW_S)
    midnight_s = NOW_S // DAY_S * DAY_S + DAY_S
    calendar.add(midnight_s, midnight_s + 9 * DAY_S, 10)
    from_s, until_s = midnight_s + DAY_S, midnight_s + 20 * DAY_S
    assert calendar.earliest(1, 600, from_s=from_s, until_s=until_s, probes_max=5) == (
        midnight_s + 9 * DAY_S,
        2,
    )
    assert calendar.earliest(
        1, 600, from_s=from_s, until_s=midnight_s + 3 * DAY_S, probes_max=5
    ) == (None, 1)


def test_a_window_that_is_over_needs_nothing() -> None:
    calendar = Calendar(1, NOW_S)
    calendar.add(NOW_S - 60, NOW_S, 5)
    assert calendar.used_now == 0
    assert calendar.peak(NOW_S - 60, NOW_S) == 0


def test_a_later_start_within_a_minute_is_refused() -> None:
    with pytest.raises(ValueError, match="whole minute"):
        Calendar(1, NOW_S).add(NOW_S + 1, NOW_S + 100, 1)


def test_time_never_goes_back() -> None:
    calendar = Calendar(1, NOW_S)
    calendar.advance(NOW_S - 100)
    assert calendar.now_s == NOW_S


def test_only_the_difference_to_the_own_reservation_is_asked_for() -> None:
    calendar = Calendar(10, NOW_S)
    start_s = NOW_S // 60 * 60 + 600
    own = (start_s, start_s + 600, 6)
    calendar.add(*own)
    calendar.add(start_s - 300, start_s, 3)
    assert calendar.fits(start_s, start_s + 600, 10, own=own)
    assert not calendar.fits(start_s, start_s + 600, 11, own=own)
    assert calendar.fits(NOW_S, start_s + 1200, 7, own=own)
    assert not calendar.fits(NOW_S, start_s + 1200, 8, own=own), "before the own window"
    calendar.add(start_s + 600, start_s + 1200, 4)
    assert not calendar.fits(start_s, start_s + 660, 7, own=own), "after the own window"
    assert calendar.fits(start_s + 1200, start_s + 1260, 10, own=own)
    calendar.capacity = 5
    assert calendar.fits(start_s, start_s + 600, 6, own=own), "what is booked is honoured"

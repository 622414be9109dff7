"""Breakout rooms: no seats, the node and the end of their meeting."""

from __future__ import annotations

import pytest

from scheduler.core.commands import (
    Admitted,
    Book,
    Create,
    Extend,
    OpenRoom,
    Refused,
    Repeated,
    Replace,
    TakeOver,
)
from scheduler.core.model import Pool
from schemas.values import MeetingState, Reason, Window
from tests.core import worlds
from tests.core.worlds import NOW_S


@pytest.fixture
def pool() -> Pool:
    """A full pool whose one meeting has every seat and every limit used up."""
    pool = worlds.make_pool(nodes=(20, 20), subscriptions=(20,), credentials={5: 20})
    pool.put_subscription(1, seats=20, meetings_max=1)
    worlds.create(pool, "parent", 20, credential=5)
    return pool


def open_room(pool: Pool, room: str = "room", parent: str = "parent", key: str = "") -> object:
    return worlds.open_room(pool, room, parent, key=key or room, credential=5)


def test_a_room_opens_on_its_meetings_node_when_everything_is_full(pool: Pool) -> None:
    node = pool.meetings["parent"].node
    verdict = open_room(pool)
    assert isinstance(verdict, Admitted)
    assert (verdict.node, verdict.seats) == (node, 0)
    assert verdict.window == pool.meetings["parent"].window
    assert pool.subscriptions[1].meetings == 1
    assert isinstance(worlds.open_room(pool, "x", "room", credential=5), Refused), "no nesting"


def test_a_room_needs_a_meeting_of_the_same_credential_that_runs(pool: Pool) -> None:
    for parent in ("parent", "unknown"):
        refused = worlds.open_room(pool, "room", parent, credential=6 if parent == "parent" else 5)
        assert isinstance(refused, Refused)
        assert refused.reason is Reason.NO_PARENT
    pool.doom("parent")
    refused = worlds.open_room(pool, "room", "parent", credential=5)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.NO_PARENT


def test_a_room_is_repeated_by_its_id_and_by_its_key(pool: Pool) -> None:
    open_room(pool)
    assert worlds.do(pool, OpenRoom("room", "parent", "room", 5)) == Repeated("room")
    assert worlds.do(pool, OpenRoom("again", "parent", "room", 5)) == Repeated("room")


def test_the_id_of_a_meeting_is_no_room_and_that_of_a_room_no_meeting(pool: Pool) -> None:
    open_room(pool)
    taken = worlds.do(pool, OpenRoom("x", "parent", "parent", 5))
    promised = worlds.do(pool, Create("y", 1, "room", 1, 60, 5))
    for verdict in (taken, promised):
        assert isinstance(verdict, Refused)
        assert verdict.reason is Reason.NOT_UNIQUE


def test_a_room_has_the_window_of_its_meeting_also_after_an_extension(pool: Pool) -> None:
    open_room(pool)
    open_room(pool, "ending")
    pool.doom("ending")
    assert pool.advance(NOW_S + 3600) == ("parent", "room")
    assert pool.meetings["room"].state is MeetingState.OVERTIME
    assert set(pool.subscriptions[1].overdue) == {"parent"}
    assert isinstance(open_room(pool, "late"), Admitted)
    assert pool.meetings["late"].state is MeetingState.OVERTIME
    assert isinstance(worlds.do(pool, Extend("parent", 600)), Admitted)
    for room in ("room", "late"):
        assert pool.meetings[room].window == pool.meetings["parent"].window
        assert pool.meetings[room].state is MeetingState.HELD
    assert worlds.do(pool, Extend("room", 9_000)) == Repeated("room")


def test_an_evicted_meeting_takes_its_rooms_along(pool: Pool) -> None:
    open_room(pool)
    pool.connected("room", 9)
    pool.advance(NOW_S + 3600)
    pool.put_subscription(1, seats=20, meetings_max=2)
    verdict = worlds.create(pool, "new", 5, credential=5)
    assert isinstance(verdict, Admitted)
    assert verdict.evicted == ("parent",)
    assert pool.meetings["room"].state is MeetingState.ENDING
    assert pool.end("parent")
    assert "room" not in pool.meetings
    assert not pool.rooms


@pytest.mark.parametrize("state", [MeetingState.PLACING, MeetingState.HELD])
def test_a_room_ends_when_its_meeting_or_its_node_is_lost(pool: Pool, state: MeetingState) -> None:
    worlds.do(pool, OpenRoom("room", "parent", "room", 5))
    if state is MeetingState.HELD:
        pool.confirm("room")
    open_room(pool, "other")
    assert pool.lose("other")
    assert "other" not in pool.meetings
    assert pool.lose("parent")
    assert pool.meetings["parent"].state is MeetingState.LOST
    assert "room" not in pool.meetings


def test_a_room_ends_without_its_meeting(pool: Pool) -> None:
    open_room(pool)
    open_room(pool, "second")
    assert pool.end("room")
    assert pool.rooms == {"parent": {"second": None}}
    assert pool.meetings["parent"].state is MeetingState.HELD
    assert isinstance(open_room(pool, "third", key="room"), Admitted)


def test_a_room_moves_to_no_other_node(pool: Pool) -> None:
    worlds.do(pool, OpenRoom("room", "parent", "room", 5))
    refused = worlds.do(pool, Replace("room", frozenset({1})))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.NO_NODE


def book(pool: Pool, seats: int, start_s: int, end_s: int) -> object:
    return worlds.do(pool, Book("booking", 1, "parent", seats, Window(start_s, end_s), 5))


def test_a_meeting_in_overtime_takes_its_due_booking_over(pool: Pool) -> None:
    """The seats of the booking become its own again; nothing is added and nobody yields."""
    open_room(pool)
    start_s, end_s = NOW_S - 17 + 3660, NOW_S - 17 + 7200
    assert isinstance(book(pool, 20, start_s, end_s), Admitted)
    assert isinstance(worlds.do(pool, TakeOver("parent")), Refused), "not due yet"
    pool.advance(start_s)
    verdict = worlds.do(pool, TakeOver("parent"))
    assert isinstance(verdict, Admitted)
    assert (verdict.adopted, verdict.replaces) == (True, "booking")
    meeting = pool.meetings["parent"]
    assert (meeting.state, meeting.window) == (MeetingState.HELD, Window(NOW_S, end_s))
    assert pool.meetings["room"].window == meeting.window
    assert "booking" not in pool.meetings
    assert isinstance(worlds.create(pool, "x", 1, credential=5), Refused)


def test_a_held_meeting_takes_a_booking_over_before_its_own_window_ends(pool: Pool) -> None:
    start_s, end_s = NOW_S - 17 + 3660, NOW_S - 17 + 7200
    book(pool, 20, start_s, end_s)
    pool.advance(start_s - 300)
    assert isinstance(worlds.do(pool, TakeOver("parent")), Admitted)
    assert pool.meetings["parent"].window == Window(NOW_S, end_s)


def test_a_booking_that_is_larger_or_whose_gap_is_taken_stays(pool: Pool) -> None:
    start_s, end_s = NOW_S - 17 + 3900, NOW_S - 17 + 7200
    pool.put_subscription(1, seats=40)
    pool.put_credential(5, seats=40)
    pool.put_node(1, name="node-1", seats=40)
    book(pool, 21, start_s, end_s)
    pool.advance(start_s - 300)
    assert isinstance(worlds.do(pool, TakeOver("parent")), Refused)
    pool.end("booking")
    pool.put_subscription(1, seats=20)
    book(pool, 20, start_s, end_s)
    gap = Window(NOW_S - 17 + 3660, start_s)
    assert isinstance(worlds.do(pool, Book("gap", 1, "gap", 1, gap, 6)), Admitted)
    refused = worlds.do(pool, TakeOver("parent"))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.MAX_PARTICIPANTS
    assert "booking" in pool.meetings


def test_only_a_running_meeting_takes_a_booking_over(pool: Pool) -> None:
    pool.lose("parent")
    assert isinstance(worlds.do(pool, TakeOver("parent")), Refused)
    assert isinstance(worlds.do(pool, TakeOver("unknown")), Refused)

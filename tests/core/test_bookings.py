"""Bookings that are changed: exactly what fits without the booking itself, and all or nothing."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.core.books import Meeting, Rules
from scheduler.core.commands import Admitted, Book, Create, Rebook, Refused, Repeated
from scheduler.core.model import Pool
from schemas.values import MeetingState, Mode, Reason, Window
from tests.core import oracle, worlds
from tests.core.worlds import NOW_S, Op

MINUTE_S = NOW_S // 60 * 60 + 60
_pools = st.builds(
    worlds.make_pool,
    nodes=st.lists(st.integers(4, 14), min_size=1, max_size=3).map(tuple),
    subscriptions=st.lists(st.integers(6, 20), min_size=1, max_size=2).map(tuple),
    credentials=st.dictionaries(st.integers(1, 4), st.integers(4, 12), max_size=3),
    rules=st.builds(Rules, mode=st.sampled_from(Mode), keep_free=st.sampled_from((None, 1))),
)
#: Mostly bookings and their changes, so that they get into each other's way.
_ops = st.lists(
    st.tuples(
        st.sampled_from(("book", "book", "rebook", "rebook", "rebook", "create", "advance")),
        *(st.integers(0, 7), st.integers(1, 9), st.integers(1, 200)),
    ),
    min_size=20,
    max_size=40,
)


def hour(number: int, hours: int = 1) -> Window:
    return Window(MINUTE_S + number * 3600, MINUTE_S + (number + hours) * 3600)


def booked(pool: Pool, name: str = "b", seats: int = 10, window: Window | None = None) -> Meeting:
    verdict = worlds.do(pool, Book(name, 1, name, seats, window or hour(1)))
    assert isinstance(verdict, Admitted), verdict
    return pool.meetings[name]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_pools, _ops)
def test_a_change_is_admitted_exactly_when_it_fits_without_what_it_had(
    pool: Pool, story: list[Op]
) -> None:
    for step in worlds.tell(pool, story):
        command = step.command
        if not isinstance(command, Rebook):
            continue
        booking = next(one for one in step.before if one.id == command.meeting)
        others = [one for one in step.before if one.id != booking.id]
        start_s = command.window.start_s // 60 * 60
        end_s = -(-command.window.end_s // 60) * 60
        seconds = range(max(start_s, pool.now_s), end_s)
        clash = any(
            one.key == booking.key
            and one.state is MeetingState.BOOKED
            and one.window.start_s < end_s
            and start_s < one.window.end_s
            for one in others
        )
        nodes = pool.nodes if command.node is None else {command.node} & set(pool.nodes)
        possible = (
            end_s > pool.now_s
            and not clash
            and any(
                all(
                    oracle.reserved_at(group, second) + command.seats <= seats
                    for second in seconds
                    for group, seats in oracle.groups(
                        pool, others, booking.subscription, booking.credential, node
                    )
                )
                for node in nodes
            )
        )
        if isinstance(step.verdict, Repeated):
            continue
        assert isinstance(step.verdict, Admitted) is possible, (step.verdict, booking)
        after = pool.meetings[booking.id]
        if possible:
            assert (after.window.end_s, after.seats) == (end_s, command.seats)
            assert command.node in (None, after.node)
        else:
            assert pool.state_hash() == step.hash_before


def test_the_own_seats_are_free_for_the_change() -> None:
    pool = worlds.make_pool(nodes=(20,), subscriptions=(20,))
    booked(pool, seats=20)
    verdict = worlds.do(pool, Rebook("b", Window(MINUTE_S + 5400, MINUTE_S + 9000), 20))
    assert isinstance(verdict, Admitted)
    assert verdict.node == 1
    assert pool.meetings["b"].window == Window(MINUTE_S + 5400, MINUTE_S + 9000)


def test_a_refused_change_leaves_the_booking_alone_and_says_when_it_would_fit() -> None:
    pool = worlds.make_pool()
    mine = booked(pool, "b", 15, hour(1))
    booked(pool, "c", 10, hour(3))
    before = pool.state_hash()
    verdict = worlds.do(pool, Rebook("b", hour(3), 15))
    assert isinstance(verdict, Refused)
    assert verdict.reason is Reason.MAX_PARTICIPANTS
    assert verdict.detail.free_seats == 10
    assert verdict.detail.fits_at_s == hour(4).start_s
    assert pool.state_hash() == before
    assert mine.window == hour(1)


def test_a_booking_goes_to_the_node_that_is_named_or_nowhere() -> None:
    pool = worlds.make_pool(nodes=(20, 20), subscriptions=(60,))
    here = booked(pool, seats=15).node
    other = 3 - (here or 0)
    verdict = worlds.do(pool, Rebook("b", hour(1), 15, other))
    assert isinstance(verdict, Admitted)
    assert pool.meetings["b"].node == other
    booked(pool, "c", 15, hour(1))
    refused = worlds.do(pool, Rebook("b", hour(1), 15, here))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.NO_NODE
    assert worlds.do(pool, Rebook("b", hour(1), 15, other)) == Repeated("b")
    unknown = worlds.do(pool, Rebook("b", hour(1), 15, 9))
    assert isinstance(unknown, Refused)


def test_two_bookings_of_one_meeting_are_not_moved_into_each_other() -> None:
    pool = worlds.make_pool()
    booked(pool, "b", 5, hour(1))
    assert isinstance(worlds.do(pool, Book("c", 1, "b", 5, hour(3))), Admitted)
    refused = worlds.do(pool, Rebook("b", hour(2, hours=2), 5))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.NOT_UNIQUE
    assert isinstance(worlds.do(pool, Rebook("b", hour(2), 5)), Admitted)


def test_what_was_never_booked_or_runs_is_not_moved() -> None:
    pool = worlds.make_pool()
    worlds.create(pool, "m", 5)
    for meeting in ("m", "unknown"):
        verdict = worlds.do(pool, Rebook(meeting, hour(1), 5))
        assert isinstance(verdict, Refused)
        assert verdict.reason is Reason.NOT_FOUND


def test_a_booking_cannot_be_moved_into_the_past() -> None:
    pool = worlds.make_pool()
    booked(pool)
    verdict = worlds.do(pool, Rebook("b", Window(NOW_S - 7200, NOW_S - 3600), 5))
    assert isinstance(verdict, Refused)
    assert verdict.reason is Reason.UNSUPPORTED


def test_a_moved_booking_is_adopted_at_its_new_time() -> None:
    pool = worlds.make_pool()
    booked(pool, "b", 10, hour(1))
    worlds.do(pool, Rebook("b", hour(5), 12))
    early = worlds.do(pool, Create("m", 1, "b", 5, 60), hour(1).start_s)
    assert isinstance(early, Admitted)
    assert early.replaces is None
    pool.end("m")
    on_time = worlds.do(pool, Create("n", 1, "b", 5, 60), hour(5).start_s)
    assert isinstance(on_time, Admitted)
    assert (on_time.replaces, on_time.seats) == ("b", 12)

"""The promises R1 to R5 and R9 of the design, against the brute-force oracle."""

from __future__ import annotations

import dataclasses

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.core.accounts import Traits
from scheduler.core.books import Meeting, Rules
from scheduler.core.commands import (
    Admitted,
    Book,
    Create,
    Extend,
    Refused,
    Repeated,
    Replace,
    TakeOver,
)
from scheduler.core.model import Pool
from schemas.values import MeetingState, Mode, Reason
from tests.core import oracle, worlds
from tests.core.worlds import Op, Step

_rules = st.builds(
    Rules,
    mode=st.sampled_from(Mode),
    keep_free=st.sampled_from((None, 0, 1, 5)),
    large_seats=st.sampled_from((6, 100)),
    evict_across_subscriptions=st.booleans(),
    adopt_early_s=st.sampled_from((0, 120)),
)
_pools = st.builds(
    worlds.make_pool,
    nodes=st.lists(st.integers(4, 14), min_size=1, max_size=3).map(tuple),
    subscriptions=st.lists(st.integers(6, 20), min_size=1, max_size=2).map(tuple),
    credentials=st.dictionaries(st.integers(1, 4), st.integers(4, 12), max_size=3),
    rules=_rules,
    traits=st.dictionaries(st.integers(1, 3), worlds.traits, max_size=2),
    node_tags=worlds.node_tags,
)
_stories = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _wishes(step: Step) -> list[oracle.Wish]:
    """What a create or a re-placement may be granted, best first; empty for anything else."""
    pool, command, now_s = step.pool, step.command, step.pool.now_s
    known = {one.id: one for one in step.before}
    if isinstance(command, Replace):
        own = known[command.meeting]
        if own.state not in {MeetingState.PLACING, MeetingState.LOST} or own.parent is not None:
            return []
        if own.window.end_s <= now_s:
            return []
        return [_resumed(own, command.exclude)]
    if not isinstance(command, Create):
        return []
    same = [one for one in step.before if one.key == command.key]
    if any(one.state in oracle.RUNNING for one in same):
        return []
    for one in same:
        if one.state is MeetingState.LOST and one.window.end_s > now_s:
            return [_resumed(one)]
    end_s = now_s + command.duration_s
    due = [
        one
        for one in same
        if one.state is MeetingState.BOOKED
        and now_s < one.window.end_s
        and one.window.start_s <= now_s + pool.rules.adopt_early_s
    ]
    if not due:
        return [
            oracle.Wish(command.subscription, command.seats, end_s, credential=command.credential)
        ]
    booking = min(due, key=lambda one: (one.window.start_s, one.id))
    end_s = max(end_s, booking.window.end_s)
    return [
        dataclasses.replace(_resumed(booking), seats=seats, end_s=until_s)
        for seats, until_s in (
            (max(command.seats, booking.seats), end_s),
            (booking.seats, end_s),
            (booking.seats, booking.window.end_s),
        )
    ]


def _resumed(own: Meeting, exclude: frozenset[int] = frozenset()) -> oracle.Wish:
    return oracle.Wish(
        own.subscription, own.seats, own.window.end_s, own.id, exclude, own.credential
    )


def _horizon(pool: Pool) -> range:
    last_s = max((one.window.end_s for one in pool.meetings.values()), default=pool.now_s)
    return range(pool.now_s, last_s, 7)


def _has_room(meetings: list[Meeting], seats: int, seconds: range) -> bool:
    return all(oracle.reserved_at(meetings, second) <= seats for second in seconds)


@_stories
@given(_pools, worlds.ops)
def test_R1_no_instant_oversells_a_subscription(pool: Pool, story: list[Op]) -> None:
    for _ in worlds.tell(pool, story):
        for subscription in pool.subscriptions.values():
            meetings = oracle.of_subscription(pool.meetings.values(), subscription.id)
            for second in _horizon(pool):
                assert oracle.reserved_at(meetings, second) <= subscription.seats


@_stories
@given(_pools, worlds.ops)
def test_R1_no_instant_oversells_a_credential(pool: Pool, story: list[Op]) -> None:
    for _ in worlds.tell(pool, story):
        for number, limits in pool.credentials.items():
            assert limits.account is not None
            meetings = oracle.of_credential(pool.meetings.values(), number)
            for second in _horizon(pool):
                assert oracle.reserved_at(meetings, second) <= limits.account.seats


@_stories
@given(_pools, worlds.ops, st.dictionaries(st.integers(1, 4), st.integers(1, 3), min_size=2))
def test_R1_a_credential_has_at_most_its_number_of_meetings(
    pool: Pool, story: list[Op], limits: dict[int, int]
) -> None:
    for number, meetings_max in limits.items():
        account = pool.credentials[number].account if number in pool.credentials else None
        pool.put_credential(
            number, seats=account.seats if account else None, meetings_max=meetings_max
        )
    for step in worlds.tell(pool, story):
        for number, meetings_max in limits.items():
            mine = oracle.of_credential(step.pool.meetings.values(), number)
            counted = [
                one
                for one in mine
                if one.state in oracle.RUNNING | {MeetingState.LOST} and one.parent is None
            ]
            assert len(counted) <= meetings_max
        if isinstance(step.verdict, Refused) and step.verdict.reason is Reason.MAX_MEETINGS:
            assert isinstance(step.command, Create)
            known = oracle.of_credential(step.before, step.command.credential)
            counted = [
                one
                for one in known
                if one.state in oracle.RUNNING | {MeetingState.LOST} and one.parent is None
            ]
            assert len(counted) == limits[step.command.credential]
            assert step.verdict.detail.of_credential


@_stories
@given(_pools, worlds.ops)
def test_R2_no_instant_oversells_a_node_bookings_included(pool: Pool, story: list[Op]) -> None:
    for _ in worlds.tell(pool, story):
        for node in pool.nodes.values():
            meetings = oracle.on_node(pool.meetings.values(), node.id)
            for second in _horizon(pool):
                assert oracle.reserved_at(meetings, second) <= node.seats


@_stories
@given(_pools, worlds.ops)
def test_R3_a_create_is_admitted_exactly_when_seats_can_be_had(pool: Pool, story: list[Op]) -> None:
    for step in worlds.tell(pool, story):
        wishes = _wishes(step)
        possible = any(oracle.expected(pool, step.before, wish) is not None for wish in wishes)
        if wishes:
            assert isinstance(step.verdict, Admitted) is possible, (step, wishes)
        if isinstance(step.verdict, Refused):
            assert pool.state_hash() == step.hash_before


@_stories
@given(_pools, worlds.ops)
def test_R3_a_booking_is_admitted_exactly_when_both_calendars_have_room(
    pool: Pool, story: list[Op]
) -> None:
    for step in worlds.tell(pool, story):
        command = step.command
        if not isinstance(command, Book):
            continue
        start_s = command.window.start_s // 60 * 60
        end_s = -(-command.window.end_s // 60) * 60
        clash = any(
            one.key == command.key
            and one.state is MeetingState.BOOKED
            and one.window.start_s < end_s
            and start_s < one.window.end_s
            for one in step.before
        )
        seconds = range(max(start_s, pool.now_s), end_s)
        possible = not clash and any(
            oracle.takes(pool, command.subscription, node, seconds)
            and all(
                _has_room(group, seats - command.seats, seconds)
                for group, seats in oracle.groups(
                    pool, step.before, command.subscription, command.credential, node
                )
            )
            for node in pool.nodes
        )
        assert isinstance(step.verdict, Admitted) is possible


@_stories
@given(_pools, worlds.ops)
def test_R4_only_overtime_is_evicted_and_only_for_an_admitted_create(
    pool: Pool, story: list[Op]
) -> None:
    for step in worlds.tell(pool, story):
        before = {one.id: one for one in step.before}
        ending = {
            one.id
            for one in pool.meetings.values()
            if one.state is MeetingState.ENDING and before[one.id].state is not MeetingState.ENDING
        }
        evicted = step.verdict.evicted if isinstance(step.verdict, Admitted) else ()
        rooms = {one for one in ending if before[one].parent is not None}
        assert ending - rooms == set(evicted)
        assert rooms == {
            one.id
            for one in step.before
            if one.parent in evicted and one.state is not MeetingState.ENDING
        }
        assert all(before[victim].state is MeetingState.OVERTIME for victim in evicted)
        if not isinstance(step.command, Create | Replace):
            assert not evicted
        if isinstance(step.verdict, Admitted) and not pool.rules.evict_across_subscriptions:
            subscription = pool.meetings[step.verdict.meeting].subscription if evicted else 0
            assert all(before[victim].subscription == subscription for victim in evicted)


@_stories
@given(_pools, worlds.ops)
def test_R5_the_victims_are_the_cheapest_set_there_is(pool: Pool, story: list[Op]) -> None:
    for step in worlds.tell(pool, story):
        if not isinstance(step.verdict, Admitted):
            continue
        for wish in _wishes(step):
            expected = oracle.expected(pool, step.before, wish)
            if expected is None:
                continue
            assert step.verdict.evicted == expected[3]
            victims = [one for one in step.before if one.id in step.verdict.evicted]
            assert oracle.holds(pool, step.before, wish, step.verdict.node, victims)
            assert (step.verdict.seats, step.verdict.window.end_s) == (wish.seats, wish.end_s)
            break


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    _pools,
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(1, 7), st.integers(0, 3), st.integers(0, 3)),
        max_size=8,
    ),
    st.integers(1, 14),
    st.integers(0, 7),
)
def test_R5_the_victims_are_the_cheapest_set_in_a_pool_full_of_overtime(
    pool: Pool, crowd: list[tuple[int, int, int, int]], seats: int, closed: int
) -> None:
    for number, (where, size, users, age) in enumerate(crowd):
        node = pool.nodes[1 + where % len(pool.nodes)]
        subscription = pool.subscriptions[1 + where // 3 % len(pool.subscriptions)]
        credential = 2 * subscription.id - where % 2
        own = pool.credentials[credential].account if credential in pool.credentials else None
        if max(node.shortage(size), subscription.shortage(size)) > 0:
            continue
        if own is not None and own.shortage(size) > 0:
            continue
        worlds.put(
            pool,
            f"m{number}",
            size,
            node=node.id,
            subscription=subscription.id,
            credential=credential,
            connected=min(users, size),
            window=(pool.now_s - 1200, pool.now_s - 60 * age),
        )
    if closed in pool.nodes:
        node = pool.nodes[closed]
        pool.put_node(
            closed,
            name=node.name,
            seats=node.seats,
            accepting=False,
            traits=Traits(node.weight, node.tags, node.closed),
        )
    before = tuple(map(worlds.copy_of, pool.meetings.values()))
    wish = oracle.Wish(1, seats, pool.now_s + 60, credential=1)
    expected = oracle.expected(pool, before, wish)
    verdict = worlds.do(pool, Create("new", 1, "new", seats, 60, 1))
    if expected is None:
        assert isinstance(verdict, Refused)
        return
    assert isinstance(verdict, Admitted)
    assert verdict.evicted == expected[3]
    victims = [one for one in before if one.id in verdict.evicted]
    assert oracle.holds(pool, before, wish, verdict.node, victims)


@_stories
@given(_pools, worlds.ops)
def test_R3_an_extension_is_admitted_exactly_when_it_fits_without_evictions(
    pool: Pool, story: list[Op]
) -> None:
    for step in worlds.tell(pool, story):
        command, now_s = step.command, pool.now_s
        if not isinstance(command, Extend):
            continue
        meeting = next((one for one in step.before if one.id == command.meeting), None)
        end_s = now_s + command.duration_s
        if meeting is None or meeting.state not in oracle.RUNNING or meeting.node is None:
            assert isinstance(step.verdict, Refused)
            continue
        if end_s <= meeting.window.end_s or meeting.parent is not None:
            assert isinstance(step.verdict, Repeated)
            continue
        over = meeting.window.end_s <= now_s
        possible = True
        for group, seats in oracle.groups(
            pool, step.before, meeting.subscription, meeting.credential, meeting.node
        ):
            seconds = range(max(now_s, meeting.window.end_s), end_s)
            possible &= _has_room(group, seats - meeting.seats, seconds)
            if over:
                taken = oracle.reserved_at(group, now_s) + oracle.overtime(group, now_s)
                possible &= taken <= seats
        added = range(max(now_s, meeting.window.end_s), end_s)
        possible &= not any(oracle.is_closed(pool, meeting.node, second) for second in added)
        assert isinstance(step.verdict, Admitted) is possible


@_stories
@given(_pools, worlds.ops)
def test_R3_a_due_booking_is_taken_over_exactly_when_it_fits_without_evictions(
    pool: Pool, story: list[Op]
) -> None:
    for step in worlds.tell(pool, story):
        command, now_s = step.command, pool.now_s
        if not isinstance(command, TakeOver):
            continue
        known = {one.id: one for one in step.before}
        meeting = known[command.meeting]
        due = [
            one
            for one in step.before
            if (one.key, one.state) == (meeting.key, MeetingState.BOOKED)
            and now_s < one.window.end_s
            and one.window.start_s <= now_s + pool.rules.adopt_early_s
        ]
        if meeting.state not in oracle.RUNNING or meeting.node is None or not due:
            assert isinstance(step.verdict, Refused)
            continue
        booking = min(due, key=lambda one: (one.window.start_s, one.id))
        end_s = max(meeting.window.end_s, booking.window.end_s)
        left = [one for one in step.before if one.id not in {meeting.id, booking.id}]
        possible = booking.seats <= meeting.seats
        for group, seats in oracle.groups(
            pool, left, meeting.subscription, meeting.credential, meeting.node
        ):
            room = seats - meeting.seats
            possible &= _has_room(group, room, range(max(now_s, meeting.window.end_s), end_s))
            if meeting.window.end_s <= now_s:
                possible &= oracle.reserved_at(group, now_s) + oracle.overtime(group, now_s) <= room
        added = range(max(now_s, meeting.window.end_s), end_s)
        possible &= not any(oracle.is_closed(pool, meeting.node, second) for second in added)
        assert isinstance(step.verdict, Admitted) is possible
        if possible:
            assert booking.id not in pool.meetings
            assert pool.meetings[meeting.id].window.end_s == end_s


@_stories
@given(_pools, worlds.ops)
def test_rooms_charge_nothing_and_go_the_way_of_their_meeting(pool: Pool, story: list[Op]) -> None:
    for step in worlds.tell(pool, story):
        for room in pool.meetings.values():
            if room.parent is None:
                continue
            parent = pool.meetings[room.parent]
            assert room.seats == 0
            assert parent.state in oracle.RUNNING | {MeetingState.ENDING}
            assert room.node == parent.node
            if room.state is not MeetingState.ENDING:
                assert parent.state is not MeetingState.ENDING
                assert room.window == parent.window
        if isinstance(step.verdict, Admitted):
            assert all(one.parent is None for one in step.before if one.id in step.verdict.evicted)


def test_R9_the_example_of_twenty_seats() -> None:
    """A holds 15 for two hours, runs on, leaves C alone and makes way for D."""
    pool = worlds.make_pool(nodes=(20, 20, 20, 20))
    start_s = pool.now_s
    assert isinstance(worlds.create(pool, "A", 15, 7200), Admitted)
    refused = worlds.create(pool, "B", 6, 3600, now_s=start_s + 60)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.MAX_PARTICIPANTS
    assert (refused.detail.free_seats, refused.detail.seats) == (5, 20)
    assert refused.detail.fits_at_s == -(-(start_s + 7200) // 60) * 60
    assert isinstance(worlds.create(pool, "B", 5, 3600, now_s=start_s + 60), Admitted)
    pool.end("B")
    assert pool.advance(start_s + 7200) == ("A",)
    assert set(pool.subscriptions[1].overdue) == {"A"}
    c = worlds.create(pool, "C", 5, 3600)
    assert isinstance(c, Admitted)
    assert c.evicted == ()
    d = worlds.create(pool, "D", 10, 3600)
    assert isinstance(d, Admitted)
    assert d.evicted == ("A",)
    assert pool.meetings["A"].state is MeetingState.ENDING

"""Small pools to decide in, and the story format that the property tests share."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from hypothesis import strategies as st

from scheduler.core import admission
from scheduler.core.accounts import PLAIN, Traits
from scheduler.core.books import Meeting, Rules
from scheduler.core.commands import (
    Admitted,
    Book,
    Cancel,
    Command,
    Create,
    Extend,
    OpenRoom,
    Rebook,
    Replace,
    TakeOver,
    Verdict,
)
from scheduler.core.lifecycle import IllegalFact
from scheduler.core.model import Pool
from schemas.values import MeetingState, Window

#: A minute that is no round number of days, with a few seconds on top.
NOW_S = 1_800_000_000 + 17


def make_pool(
    *,
    nodes: tuple[int, ...] = (20,),
    subscriptions: tuple[int, ...] = (20,),
    credentials: dict[int, int] | None = None,
    rules: Rules | None = None,
    traits: dict[int, Traits] | None = None,
    node_tags: dict[int, frozenset[str]] | None = None,
    now_s: int = NOW_S,
) -> Pool:
    """Build a pool with nodes and subscriptions of these seats, numbered from 1.

    `credentials` are the seats of those that are limited, `traits` of nodes that are no plain ones,
    `node_tags` of subscriptions that want some.
    """
    pool = Pool(rules or Rules(), now_s)
    for number, seats in enumerate(subscriptions, 1):
        pool.put_subscription(
            number, seats=seats, node_tags=(node_tags or {}).get(number, frozenset())
        )
    for number, seats in (credentials or {}).items():
        pool.put_credential(number, seats=seats)
    for number, seats in enumerate(nodes, 1):
        pool.put_node(
            number, name=f"node-{number}", seats=seats, traits=(traits or {}).get(number, PLAIN)
        )
    return pool


def do(pool: Pool, command: Command, now_s: int | None = None) -> Verdict:
    """Advance, decide and apply, as the placement loop does."""
    now_s = pool.now_s if now_s is None else now_s
    pool.advance(now_s)
    verdict = admission.decide(pool, command, now_s)
    pool.apply(verdict)
    return verdict


def create(
    pool: Pool,
    meeting: str,
    seats: int,
    duration_s: int = 3600,
    *,
    subscription: int = 1,
    credential: int = 0,
    now_s: int | None = None,
    key: str | None = None,
) -> Verdict:
    """Create a meeting whose key is its id, and confirm it when it was admitted."""
    asked = Create(meeting, subscription, key or meeting, seats, duration_s, credential)
    verdict = do(pool, asked, now_s)
    if isinstance(verdict, Admitted):
        pool.confirm(meeting)
    return verdict


def book(
    pool: Pool, meeting: str, seats: int, *, minutes: tuple[int, int], subscription: int = 1
) -> Verdict:
    """Book a window in whole minutes from the one that has begun."""
    [window] = closed(minutes)
    return do(pool, Book(meeting, subscription, meeting, seats, window))


def open_room(
    pool: Pool, room: str, parent: str, *, key: str | None = None, credential: int = 0
) -> Verdict:
    """Open a breakout room, and confirm it when it was admitted."""
    verdict = do(pool, OpenRoom(room, parent, key or room, credential))
    if isinstance(verdict, Admitted):
        pool.confirm(room)
    return verdict


def put(
    pool: Pool,
    meeting: str,
    seats: int,
    *,
    node: int | None = 1,
    state: MeetingState = MeetingState.OVERTIME,
    subscription: int = 1,
    credential: int = 0,
    connected: int = 0,
    window: tuple[int, int] | None = None,
) -> Meeting:
    """Put a meeting straight into a state; in overtime for ten minutes unless said otherwise."""
    start_s, end_s = window or (pool.now_s - 1200, pool.now_s - 600)
    restored = Meeting(
        meeting,
        subscription,
        meeting,
        seats,
        Window(start_s, end_s),
        node,
        state,
        connected,
        credential,
    )
    pool.restore(restored)
    return restored


def closed(*minutes: tuple[int, int]) -> tuple[Window, ...]:
    """Return windows of maintenance, in whole minutes from the one that has begun."""
    minute_s = NOW_S // 60 * 60
    return tuple(Window(minute_s + start * 60, minute_s + end * 60) for start, end in minutes)


#: Weights, tags and maintenance of a node, within the time that a story takes.
traits = st.builds(
    Traits,
    weight=st.sampled_from((1, 50, 100, 400)),
    tags=st.sampled_from((frozenset(), frozenset({"gpu"}), frozenset({"gpu", "eu"}))),
    closed=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), max_size=2).map(
        lambda spans: closed(*((start, start + minutes) for start, minutes in spans))
    ),
)
#: What subscriptions want of nodes; mostly nothing.
node_tags = st.dictionaries(
    st.integers(1, 2), st.sampled_from((frozenset({"gpu"}), frozenset({"eu"}))), max_size=1
)


@dataclass(frozen=True)
class Step:
    """One command of a story with the world before it."""

    pool: Pool
    before: tuple[Meeting, ...]
    hash_before: str
    command: Command
    verdict: Verdict


Op = tuple[str, int, int, int]

_NAMES = (
    *(["create"] * 8 + ["advance"] * 4 + ["connected"] * 3 + ["book"] * 2 + ["end"] * 2),
    *("cancel", "extend", "confirm", "doom", "lose", "replace", "room", "room", "take", "take"),
    *("rebook", "rebook"),
)
#: Long enough to fill a pool, to let windows end and to need seats again.
ops = st.lists(
    st.tuples(st.sampled_from(_NAMES), st.integers(0, 7), st.integers(1, 9), st.integers(1, 200)),
    min_size=25,
    max_size=40,
)


def make_command(pool: Pool, op: Op, number: int) -> Command | None:
    """Translate an operation of a story into a command, if it is one.

    Each subscription has two credentials: 1 and 2, 3 and 4.
    """
    name, which, seats, seconds = op
    subscription = 1 + which % len(pool.subscriptions)
    if name == "create":
        key, credential = f"{subscription}/{seconds % 12}", 2 * subscription - seconds % 2
        return Create(f"m{number:03}", subscription, key, seats, seconds, credential)
    if name == "book":
        start_s = pool.now_s + which * 60
        window = Window(start_s, start_s + seconds)
        key, credential = f"{subscription}/{seconds % 12}", 2 * subscription - seconds % 2
        return Book(f"m{number:03}", subscription, key, seats, window, credential)
    known = sorted(pool.meetings)
    if not known:
        return None
    meeting = known[which % len(known)]
    if name == "cancel":
        return Cancel(meeting)
    if name == "extend":
        return Extend(meeting, seconds)
    if name == "take":
        return TakeOver(meeting)
    if name == "room":
        parent = pool.meetings[meeting]
        key = f"{parent.subscription}/room-{seconds % 5}"
        return OpenRoom(f"m{number:03}", meeting, key, parent.credential)
    if name == "rebook":
        return make_rebook(pool, op)
    if name == "replace":
        return Replace(meeting, frozenset({seats % 4}))
    return None


def make_rebook(pool: Pool, op: Op) -> Rebook | None:
    """Change one of the bookings: its window, its seats, and now and then its node."""
    _, which, seats, seconds = op
    booked = [one for one in pool.meetings.values() if one.state is MeetingState.BOOKED]
    if not booked:
        return None
    booking = min(booked, key=lambda one: (hash_of(one.id, which), one.id))
    start_s = booking.window.start_s + (which - 3) * 60
    node = 1 + seconds % 4 if seats % 3 == 0 else None
    return Rebook(booking.id, Window(start_s, start_s + 30 + seconds), seats, node)


def hash_of(name: str, salt: int) -> int:
    """Return a number that mixes the order of names, the same in every run."""
    return sum(map(ord, name)) * (2 * salt + 1) % 7


def do_fact(pool: Pool, op: Op) -> None:
    """Carry out an operation that is a fact; impossible ones are turned away by the table."""
    name, which, seats, seconds = op
    if name == "advance":
        for ended in pool.advance(pool.now_s + seconds):
            if pool.meetings[ended].state in {MeetingState.BOOKED, MeetingState.LOST}:
                pool.end(ended)
        return
    known = sorted(pool.meetings)
    if not known:
        return
    meeting = known[which % len(known)]
    if name == "connected":
        pool.connected(meeting, min(seats, pool.meetings[meeting].seats))
        return
    try:
        getattr(pool, name)(meeting)
    except IllegalFact:
        return


def tell(pool: Pool, story: list[Op]) -> Iterator[Step]:
    """Play a story and yield each command together with the world before it."""
    for number, op in enumerate(story):
        command = make_command(pool, op, number)
        if command is None:
            if op[0] not in {"cancel", "extend", "replace", "room", "take", "rebook"}:
                do_fact(pool, op)
            continue
        before = tuple(copy_of(meeting) for meeting in pool.meetings.values())
        hash_before = pool.state_hash()
        verdict = admission.decide(pool, command, pool.now_s)
        assert pool.state_hash() == hash_before, "a decision changes nothing"
        pool.apply(verdict)
        yield Step(pool, before, hash_before, command, verdict)
        if isinstance(verdict, Admitted) and isinstance(command, Create | OpenRoom) and op[1] % 4:
            pool.confirm(command.meeting)


def copy_of(meeting: Meeting) -> Meeting:
    return dataclasses.replace(meeting)

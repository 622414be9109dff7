"""Every command and fact in any order: the counters always equal what the meetings say."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from scheduler.core import admission
from scheduler.core.accounts import Account, Traits
from scheduler.core.books import Meeting, Rules
from scheduler.core.commands import Admitted, Book, Command, Create, Rebook, Refused, Replace
from scheduler.core.model import Pool
from schemas.values import MeetingState, Mode
from tests.core import oracle, worlds


def meetings_of(pool: Pool, account: Account) -> list[Meeting]:
    if account in pool.subscriptions.values():
        return oracle.of_subscription(pool.meetings.values(), account.id)
    if account in credentials_of(pool):
        return oracle.of_credential(pool.meetings.values(), account.id)
    return oracle.on_node(pool.meetings.values(), account.id)


def credentials_of(pool: Pool) -> list[Account]:
    return [one.account for one in pool.credentials.values() if one.account is not None]


def usage(pool: Pool) -> dict[tuple[str, int], dict[int, int]]:
    """Seats reserved on every account at each second at which they may change."""
    seconds = {pool.now_s}
    for one in pool.meetings.values():
        seconds |= {max(one.window.start_s, pool.now_s), max(one.window.end_s, pool.now_s)}
    levels: dict[tuple[str, int], dict[int, int]] = {}
    for account in (
        *pool.subscriptions.values(),
        *pool.nodes.values(),
        *credentials_of(pool),
    ):
        mine = meetings_of(pool, account)
        kind = type(account).__name__
        levels[kind, account.id] = {at: oracle.reserved_at(mine, at) for at in seconds}
    return levels


class PoolMachine(RuleBasedStateMachine):
    """A small pool under arbitrary load, changes of plan and dying nodes included."""

    pool: Pool
    number = 0

    @initialize(mode=st.sampled_from(Mode), across=st.booleans())
    def begin(self, mode: Mode, across: bool) -> None:  # noqa: FBT001
        rules = Rules(mode, keep_free=1, large_seats=8, evict_across_subscriptions=across)
        self.pool = worlds.make_pool(nodes=(12, 12, 8), subscriptions=(20, 14), rules=rules)

    def decide(self, command: Command) -> None:
        pool = self.pool
        before, hash_before = usage(pool), pool.state_hash()
        verdict = admission.decide(pool, command, pool.now_s)
        assert pool.state_hash() == hash_before
        pool.apply(verdict)
        if not isinstance(verdict, Admitted):
            assert pool.state_hash() == hash_before
            if isinstance(verdict, Refused) and verdict.detail.fits_at_s is not None:
                assert verdict.detail.fits_at_s > pool.now_s
            return
        if isinstance(command, Create | Book | Replace | Rebook):
            # Whatever is given anew is given by a node that is open for it.
            meeting = pool.meetings[verdict.meeting]
            first_s = max(pool.now_s, verdict.window.start_s)
            seconds = range(first_s, verdict.window.end_s)
            assert oracle.takes(pool, meeting.subscription, verdict.node, seconds)
        # R1 and R2, on accounts that became too small as well: nothing is added there.
        after = usage(pool)
        for (kind, number), levels in after.items():
            account: Account | None = (
                pool.credentials[number].account
                if kind == "Account"
                else (pool.nodes[number] if kind == "Node" else pool.subscriptions[number])
            )
            assert account is not None
            seats = account.seats
            known = before[kind, number]
            for second, level in levels.items():
                earlier = max(at for at in known if at <= second)
                assert level <= max(seats, known[earlier])

    @rule(which=st.integers(0, 7), seats=st.integers(1, 9), seconds=st.integers(1, 300))
    def create(self, which: int, seats: int, seconds: int) -> None:
        self.number += 1
        command = worlds.make_command(self.pool, ("create", which, seats, seconds), self.number)
        assert isinstance(command, Create)
        self.decide(command)
        if which % 3 and command.meeting in self.pool.meetings:
            self.pool.confirm(command.meeting)

    @rule(
        name=st.sampled_from(("book", "cancel", "extend", "replace", "room", "take", "rebook")),
        which=st.integers(0, 7),
        seats=st.integers(1, 9),
        seconds=st.integers(1, 300),
    )
    def command(self, name: str, which: int, seats: int, seconds: int) -> None:
        self.number += 1
        command = worlds.make_command(self.pool, (name, which, seats, seconds), self.number)
        if command is not None:
            self.decide(command)
            if seats % 3 and name == "room" and command.meeting in self.pool.meetings:
                self.pool.confirm(command.meeting)

    @rule(
        name=st.sampled_from(("advance", "confirm", "doom", "end", "lose", "connected")),
        which=st.integers(0, 7),
        seats=st.integers(1, 9),
        seconds=st.integers(1, 300),
    )
    def fact(self, name: str, which: int, seats: int, seconds: int) -> None:
        worlds.do_fact(self.pool, (name, which, seats, seconds))

    @rule(subscription=st.integers(1, 2), seats=st.integers(4, 20))
    def change_plan(self, subscription: int, seats: int) -> None:
        self.pool.put_subscription(subscription, seats=seats, meetings_max=seats // 2)

    @rule(
        credential=st.integers(1, 4),
        seats=st.sampled_from((None, 3, 6, 9, 12)),
        meetings_max=st.sampled_from((None, 1, 3)),
    )
    def change_credential(
        self, credential: int, seats: int | None, meetings_max: int | None
    ) -> None:
        self.pool.put_credential(credential, seats=seats, meetings_max=meetings_max)

    @rule(
        node=st.integers(1, 3),
        seats=st.integers(4, 12),
        accepting=st.booleans(),
        traits=worlds.traits,
    )
    def change_node(
        self,
        node: int,
        seats: int,
        accepting: bool,  # noqa: FBT001
        traits: Traits,
    ) -> None:
        self.pool.put_node(
            node,
            name=f"node-{node}",
            seats=seats,
            meeting_seats_max=9,
            accepting=accepting,
            traits=traits,
        )

    @rule(subscription=st.integers(1, 2), tags=worlds.traits)
    def change_tags(self, subscription: int, tags: Traits) -> None:
        plan = self.pool.subscriptions[subscription]
        self.pool.put_subscription(
            subscription, seats=plan.seats, meetings_max=plan.meetings_max, node_tags=tags.tags
        )

    @invariant()
    def counters_equal_the_meetings(self) -> None:
        pool, now_s = self.pool, self.pool.now_s
        for account in (
            *pool.subscriptions.values(),
            *pool.nodes.values(),
            *credentials_of(pool),
        ):
            mine = meetings_of(pool, account)
            account.calendar.advance(now_s)
            assert account.calendar.used_now == oracle.reserved_at(mine, now_s)
            for second in {one.window.start_s for one in mine} | {
                one.window.end_s // 60 * 60 for one in mine
            }:
                if second > now_s:
                    expected = oracle.reserved_at(mine, second)
                    assert account.calendar.peak(second, second + 1) == expected
            assert account.overtime_seats == oracle.overtime(mine, now_s)
            late = [one for one in mine if one.state is MeetingState.PLACING]
            assert account.late_seats == oracle.overtime(late, now_s)
            assert set(account.overdue) == {
                one.id for one in mine if one.state is MeetingState.OVERTIME and one.parent is None
            }
        for node in pool.nodes.values():
            running = [one for one in meetings_of(pool, node) if one.state in oracle.RUNNING]
            assert node.running_seats == sum(one.seats for one in running)
        ranked = [node for _, _, node in pool.order.entries]
        assert sorted(ranked) == sorted(node.id for node in pool.nodes.values() if node.active)
        assert pool.order.entries == sorted(pool.order.entries)

    @invariant()
    def keys_belong_to_running_and_lost_meetings(self) -> None:
        holders = {
            one.key: one.id
            for one in self.pool.meetings.values()
            if one.state in oracle.RUNNING | {MeetingState.LOST}
        }
        assert self.pool.by_key == holders
        for subscription in self.pool.subscriptions.values():
            mine = oracle.of_subscription(self.pool.meetings.values(), subscription.id)
            assert subscription.meetings == sum(
                one.id in holders.values() and one.parent is None for one in mine
            )
        for number, limits in self.pool.credentials.items():
            mine = oracle.of_credential(self.pool.meetings.values(), number)
            assert limits.meetings == sum(
                one.id in holders.values() and one.parent is None for one in mine
            )

    @invariant()
    def rooms_are_known_by_their_meeting(self) -> None:
        meetings = self.pool.meetings
        rooms = {one.id: one.parent for one in meetings.values() if one.parent is not None}
        assert {room: parent for parent, ids in self.pool.rooms.items() for room in ids} == rooms
        assert all(parent in meetings for parent in rooms.values())
        assert all(self.pool.rooms.values())

    @invariant()
    def a_restored_pool_has_the_same_hash(self) -> None:
        pool = self.pool
        again = Pool(pool.rules, pool.now_s)
        for subscription in pool.subscriptions.values():
            again.put_subscription(
                subscription.id,
                seats=subscription.seats,
                meetings_max=subscription.meetings_max,
                node_tags=subscription.node_tags,
            )
        for number, limits in pool.credentials.items():
            again.put_credential(
                number,
                seats=None if limits.account is None else limits.account.seats,
                meetings_max=limits.meetings_max,
            )
        for node in reversed(pool.nodes.values()):
            again.put_node(
                node.id,
                name=node.name,
                seats=node.seats,
                meeting_seats_max=node.meeting_seats_max,
                accepting=node.active,
                traits=Traits(node.weight, node.tags, node.closed),
            )
        meetings = [worlds.copy_of(one) for one in pool.meetings.values()]
        random.Random(self.number).shuffle(meetings)
        again.restore(*meetings)
        assert again.state_hash() == pool.state_hash()


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
